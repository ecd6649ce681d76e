import type { Reply } from '../../reply.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { xmlReply } from '../s3-reply.ts'

/** The default region's name is the empty one. */
export async function getBucketLocation(call: S3Call): Promise<Reply> {
  await enterBucket(call, { action: 's3:GetBucketLocation', acl: 'read', method: 'GET' })
  const { region } = call.settings
  return xmlReply('LocationConstraint', { '#text': region === 'us-east-1' ? '' : region })
}
