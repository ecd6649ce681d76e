import type { Reply } from '../../reply.ts'
import { setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'

export async function deleteBucketEncryption(call: S3Call): Promise<Reply> {
  await enterBucket(call, {
    action: 's3:PutEncryptionConfiguration',
    acl: 'none',
    method: 'DELETE',
  })
  await setBucketSetting(call, 'encryption', '')
  return emptyReply(204)
}
