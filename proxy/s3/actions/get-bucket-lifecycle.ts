import type { Reply } from '../../reply.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { decodeLifecycle, lifecycleElement } from '../lifecycle/lifecycle-rule.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { xmlReply } from '../s3-reply.ts'

export async function getBucketLifecycle(call: S3Call): Promise<Reply> {
  const { info } = await enterBucket(call, {
    action: 's3:GetLifecycleConfiguration',
    acl: 'none',
    method: 'GET',
  })
  const text = bucketSetting(info, 'lifecycle')
  if (text === undefined) {
    throw new S3Error('NoSuchLifecycleConfiguration', undefined, { BucketName: call.bucket })
  }
  const lifecycle = decodeLifecycle(text)
  return xmlReply('LifecycleConfiguration', lifecycleElement(lifecycle), [
    'x-amz-transition-default-minimum-object-size',
    lifecycle.transitionMinimum,
  ])
}
