import type { Reply } from '../../reply.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { corsElement, decodeCors } from '../cors/cors-rules.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { xmlReply } from '../s3-reply.ts'

export async function getBucketCors(call: S3Call): Promise<Reply> {
  const { info } = await enterBucket(call, {
    action: 's3:GetBucketCORS',
    acl: 'none',
    method: 'GET',
  })
  const rules = bucketSetting(info, 'cors')
  if (rules === undefined) {
    throw new S3Error('NoSuchCORSConfiguration', undefined, { BucketName: call.bucket })
  }
  return xmlReply('CORSConfiguration', corsElement(decodeCors(rules)))
}
