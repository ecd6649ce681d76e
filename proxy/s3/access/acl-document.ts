/** ACLs in headers and documents of the S3 API. */
import type { Soon } from '../../../common/soon.ts'
import { isStorageAccount } from '../../reseller-prefix.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import type { XmlElement } from '../xml/xml-out.ts'
import {
  type Acl,
  type AclGrant,
  cannedAcl,
  checkGrantCount,
  GROUPS,
  type Grantee,
  groupUri,
  PERMISSIONS,
  type Permission,
} from './s3-acl.ts'

const HEADERS: readonly (readonly [name: string, permission: Permission])[] = [
  ['x-amz-grant-full-control', 'FULL_CONTROL'],
  ['x-amz-grant-read', 'READ'],
  ['x-amz-grant-read-acp', 'READ_ACP'],
  ['x-amz-grant-write', 'WRITE'],
  ['x-amz-grant-write-acp', 'WRITE_ACP'],
]

export interface AclOwners {
  /** Whose it will be. */
  readonly owner: string
  readonly bucketOwner: string
}

/** What the request's headers say; undefined if they say nothing. */
export function aclOfHeaders(call: S3Call, owners: AclOwners): Soon<Acl | undefined> {
  const canned = call.header('x-amz-acl') || undefined
  const grants = HEADERS.filter(([name]) => call.header(name) !== undefined)
  if (grants.length > 0) return aclOfGrants(call, owners, { canned, grants })
  return canned === undefined ? undefined : cannedAcl(canned, owners.owner, owners.bucketOwner)
}

async function aclOfGrants(
  call: S3Call,
  owners: AclOwners,
  headers: { readonly canned: string | undefined; readonly grants: typeof HEADERS },
): Promise<Acl> {
  const given = headers.grants.flatMap(([name, permission]) =>
    call
      .header(name)!
      .split(',')
      .map((part) => granteeText(part, permission)),
  )
  const emails = await knownEmails(
    call,
    given.flatMap(({ kind, value }) => (kind === 'emailaddress' ? value : [])),
  )
  const granted = given.map((one) => grantBy(call, one, emails))
  if (headers.canned !== undefined) {
    throw new S3Error(
      'InvalidRequest',
      'Specifying both Canned ACLs and Header Grants is not allowed',
    )
  }
  const acl = { owner: owners.owner, grants: granted }
  checkGrantCount(acl)
  return acl
}

interface GranteeText {
  readonly kind: string
  readonly value: string
  readonly permission: Permission
}

/** One of `id="…", uri="…"` */
function granteeText(part: string, permission: Permission): GranteeText {
  const [, kind = '', value = ''] = /^\s*(\w+)\s*=\s*"?([^"]*)"?\s*$/.exec(part) ?? []
  return { kind: kind.toLowerCase(), value, permission }
}

function grantBy(call: S3Call, { kind, value, permission }: GranteeText, emails: Emails): AclGrant {
  switch (kind) {
    case 'id':
      return { grantee: { account: knownAccount(call, value) }, permission }
    case 'uri':
      return { grantee: groupOf(value), permission }
    case 'emailaddress':
      return { grantee: { account: accountOf(emails, value) }, permission }
    default:
      throw new S3Error('InvalidArgument', 'Argument format not recognized')
  }
}

/** The list that a document says. The owner stays who it is. */
export async function aclOfDocument(call: S3Call, root: XmlNode, owner: string): Promise<Acl> {
  const named = root.child('Owner')?.textOf('ID')?.trim()
  if (named !== undefined && named !== owner) throw new S3Error('AccessDenied')
  const list = root.child('AccessControlList')
  if (list === undefined) throw malformedXml()
  const nodes = list.children('Grant')
  checkGrantCount({ grants: nodes })
  const acl = { owner, grants: await grantsOf(call, nodes) }
  return acl
}

/** Several `<Grant>`s. */
export async function grantsOf(
  call: S3Call,
  nodes: readonly XmlNode[],
): Promise<readonly AclGrant[]> {
  const named = nodes.flatMap((node) => node.child('Grantee')?.textOf('EmailAddress')?.trim() ?? [])
  const emails = await knownEmails(call, named)
  return nodes.map((node) => grantOf(call, node, emails))
}

function grantOf(call: S3Call, node: XmlNode, emails: Emails): AclGrant {
  const text = node.textOf('Permission')?.trim()
  const permission = PERMISSIONS.find((known) => known === text)
  const grantee = node.child('Grantee')
  if (permission === undefined || grantee === undefined) throw malformedXml()
  const [id, uri, email] = ['ID', 'URI', 'EmailAddress'].map((name) => grantee.textOf(name)?.trim())
  if (uri !== undefined) return { grantee: groupOf(uri), permission }
  if (email !== undefined) return { grantee: { account: accountOf(emails, email) }, permission }
  if (id === undefined) throw malformedXml()
  return { grantee: { account: knownAccount(call, id) }, permission }
}

/** An account that there can be: with one of the cluster's prefixes. */
function knownAccount(call: S3Call, id: string): string {
  const { resellerPrefixes } = call.exchange.proxy.settings
  if (isStorageAccount(id, resellerPrefixes)) return id
  throw new S3Error('InvalidArgument', 'Invalid id', {
    ArgumentName: 'CanonicalUser/ID',
    ArgumentValue: id,
  })
}

function groupOf(uri: string): Grantee {
  const group = Object.hasOwn(GROUPS, uri) ? GROUPS[uri as keyof typeof GROUPS] : undefined
  if (group !== undefined) return { group }
  throw new S3Error('InvalidArgument', 'Invalid group uri', {
    ArgumentName: 'uri',
    ArgumentValue: uri,
  })
}

/** Accounts behind e-mail addresses; no more than a list can name. */
type Emails = Readonly<Record<string, readonly string[]>>

/** Users of Keystone have addresses; where there is none, nobody has. */
async function knownEmails(call: S3Call, named: readonly string[]): Promise<Emails> {
  if (named.length === 0) return {}
  checkGrantCount({ grants: named })
  const { iam } = call.exchange.proxy.identity
  const emails = [...new Set(named)].filter((email) => email.length <= EMAIL_CHARS_MAX)
  return iam === undefined ? {} : iam.accountsOfEmails(emails)
}

function accountOf(emails: Emails, email: string): string {
  const [account, ...others] = Object.hasOwn(emails, email) ? emails[email]! : []
  const details = { emailAddress: email }
  if (account === undefined)
    throw new S3Error('UnresolvableGrantByEmailAddress', undefined, details)
  if (others.length > 0) throw new S3Error('AmbiguousGrantByEmailAddress', undefined, details)
  return account
}

const EMAIL_CHARS_MAX = 255

const XSI = 'http://www.w3.org/2001/XMLSchema-instance'

export function aclElement({ owner, grants }: Acl): XmlElement {
  // Groups come first, as S3 has it.
  const isGroup = ({ grantee }: AclGrant) => 'group' in grantee
  const ordered = [...grants.filter(isGroup), ...grants.filter((grant) => !isGroup(grant))]
  const list = ordered.map(({ grantee, permission }) => ({
    Grantee: granteeElement(grantee),
    Permission: permission,
  }))
  return {
    Owner: { ID: owner, DisplayName: owner },
    AccessControlList: list.length === 0 ? '' : { Grant: list },
  }
}

export function granteeElement(grantee: Grantee): XmlElement {
  if ('account' in grantee) {
    const { account } = grantee
    const type = { '@_xmlns:xsi': XSI, '@_xsi:type': 'CanonicalUser' }
    return { ...type, ID: account, DisplayName: account }
  }
  return { '@_xmlns:xsi': XSI, '@_xsi:type': 'Group', URI: groupUri(grantee.group) }
}
