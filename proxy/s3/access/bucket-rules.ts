/** What a bucket says of who may do what in it. */
import { BUCKET_POLICY, parsedPolicy } from '../../../common/access-policy/parsed-policy.ts'
import type { PolicyDocument } from '../../../common/access-policy/policy-document.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { type Ownership, ownershipOf } from './ownership.ts'
import { decodeBlocks, type PublicAccessBlock } from './public-access.ts'
import { type Acl, decodeAcl, privateAcl } from './s3-acl.ts'

export interface BucketRules {
  readonly account: string
  readonly policy: PolicyDocument | null
  /** The policy, whatever it says of itself, binds the owner as well. */
  readonly bindsOwner: boolean
  readonly acl: Acl
  readonly blocks: PublicAccessBlock
  readonly ownership: Ownership
}

export function bucketRules(account: string, info: Pick<ItemInfo, 'meta'>): BucketRules {
  const policy = bucketSetting(info, 'policy')
  return {
    account,
    policy: policy === undefined ? null : parsedPolicy(policy, BUCKET_POLICY),
    bindsOwner: bucketSetting(info, 'policyBindsOwner') !== undefined,
    acl: aclOfBucket(account, info),
    blocks: decodeBlocks(bucketSetting(info, 'publicAccessBlock')),
    ownership: ownershipOf(info),
  }
}

export function aclOfBucket(account: string, info: Pick<ItemInfo, 'meta'>): Acl {
  const text = bucketSetting(info, 'acl')
  return text === undefined ? privateAcl(account) : decodeAcl(text)
}
