import type { Reply } from '../../reply.ts'
import { retentionOf } from '../../swift/versions/object-lock.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { checkLockable } from '../lock/lock-headers.ts'
import { findForS3 } from '../object/find-for-s3.ts'
import { versionHeaders, versionIdOf } from '../object/version-id.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { xmlReply } from '../s3-reply.ts'
import { s3TimeOfMs } from '../s3-time.ts'

/** GET ?retention */
export async function getObjectRetention(call: S3Call): Promise<Reply> {
  const place = await enterObject(call, {
    action: 's3:GetObjectRetention',
    acl: 'none',
    method: 'GET',
  })
  checkLockable(place)
  const version = versionIdOf(call, place)
  const found = await findForS3(call, place, { version, head: true })
  const retention = retentionOf(found.read.info)
  if (retention === undefined) throw new S3Error('NoSuchObjectLockConfiguration')
  const element = { Mode: retention.mode, RetainUntilDate: s3TimeOfMs(retention.untilMs) }
  return xmlReply('Retention', element, versionHeaders(place, found))
}
