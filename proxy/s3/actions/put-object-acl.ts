import type { Reply } from '../../reply.ts'
import { S3_ACL } from '../../swift/foreign-meta.ts'
import { closeBody } from '../../swift/object-body.ts'
import { bucketRules } from '../access/bucket-rules.ts'
import { decodeAcl } from '../access/s3-acl.ts'
import { enterObject, findBucket } from '../bucket/find-bucket.ts'
import { changeNoted } from '../object/change-noted.ts'
import { findForS3 } from '../object/find-for-s3.ts'
import { refusePublic, storedAcl } from '../object/object-acl.ts'
import { versionHeaders, versionIdOf } from '../object/version-id.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'
import { aclOfCall } from './put-bucket-acl.ts'

/** PUT ?acl of an object: by headers, or by a document. */
export async function putObjectAcl(call: S3Call): Promise<Reply> {
  const use = { action: 's3:PutObjectAcl', acl: 'none', method: 'PUT' } as const
  const place = await enterObject(call, use)
  const version = versionIdOf(call, place)
  const { account, info } = await findBucket(call, call.bucket)
  const { ownership, blocks } = bucketRules(account, info)
  const before = await findForS3(call, place, { version, head: true })
  const text = before.read.info.meta.headers[S3_ACL]
  await closeBody(before.read)
  const owner = !text ? account : decodeAcl(text).owner
  const acl = await aclOfCall(call, { owner, bucketOwner: account })
  if (ownership === 'BucketOwnerEnforced') throw new S3Error('AccessControlListNotSupported')
  refusePublic(acl, blocks)
  const found = await changeNoted(call, place, { version, kind: 'ObjectAcl:Put' }, () => ({
    [S3_ACL]: '',
    ...storedAcl(acl, account),
  }))
  return emptyReply(200, versionHeaders(place, found))
}
