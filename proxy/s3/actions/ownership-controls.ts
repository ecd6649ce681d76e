/** GET, PUT and DELETE ?ownershipControls. */
import type { Reply } from '../../reply.ts'
import { bucketRules } from '../access/bucket-rules.ts'
import { isOwnersOnly, OWNERSHIPS } from '../access/ownership.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { bucketSetting, setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply, xmlReply } from '../s3-reply.ts'
import { malformedXml, parseXml } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 16 * 1024

export async function getOwnershipControls(call: S3Call): Promise<Reply> {
  const use = { action: 's3:GetBucketOwnershipControls', acl: 'none', method: 'GET' } as const
  const { info } = await enterBucket(call, use)
  const ownership = bucketSetting(info, 'ownership')
  if (ownership === undefined) {
    throw new S3Error('OwnershipControlsNotFoundError', undefined, { BucketName: call.bucket })
  }
  return xmlReply('OwnershipControls', { Rule: { ObjectOwnership: ownership } })
}

export async function putOwnershipControls(call: S3Call): Promise<Reply> {
  const use = { action: 's3:PutBucketOwnershipControls', acl: 'none', method: 'PUT' } as const
  const { account, info } = await enterBucket(call, use)
  const document = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  const rules = parseXml(document, 'OwnershipControls').children('Rule')
  const text = rules[0]?.textOf('ObjectOwnership')?.trim()
  const ownership = OWNERSHIPS.find((known) => known === text)
  if (rules.length !== 1 || ownership === undefined) throw malformedXml()
  const { acl } = bucketRules(account, info)
  if (ownership === 'BucketOwnerEnforced' && !isOwnersOnly(acl, account))
    throw new S3Error('InvalidBucketAclWithObjectOwnership')
  await setBucketSetting(call, 'ownership', ownership)
  return emptyReply(200)
}

export async function deleteOwnershipControls(call: S3Call): Promise<Reply> {
  const use = { action: 's3:PutBucketOwnershipControls', acl: 'none', method: 'DELETE' } as const
  await enterBucket(call, use)
  await setBucketSetting(call, 'ownership', '')
  return emptyReply(204)
}
