import { LISTED } from '../../backend/rows.ts'
import type { Authority } from '../../exchange.ts'
import { formatListed } from '../../swift/listed-traits.ts'
import { type Checksum, encodeChecksum } from '../checksum/checksum-algorithm.ts'
import { S3_CHECKSUM } from '../object/object-traits.ts'
import type { PutOutcome, SwiftPut } from '../object/put-through-swift.ts'
import { keptClass } from '../object/storage-class.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import type { FoundUpload, Uploads } from './uploads.ts'

/**
 * Stores a part by `put`. If its upload has ended meanwhile, nobody would ever look for the part: it goes again. The upload
 * is asked about when the part is listed, and an upload lists its parts after it has ended: one of both sees the other.
 */
export async function storePart(
  call: S3Call,
  uploads: Uploads,
  part: {
    readonly found: FoundUpload
    readonly partNumber: number
    /** Of the bytes, when they have come. */
    readonly checksum: () => Checksum | null
    readonly put: (put: SwiftPut) => Promise<PutOutcome>
  },
): Promise<PutOutcome> {
  const { found, partNumber } = part
  const path = uploads.partPath(found.uploadId, partNumber)
  const authority: Authority = {
    by: call.exchange.caller?.user ?? 'anonymous',
    account: path.account,
    container: path.container,
    owner: false,
  }
  const added = (): Record<string, string> => {
    const checksum = part.checksum()
    if (checksum === null) return {}
    const { algorithm, value } = checksum
    return {
      [S3_CHECKSUM]: encodeChecksum(checksum),
      [LISTED]: formatListed({ s3_checksum: `${algorithm}:${value}` }),
    }
  }
  const headers = keptClass({ meta: found.record.head })
  const head = { contentType: 'application/octet-stream', headers }
  const stored = await part.put({ path, head, added, authority })
  if ((await uploads.look(call.key, found.uploadId)) === null) {
    await uploads.dropParts([path.object])
    throw new S3Error('NoSuchUpload', undefined, { UploadId: found.uploadId })
  }
  return stored
}
