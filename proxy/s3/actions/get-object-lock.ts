import type { Reply } from '../../reply.ts'
import { objectLockOf } from '../../swift/versions/object-lock.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { objectLockElement } from '../lock/lock-configuration.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { xmlReply } from '../s3-reply.ts'

/** GET ?object-lock */
export async function getObjectLock(call: S3Call): Promise<Reply> {
  const { info } = await enterBucket(call, {
    action: 's3:GetBucketObjectLockConfiguration',
    acl: 'none',
    method: 'GET',
  })
  const lock = objectLockOf(info.meta.headers)
  if (lock === undefined) throw new S3Error('ObjectLockConfigurationNotFoundError')
  return xmlReply('ObjectLockConfiguration', objectLockElement(lock))
}
