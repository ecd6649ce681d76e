/**
 * Access control lists of buckets and objects. Source: docs.aws.amazon.com/AmazonS3/latest/userguide, "Access control list
 * (ACL) overview". Pure.
 */
import { S3Error } from '../s3-error.ts'

export const PERMISSIONS = ['FULL_CONTROL', 'READ', 'READ_ACP', 'WRITE', 'WRITE_ACP'] as const
export type Permission = (typeof PERMISSIONS)[number]

/** Groups that grants can name, by their URIs. */
export const GROUPS = {
  'http://acs.amazonaws.com/groups/global/AllUsers': 'everybody',
  'http://acs.amazonaws.com/groups/global/AuthenticatedUsers': 'signed-in',
  'http://acs.amazonaws.com/groups/s3/LogDelivery': 'log-delivery',
} as const
export type Group = (typeof GROUPS)[keyof typeof GROUPS]

export function groupUri(group: Group): string {
  return Object.entries(GROUPS).find(([, name]) => name === group)![0]
}

/** An account by its id, or one of the groups. */
export type Grantee = { readonly account: string } | { readonly group: Group }

export interface AclGrant {
  readonly grantee: Grantee
  readonly permission: Permission
}

export interface Acl {
  /** The account that it all belongs to, whatever is granted. */
  readonly owner: string
  readonly grants: readonly AclGrant[]
}

const GRANTS_MAX = 100

/** Who asks, as ACLs see it. */
export interface AclReader {
  /** Of an account's own powers; null for those who have none of them, and for those who have not signed. */
  readonly account: string | null
  readonly isSignedIn: boolean
}

/** Whether the list grants it. With `ignorePublic` what is granted to groups of everybody counts for nothing. */
export function aclGrants(
  acl: Acl,
  permission: Permission,
  { reader, ignorePublic }: { readonly reader: AclReader; readonly ignorePublic: boolean },
): boolean {
  return acl.grants.some(({ grantee, permission: granted }) => {
    if (granted !== permission && granted !== 'FULL_CONTROL') return false
    if ('account' in grantee) return grantee.account === reader.account
    if (ignorePublic) return false
    return grantee.group === 'everybody' || (grantee.group === 'signed-in' && reader.isSignedIn)
  })
}

/** Whether everybody, or everybody who has signed in, gets something by it. */
export function isPublicAcl({ grants }: Acl): boolean {
  return grants.some(({ grantee }) => 'group' in grantee && grantee.group !== 'log-delivery')
}

/** Nothing for anybody else: what there is without a list. */
export function privateAcl(owner: string): Acl {
  return { owner, grants: [{ grantee: { account: owner }, permission: 'FULL_CONTROL' }] }
}

const CANNED_GROUPS: Readonly<Record<string, readonly (readonly [Group, Permission])[]>> = {
  private: [],
  'public-read': [['everybody', 'READ']],
  'public-read-write': [
    ['everybody', 'READ'],
    ['everybody', 'WRITE'],
  ],
  'authenticated-read': [['signed-in', 'READ']],
  'log-delivery-write': [
    ['log-delivery', 'WRITE'],
    ['log-delivery', 'READ_ACP'],
  ],
}

const TO_BUCKET_OWNER: Readonly<Record<string, Permission>> = {
  'bucket-owner-read': 'READ',
  'bucket-owner-full-control': 'FULL_CONTROL',
}

/** What a canned list stands for. InvalidArgument for a name that is none. */
export function cannedAcl(name: string, owner: string, bucketOwner: string): Acl {
  const { grants } = privateAcl(owner)
  const toOwner = Object.hasOwn(TO_BUCKET_OWNER, name) ? TO_BUCKET_OWNER[name] : undefined
  if (toOwner !== undefined) {
    if (bucketOwner === owner) return { owner, grants }
    const more = { grantee: { account: bucketOwner }, permission: toOwner }
    return { owner, grants: [...grants, more] }
  }
  const groups = Object.hasOwn(CANNED_GROUPS, name) ? CANNED_GROUPS[name] : undefined
  if (groups === undefined) {
    throw new S3Error('InvalidArgument', undefined, {
      ArgumentName: 'x-amz-acl',
      ArgumentValue: name,
    })
  }
  const granted = groups.map(([group, permission]) => ({ grantee: { group }, permission }))
  return { owner, grants: [...granted, ...grants] }
}

export function checkGrantCount({ grants }: { readonly grants: readonly unknown[] }): void {
  if (grants.length <= GRANTS_MAX) return
  throw new S3Error('InvalidRequest', `An ACL has up to ${GRANTS_MAX} grants.`)
}

/** As it is kept: the owner, then each grant as `permission account` or `permission @group`. */
export function encodeAcl({ owner, grants }: Acl): string {
  const lines = grants.map(({ grantee, permission }) => {
    const to = 'account' in grantee ? grantee.account : `@${grantee.group}`
    return `${permission} ${encodeURIComponent(to)}`
  })
  return [encodeURIComponent(owner), ...lines].join(',')
}

/** What encodeAcl made. */
export function decodeAcl(text: string): Acl {
  const [owner = '', ...lines] = text.split(',')
  const grants = lines.map((line): AclGrant => {
    const [permission = '', to = ''] = line.split(' ')
    const name = decodeURIComponent(to)
    const grantee = name.startsWith('@') ? { group: name.slice(1) as Group } : { account: name }
    return { grantee, permission: permission as Permission }
  })
  return { owner: decodeURIComponent(owner), grants }
}
