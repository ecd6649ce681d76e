import type { Reply } from '../../reply.ts'
import { setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'

export async function deleteBucketCors(call: S3Call): Promise<Reply> {
  await enterBucket(call, { action: 's3:PutBucketCORS', acl: 'none', method: 'DELETE' })
  await setBucketSetting(call, 'cors', '')
  return emptyReply(204)
}
