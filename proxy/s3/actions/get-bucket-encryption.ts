import type { Reply } from '../../reply.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { decodeDefault, defaultElement } from '../encryption/bucket-encryption.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { xmlReply } from '../s3-reply.ts'

export async function getBucketEncryption(call: S3Call): Promise<Reply> {
  const { info } = await enterBucket(call, {
    action: 's3:GetEncryptionConfiguration',
    acl: 'none',
    method: 'GET',
  })
  const text = bucketSetting(info, 'encryption')
  if (text === undefined) {
    const details = { BucketName: call.bucket }
    throw new S3Error('ServerSideEncryptionConfigurationNotFoundError', undefined, details)
  }
  return xmlReply('ServerSideEncryptionConfiguration', defaultElement(decodeDefault(text)))
}
