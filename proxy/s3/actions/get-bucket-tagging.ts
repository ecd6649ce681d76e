import type { Reply } from '../../reply.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { xmlReply } from '../s3-reply.ts'
import { decodeTags, taggingElement } from '../tagging/tag-set.ts'

export async function getBucketTagging(call: S3Call): Promise<Reply> {
  const { info } = await enterBucket(call, {
    action: 's3:GetBucketTagging',
    acl: 'none',
    method: 'GET',
  })
  const tags = bucketSetting(info, 'tagging')
  if (tags === undefined) {
    throw new S3Error('NoSuchTagSet', undefined, { BucketName: call.bucket })
  }
  return xmlReply('Tagging', taggingElement(decodeTags(tags)))
}
