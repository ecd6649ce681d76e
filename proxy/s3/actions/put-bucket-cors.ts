import type { Reply } from '../../reply.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { encodeCors, readCors } from '../cors/cors-rules.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'
import { parseXml } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 64 * 1024

export async function putBucketCors(call: S3Call): Promise<Reply> {
  await enterBucket(call, { action: 's3:PutBucketCORS', acl: 'none', method: 'PUT' })
  const body = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  await setBucketSetting(call, 'cors', encodeCors(readCors(parseXml(body, 'CORSConfiguration'))))
  return emptyReply(200)
}
