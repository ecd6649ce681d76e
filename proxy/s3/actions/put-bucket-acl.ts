import type { Reply } from '../../reply.ts'
import { aclOfDocument, aclOfHeaders } from '../access/acl-document.ts'
import { bucketRules } from '../access/bucket-rules.ts'
import { type Acl, encodeAcl } from '../access/s3-acl.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { refusePublic } from '../object/object-acl.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'
import { parseXml } from '../xml/xml-in.ts'

/** A hundred grants. */
export const ACL_BYTES_MAX = 128 * 1024

/** PUT ?acl: by headers, or by a document. */
export async function putBucketAcl(call: S3Call): Promise<Reply> {
  const use = { action: 's3:PutBucketAcl', acl: 'none', method: 'PUT' } as const
  const { account, info } = await enterBucket(call, use)
  const acl = await aclOfCall(call, { owner: account, bucketOwner: account })
  const { ownership, blocks } = bucketRules(account, info)
  if (ownership === 'BucketOwnerEnforced') throw new S3Error('AccessControlListNotSupported')
  refusePublic(acl, blocks)
  await setBucketSetting(call, 'acl', encodeAcl(acl))
  return emptyReply(200)
}

/** The list that a request brings. */
export async function aclOfCall(
  call: S3Call,
  owners: { readonly owner: string; readonly bucketOwner: string },
): Promise<Acl> {
  const byHeaders = await aclOfHeaders(call, owners)
  const body = await receiveDocument(call, ACL_BYTES_MAX)
  if (byHeaders !== undefined) return byHeaders
  if (body.length === 0) throw new S3Error('MissingSecurityHeader')
  return aclOfDocument(call, parseXml(body, 'AccessControlPolicy'), owners.owner)
}
