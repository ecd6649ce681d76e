import { ServiceError } from '../../../common/errors.ts'
import type { Reply } from '../../reply.ts'
import { checkNoVersions, removeVersionsContainer } from '../../swift/versions/version-container.ts'
import { versionsOf } from '../../swift/versions/version-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { purgeUploads } from '../multipart/uploads.ts'
import type { S3Call } from '../s3-call.ts'
import { noSuchBucket, S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'

/** Deletes an empty bucket; uploads under way do not keep it. */
export async function deleteBucket(call: S3Call): Promise<Reply> {
  const { bucket } = call
  const { account, info } = await enterBucket(call, {
    action: 's3:DeleteBucket',
    acl: 'none',
    method: 'DELETE',
  })
  const container = { account, container: bucket }
  const keepsVersions = versionsOf(info.meta.headers)?.kind === 'objects'
  if (keepsVersions) await refuseVersions(call, container)
  const outcome = await call.exchange.proxy.backend.deleteContainer(account, bucket)
  if (outcome.status === 'not-empty') {
    throw notEmpty(bucket)
  }
  if (outcome.status !== 'done') throw noSuchBucket(bucket)
  if (keepsVersions) await removeVersionsContainer(call.exchange, container)
  await purgeUploads(call, { account, name: bucket })
  await call.directory.release(bucket, account)
  return emptyReply(204)
}

async function refuseVersions(
  call: S3Call,
  of: { readonly account: string; readonly container: string },
): Promise<void> {
  try {
    await checkNoVersions(call.exchange, of)
  } catch (error) {
    throw error instanceof ServiceError && error.status === 409 ? notEmpty(of.container) : error
  }
}

function notEmpty(bucket: string): S3Error {
  return new S3Error('BucketNotEmpty', undefined, { BucketName: bucket })
}
