import type { Reply } from '../../reply.ts'
import { enterBucket, noSuchBucket } from '../bucket/find-bucket.ts'
import { purgeUploads } from '../multipart/uploads.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'

/** Deletes an empty bucket; uploads under way do not keep it. */
export async function deleteBucket(call: S3Call): Promise<Reply> {
  const { bucket } = call
  const { account } = await enterBucket(call, { acl: 'none', method: 'DELETE' })
  const outcome = await call.exchange.proxy.backend.deleteContainer(account, bucket)
  if (outcome.status === 'not-empty') {
    throw new S3Error('BucketNotEmpty', undefined, { BucketName: bucket })
  }
  if (outcome.status !== 'done') throw noSuchBucket(bucket)
  await purgeUploads(call, { account, name: bucket })
  await call.directory.release(bucket, account)
  return emptyReply(204)
}
