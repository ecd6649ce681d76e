import type { Reply } from '../../reply.ts'
import { VERSIONS_ENABLED } from '../../swift/versions/version-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { xmlReply } from '../s3-reply.ts'

/** Of a bucket that never kept versions the document is empty. */
export async function getBucketVersioning(call: S3Call): Promise<Reply> {
  const { info } = await enterBucket(call, {
    action: 's3:GetBucketVersioning',
    acl: 'none',
    method: 'GET',
  })
  const enabled = info.meta.headers[VERSIONS_ENABLED]
  return xmlReply('VersioningConfiguration', {
    ...(enabled !== undefined && { Status: enabled === 'True' ? 'Enabled' : 'Suspended' }),
  })
}
