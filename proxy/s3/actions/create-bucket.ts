import type { Reply } from '../../reply.ts'
import { dropReply, innerExchange } from '../../swift/inner-exchange.ts'
import { aclOfHeaders } from '../access/acl-document.ts'
import { aclOfBucket } from '../access/bucket-rules.ts'
import { isOwnersOnly, readOwnership } from '../access/ownership.ts'
import { actForAccount, mayInAccount } from '../access/s3-access.ts'
import { encodeAcl, privateAcl } from '../access/s3-acl.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { checkNewBucketName } from '../bucket/bucket-name.ts'
import { type BucketSetting, setBucketSetting } from '../bucket/bucket-settings.ts'
import { isDirectoryName } from '../bucket/directory-bucket.ts'
import { refuseChange } from '../bucket/find-bucket.ts'
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
  if (!mayInAccount(call, 's3:CreateBucket', account)) throw new S3Error('AccessDenied')
  const { bucket } = call
  const { backend } = call.exchange.proxy
  if (call.target.account !== undefined && call.target.account !== account)
    throw new S3Error('InvalidBucketName', undefined, { BucketName: bucket })
  checkNewBucketName(bucket)
  refuseNotBuilt(call)
  const wantsLock = call.header('x-amz-bucket-object-lock-enabled')?.toLowerCase() === 'true'
  const settings = await settingsOfRequest(call, account)
  await checkLocation(call)
  await refuseChange(call, account)
  actForAccount(call, account)
  call.exchange.path = { account, container: bucket, object: undefined }
  const claim = await call.directory.claim(bucket, account)
  if (claim === 'taken') throw new S3Error('BucketAlreadyExists', undefined, { BucketName: bucket })
  if (claim === 'in-progress') throw new S3Error('OperationAborted')
  const there = await backend.readContainer(account, bucket)
  if (there !== null) {
    // What would change its list is another bucket than the one that is there.
    const asked =
      (await aclOfHeaders(call, { owner: account, bucketOwner: account })) ?? privateAcl(account)
    if (encodeAcl(asked) !== encodeAcl(aclOfBucket(account, there)))
      throw new S3Error('BucketAlreadyExists', undefined, { BucketName: bucket })
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
  for (const [name, value] of settings) await setBucketSetting(call, name, value)
  if (wantsLock) await setObjectLock(call, {})
  return emptyReply(200, ['Location', `/${bucket}`])
}

/** What the request's headers say of the new bucket: who owns what is put there, and its list. */
async function settingsOfRequest(
  call: S3Call,
  account: string,
): Promise<readonly (readonly [BucketSetting, string])[]> {
  const asked = call.header('x-amz-object-ownership')
  const ownership = asked === undefined ? undefined : readOwnership(asked)
  const acl = await aclOfHeaders(call, { owner: account, bucketOwner: account })
  if (acl !== undefined && ownership === 'BucketOwnerEnforced' && !isOwnersOnly(acl, account))
    throw new S3Error('InvalidBucketAclWithObjectOwnership')
  return [
    ...(ownership === undefined ? [] : ([['ownership', ownership]] as const)),
    ...(acl === undefined ? [] : ([['acl', encodeAcl(acl)]] as const)),
  ]
}

const OF_BUCKETS = ['LocationConstraint']
/** Zone and kind of a directory bucket, of which there is one here. */
const OF_DIRECTORIES = [...OF_BUCKETS, 'Location', 'Bucket']

async function checkLocation(call: S3Call): Promise<void> {
  const body = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  if (body.length === 0) return
  const root = parseXml(body, 'CreateBucketConfiguration')
  const known = isDirectoryName(call.bucket) ? OF_DIRECTORIES : OF_BUCKETS
  if (root.names.some((name) => !known.includes(name))) throw malformedXml()
  const region = root.textOf('LocationConstraint')?.trim() ?? ''
  if (region === '' || region === call.settings.region || region === 'us-east-1') return
  throw new S3Error('IllegalLocationConstraintException', undefined, { LocationConstraint: region })
}
