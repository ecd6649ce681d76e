/** GET, PUT and DELETE ?policy, and GET ?policyStatus. */
import { BUCKET_POLICY } from '../../../common/access-policy/parsed-policy.ts'
import { parsePolicy } from '../../../common/access-policy/policy-document.ts'
import { ServiceError } from '../../../common/errors.ts'
import type { Reply } from '../../reply.ts'
import { bucketRules } from '../access/bucket-rules.ts'
import { checkBucketPolicy } from '../access/policy-check.ts'
import { isPublicPolicy } from '../access/public-access.ts'
import { isPublicAcl } from '../access/s3-acl.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { bucketSetting, setBucketSettings } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply, xmlReply } from '../s3-reply.ts'

export async function getBucketPolicy(call: S3Call): Promise<Reply> {
  const use = { action: 's3:GetBucketPolicy', acl: 'none', method: 'GET' } as const
  const { info } = await enterBucket(call, use)
  const policy = bucketSetting(info, 'policy')
  if (policy === undefined) throw noPolicy(call)
  return { status: 200, headers: ['Content-Type', 'application/json'], body: policy }
}

export async function putBucketPolicy(call: S3Call): Promise<Reply> {
  const use = { action: 's3:PutBucketPolicy', acl: 'none', method: 'PUT' } as const
  const { account, info } = await enterBucket(call, use)
  const text = (await receiveDocument(call, BUCKET_POLICY.bytesMax + 1)).toString()
  const policy = parsedOrRefused(text)
  checkBucketPolicy(policy, call.bucket)
  if (bucketRules(account, info).blocks.BlockPublicPolicy && isPublicPolicy(policy))
    throw new S3Error('AccessDenied')
  const confirmed = call.header('x-amz-confirm-remove-self-bucket-access')?.toLowerCase()
  const policyBindsOwner = confirmed === 'true' ? 'yes' : ''
  await setBucketSettings(call, { policy: text, policyBindsOwner })
  return emptyReply(204)
}

export async function deleteBucketPolicy(call: S3Call): Promise<Reply> {
  const use = { action: 's3:DeleteBucketPolicy', acl: 'none', method: 'DELETE' } as const
  await enterBucket(call, use)
  await setBucketSettings(call, { policy: '', policyBindsOwner: '' })
  return emptyReply(204)
}

export async function getBucketPolicyStatus(call: S3Call): Promise<Reply> {
  const use = { action: 's3:GetBucketPolicyStatus', acl: 'none', method: 'GET' } as const
  const { account, info } = await enterBucket(call, use)
  const { policy, acl } = bucketRules(account, info)
  const isOpen = (policy !== null && isPublicPolicy(policy)) || isPublicAcl(acl)
  return xmlReply('PolicyStatus', { IsPublic: isOpen })
}

function parsedOrRefused(text: string) {
  try {
    return parsePolicy(text, BUCKET_POLICY)
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'MalformedPolicy')
      throw new S3Error('MalformedPolicy', error.message)
    throw error
  }
}

function noPolicy(call: S3Call): S3Error {
  return new S3Error('NoSuchBucketPolicy', undefined, { BucketName: call.bucket })
}
