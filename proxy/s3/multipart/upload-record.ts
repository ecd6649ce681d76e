/** What is kept of an upload that is under way, as JSON. Pure. */
import { ServiceError } from '../../../common/errors.ts'
import type { ChecksumAlgorithm, ChecksumType } from '../checksum/checksum-algorithm.ts'
import type { ObjectHead } from '../object/object-headers.ts'

export interface UploadChecksum {
  readonly algorithm: ChecksumAlgorithm
  readonly type: ChecksumType
}

export interface UploadRecord {
  /** Of the object to be. */
  readonly head: ObjectHead
  /** What the client has chosen; null: the store makes one of its own. */
  readonly checksum: UploadChecksum | null
  readonly initiatedMs: number
  /** The account of who has begun it. */
  readonly initiator: string
  /** Somebody is completing it since then; 0: nobody is. */
  readonly completingSinceMs: number
}

/** What a completion may take before somebody else may try; it gives up itself a good while earlier. */
export const COMPLETION_MS_MAX = 300_000

export function encodeUpload(record: UploadRecord): Buffer {
  return Buffer.from(JSON.stringify({ format: 1, ...record }))
}

/** What encodeUpload made; a 500 for anything else. */
export function decodeUpload(body: Uint8Array): UploadRecord {
  try {
    const record = JSON.parse(Buffer.from(body).toString()) as UploadRecord & { format: number }
    if (record.format === 1) return record
  } catch {
    // Told below.
  }
  throw new ServiceError('BadUpload', 'the record of a multipart upload cannot be read')
}
