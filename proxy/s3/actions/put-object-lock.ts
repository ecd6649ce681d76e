import type { Reply } from '../../reply.ts'
import { versionsOf } from '../../swift/versions/version-settings.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { readObjectLock, setObjectLock } from '../lock/lock-configuration.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'
import { parseXml } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 64 * 1024

/** PUT ?object-lock: of a bucket that keeps versions, which from then on it does for good. */
export async function putObjectLock(call: S3Call): Promise<Reply> {
  const { account } = await enterBucket(call, {
    action: 's3:PutBucketObjectLockConfiguration',
    acl: 'none',
    method: 'PUT',
  })
  const document = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  const lock = readObjectLock(parseXml(document, 'ObjectLockConfiguration'))
  const now = await call.exchange.proxy.backend.readContainer(account, call.bucket)
  const versions = versionsOf(now?.meta.headers ?? {})
  if (versions?.kind !== 'objects' || !versions.enabled) {
    throw new S3Error(
      'InvalidBucketState',
      'Versioning must be ‘Enabled’ on the bucket to apply an Object Lock configuration',
    )
  }
  await setObjectLock(call, lock)
  return emptyReply(200)
}
