import type { ItemInfo } from '../../../common/storage-node.ts'
import { authorise } from '../../swift/access.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { accessObject } from '../../swift/object-access.ts'
import type { SwiftPath } from '../../swift/path.ts'
import { utf8Bytes } from '../../wire-text.ts'
import { KEY_BYTES_MAX } from '../routing/s3-target.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { isReachable } from './bucket-name.ts'

/** A bucket and the account that it is in. */
export interface FoundBucket {
  readonly account: string
  readonly info: ItemInfo
}

/** What is to be done there. `read` and `write` are those of a container's ACLs. */
export interface BucketUse {
  readonly acl: 'read' | 'write' | 'none'
  /** As in Swift: it decides what groups grant. */
  readonly method: 'GET' | 'PUT' | 'DELETE' | 'POST'
}

/**
 * The bucket by its name: the caller's own container first, then whoever the name belongs to. Costs no wait where the
 * caller's own container is cached. NoSuchBucket if there is none.
 */
export async function findBucket(call: S3Call, bucket: string): Promise<FoundBucket> {
  const { backend } = call.exchange.proxy
  if (!isReachable(bucket))
    throw new S3Error('InvalidBucketName', undefined, { BucketName: bucket })
  const own = call.exchange.caller?.account
  if (own !== undefined) {
    const info = await backend.cachedContainer(own, bucket)
    if (info !== null) return { account: own, info }
  }
  const owner = await call.directory.ownerOf(bucket)
  const info = owner === null ? null : await backend.cachedContainer(owner, bucket)
  if (info === null) throw noSuchBucket(bucket)
  return { account: owner!, info }
}

/** Finds the request's own bucket, and lets the caller in or throws AccessDenied. The request's path is known from here on. */
export async function enterBucket(call: S3Call, use: BucketUse): Promise<FoundBucket> {
  const found = await findBucket(call, call.bucket)
  call.exchange.path = { account: found.account, container: call.bucket, object: undefined }
  checkExpectedOwner(call, 'x-amz-expected-bucket-owner', found.account)
  await authorise(call.exchange, use, found.info)
  return found
}

/** The same for the request's object: where it is, or would be. */
export async function enterObject(call: S3Call, use: BucketUse): Promise<ObjectPlace> {
  checkKey(call.key)
  const { account } = await findBucket(call, call.bucket)
  call.exchange.path = { account, container: call.bucket, object: call.key }
  checkExpectedOwner(call, 'x-amz-expected-bucket-owner', account)
  const acl = aclFor(use.acl, call.query.get('versionId'))
  return accessObject(call.exchange, { ...use, acl })
}

/** Versions by their ids are for the account's owner, as in Swift: a container's ACL is about what is current. */
export function aclFor(acl: BucketUse['acl'], version: string | undefined): BucketUse['acl'] {
  return version === undefined ? acl : 'none'
}

/** The same for another object: the source of a copy. */
export async function enterOther(
  call: S3Call,
  other: { readonly bucket: string; readonly key: string; readonly version: string | undefined },
): Promise<ObjectPlace> {
  const { account } = await findBucket(call, other.bucket)
  checkExpectedOwner(call, 'x-amz-source-expected-bucket-owner', account)
  const path: SwiftPath = { account, container: other.bucket, object: other.key }
  return accessObject(call.exchange, { acl: aclFor('read', other.version), method: 'GET', path })
}

export function checkKey(key: string): void {
  const bytes = utf8Bytes(key)
  if (bytes <= KEY_BYTES_MAX) return
  throw new S3Error('KeyTooLongError', undefined, {
    Size: String(bytes),
    MaxSizeAllowed: String(KEY_BYTES_MAX),
  })
}

export function noSuchBucket(bucket: string): S3Error {
  return new S3Error('NoSuchBucket', undefined, { BucketName: bucket })
}

function checkExpectedOwner(call: S3Call, name: string, account: string): void {
  const expected = call.header(name)
  if (expected !== undefined && expected !== account) throw new S3Error('AccessDenied')
}
