/** What a bucket says of who may do what in it. */
import {
  type PolicyDocument,
  type PolicyForm,
  parsePolicy,
} from '../../../common/access-policy/policy-document.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { type Ownership, ownershipOf } from './ownership.ts'
import { decodeBlocks, type PublicAccessBlock } from './public-access.ts'
import { type Acl, decodeAcl, privateAcl } from './s3-acl.ts'

/** A statement without a resource is about the bucket and all that is in it. */
export const BUCKET_POLICY: PolicyForm = {
  principal: 'required',
  resource: 'optional',
  bytesMax: 20 * 1024,
}

export interface BucketRules {
  readonly account: string
  readonly policy: PolicyDocument | null
  readonly acl: Acl
  readonly blocks: PublicAccessBlock
  readonly ownership: Ownership
}

export function bucketRules(account: string, info: Pick<ItemInfo, 'meta'>): BucketRules {
  const policy = bucketSetting(info, 'policy')
  return {
    account,
    policy: policy === undefined ? null : parsedPolicy(policy, BUCKET_POLICY),
    acl: aclOfBucket(account, info),
    blocks: decodeBlocks(bucketSetting(info, 'publicAccessBlock')),
    ownership: ownershipOf(info),
  }
}

export function aclOfBucket(account: string, info: Pick<ItemInfo, 'meta'>): Acl {
  const text = bucketSetting(info, 'acl')
  return text === undefined ? privateAcl(account) : decodeAcl(text)
}

/** Policies that were read lately: the same text is asked about again and again. */
const PARSED_MAX = 1000
/** By form, since the same text may be somebody's own and a bucket's; then by the text itself, which is hashed once. */
const parsed = { required: newMemory(), forbidden: newMemory(), ignored: newMemory() }

function newMemory(): Map<string, PolicyDocument> {
  return new Map()
}

/** A policy that was checked when it was set. */
export function parsedPolicy(text: string, form: PolicyForm): PolicyDocument {
  const memory = parsed[form.principal]
  const known = memory.get(text)
  if (known !== undefined) return known
  const document = parsePolicy(text, { ...form, bytesMax: Number.POSITIVE_INFINITY })
  if (memory.size >= PARSED_MAX) {
    const [oldest] = memory.keys()
    memory.delete(oldest!)
  }
  memory.set(text, document)
  return document
}
