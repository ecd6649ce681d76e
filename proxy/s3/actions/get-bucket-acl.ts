import type { Reply } from '../../reply.ts'
import { aclElement } from '../access/acl-document.ts'
import { aclOfBucket } from '../access/bucket-rules.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { xmlReply } from '../s3-reply.ts'

/** GET ?acl */
export async function getBucketAcl(call: S3Call): Promise<Reply> {
  const use = { action: 's3:GetBucketAcl', acl: 'none', method: 'GET' } as const
  const { account, info } = await enterBucket(call, use)
  return xmlReply('AccessControlPolicy', aclElement(aclOfBucket(account, info)))
}
