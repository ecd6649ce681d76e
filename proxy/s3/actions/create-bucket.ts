import type { Reply } from '../../reply.ts'
import { dropReply, innerExchange } from '../../swift/inner-exchange.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { checkNewBucketName } from '../bucket/bucket-name.ts'
import { setObjectLock } from '../lock/lock-configuration.ts'
import { purgeUploads } from '../multipart/uploads.ts'
import { refuseNotBuilt } from '../object/object-headers.ts'
import { failureOf } from '../object/put-through-swift.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'
import { malformedXml, parseXml } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 64 * 1024

/** Makes a container in the caller's account, once its name is the account's. */
export async function createBucket(call: S3Call): Promise<Reply> {
  const account = call.ownAccount
  const { bucket } = call
  const { backend } = call.exchange.proxy
  checkNewBucketName(bucket)
  refuseNotBuilt(call)
  const wantsLock = call.header('x-amz-bucket-object-lock-enabled')?.toLowerCase() === 'true'
  await checkLocation(call)
  call.exchange.path = { account, container: bucket, object: undefined }
  const claim = await call.directory.claim(bucket, account)
  if (claim === 'taken') throw new S3Error('BucketAlreadyExists', undefined, { BucketName: bucket })
  if (claim === 'in-progress') throw new S3Error('OperationAborted')
  if ((await backend.readContainer(account, bucket)) !== null) {
    // The default region alone lets its owner make a bucket again; nothing happens to it.
    if (call.settings.region === 'us-east-1') return emptyReply(200, ['Location', `/${bucket}`])
    throw new S3Error('BucketAlreadyOwnedByYou', undefined, { BucketName: bucket })
  }
  await purgeUploads(call, { account, name: bucket })
  const path = { account, container: bucket, object: undefined }
  const headers = wantsLock ? { 'x-versions-enabled': 'true' } : {}
  const reply = await call.exchange.proxy.answerInner(
    innerExchange(call.exchange, { method: 'PUT', path, headers }),
  )
  await dropReply(reply)
  if (reply.status >= 400) {
    await call.directory.release(bucket, account)
    throw failureOf(reply)
  }
  if (wantsLock) await setObjectLock(call, {})
  return emptyReply(200, ['Location', `/${bucket}`])
}

async function checkLocation(call: S3Call): Promise<void> {
  const body = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  if (body.length === 0) return
  const root = parseXml(body, 'CreateBucketConfiguration')
  if (root.names.some((name) => name !== 'LocationConstraint')) throw malformedXml()
  const region = root.textOf('LocationConstraint')?.trim() ?? ''
  if (region === '' || region === call.settings.region || region === 'us-east-1') return
  throw new S3Error('IllegalLocationConstraintException', undefined, { LocationConstraint: region })
}
