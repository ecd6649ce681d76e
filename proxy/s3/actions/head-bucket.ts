import type { Reply } from '../../reply.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'

export async function headBucket(call: S3Call): Promise<Reply> {
  await enterBucket(call, { action: 's3:ListBucket', acl: 'read', method: 'GET' })
  return emptyReply(200, [
    'Content-Type',
    'application/xml',
    'x-amz-bucket-region',
    call.settings.region,
    'x-amz-access-point-alias',
    'false',
  ])
}
