/**
 * Who may do what by the rules of S3: policies of whoever asks, the bucket's policy, lists, and what keeps all of these from
 * opening it to everybody. Source: docs.aws.amazon.com/IAM/latest/UserGuide, "Policy evaluation logic". Pure.
 */
import {
  type Judgement,
  judgePolicy,
  type PolicyPrincipal,
  type PolicyRequest,
} from '../../../common/access-policy/judge-policy.ts'
import type { PolicyDocument } from '../../../common/access-policy/policy-document.ts'
import type { ConditionKeys } from '../../../common/access-policy/policy-variables.ts'

/** Whom policies of AWS's IAM speak of. */
export interface IdentityPolicies {
  readonly kind: 'account' | 'user' | 'session'
  readonly policies: readonly PolicyDocument[]
  /** Null: the session was not narrowed. */
  readonly session: readonly PolicyDocument[] | null
  /** Null: nothing bounds whoever it is. */
  readonly boundary: PolicyDocument | null
  /** Whether the policies are about the resource's account. */
  readonly isHere: boolean
  /** Whether they are about all accounts, whatever the resource's own say. */
  readonly isCloud: boolean
  /** The session's own ARNs, which a bucket's policy may name past what the session was narrowed to. */
  readonly sessionArns: readonly string[]
}

export interface AccessFacts {
  readonly action: string
  /** `arn:aws:s3:::bucket/key` */
  readonly resource: string
  readonly principal: PolicyPrincipal | null
  readonly keys: ConditionKeys
  /** Owns the resource by the powers of the account, not by any policy. */
  readonly isOwner: boolean
  readonly identity: IdentityPolicies | null
  readonly bucket: {
    readonly policy: PolicyDocument | null
    /** A public policy counts for people of the bucket's account only. */
    readonly isRestricted: boolean
    /** Whoever set the policy has confirmed that it may shut out its owner. */
    readonly bindsOwner: boolean
    /** Whether whoever asks is of that account. */
    readonly isOwnAccount: boolean
  }
  /** What the lists say, and Swift's. */
  readonly isGranted: boolean
}

export type Decision = 'owner' | 'allowed' | 'denied' | 'nothing'

/** Policies that their owner can always get at, so that nobody locks himself out who has not said that he wants to. */
const OWNER_ALWAYS = ['s3:GetBucketPolicy', 's3:PutBucketPolicy', 's3:DeleteBucketPolicy']

/** `nothing`: nobody has allowed it, and nobody has denied it. */
export function decide(facts: AccessFacts): Decision {
  const { identity, isOwner, action } = facts
  const own = judgeAll(identity?.policies ?? [], facts)
  const session = identity?.session ? judgeAll(identity.session, facts) : 'allow'
  const boundary = identity?.boundary ? judgeAll([identity.boundary], facts) : 'allow'
  if (own === 'deny' || session === 'deny' || boundary === 'deny') return 'denied'
  const bucket = judgeBucket(facts, facts.principal)
  const mayAlways = isOwner && !facts.bucket.bindsOwner && OWNER_ALWAYS.includes(action)
  if (bucket === 'deny' && !mayAlways) return 'denied'
  if (isOwner) return 'owner'
  const isAllowed = isOpen(facts, {
    own: own === 'allow',
    session: session === 'allow',
    boundary: boundary === 'allow',
    bucket,
  })
  return isAllowed ? 'allowed' : 'nothing'
}

interface Judged {
  readonly own: boolean
  readonly session: boolean
  readonly boundary: boolean
  readonly bucket: Judgement
}

function isOpen(facts: AccessFacts, judged: Judged): boolean {
  const { identity } = facts
  const byResource = (judged.bucket === 'allow' && mayBePublic(facts)) || facts.isGranted
  if (identity === null) return byResource
  const byIdentity = judged.own && judged.session && judged.boundary
  if (byIdentity && (identity.isHere || identity.isCloud)) return true
  if (identity.kind === 'account') return byResource
  // In another account both have to say so; in one's own a policy that means the person, not the whole account, is enough.
  if (!identity.isHere) return byIdentity && byResource
  return namesThePerson(facts, judged)
}

/** What a policy gives to a user goes past what bounds them, what it gives to a role does not, what to its session does. */
function namesThePerson(facts: AccessFacts, { session, boundary }: Judged): boolean {
  const { principal, identity } = facts
  if (principal === null || identity === null || !mayBePublic(facts)) return false
  const person = { ...principal, accounts: [] }
  if (judgeBucket(facts, person) !== 'allow') return false
  const isWithin = session && (boundary || identity.kind === 'user')
  return isWithin || judgeBucket(facts, { ...person, arns: identity.sessionArns }) === 'allow'
}

function mayBePublic({ bucket }: AccessFacts): boolean {
  return !bucket.isRestricted || bucket.isOwnAccount
}

function judgeBucket(facts: AccessFacts, principal: PolicyPrincipal | null): Judgement {
  const { policy } = facts.bucket
  return policy === null ? null : judgePolicy(policy, requestOf(facts, principal))
}

function judgeAll(documents: readonly PolicyDocument[], facts: AccessFacts): Judgement {
  const judged = documents.map((document) =>
    judgePolicy(document, requestOf(facts, facts.principal)),
  )
  if (judged.includes('deny')) return 'deny'
  return judged.includes('allow') ? 'allow' : null
}

function requestOf(
  { action, resource, keys }: AccessFacts,
  principal: PolicyPrincipal | null,
): PolicyRequest {
  return { action, resource, principal, keys }
}
