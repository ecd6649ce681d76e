/** Whose an object is that somebody puts, and what its list says. */
import { type Soon, soon } from '../../../common/soon.ts'
import { S3_ACL } from '../../swift/foreign-meta.ts'
import { aclOfHeaders } from '../access/acl-document.ts'
import { isOwnersOnly, ownershipOf } from '../access/ownership.ts'
import { decodeBlocks, type PublicAccessBlock } from '../access/public-access.ts'
import { type Acl, decodeAcl, encodeAcl, isPublicAcl, privateAcl } from '../access/s3-acl.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { type FoundBucket, findBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'

/** What is kept of the list of the object that the request makes: by its headers, and by who owns what others put there. */
export function aclOfRequest(call: S3Call): Soon<Readonly<Record<string, string>>> {
  return soon(findBucket(call, call.bucket), (bucket) => {
    // What nobody has signed is the bucket owner's, who could not get at it otherwise.
    const writer = call.exchange.caller?.account ?? bucket.account
    const asking = aclOfHeaders(call, { owner: writer, bucketOwner: bucket.account })
    return soon(asking, (asked) => keptAcl(call, bucket, { asked, writer }))
  })
}

function keptAcl(
  call: S3Call,
  { account, info }: FoundBucket,
  { asked, writer }: { readonly asked: Acl | undefined; readonly writer: string },
): Readonly<Record<string, string>> {
  if (asked === undefined && writer === account) return {}
  const ownership = ownershipOf(info)
  if (ownership === 'BucketOwnerEnforced') {
    if (asked !== undefined && !isOwnersOnly(asked, account) && !isToBucketOwner(call))
      throw new S3Error('AccessControlListNotSupported')
    return {}
  }
  const acl = asked ?? privateAcl(writer)
  refusePublic(acl, decodeBlocks(bucketSetting(info, 'publicAccessBlock')))
  if (ownership === 'BucketOwnerPreferred' && isToBucketOwner(call)) return {}
  return storedAcl(acl, account)
}

/** As metadata; nothing for what is so anyway. */
export function storedAcl(acl: Acl, bucketOwner: string): Readonly<Record<string, string>> {
  const isPlain =
    acl.owner === bucketOwner && isOwnersOnly(acl, bucketOwner) && acl.grants.length > 0
  return isPlain ? {} : { [S3_ACL]: encodeAcl(acl) }
}

/** Whose it is, where a list says so: not the bucket owner's. */
export function aclOwner(headers: Readonly<Record<string, string>>): string | undefined {
  const text = headers[S3_ACL]
  return text ? decodeAcl(text).owner : undefined
}

export function refusePublic(acl: Acl, { BlockPublicAcls }: PublicAccessBlock): void {
  if (BlockPublicAcls && isPublicAcl(acl)) throw new S3Error('AccessDenied')
}

function isToBucketOwner(call: S3Call): boolean {
  return call.header('x-amz-acl') === 'bucket-owner-full-control'
}
