import type { Reply } from '../../reply.ts'
import { S3_ACL } from '../../swift/foreign-meta.ts'
import { closeBody } from '../../swift/object-body.ts'
import { aclElement } from '../access/acl-document.ts'
import { decodeAcl, privateAcl } from '../access/s3-acl.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { findForS3 } from '../object/find-for-s3.ts'
import { versionHeaders, versionIdOf } from '../object/version-id.ts'
import type { S3Call } from '../s3-call.ts'
import { xmlReply } from '../s3-reply.ts'

/** GET ?acl of an object. */
export async function getObjectAcl(call: S3Call): Promise<Reply> {
  const use = { action: 's3:GetObjectAcl', acl: 'none', method: 'GET' } as const
  const place = await enterObject(call, use)
  const version = versionIdOf(call, place)
  const found = await findForS3(call, place, { version, head: true })
  const { meta } = found.read.info
  await closeBody(found.read)
  const text = meta.headers[S3_ACL]
  const acl = !text ? privateAcl(place.account) : decodeAcl(text)
  return xmlReply('AccessControlPolicy', aclElement(acl), versionHeaders(place, found))
}
