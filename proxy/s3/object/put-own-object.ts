import { DEFAULT_CHECKSUM, encodeChecksum } from '../checksum/checksum-algorithm.ts'
import { openHasher } from '../checksum/hasher.ts'
import { sealOfRequest } from '../encryption/encryption-choice.ts'
import type { S3Call } from '../s3-call.ts'
import { S3_CHECKSUM } from './object-traits.ts'
import { putPieces } from './put-through-swift.ts'

/** Stores what the store itself has made (a log, a report) where the call leads, with a checksum as if a client had sent it. */
export async function putOwnObject(
  call: S3Call,
  made: {
    readonly contentType: string
    readonly body: Buffer
    /** The store's own metadata. */
    readonly added?: Readonly<Record<string, string>>
  },
): Promise<void> {
  const { body, contentType } = made
  const added = { ...made.added, [S3_CHECKSUM]: await checksumOf(body) }
  const put = {
    path: call.path,
    head: { contentType, headers: {} },
    added: () => added,
    seal: await sealOfRequest(call),
  }
  await putPieces(call, put, {
    bytes: body.length,
    async *pieces() {
      yield body
    },
  })
}

async function checksumOf(body: Buffer): Promise<string> {
  const hasher = await openHasher(DEFAULT_CHECKSUM)
  hasher.update(body)
  const value = hasher.digest().toString('base64')
  return encodeChecksum({ algorithm: DEFAULT_CHECKSUM, value, type: 'FULL_OBJECT' })
}
