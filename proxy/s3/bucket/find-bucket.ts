import { type Soon, soon } from '../../../common/soon.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { utf8Bytes } from '../../../common/utf8.ts'
import { refuseReadOnly } from '../../layers/read-only.ts'
import { isStorageAccount } from '../../reseller-prefix.ts'
import { type ObjectPlace, objectPath } from '../../swift/object-access.ts'
import type { SwiftPath } from '../../swift/path.ts'
import { checkScope } from '../access/bucket-scope.ts'
import {
  type AccessUse,
  type Entrance,
  letIn,
  type ObjectJudge,
  refuseDenied,
} from '../access/s3-access.ts'
import { versionAction } from '../access/s3-actions.ts'
import { wantsBypass } from '../lock/lock-headers.ts'
import { checkPayer } from '../payment/request-payment.ts'
import { KEY_BYTES_MAX } from '../routing/s3-target.ts'
import type { NotedBucket, S3Call } from '../s3-call.ts'
import { noSuchBucket, S3Error } from '../s3-error.ts'
import { isReachable } from './bucket-name.ts'
import { bucketSetting } from './bucket-settings.ts'

/** A bucket and the account that it is in. */
export interface FoundBucket {
  readonly account: string
  readonly info: ItemInfo
}

/** The request's own bucket, and what it means in it. */
export interface OwnBucket extends FoundBucket {
  readonly path: SwiftPath
}

/** An object's place, and what has to be said of the object before anybody sees it; null: the call was let in already. */
export interface S3Place extends ObjectPlace {
  readonly judge: ObjectJudge | null
}

/**
 * The bucket by its name: the caller's own container first, then whoever the name belongs to. Costs no wait where the
 * caller's own container is cached. NoSuchBucket if there is none.
 */
export function findBucket(call: S3Call, bucket: string): Soon<FoundBucket> {
  const { backend } = call.exchange.proxy
  if (!isReachable(bucket))
    throw new S3Error('InvalidBucketName', undefined, { BucketName: bucket })
  const named = bucket === call.bucket ? call.target.account : undefined
  // A session of one bucket means it as its holder does, who has named no account.
  checkScope(call, named === undefined ? bucket : undefined)
  if (named) return bucketIn(call, named, bucket)
  const own = call.exchange.caller?.account
  // Without its own account in front a name may be that of a container of the caller's.
  if (own === undefined || named !== undefined) return bucketOfOwner(call, bucket)
  return soon(backend.cachedContainer(own, bucket), (info) =>
    info === null ? bucketOfOwner(call, bucket) : { account: own, info },
  )
}

/** The bucket of whoever the name belongs to. */
async function bucketOfOwner(call: S3Call, bucket: string): Promise<FoundBucket> {
  const { backend } = call.exchange.proxy
  const owner = await call.directory.ownerOf(bucket)
  const info = owner === null ? null : await backend.cachedContainer(owner, bucket)
  if (info === null) throw noSuchBucket(bucket)
  return { account: owner!, info }
}

/** The bucket of an account that the request names; accounts of the store itself have none. */
async function bucketIn(call: S3Call, account: string, bucket: string): Promise<FoundBucket> {
  const { backend, settings } = call.exchange.proxy
  const isOne = isStorageAccount(account, settings.resellerPrefixes)
  const info = isOne ? await backend.cachedContainer(account, bucket) : null
  if (info === null) throw noSuchBucket(bucket)
  return { account, info }
}

/**
 * Finds the request's own bucket: the request's path is known from here on. AccessDenied for who expects another's, or
 * would have to pay for it and has not said so; 405 where its account takes no such change.
 */
export function findOwnBucket(call: S3Call, object: string | undefined): Soon<OwnBucket> {
  return soon(findBucket(call, call.bucket), (found) => {
    const own = ownBucket(call, found, object)
    const refusing = refuseChange(call, found.account)
    return refusing === undefined ? own : soon(refusing, () => own)
  })
}

/** 405 where the account takes no change of the call's kind. */
export function refuseChange(call: S3Call, account: string): Soon<void> {
  const { change } = call.notes
  if (change === 'nothing') return
  return refuseReadOnly(call.exchange.proxy, { account, isDeletion: change === 'deletion' })
}

function ownBucket(call: S3Call, found: FoundBucket, object: string | undefined): OwnBucket {
  const path = { account: found.account, container: call.bucket, object }
  call.exchange.path = path
  call.notes.bucket = notedBucket(found)
  call.notes.key ??= object
  checkExpectedOwner(call, 'x-amz-expected-bucket-owner', found.account)
  checkPayer(call, found)
  return { account: found.account, info: found.info, path }
}

export function notedBucket({ account, info }: FoundBucket): NotedBucket {
  return { account, logging: bucketSetting(info, 'logging') }
}

/** The same, and lets the caller in or throws AccessDenied. */
export async function enterBucket(call: S3Call, use: AccessUse): Promise<FoundBucket> {
  const found = await findOwnBucket(call, undefined)
  await letIn(call, { use, path: found.path, bucket: found.info })
  return found
}

/** The same for the request's object: where it is, or would be. */
export function enterObject(call: S3Call, use: AccessUse): Soon<S3Place> {
  checkKey(call.key)
  return soon(findOwnBucket(call, call.key), ({ path, info }) =>
    enterPlace(call, { use, path, bucket: info }, call.query.get('versionId')),
  )
}

/** The same for an object of a bucket that was found. */
export function enterPlace(
  call: S3Call,
  entrance: Entrance,
  version: string | undefined,
): Soon<S3Place> {
  const { use, path, bucket } = entrance
  const action = versionAction(use.action, version)
  // Versions by their ids are for the account's owner, as in Swift: a container's ACL is about what is current.
  const asked: AccessUse = version === undefined ? use : { action, acl: 'none', method: use.method }
  const entering = letIn(call, { path, bucket, version, use: asked })
  return soon(entering, (judge) =>
    soon(mayBeside(call, entrance, { action, version }), () => placeFor(path, bucket, judge)),
  )
}

function placeFor(path: SwiftPath, bucket: ItemInfo, judge: ObjectJudge | null): S3Place {
  return Object.assign(objectPath(path, bucket), { judge })
}

/** Throws AccessDenied unless the call may do, too, what its headers want beside its action. */
function mayBeside(
  call: S3Call,
  entrance: Entrance,
  { action, version }: { readonly action: string; readonly version: string | undefined },
): Soon<unknown> {
  if (PASSES_GOVERNANCE.includes(action) && wantsBypass(call))
    return letIn(call, { ...entranceFor(entrance, 's3:BypassGovernanceRetention'), version })
  return action === 's3:PutObject' ? mayAlso(call, entrance) : undefined
}

/** What headers of a write do beside it. Locks take a right of their own, as at AWS; for the others no Deny is enough. */
const BESIDE = [
  { headers: /^x-amz-object-lock-(?:mode|retain)/, action: 's3:PutObjectRetention', ask: letIn },
  { headers: /^x-amz-object-lock-legal/, action: 's3:PutObjectLegalHold', ask: letIn },
  { headers: /^x-amz-(?:acl|grant-)/, action: 's3:PutObjectAcl', ask: refuseDenied },
  { headers: /^x-amz-tagging/, action: 's3:PutObjectTagging', ask: refuseDenied },
] as const

/** Any of them: most writes have none. */
const BESIDE_ANY = /^x-amz-(?:object-lock-|acl|grant-|tagging)/

function mayAlso(call: S3Call, entrance: Entrance): Soon<void> {
  const given = call.headerNames.filter((name) => BESIDE_ANY.test(name))
  // A form's tags come in a field.
  if (call.givenTags !== null) given.push('x-amz-tagging')
  return given.length === 0 ? undefined : askBeside(call, entrance, given)
}

async function askBeside(
  call: S3Call,
  entrance: Entrance,
  given: readonly string[],
): Promise<void> {
  for (const { headers, action, ask } of BESIDE) {
    if (given.some((name) => headers.test(name))) await ask(call, entranceFor(entrance, action))
  }
}

function entranceFor({ path, bucket, use }: Entrance, action: string): Entrance {
  return { path, bucket, use: { ...use, acl: 'none', action } }
}

const PASSES_GOVERNANCE = ['s3:DeleteObjectVersion', 's3:PutObjectRetention']

/** The same for another object: the source of a copy, which is read. */
export async function enterOther(
  call: S3Call,
  other: { readonly bucket: string; readonly key: string; readonly version: string | undefined },
  use: AccessUse = READ,
): Promise<S3Place> {
  const found = await findBucket(call, other.bucket)
  const { version: versionId, ...name } = other
  call.notes.source = { ...notedBucket(found), ...name, versionId }
  checkExpectedOwner(call, 'x-amz-source-expected-bucket-owner', found.account)
  checkPayer(call, found)
  const path: SwiftPath = { account: found.account, container: other.bucket, object: other.key }
  return enterPlace(call, { use, path, bucket: found.info }, other.version)
}

const READ: AccessUse = { action: 's3:GetObject', acl: 'read', method: 'GET' }

export function checkKey(key: string): void {
  const bytes = utf8Bytes(key)
  if (bytes <= KEY_BYTES_MAX) return
  throw new S3Error('KeyTooLongError', undefined, {
    Size: String(bytes),
    MaxSizeAllowed: String(KEY_BYTES_MAX),
  })
}

function checkExpectedOwner(call: S3Call, name: string, account: string): void {
  const expected = call.header(name)
  if (expected !== undefined && expected !== account) throw new S3Error('AccessDenied')
}
