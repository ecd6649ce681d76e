import type { Reply } from '../../reply.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { xmlReply } from '../s3-reply.ts'

/** No bucket has ever had versions: then the document is empty. */
export async function getBucketVersioning(call: S3Call): Promise<Reply> {
  await enterBucket(call, { acl: 'none', method: 'GET' })
  return xmlReply('VersioningConfiguration', {})
}
