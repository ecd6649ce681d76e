import { LDAP_OPTIONS_REFUSED, LDAP_OPTIONS_WITHOUT_EFFECT } from '../drivers/ldap-settings.ts'
import type { Extra } from '../tables/rows.ts'

/** An option that a domain may have of its own. */
export interface DomainOption {
  /** What counts where a domain says nothing; Keystone's. */
  readonly byDefault: string | number | boolean | readonly string[] | null
  /** Kept, and never shown. */
  readonly sensitive?: boolean
}

const secret: DomainOption = { byDefault: null, sensitive: true }
const option = (byDefault: DomainOption['byDefault']): DomainOption => ({ byDefault })

/** Keystone's options of domains (keystone/resource/core.py), with `pam` besides. */
export const DOMAIN_OPTIONS: Readonly<Record<string, Readonly<Record<string, DomainOption>>>> = {
  identity: { driver: option('sql'), list_limit: option(null) },
  ldap: {
    url: option('ldap://localhost'),
    user: option(null),
    password: secret,
    suffix: option('cn=example,cn=com'),
    query_scope: option('one'),
    page_size: option(0),
    alias_dereferencing: option('default'),
    debug_level: option(null),
    chase_referrals: option(null),
    user_tree_dn: option(null),
    user_filter: option(null),
    user_objectclass: option('inetOrgPerson'),
    user_id_attribute: option('cn'),
    user_name_attribute: option('sn'),
    user_mail_attribute: option('mail'),
    user_description_attribute: option('description'),
    user_pass_attribute: option('userPassword'),
    user_enabled_attribute: option('enabled'),
    user_enabled_invert: option(false),
    user_enabled_mask: option(0),
    user_enabled_default: option('True'),
    user_attribute_ignore: option(['default_project_id']),
    user_default_project_id_attribute: option(null),
    user_enabled_emulation: option(false),
    user_enabled_emulation_dn: option(null),
    user_enabled_emulation_use_group_config: option(false),
    user_additional_attribute_mapping: option([]),
    group_tree_dn: option(null),
    group_filter: option(null),
    group_objectclass: option('groupOfNames'),
    group_id_attribute: option('cn'),
    group_name_attribute: option('ou'),
    group_members_are_ids: option(false),
    group_member_attribute: option('member'),
    group_desc_attribute: option('description'),
    group_attribute_ignore: option([]),
    group_additional_attribute_mapping: option([]),
    tls_cacertfile: option(null),
    tls_cacertdir: option(null),
    use_tls: option(false),
    tls_req_cert: option('demand'),
    use_pool: option(true),
    pool_size: option(10),
    pool_retry_max: option(3),
    pool_retry_delay: option(0.1),
    pool_connection_timeout: option(-1),
    pool_connection_lifetime: option(600),
    use_auth_pool: option(true),
    auth_pool_size: option(100),
    auth_pool_connection_lifetime: option(60),
  },
  pam: { service: option('swiftlet'), uid_min: option(1000), uid_max: option(59_999) },
}

/** The option; undefined if there is none of that name. */
export function domainOption(group: string, name: string): DomainOption | undefined {
  const options = Object.hasOwn(DOMAIN_OPTIONS, group) ? DOMAIN_OPTIONS[group]! : {}
  return Object.hasOwn(options, name) ? options[name] : undefined
}

/** What is wrong with an option's value; null if nothing is. Values that would have no effect are refused here, not later. */
export function refusedValue(group: string, name: string, value: unknown): string | null {
  if (typeof value === 'object' && value !== null && !isTexts(value))
    return 'it must be a plain value'
  if (group !== 'ldap' || LDAP_OPTIONS_WITHOUT_EFFECT.includes(name)) return null
  const taken = Object.hasOwn(LDAP_OPTIONS_REFUSED, name) ? LDAP_OPTIONS_REFUSED[name]! : null
  const isNothing = Array.isArray(value) && value.length === 0
  return taken === null || taken.includes(value) || isNothing ? null : 'it is not supported here'
}

/** Texts with `%(password)s` where the secret belongs, as Keystone has it. */
export function substituted(options: Extra): Extra {
  const { password } = options
  if (typeof password !== 'string') return options
  const entries = Object.entries(options).map(([name, value]) =>
    typeof value === 'string' && name !== 'password'
      ? [name, value.replaceAll('%(password)s', () => password)]
      : [name, value],
  )
  return Object.fromEntries(entries) as Extra
}

function isTexts(value: object): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}
