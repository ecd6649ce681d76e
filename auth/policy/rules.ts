/**
 * Who may do what: Keystone's secure-RBAC defaults (https://docs.openstack.org/keystone/latest/configuration/policy.html)
 * in the language of oslo.policy, each with the scopes a token may have for it. docs/identity-policy.md is made of it.
 */
import type { TokenScopeKind } from './scope.ts'

export interface PolicyRule {
  readonly check: string
  /** Scopes of tokens that may do it at all; any (an unscoped one too) if absent. */
  readonly scopes?: readonly TokenScopeKind[]
}

const anyOf = (...checks: readonly string[]) => checks.map((check) => `(${check})`).join(' or ')
const allOf = (...checks: readonly string[]) => checks.map((check) => `(${check})`).join(' and ')

const ADMIN = 'rule:admin_required'
const OWNER = 'rule:owner'
const SYSTEM_READER = 'role:reader and system_scope:all'
const ADMIN_OR_SYSTEM_READER = anyOf(ADMIN, SYSTEM_READER)

const readerOf = (domain: string) => `role:reader and domain_id:%(${domain})s`
const managerOf = (domain: string) => `role:manager and domain_id:%(${domain})s`
const known = (attribute: string) => `not None:%(${attribute})s`

const USER_DOMAIN = 'target.user.domain_id'
const GROUP_DOMAIN = 'target.group.domain_id'
const PROJECT_DOMAIN = 'target.project.domain_id'

/** Named pieces that rules refer to. */
export const NAMED_CHECKS: Readonly<Record<string, string>> = {
  admin_required: 'role:admin',
  service_role: 'role:service',
  service_or_admin: 'rule:admin_required or rule:service_role',
  owner: 'user_id:%(user_id)s',
  admin_or_owner: 'rule:admin_required or rule:owner',
  token_subject: 'user_id:%(target.token.user_id)s',
  domain_managed_target_role: anyOf(
    "'manager':%(target.role.name)s",
    "'member':%(target.role.name)s",
    "'reader':%(target.role.name)s",
  ),
}

const ALL: readonly TokenScopeKind[] = ['system', 'domain', 'project']
const NO_DOMAIN: readonly TokenScopeKind[] = ['system', 'project']
const PROJECT: readonly TokenScopeKind[] = ['project']

const rule = (check: string, scopes?: readonly TokenScopeKind[]): PolicyRule =>
  scopes === undefined ? { check } : { check, scopes }
const ANYBODY = rule('')
const WITH_SCOPE = rule('', ALL)
const BY_ADMIN = rule(ADMIN, NO_DOMAIN)
const BY_ADMIN_OR_READER = rule(ADMIN_OR_SYSTEM_READER, NO_DOMAIN)

/** The persons of a grant: a role of theirs counts where both sides of the grant lie in their domain. */
const grantsIn = (role: string) =>
  anyOf(
    `role:${role} and domain_id:%(${USER_DOMAIN})s and domain_id:%(${PROJECT_DOMAIN})s`,
    `role:${role} and domain_id:%(${USER_DOMAIN})s and domain_id:%(target.domain.id)s`,
    `role:${role} and domain_id:%(${GROUP_DOMAIN})s and domain_id:%(${PROJECT_DOMAIN})s`,
    `role:${role} and domain_id:%(${GROUP_DOMAIN})s and domain_id:%(target.domain.id)s`,
  )
const ROLE_IN_DOMAIN = 'domain_id:%(target.role.domain_id)s or None:%(target.role.domain_id)s'
const READS_GRANT = rule(
  anyOf(ADMIN, SYSTEM_READER, allOf(grantsIn('reader'), ROLE_IN_DOMAIN)),
  ALL,
)
const CHANGES_GRANT = rule(
  anyOf(
    ADMIN,
    allOf(grantsIn('admin'), ROLE_IN_DOMAIN),
    allOf(grantsIn('manager'), 'rule:domain_managed_target_role'),
  ),
  ALL,
)

const READS_PROJECT = rule(
  anyOf(
    ADMIN,
    SYSTEM_READER,
    `${readerOf(PROJECT_DOMAIN)} and ${known(PROJECT_DOMAIN)}`,
    'project_id:%(target.project.id)s',
  ),
  ALL,
)
const CHANGES_PROJECT = rule(
  anyOf(ADMIN, `${managerOf(PROJECT_DOMAIN)} and ${known(PROJECT_DOMAIN)}`),
  ALL,
)
const READS_USER_OR_SELF = anyOf(ADMIN, SYSTEM_READER, readerOf(USER_DOMAIN))
const CHANGES_USER = rule(anyOf(ADMIN, `role:manager and token.domain.id:%(${USER_DOMAIN})s`), ALL)
const READS_GROUP = rule(anyOf(ADMIN, SYSTEM_READER, readerOf(GROUP_DOMAIN)), ALL)
const CHANGES_GROUP = rule(anyOf(ADMIN, managerOf(GROUP_DOMAIN)), ALL)
const CHANGES_MEMBERS = rule(
  anyOf(ADMIN, `${managerOf(GROUP_DOMAIN)} and domain_id:%(${USER_DOMAIN})s`),
  ALL,
)
const CREDENTIAL_OWNER = 'user_id:%(target.credential.user_id)s'
const READS_CREDENTIAL = anyOf(ADMIN, SYSTEM_READER, CREDENTIAL_OWNER)
const TRUSTOR = 'user_id:%(target.trust.trustor_user_id)s'
const TRUSTEE = 'user_id:%(target.trust.trustee_user_id)s'
const READS_TRUST = rule(anyOf(ADMIN, SYSTEM_READER, TRUSTOR, TRUSTEE), NO_DOMAIN)

/** All calls that are judged, by Keystone's names for them, without `identity:`. */
export const POLICY_RULES = {
  get_auth_catalog: ANYBODY,
  get_auth_projects: ANYBODY,
  get_auth_domains: ANYBODY,
  get_auth_system: ANYBODY,

  check_token: rule(anyOf(ADMIN, SYSTEM_READER, 'rule:token_subject'), ALL),
  validate_token: rule(anyOf(ADMIN, SYSTEM_READER, 'rule:service_role', 'rule:token_subject'), ALL),
  revoke_token: rule(anyOf(ADMIN, 'rule:token_subject'), ALL),
  list_revoke_events: rule('rule:service_or_admin', NO_DOMAIN),

  get_domain: rule(
    anyOf(
      ADMIN,
      SYSTEM_READER,
      'token.domain.id:%(target.domain.id)s',
      'token.project.domain.id:%(target.domain.id)s',
    ),
    ALL,
  ),
  list_domains: rule(anyOf(ADMIN, SYSTEM_READER, readerOf('target.domain.id')), ALL),
  create_domain: BY_ADMIN,
  update_domain: BY_ADMIN,
  delete_domain: BY_ADMIN,
  create_domain_config: BY_ADMIN,
  get_domain_config: BY_ADMIN_OR_READER,
  get_security_compliance_domain_config: WITH_SCOPE,
  update_domain_config: BY_ADMIN,
  delete_domain_config: BY_ADMIN,
  get_domain_config_default: BY_ADMIN_OR_READER,

  get_project: READS_PROJECT,
  list_projects: rule(anyOf(ADMIN, SYSTEM_READER, readerOf('target.domain_id')), ALL),
  list_user_projects: rule(anyOf(READS_USER_OR_SELF, 'user_id:%(target.user.id)s'), ALL),
  create_project: CHANGES_PROJECT,
  update_project: CHANGES_PROJECT,
  delete_project: CHANGES_PROJECT,
  list_project_tags: READS_PROJECT,
  get_project_tag: READS_PROJECT,
  update_project_tags: CHANGES_PROJECT,
  create_project_tag: CHANGES_PROJECT,
  delete_project_tags: CHANGES_PROJECT,
  delete_project_tag: CHANGES_PROJECT,

  get_user: rule(
    anyOf(
      ADMIN,
      SYSTEM_READER,
      `role:reader and token.domain.id:%(${USER_DOMAIN})s`,
      'user_id:%(target.user.id)s',
    ),
    ALL,
  ),
  list_users: rule(anyOf(ADMIN, SYSTEM_READER, readerOf('target.domain_id')), ALL),
  create_user: CHANGES_USER,
  update_user: CHANGES_USER,
  delete_user: CHANGES_USER,

  get_group: READS_GROUP,
  list_groups: READS_GROUP,
  list_groups_for_user: rule(anyOf(READS_USER_OR_SELF, 'user_id:%(user_id)s'), ALL),
  create_group: CHANGES_GROUP,
  update_group: CHANGES_GROUP,
  delete_group: CHANGES_GROUP,
  list_users_in_group: READS_GROUP,
  add_user_to_group: CHANGES_MEMBERS,
  remove_user_from_group: CHANGES_MEMBERS,
  check_user_in_group: rule(
    anyOf(ADMIN, SYSTEM_READER, `${readerOf(GROUP_DOMAIN)} and domain_id:%(${USER_DOMAIN})s`),
    ALL,
  ),

  get_role: rule(
    anyOf(ADMIN_OR_SYSTEM_READER, 'role:manager and rule:domain_managed_target_role'),
    ALL,
  ),
  list_roles: rule(anyOf(ADMIN_OR_SYSTEM_READER, 'role:manager and not domain_id:None'), ALL),
  create_role: BY_ADMIN,
  update_role: BY_ADMIN,
  delete_role: BY_ADMIN,
  get_domain_role: BY_ADMIN_OR_READER,
  list_domain_roles: BY_ADMIN_OR_READER,
  create_domain_role: BY_ADMIN,
  update_domain_role: BY_ADMIN,
  delete_domain_role: BY_ADMIN,
  get_implied_role: BY_ADMIN_OR_READER,
  list_implied_roles: BY_ADMIN_OR_READER,
  create_implied_role: BY_ADMIN,
  delete_implied_role: BY_ADMIN,
  list_role_inference_rules: BY_ADMIN_OR_READER,
  check_implied_role: BY_ADMIN_OR_READER,

  check_grant: READS_GRANT,
  list_grants: rule(anyOf(ADMIN, SYSTEM_READER, grantsIn('reader')), ALL),
  create_grant: CHANGES_GRANT,
  revoke_grant: CHANGES_GRANT,
  list_system_grants_for_user: BY_ADMIN_OR_READER,
  check_system_grant_for_user: BY_ADMIN_OR_READER,
  create_system_grant_for_user: BY_ADMIN,
  revoke_system_grant_for_user: BY_ADMIN,
  list_system_grants_for_group: BY_ADMIN_OR_READER,
  check_system_grant_for_group: BY_ADMIN_OR_READER,
  create_system_grant_for_group: BY_ADMIN,
  revoke_system_grant_for_group: BY_ADMIN,
  list_role_assignments: rule(anyOf(ADMIN, SYSTEM_READER, readerOf('target.domain_id')), ALL),
  list_role_assignments_for_tree: rule(
    anyOf(
      ADMIN,
      SYSTEM_READER,
      readerOf(PROJECT_DOMAIN),
      'role:admin and project_id:%(target.project.id)s',
    ),
    ALL,
  ),

  get_region: WITH_SCOPE,
  list_regions: WITH_SCOPE,
  create_region: BY_ADMIN,
  update_region: BY_ADMIN,
  delete_region: BY_ADMIN,
  get_service: BY_ADMIN_OR_READER,
  list_services: BY_ADMIN_OR_READER,
  create_service: BY_ADMIN,
  update_service: BY_ADMIN,
  delete_service: BY_ADMIN,
  get_endpoint: BY_ADMIN_OR_READER,
  list_endpoints: BY_ADMIN_OR_READER,
  create_endpoint: BY_ADMIN,
  update_endpoint: BY_ADMIN,
  delete_endpoint: BY_ADMIN,

  get_credential: rule(READS_CREDENTIAL, ALL),
  list_credentials: rule(READS_CREDENTIAL, ALL),
  create_credential: rule(anyOf(ADMIN, CREDENTIAL_OWNER), ALL),
  update_credential: rule(anyOf(ADMIN, CREDENTIAL_OWNER), ALL),
  delete_credential: rule(anyOf(ADMIN, CREDENTIAL_OWNER), ALL),
  ec2_get_credential: rule(READS_CREDENTIAL, NO_DOMAIN),
  ec2_list_credentials: rule(anyOf(ADMIN, SYSTEM_READER, OWNER), NO_DOMAIN),
  ec2_create_credential: rule(anyOf(ADMIN, `role:member and ${CREDENTIAL_OWNER}`), NO_DOMAIN),
  ec2_delete_credential: rule(anyOf(ADMIN, `role:member and ${CREDENTIAL_OWNER}`), NO_DOMAIN),
  ec2tokens_validate: rule('rule:service_or_admin', ALL),
  s3tokens_validate: rule('rule:service_or_admin', ALL),
  reveal_access_key: rule('rule:service_or_admin', ALL),
  call_iam: rule('rule:service_or_admin', ALL),
  manage_iam_account: rule('role:admin or role:manager', PROJECT),
  act_for_iam_account: rule('role:member', PROJECT),

  get_application_credential: rule(anyOf(ADMIN, SYSTEM_READER, OWNER), NO_DOMAIN),
  list_application_credentials: rule(anyOf(ADMIN, SYSTEM_READER, OWNER), NO_DOMAIN),
  create_application_credential: rule(OWNER, PROJECT),
  delete_application_credential: rule('rule:admin_or_owner', NO_DOMAIN),
  get_access_rule: rule(anyOf(SYSTEM_READER, OWNER), NO_DOMAIN),
  list_access_rules: rule(anyOf(SYSTEM_READER, OWNER), NO_DOMAIN),
  delete_access_rule: rule(anyOf('role:admin and system_scope:all', OWNER), NO_DOMAIN),

  create_trust: rule(TRUSTOR, PROJECT),
  list_trusts: BY_ADMIN_OR_READER,
  list_trusts_for_trustor: rule(anyOf(ADMIN, SYSTEM_READER, TRUSTOR), NO_DOMAIN),
  list_trusts_for_trustee: rule(anyOf(ADMIN, SYSTEM_READER, TRUSTEE), NO_DOMAIN),
  list_roles_for_trust: READS_TRUST,
  get_role_for_trust: READS_TRUST,
  delete_trust: rule(anyOf(ADMIN, TRUSTOR), NO_DOMAIN),
  get_trust: READS_TRUST,

  get_limit_model: WITH_SCOPE,
  get_limit: rule(
    anyOf(
      ADMIN,
      SYSTEM_READER,
      'domain_id:%(target.limit.domain.id)s',
      'domain_id:%(target.limit.project.domain_id)s',
      `project_id:%(target.limit.project_id)s and ${known('target.limit.project_id')}`,
    ),
    ALL,
  ),
  list_limits: WITH_SCOPE,
  create_limits: BY_ADMIN,
  update_limit: BY_ADMIN,
  delete_limit: BY_ADMIN,
  get_registered_limit: WITH_SCOPE,
  list_registered_limits: WITH_SCOPE,
  create_registered_limits: BY_ADMIN,
  update_registered_limit: BY_ADMIN,
  delete_registered_limit: BY_ADMIN,

  get_policy: BY_ADMIN_OR_READER,
  list_policies: BY_ADMIN_OR_READER,
  create_policy: BY_ADMIN,
  update_policy: BY_ADMIN,
  delete_policy: BY_ADMIN,
  create_policy_association_for_endpoint: BY_ADMIN,
  check_policy_association_for_endpoint: BY_ADMIN_OR_READER,
  delete_policy_association_for_endpoint: BY_ADMIN,
  create_policy_association_for_service: BY_ADMIN,
  check_policy_association_for_service: BY_ADMIN_OR_READER,
  delete_policy_association_for_service: BY_ADMIN,
  create_policy_association_for_region_and_service: BY_ADMIN,
  check_policy_association_for_region_and_service: BY_ADMIN_OR_READER,
  delete_policy_association_for_region_and_service: BY_ADMIN,
  get_policy_for_endpoint: BY_ADMIN_OR_READER,
  list_endpoints_for_policy: BY_ADMIN_OR_READER,

  create_endpoint_group: BY_ADMIN,
  list_endpoint_groups: BY_ADMIN_OR_READER,
  get_endpoint_group: BY_ADMIN_OR_READER,
  update_endpoint_group: BY_ADMIN,
  delete_endpoint_group: BY_ADMIN,
  list_projects_associated_with_endpoint_group: BY_ADMIN_OR_READER,
  list_endpoints_associated_with_endpoint_group: BY_ADMIN_OR_READER,
  get_endpoint_group_in_project: BY_ADMIN_OR_READER,
  list_endpoint_groups_for_project: BY_ADMIN_OR_READER,
  add_endpoint_group_to_project: BY_ADMIN,
  remove_endpoint_group_from_project: BY_ADMIN,
  list_projects_for_endpoint: BY_ADMIN_OR_READER,
  add_endpoint_to_project: BY_ADMIN,
  check_endpoint_in_project: BY_ADMIN_OR_READER,
  list_endpoints_for_project: BY_ADMIN_OR_READER,
  remove_endpoint_from_project: BY_ADMIN,

  get_consumer: BY_ADMIN_OR_READER,
  list_consumers: BY_ADMIN_OR_READER,
  create_consumer: BY_ADMIN,
  update_consumer: BY_ADMIN,
  delete_consumer: BY_ADMIN,
  authorize_request_token: rule(ADMIN, PROJECT),
  get_access_token: rule(ADMIN, PROJECT),
  get_access_token_role: rule(ADMIN, PROJECT),
  list_access_tokens: rule(ADMIN, PROJECT),
  list_access_token_roles: rule(ADMIN, PROJECT),
  delete_access_token: rule(ADMIN, PROJECT),
} as const satisfies Readonly<Record<string, PolicyRule>>

export type PolicyAction = keyof typeof POLICY_RULES
