import type { Reply } from '../../reply.ts'
import { setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'

/** The page in the book of lifecycles is closed by who looks for the rules next. */
export async function deleteBucketLifecycle(call: S3Call): Promise<Reply> {
  await enterBucket(call, { action: 's3:PutLifecycleConfiguration', acl: 'none', method: 'DELETE' })
  await setBucketSetting(call, 'lifecycle', '')
  return emptyReply(204)
}
