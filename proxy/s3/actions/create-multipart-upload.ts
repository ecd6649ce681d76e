import { encodeSse, S3_SSE } from '../../encryption/sse-record.ts'
import type { Reply } from '../../reply.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import {
  allowsChecksumType,
  CHECKSUM_TYPES,
  checksumAlgorithm,
  defaultChecksumType,
} from '../checksum/checksum-algorithm.ts'
import { encryptionHeaders, sealOfRequest } from '../encryption/encryption-choice.ts'
import { abortionHeaders } from '../lifecycle/lifecycle-headers.ts'
import { withLock } from '../lock/lock-headers.ts'
import type { UploadChecksum } from '../multipart/upload-record.ts'
import { Uploads } from '../multipart/uploads.ts'
import { aclOfRequest } from '../object/object-acl.ts'
import { headOfRequest, refuseNotBuilt, taggingOfRequest } from '../object/object-headers.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { xmlReply } from '../s3-reply.ts'

export async function createMultipartUpload(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  const plain = headOfRequest(call)
  const tagged = { ...plain, headers: { ...plain.headers, ...taggingOfRequest(call) } }
  const checksum = uploadChecksum(call)
  const place = await enterObject(call, { action: 's3:PutObject', acl: 'write', method: 'PUT' })
  const seal = await sealOfRequest(call)
  const sse = seal === null ? {} : { [S3_SSE]: encodeSse(seal.record) }
  const locked = withLock(call, place, tagged)
  const head = { ...locked, headers: { ...locked.headers, ...(await aclOfRequest(call)), ...sse } }
  const uploads = await Uploads.of(call)
  const initiatedMs = Math.floor(call.exchange.proxy.clock.nowMs())
  const uploadId = await uploads.begin(call.key, {
    head,
    checksum,
    initiatedMs,
    initiator: call.exchange.caller?.account ?? 'anonymous',
    completingSinceMs: 0,
  })
  const headers =
    checksum === null
      ? []
      : ['x-amz-checksum-algorithm', checksum.algorithm, 'x-amz-checksum-type', checksum.type]
  const told = [...headers, ...encryptionHeaders(call, seal?.record)]
  const { bucket: Bucket, key: Key } = call
  return xmlReply('InitiateMultipartUploadResult', { Bucket, Key, UploadId: uploadId }, [
    ...told,
    ...(await abortionHeaders(call, initiatedMs)),
  ])
}

/** The checksum that the whole is to have; null if the client leaves it to the store. */
function uploadChecksum(call: S3Call): UploadChecksum | null {
  const name = call.header('x-amz-checksum-algorithm')
  const typeName = call.header('x-amz-checksum-type')?.toUpperCase()
  if (name === undefined) {
    if (typeName === undefined) return null
    throw new S3Error(
      'InvalidRequest',
      'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.',
    )
  }
  const algorithm = checksumAlgorithm(name)
  if (algorithm === undefined) {
    throw new S3Error('InvalidRequest', 'Checksum algorithm provided is unsupported.')
  }
  const type = CHECKSUM_TYPES.find((known) => known === typeName)
  if (typeName !== undefined && type === undefined) {
    throw new S3Error('InvalidRequest', 'Value for x-amz-checksum-type header is invalid.')
  }
  if (type !== undefined && !allowsChecksumType(algorithm, type)) {
    throw new S3Error(
      'InvalidRequest',
      `The ${type} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
    )
  }
  return { algorithm, type: type ?? defaultChecksumType(algorithm) }
}
