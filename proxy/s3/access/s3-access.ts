/** Lets callers of the S3 API in, or keeps them out: fetches what `decide.ts` needs, and asks Swift's ACLs, too. */

import { mayAllow } from '../../../common/access-policy/judge-policy.ts'
import { parsedPolicy } from '../../../common/access-policy/parsed-policy.ts'
import { mentionsKey } from '../../../common/access-policy/policy-document.ts'
import type { ConditionKeys } from '../../../common/access-policy/policy-variables.ts'
import type { Caller } from '../../../common/identity.ts'
import type { Soon } from '../../../common/soon.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { authoriseCaller, callerGrant } from '../../swift/access.ts'
import { markJudged } from '../../swift/bucket-policy.ts'
import { S3_ACL } from '../../swift/foreign-meta.ts'
import { isRefused } from '../../swift/object-access.ts'
import type { SwiftPath } from '../../swift/path.ts'
import { principalOf } from '../../swift/policy-facts.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { type BucketRules, bucketRules } from './bucket-rules.ts'
import { checkScope } from './bucket-scope.ts'
import { type AccessFacts, type Decision, decide, type IdentityPolicies } from './decide.ts'
import { isPublicPolicy } from './public-access.ts'
import { requestKeys } from './request-keys.ts'
import { type Acl, type AclReader, aclGrants, decodeAcl } from './s3-acl.ts'
import { isOnObject, listedRight } from './s3-actions.ts'

/** What is to be done, in S3's words and in Swift's. */
export interface AccessUse {
  /** `s3:GetObject` */
  readonly action: string
  /** Which of the container's ACLs of Swift's speaks for it, too. */
  readonly acl: 'read' | 'write' | 'none'
  /** As in Swift: it decides what groups grant. */
  readonly method: 'GET' | 'PUT' | 'DELETE' | 'POST'
}

/** Says whether the object that was found (null: there is none) is the caller's to see; throws AccessDenied if not. */
export type ObjectJudge = (object: ItemInfo | null) => void

export interface Entrance {
  readonly use: AccessUse
  readonly path: SwiftPath
  /** As it is known. */
  readonly bucket: ItemInfo
  /** Of the object that is meant; absent: the current one. */
  readonly version?: string | undefined
}

/**
 * Lets the call in, or throws AccessDenied. What is on an object is judged when that was found: null, it is judged now.
 * Costs no wait for who owns a bucket without a policy.
 */
export function letIn(call: S3Call, entrance: Entrance): Soon<ObjectJudge | null> {
  if (!isPlain(call, entrance.bucket) || !ownsBucket(call, entrance))
    return letInJudged(call, entrance)
  return isOnObject(entrance.use.action) ? (object) => judgeOwned(call, entrance, object) : null
}

async function letInJudged(call: S3Call, entrance: Entrance): Promise<ObjectJudge | null> {
  const judge = await letInByRules(call, entrance)
  const { account, container } = entrance.path
  markJudged(call.exchange, { account, container, object: undefined })
  return judge
}

async function letInByRules(call: S3Call, entrance: Entrance): Promise<ObjectJudge | null> {
  const { use, path } = entrance
  const isOwner = ownsBucket(call, entrance)
  const known = await decision(call, entrance, entrance.bucket)
  if (known === 'owner') return judgeOf(call, entrance)
  const { account, container } = path
  const waits = (bucket: ItemInfo) => waitsForTags(call, entrance, bucketRules(account, bucket))
  if (isOwner && known === 'denied' && waits(entrance.bucket)) return judgeOf(call, entrance)
  // What was taken away must not let another write in, and what was given just now may let a reader in.
  const isEnough = use.acl === 'read' && known === 'allowed'
  const fresh = isEnough
    ? entrance.bucket
    : ((await readOnce(call, { account, container: container! })) ?? entrance.bucket)
  const now = isEnough ? known : await decision(call, entrance, fresh)
  const next = { ...entrance, bucket: fresh }
  if (now === 'owner') return judgeOf(call, next)
  if (now === 'denied' && !waits(fresh)) throw new S3Error('AccessDenied')
  if (now === 'nothing' && !mayBeListed(call, entrance, bucketRules(account, fresh)))
    throw new S3Error('AccessDenied')
  const judge = judgeOf(call, next)
  if (judge === null) {
    takeAuthority(call, next)
    return null
  }
  return (object) => {
    judge(object)
    takeAuthority(call, next)
  }
}

/** Containers as they were read anew for a call: once for all that it is about. */
const readAnew = new WeakMap<S3Call, Map<string, Promise<ItemInfo | null>>>()

function readOnce(
  call: S3Call,
  { account, container }: { readonly account: string; readonly container: string },
): Promise<ItemInfo | null> {
  const known = readAnew.get(call) ?? new Map<string, Promise<ItemInfo | null>>()
  readAnew.set(call, known)
  const key = `${account}/${container}`
  const reading = known.get(key) ?? call.exchange.proxy.backend.readContainer(account, container)
  known.set(key, reading)
  return reading
}

/** AccessDenied if something denies what a request does beside its action: who may do the one may do the other, unless it is denied. */
export async function refuseDenied(call: S3Call, entrance: Entrance): Promise<void> {
  if (ownsBucket(call, entrance) && isPlain(call, entrance.bucket)) return
  if ((await decision(call, entrance, entrance.bucket)) === 'denied')
    throw new S3Error('AccessDenied')
}

/**
 * AccessDenied for whom nothing lets do any of the actions, on whatever object of the bucket it be: so much is known before
 * anybody has said which. Says nothing of a single object.
 */
export async function refuseHopeless(
  call: S3Call,
  entrance: Entrance,
  actions: readonly string[],
): Promise<void> {
  if (ownsBucket(call, entrance) || (await isHopeful(call, entrance, actions))) return
  const { account, container } = entrance.path
  const bucket = await readOnce(call, { account, container: container! })
  if (bucket === null || !(await isHopeful(call, { ...entrance, bucket }, actions)))
    throw new S3Error('AccessDenied')
}

async function isHopeful(
  call: S3Call,
  entrance: Entrance,
  actions: readonly string[],
): Promise<boolean> {
  const { use, path, bucket } = entrance
  const { caller } = call.exchange
  const rules = bucketRules(path.account, bucket)
  const right = listedRight(use.action)
  if (right !== undefined && grants(call, { rules, acl: rules.acl }, right.permission)) return true
  const own = identityAt(caller, path.account)?.policies ?? []
  const asked = { actions, principal: principalOf(caller) }
  if ([...own, ...(rules.policy ? [rules.policy] : [])].some((one) => mayAllow(one, asked)))
    return true
  return swiftLetsIn(call, entrance, bucket, rules)
}

/** Actions about an account that who reads it may do; the others take who owns it. */
const LISTS = /^s3(?:express)?:List/

/** Whether an action that is about no bucket yet, or about all of an account, is the caller's. */
export function mayInAccount(call: S3Call, action: string, account: string): boolean {
  checkScope(call, undefined)
  return mayBy(call, { action, resource: 'arn:aws:s3:::*', account })
}

/**
 * Whether the caller may give S3 the role to act by: AWS asks for it beside the action, so that who may only set what is done
 * does not have it done by rights that are not his. Source: docs.aws.amazon.com/IAM/latest/UserGuide, "Grant a user permissions
 * to pass a role to an AWS service".
 */
export function mayPassRole(call: S3Call, role: string, account: string): boolean {
  return mayBy(call, { action: 'iam:PassRole', resource: role, account }, (name) =>
    name === 'iam:passedtoservice' ? ['s3.amazonaws.com'] : undefined,
  )
}

/** By the powers of the account, or by policies of the caller's own. */
function mayBy(
  call: S3Call,
  asked: { readonly action: string; readonly resource: string; readonly account: string },
  more: ConditionKeys = () => undefined,
): boolean {
  const { exchange } = call
  const path = { account: asked.account, container: undefined, object: undefined }
  const method = LISTS.test(asked.action) ? 'GET' : 'POST'
  const grant = callerGrant(exchange, { acl: 'none', method, path })
  const isOwner = isAccountKind(exchange.caller) && grant !== null
  const facts = factsOf(call, { ...asked, bucket: null, object: null })
  const keys: ConditionKeys = (name) => more(name) ?? facts.keys(name)
  const decided = decide({ ...facts, keys, isOwner, isGranted: false })
  return decided === 'owner' || decided === 'allowed'
}

/** The powers that the account's own people have, for whom a policy has let in. */
export function actForAccount(call: S3Call, account: string): void {
  const { exchange } = call
  if (isAccountKind(exchange.caller)) return
  exchange.authority = { by: exchange.caller?.user ?? 'anonymous', account, owner: true }
}

/** Neither policies nor lists say anything that the owner would not be let do anyway. */
function isPlain(call: S3Call, bucket: ItemInfo): boolean {
  return call.exchange.caller?.iam === undefined && bucketSetting(bucket, 'policy') === undefined
}

function ownsBucket(call: S3Call, { use, path }: Entrance): boolean {
  const { exchange } = call
  if (!isAccountKind(exchange.caller)) return false
  return callerGrant(exchange, { acl: use.acl, method: use.method, path })?.owner === true
}

/** Whether they have the powers of their account, not of policies alone. */
export function isAccountKind(caller: Caller | null): boolean {
  return caller !== null && (caller.iam === undefined || caller.iam.kind === 'account')
}

/** Of a bucket whose owner asks, without a policy: only who else owns the object has something to say. */
function judgeOwned(call: S3Call, entrance: Entrance, object: ItemInfo | null): void {
  if (!object?.meta.headers[S3_ACL]) return
  judgeObject(call, entrance, object)
}

function judgeOf(call: S3Call, entrance: Entrance): ObjectJudge | null {
  if (!isOnObject(entrance.use.action)) return null
  return (object) => judgeObject(call, entrance, object)
}

function judgeObject(call: S3Call, entrance: Entrance, object: ItemInfo | null): void {
  const { use, path, bucket } = entrance
  if (object === null) {
    if (!mayKnow(call, entrance)) throw new S3Error('AccessDenied')
    return
  }
  const rules = bucketRules(path.account, bucket)
  const acl = objectAcl(rules, object)
  const isBucketOwner = ownsBucket(call, entrance)
  const right = listedRight(use.action)
  const isOwner =
    isBucketOwner && (acl === null || right?.of !== 'object' || acl.owner === path.account)
  const isWriter =
    acl !== null && isAccountKind(call.exchange.caller) && reader(call).account === acl.owner
  const isGranted =
    entranceGrants.get(call)?.has(keyOf(entrance)) === true ||
    (acl !== null && right !== undefined && grants(call, { rules, acl }, right.permission))
  const facts = factsAt(call, entrance, object)
  const decided = decide({ ...facts, isOwner: isOwner || isWriter, isGranted })
  if (decided === 'denied' || decided === 'nothing') throw new S3Error('AccessDenied')
}

/** That there is no such object may know who may list the bucket. */
function mayKnow(call: S3Call, entrance: Entrance): boolean {
  const { path, bucket } = entrance
  if (ownsBucket(call, entrance)) return true
  const rules = bucketRules(path.account, bucket)
  const facts = factsOf(call, {
    action: 's3:ListBucket',
    resource: `arn:aws:s3:::${path.container}`,
    account: path.account,
    bucket,
    object: null,
  })
  // What may be listed is known, as far as the listing may go: by its beginning.
  const keys = (name: string) => (name === 's3:prefix' ? [path.object!] : facts.keys(name))
  const decided = decide({
    ...facts,
    keys,
    isOwner: false,
    isGranted:
      grants(call, { rules, acl: rules.acl }, 'READ') ||
      entranceGrants.get(call)?.has(keyOf(entrance)) === true,
  })
  return decided === 'allowed'
}

/** Places that Swift's ACLs have let the call in to. */
const entranceGrants = new WeakMap<S3Call, Set<string>>()

function keyOf({ path, use }: Entrance): string {
  return `${use.acl} ${path.account}/${path.container}`
}

async function decision(call: S3Call, entrance: Entrance, bucket: ItemInfo): Promise<Decision> {
  const { use, path } = entrance
  const rules = bucketRules(path.account, bucket)
  const right = listedRight(use.action)
  const isOwner = ownsBucket(call, entrance)
  const asked = { ...factsAt(call, { ...entrance, bucket }, null), isOwner }
  const listed = right?.of === 'bucket' && grants(call, { rules, acl: rules.acl }, right.permission)
  const first = decide({ ...asked, isGranted: listed })
  if (first !== 'nothing') return first
  if (!(await swiftLetsIn(call, entrance, bucket, rules))) return 'nothing'
  const places = entranceGrants.get(call) ?? new Set()
  entranceGrants.set(call, places.add(keyOf(entrance)))
  return decide({ ...asked, isGranted: true })
}

/** Whether the container's ACL of Swift's, or the account's, lets the caller do it. Public ones count as public lists do. */
async function swiftLetsIn(
  call: S3Call,
  { use, path }: Entrance,
  bucket: ItemInfo,
  rules: BucketRules,
): Promise<boolean> {
  const { exchange } = call
  const { caller } = exchange
  if (caller !== null && !isAccountKind(caller)) return false
  if (caller === null && rules.blocks.IgnorePublicAcls) return false
  const question = { acl: use.acl, method: use.method, path }
  const granted = authoriseCaller(exchange, question, bucket)
  return granted.then(() => true, isRefused)
}

/** The object's own list may still let the caller in, or what a policy says of its tags. */
function mayBeListed(call: S3Call, entrance: Entrance, rules: BucketRules): boolean {
  return listedRight(entrance.use.action)?.of === 'object' || waitsForTags(call, entrance, rules)
}

/** What a policy says of tags holds for an object that nobody has looked at yet: the judge of the object has the word. */
function waitsForTags(call: S3Call, { use, path }: Entrance, { policy }: BucketRules): boolean {
  if (!isOnObject(use.action)) return false
  const own = identityAt(call.exchange.caller, path.account)
  const documents = [policy, own?.boundary, ...(own?.policies ?? []), ...(own?.session ?? [])]
  return documents.some((one) => one && mentionsKey(one, 's3:existingobjecttag/'))
}

function grants(
  call: S3Call,
  { rules, acl }: { readonly rules: BucketRules; readonly acl: Acl },
  permission: Parameters<typeof aclGrants>[1],
): boolean {
  if (rules.ownership === 'BucketOwnerEnforced') return false
  return aclGrants(acl, permission, {
    reader: reader(call),
    ignorePublic: rules.blocks.IgnorePublicAcls,
  })
}

function reader({ exchange: { caller } }: S3Call): AclReader {
  if (caller === null) return { account: null, isSignedIn: false }
  const [account = null] = principalOf(caller)?.accounts ?? []
  return { account, isSignedIn: true }
}

/** Null: the object is the bucket owner's, as everything is where lists do not count. */
function objectAcl({ ownership }: BucketRules, { meta }: ItemInfo): Acl | null {
  const text = meta.headers[S3_ACL]
  return !text || ownership === 'BucketOwnerEnforced' ? null : decodeAcl(text)
}

/** Of the entrance's own action. */
function factsAt(call: S3Call, { use, path, bucket, version }: Entrance, object: ItemInfo | null) {
  const { action } = use
  const { account } = path
  return factsOf(call, { action, resource: arnOf(path), account, bucket, object, version })
}

/** What there is to know of a request, but whose the resource is, and what lists grant. */
function factsOf(
  call: S3Call,
  asked: {
    readonly action: string
    readonly resource: string
    readonly account: string
    /** Null for what is about no bucket. */
    readonly bucket: ItemInfo | null
    readonly object: ItemInfo | null
    readonly version?: string | undefined
  },
): Omit<AccessFacts, 'isOwner' | 'isGranted'> {
  const { caller } = call.exchange
  const { action, resource, account, bucket } = asked
  const rules = bucket === null ? null : bucketRules(account, bucket)
  const policy = rules?.policy ?? null
  const isRestricted = rules?.blocks.RestrictPublicBuckets === true
  return {
    action,
    resource,
    principal: principalOf(caller),
    keys: requestKeys(call, asked),
    identity: identityAt(caller, account),
    bucket: {
      policy,
      // Operators of the whole cloud can always help.
      bindsOwner: rules?.bindsOwner === true && caller?.groups.includes('.reseller_admin') !== true,
      isRestricted: isRestricted && policy !== null && isPublicPolicy(policy),
      isOwnAccount: caller?.account === account,
    },
  }
}

/** What policies of the caller's own say in the account. */
export function identityAt(caller: Caller | null, account: string): IdentityPolicies | null {
  const iam = caller?.iam
  if (iam === undefined) return null
  const form = { principal: 'ignored', resource: 'required', bytesMax: 0 } as const
  const parse = (texts: readonly string[]) => texts.map((text) => parsedPolicy(text, form))
  return {
    kind: iam.kind,
    policies: parse(iam.policies),
    session: iam.sessionPolicies === undefined ? null : parse(iam.sessionPolicies),
    boundary: iam.boundary === undefined ? null : parsedPolicy(iam.boundary, form),
    isHere: iam.kind !== 'account' && iam.account === account,
    isCloud: iam.isCloud,
    sessionArns: iam.arns.filter((arn) => arn.includes(':assumed-role/')),
  }
}

function arnOf({ container, object }: SwiftPath): string {
  return object === undefined ? `arn:aws:s3:::${container}` : `arn:aws:s3:::${container}/${object}`
}

/** What Swift's handlers ask about again is granted already. */
function takeAuthority(call: S3Call, { use, path }: Entrance): void {
  const { exchange } = call
  const { account, container } = path
  if (account !== exchange.path?.account || container !== exchange.path.container) return
  const by = exchange.caller?.user ?? 'anonymous'
  exchange.authority = { by, account, container: container!, owner: use.acl === 'none' }
}
