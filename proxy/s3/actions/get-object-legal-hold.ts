import type { Reply } from '../../reply.ts'
import { LEGAL_HOLD } from '../../swift/versions/object-lock.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { checkLockable } from '../lock/lock-headers.ts'
import { findForS3 } from '../object/find-for-s3.ts'
import { versionHeaders, versionIdOf } from '../object/version-id.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { xmlReply } from '../s3-reply.ts'

/** GET ?legal-hold */
export async function getObjectLegalHold(call: S3Call): Promise<Reply> {
  const place = await enterObject(call, {
    action: 's3:GetObjectLegalHold',
    acl: 'none',
    method: 'GET',
  })
  checkLockable(place)
  const version = versionIdOf(call, place)
  const found = await findForS3(call, place, { version, head: true })
  const hold = found.read.info.meta.headers[LEGAL_HOLD]
  if (hold === undefined) throw new S3Error('NoSuchObjectLockConfiguration')
  return xmlReply('LegalHold', { Status: hold }, versionHeaders(place, found))
}
