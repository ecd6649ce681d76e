import type { Reply } from '../../reply.ts'
import { S3_CLASS } from '../../swift/foreign-meta.ts'
import { escapePath } from '../../wire-text.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { checksumTag } from '../checksum/checksum-algorithm.ts'
import { abortionHeaders } from '../lifecycle/lifecycle-headers.ts'
import { storedPart } from '../multipart/completion.ts'
import { Uploads } from '../multipart/uploads.ts'
import { aclOwner } from '../object/object-acl.ts'
import { STANDARD } from '../object/storage-class.ts'
import type { S3Call } from '../s3-call.ts'
import { ownerElement, xmlReply } from '../s3-reply.ts'
import { s3Time } from '../s3-time.ts'

const PARTS_SHOWN_MAX = 1000

export async function listParts(call: S3Call): Promise<Reply> {
  const { account } = await enterObject(call, {
    action: 's3:ListMultipartUploadParts',
    acl: 'write',
    method: 'GET',
  })
  const maxParts = call.query.count('max-parts', {
    max: PARTS_SHOWN_MAX,
    otherwise: PARTS_SHOWN_MAX,
  })
  const marker = call.query.count('part-number-marker', { max: 2 ** 31, otherwise: 0 })
  const encoding = call.query.get('encoding-type')
  const uploads = await Uploads.of(call)
  const { uploadId, record } = await uploads.find(call.key, call.query.get('uploadId')!)
  const all = (await uploads.parts(uploadId)).map(storedPart)
  const behind = all.filter(({ partNumber }) => partNumber > marker)
  const shown = behind.slice(0, maxParts)
  const result = {
    Bucket: call.bucket,
    Key: encoding === 'url' ? escapePath(call.key) : call.key,
    UploadId: uploadId,
    Initiator: ownerElement(record.initiator),
    Owner: ownerElement(aclOwner(record.head.headers) ?? account),
    StorageClass: record.head.headers[S3_CLASS] ?? STANDARD,
    PartNumberMarker: marker,
    NextPartNumberMarker: shown.at(-1)?.partNumber ?? 0,
    MaxParts: maxParts,
    IsTruncated: behind.length > shown.length,
    ...(encoding === 'url' && { EncodingType: 'url' }),
    ...(record.checksum !== null && {
      ChecksumAlgorithm: record.checksum.algorithm,
      ChecksumType: record.checksum.type,
    }),
    Part: shown.map((part) => ({
      PartNumber: part.partNumber,
      LastModified: s3Time(part.ticks),
      ETag: `"${part.etag}"`,
      Size: part.bytes,
      ...(part.checksum !== undefined &&
        record.checksum !== null && {
          [checksumTag(part.checksum.algorithm)]: part.checksum.value,
        }),
    })),
  }
  const abortion = await abortionHeaders(call, record.initiatedMs)
  return xmlReply('ListPartsResult', result, abortion)
}
