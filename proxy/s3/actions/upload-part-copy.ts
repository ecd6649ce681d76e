import type { Reply } from '../../reply.ts'
import { closeBody } from '../../swift/object-body.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { type Checksum, checksumTag, DEFAULT_CHECKSUM } from '../checksum/checksum-algorithm.ts'
import { openHasher } from '../checksum/hasher.ts'
import { encryptionHeaders, sealOfPart } from '../encryption/encryption-choice.ts'
import { storePart } from '../multipart/store-part.ts'
import { parsePartNumber } from '../multipart/upload-names.ts'
import { Uploads } from '../multipart/uploads.ts'
import { bytesOfSource, openSource, sourceRange } from '../object/copy-source.ts'
import { refuseNotBuilt } from '../object/object-headers.ts'
import { putPieces } from '../object/put-through-swift.ts'
import type { S3Call } from '../s3-call.ts'
import { xmlReply } from '../s3-reply.ts'

/** A part that is a stretch of another object. */
export async function uploadPartCopy(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  await enterObject(call, { action: 's3:PutObject', acl: 'write', method: 'PUT' })
  const partNumber = parsePartNumber(call.query.get('partNumber') ?? '')
  const uploads = await Uploads.of(call)
  const found = await uploads.find(call.key, call.query.get('uploadId')!)
  const seal = sealOfPart(call, found.record.head)
  const { view, headers } = await openSource(call)
  try {
    const range = sourceRange(call, view.read.info.bytes)
    if (view.segments !== undefined) await view.segments.prepare(range)
    const expected = found.record.checksum?.algorithm
    const algorithm = expected ?? DEFAULT_CHECKSUM
    const hasher = await openHasher(algorithm)
    let checksum: Checksum | null = null
    const stored = await storePart(call, uploads, {
      found,
      partNumber,
      checksum() {
        checksum = { algorithm, value: hasher.digest().toString('base64'), type: 'FULL_OBJECT' }
        return checksum
      },
      put: (put) => putPieces(call, { ...put, seal }, bytesOfSource(view, range, hasher)),
    }).finally(() => hasher.close())
    const made = checksum as Checksum | null
    return xmlReply(
      'CopyPartResult',
      {
        LastModified: new Date(stored.lastModified).toISOString(),
        ETag: `"${stored.etag}"`,
        ...(expected !== undefined && made !== null && { [checksumTag(expected)]: made.value }),
      },
      [...headers, ...encryptionHeaders(call, seal?.record)],
    )
  } finally {
    await closeBody(view.read)
  }
}
