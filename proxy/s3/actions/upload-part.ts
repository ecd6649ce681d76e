import type { Reply } from '../../reply.ts'
import { S3Body } from '../body/s3-body.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { DEFAULT_CHECKSUM } from '../checksum/checksum-algorithm.ts'
import { encryptionHeaders, sealOfPart } from '../encryption/encryption-choice.ts'
import { storePart } from '../multipart/store-part.ts'
import { parsePartNumber } from '../multipart/upload-names.ts'
import { Uploads } from '../multipart/uploads.ts'
import { refuseNotBuilt } from '../object/object-headers.ts'
import { putBody } from '../object/put-through-swift.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { checksumHeaders, emptyReply } from '../s3-reply.ts'

export async function uploadPart(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  await enterObject(call, { action: 's3:PutObject', acl: 'write', method: 'PUT' })
  const partNumber = parsePartNumber(call.query.get('partNumber') ?? '')
  const uploads = await Uploads.of(call)
  const found = await uploads.find(call.key, call.query.get('uploadId')!)
  const seal = sealOfPart(call, found.record.head)
  const expected = found.record.checksum?.algorithm
  const body = await S3Body.open(call, { algorithm: expected ?? DEFAULT_CHECKSUM, md5: false })
  const sent = body.plan.checksum?.algorithm
  if (expected !== undefined && sent !== undefined && sent !== expected) {
    throw new S3Error(
      'InvalidRequest',
      `Checksum Type mismatch occurred, expected checksum Type: ${expected.toLowerCase()}, actual checksum Type: ${sent.toLowerCase()}`,
    )
  }
  const stored = await storePart(call, uploads, {
    found,
    partNumber,
    checksum: () => body.checksum,
    put: (put) => putBody(call, { ...put, seal }, body),
  })
  const headers = ['ETag', `"${stored.etag}"`, ...encryptionHeaders(call, seal?.record)]
  // What nobody has asked for is the store's own affair, until the whole is there.
  if (expected !== undefined || sent !== undefined) {
    headers.push(...checksumHeaders(body.checksum).slice(0, 2))
  }
  return emptyReply(200, headers)
}
