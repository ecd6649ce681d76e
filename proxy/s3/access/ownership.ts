/** Who owns the objects that others put into a bucket, and whether its lists count. Pure. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { S3Error } from '../s3-error.ts'
import type { Acl } from './s3-acl.ts'

export const OWNERSHIPS = ['ObjectWriter', 'BucketOwnerPreferred', 'BucketOwnerEnforced'] as const
export type Ownership = (typeof OWNERSHIPS)[number]

/** Of a bucket that has no setting. */
export const DEFAULT_OWNERSHIP: Ownership = 'ObjectWriter'

export function ownershipOf(bucket: Pick<ItemInfo, 'meta'>): Ownership {
  const set = bucketSetting(bucket, 'ownership')
  return OWNERSHIPS.find((known) => known === set) ?? DEFAULT_OWNERSHIP
}

export function readOwnership(text: string | undefined): Ownership {
  const found = OWNERSHIPS.find((known) => known === text)
  if (found !== undefined) return found
  throw new S3Error('InvalidArgument', `Invalid x-amz-object-ownership header: ${text}`, {
    ArgumentName: 'x-amz-object-ownership',
  })
}

/** Whether a list says nothing but what is so without lists. */
export function isOwnersOnly({ grants }: Acl, owner: string): boolean {
  return grants.every(
    ({ grantee, permission }) =>
      'account' in grantee && grantee.account === owner && permission === 'FULL_CONTROL',
  )
}
