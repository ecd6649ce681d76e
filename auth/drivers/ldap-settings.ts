import { type DirectoryOptions, OptionReader } from './directory-options.ts'
import { directoryUnfit } from './identity-driver.ts'

/** How entries of one kind are found and read. */
export interface LdapEntries {
  readonly treeDn: string
  readonly objectClass: string
  /** A filter that all have to pass besides; empty for none. */
  readonly filter: string
  readonly id: string
  readonly name: string
  readonly description: string
}

export interface LdapUsers extends LdapEntries {
  readonly mail: string
  readonly defaultProject: string
  readonly enabled: EnabledRule
}

/** What an entry's attribute says about whether its user may sign in. */
export interface EnabledRule {
  /** Empty where all may. */
  readonly attribute: string
  /** With a mask the attribute is a number, whose bits disable; else true or false. */
  readonly mask: number
  readonly invert: boolean
  readonly byDefault: string
}

export interface LdapGroups extends LdapEntries {
  readonly member: string
  readonly membersAreIds: boolean
}

/** Keystone's [ldap] options (keystone/conf/ldap.py), their names and defaults. */
export interface LdapSettings {
  /** Tried one after the other. */
  readonly urls: readonly string[]
  /** Whom to search as; nobody if empty. */
  readonly user: string
  readonly password: string
  readonly scope: 'one' | 'sub'
  readonly pageSize: number
  readonly startTls: boolean
  /** A file of certificates in PEM; the system's if empty. */
  readonly caFile: string
  readonly verifiesServer: boolean
  readonly users: LdapUsers
  readonly groups: LdapGroups
}

/**
 * What there is of Keystone's options and has no effect here: one connection carries all searches, a few those that check
 * passwords, so that there is no pool to be tuned; nothing is written, so that attributes for that are not asked for.
 */
export const LDAP_OPTIONS_WITHOUT_EFFECT = [
  'debug_level',
  'user_pass_attribute',
  'use_pool',
  'pool_size',
  'pool_retry_max',
  'pool_retry_delay',
  'pool_connection_timeout',
  'pool_connection_lifetime',
  'use_auth_pool',
  'auth_pool_size',
  'auth_pool_connection_lifetime',
]

const BOOLEANS = [undefined, null, false, 'false', 'False', '', 0]

/** Options that would change what is found and are not there: only these values of them are taken. */
export const LDAP_OPTIONS_REFUSED: Readonly<Record<string, readonly unknown[]>> = {
  alias_dereferencing: [undefined, null, 'default', 'never'],
  chase_referrals: BOOLEANS,
  user_enabled_emulation: BOOLEANS,
  user_additional_attribute_mapping: [undefined, null, ''],
  group_additional_attribute_mapping: [undefined, null, ''],
  tls_cacertdir: [undefined, null, ''],
}

/** Where none is configured; servers that know no pages send all at once. */
const PAGE_SIZE = 500

/** Reads a domain's `ldap` options. Throws 503 `DirectoryUnfit` for values that cannot be worked with. */
export function ldapSettings(options: DirectoryOptions): LdapSettings {
  for (const [name, taken] of Object.entries(LDAP_OPTIONS_REFUSED)) {
    if (!taken.includes(options[name])) throw directoryUnfit(`ldap ${name} is not supported`)
  }
  const read = new OptionReader('ldap', options)
  const urls = read
    .text('url', 'ldap://localhost')
    .split(/[\s,]+/)
    .filter((url) => url !== '')
  if (urls.length === 0 || !urls.every((url) => /^ldaps?:\/\/[^/?#]+\/?$/.test(url))) {
    throw directoryUnfit('ldap url must be ldap://host:port or ldaps://host:port')
  }
  return {
    urls: urls.map((url) => url.replace(/\/$/, '')),
    user: read.text('user'),
    password: read.text('password'),
    scope: read.oneOf('query_scope', ['one', 'sub'], 'one'),
    pageSize: read.integer('page_size', { min: 0, max: 10_000, byDefault: 0 }) || PAGE_SIZE,
    startTls: read.flag('use_tls', false),
    caFile: read.text('tls_cacertfile'),
    verifiesServer: read.oneOf('tls_req_cert', ['demand', 'allow', 'never'], 'demand') === 'demand',
    users: userEntries(read),
    groups: groupEntries(read),
  }
}

function userEntries(read: OptionReader): LdapUsers {
  const ignored = read.texts('user_attribute_ignore')
  const unlessIgnored = (attribute: string, name: string) =>
    ignored.includes(attribute) ? '' : name
  return {
    treeDn: read.text('user_tree_dn') || `ou=Users,${suffixOf(read)}`,
    objectClass: read.text('user_objectclass', 'inetOrgPerson'),
    filter: read.text('user_filter'),
    id: read.text('user_id_attribute', 'cn'),
    name: read.text('user_name_attribute', 'sn'),
    description: unlessIgnored(
      'description',
      read.text('user_description_attribute', 'description'),
    ),
    mail: unlessIgnored('email', read.text('user_mail_attribute', 'mail')),
    defaultProject: unlessIgnored(
      'default_project_id',
      read.text('user_default_project_id_attribute'),
    ),
    enabled: {
      attribute: unlessIgnored('enabled', read.text('user_enabled_attribute', 'enabled')),
      mask: read.integer('user_enabled_mask', { min: 0, max: 2 ** 31 - 1, byDefault: 0 }),
      invert: read.flag('user_enabled_invert', false),
      byDefault: read.text('user_enabled_default', 'True'),
    },
  }
}

function groupEntries(read: OptionReader): LdapGroups {
  const ignored = read.texts('group_attribute_ignore')
  return {
    treeDn: read.text('group_tree_dn') || `ou=UserGroups,${suffixOf(read)}`,
    objectClass: read.text('group_objectclass', 'groupOfNames'),
    filter: read.text('group_filter'),
    id: read.text('group_id_attribute', 'cn'),
    name: read.text('group_name_attribute', 'ou'),
    description: ignored.includes('description')
      ? ''
      : read.text('group_desc_attribute', 'description'),
    member: read.text('group_member_attribute', 'member'),
    membersAreIds: read.flag('group_members_are_ids', false),
  }
}

function suffixOf(read: OptionReader): string {
  return read.text('suffix', 'cn=example,cn=com')
}
