/**
 * The directory of the API at `/v3` for clients that ask for `application/json-home`
 * (https://datatracker.ietf.org/doc/html/draft-nottingham-json-home-03): names of resources, as Keystone has them, and where
 * they are.
 */

const DOCS = 'https://docs.openstack.org/api/openstack-identity/3'

/** Resources of the core API and of its extensions: names and paths below `/v3`. */
const RESOURCES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '': {
    auth_tokens: '/auth/tokens',
    auth_catalog: '/auth/catalog',
    auth_projects: '/auth/projects',
    auth_domains: '/auth/domains',
    auth_system: '/auth/system',
    domains: '/domains',
    domain: '/domains/{domain_id}',
    domain_config: '/domains/{domain_id}/config',
    domain_config_group: '/domains/{domain_id}/config/{group}',
    domain_config_option: '/domains/{domain_id}/config/{group}/{option}',
    domain_config_default: '/domains/config/default',
    domain_config_default_group: '/domains/config/{group}/default',
    domain_config_default_option: '/domains/config/{group}/{option}/default',
    domain_user_roles: '/domains/{domain_id}/users/{user_id}/roles',
    domain_user_role: '/domains/{domain_id}/users/{user_id}/roles/{role_id}',
    domain_group_roles: '/domains/{domain_id}/groups/{group_id}/roles',
    domain_group_role: '/domains/{domain_id}/groups/{group_id}/roles/{role_id}',
    projects: '/projects',
    project: '/projects/{project_id}',
    project_tags: '/projects/{project_id}/tags',
    project_tag: '/projects/{project_id}/tags/{value}',
    project_user_roles: '/projects/{project_id}/users/{user_id}/roles',
    project_user_role: '/projects/{project_id}/users/{user_id}/roles/{role_id}',
    project_group_roles: '/projects/{project_id}/groups/{group_id}/roles',
    project_group_role: '/projects/{project_id}/groups/{group_id}/roles/{role_id}',
    system_user_roles: '/system/users/{user_id}/roles',
    system_user_role: '/system/users/{user_id}/roles/{role_id}',
    system_group_roles: '/system/groups/{group_id}/roles',
    system_group_role: '/system/groups/{group_id}/roles/{role_id}',
    users: '/users',
    user: '/users/{user_id}',
    user_change_password: '/users/{user_id}/password',
    user_groups: '/users/{user_id}/groups',
    user_projects: '/users/{user_id}/projects',
    application_credentials: '/users/{user_id}/application_credentials',
    application_credential: '/users/{user_id}/application_credentials/{application_credential_id}',
    access_rules: '/users/{user_id}/access_rules',
    access_rule: '/users/{user_id}/access_rules/{access_rule_id}',
    groups: '/groups',
    group: '/groups/{group_id}',
    group_users: '/groups/{group_id}/users',
    group_user: '/groups/{group_id}/users/{user_id}',
    roles: '/roles',
    role: '/roles/{role_id}',
    implied_roles: '/roles/{prior_role_id}/implies',
    implied_role: '/roles/{prior_role_id}/implies/{implied_role_id}',
    role_inferences: '/role_inferences',
    role_assignments: '/role_assignments',
    regions: '/regions',
    region: '/regions/{region_id}',
    services: '/services',
    service: '/services/{service_id}',
    endpoints: '/endpoints',
    endpoint: '/endpoints/{endpoint_id}',
    credentials: '/credentials',
    credential: '/credentials/{credential_id}',
    registered_limits: '/registered_limits',
    registered_limit: '/registered_limits/{registered_limit_id}',
    limits: '/limits',
    limit: '/limits/{limit_id}',
    limit_model: '/limits/model',
    policies: '/policies',
    policy: '/policies/{policy_id}',
  },
  'OS-EC2': {
    ec2tokens: '/ec2tokens',
    user_credentials: '/users/{user_id}/credentials/OS-EC2',
    user_credential: '/users/{user_id}/credentials/OS-EC2/{credential_id}',
  },
  s3tokens: { s3tokens: '/s3tokens' },
  'OS-ENDPOINT-POLICY': {
    endpoint_policy: '/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy',
    policy_endpoints: '/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints',
    endpoint_policy_association: '/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints/{endpoint_id}',
    service_policy_association: '/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}',
    region_and_service_policy_association:
      '/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}/regions/{region_id}',
  },
  'OS-EP-FILTER': {
    endpoint_groups: '/OS-EP-FILTER/endpoint_groups',
    endpoint_group: '/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}',
    endpoint_projects: '/OS-EP-FILTER/endpoints/{endpoint_id}/projects',
    project_endpoint: '/OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}',
    project_endpoints: '/OS-EP-FILTER/projects/{project_id}/endpoints',
    project_endpoint_groups: '/OS-EP-FILTER/projects/{project_id}/endpoint_groups',
    endpoints_in_endpoint_group: '/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/endpoints',
    projects_associated_with_endpoint_group:
      '/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects',
    endpoint_group_to_project_association:
      '/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}',
  },
  'OS-INHERIT': {
    domain_group_role_inherited_to_projects:
      '/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects',
    domain_group_roles_inherited_to_projects:
      '/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/inherited_to_projects',
    domain_user_role_inherited_to_projects:
      '/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/{role_id}/inherited_to_projects',
    domain_user_roles_inherited_to_projects:
      '/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/inherited_to_projects',
    project_user_role_inherited_to_projects:
      '/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/{role_id}/inherited_to_projects',
    project_group_role_inherited_to_projects:
      '/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects',
  },
  'OS-OAUTH1': {
    consumers: '/OS-OAUTH1/consumers',
    consumer: '/OS-OAUTH1/consumers/{consumer_id}',
    request_tokens: '/OS-OAUTH1/request_token',
    access_tokens: '/OS-OAUTH1/access_token',
    authorize_request_token: '/OS-OAUTH1/authorize/{request_token_id}',
    user_access_tokens: '/users/{user_id}/OS-OAUTH1/access_tokens',
    user_access_token: '/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}',
    user_access_token_roles: '/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}/roles',
    user_access_token_role:
      '/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}/roles/{role_id}',
  },
  'OS-REVOKE': { events: '/OS-REVOKE/events' },
  'OS-SIMPLE-CERT': {
    ca_certificate: '/OS-SIMPLE-CERT/ca',
    certificates: '/OS-SIMPLE-CERT/certificates',
  },
  'OS-TRUST': {
    trusts: '/OS-TRUST/trusts',
    trust: '/OS-TRUST/trusts/{trust_id}',
    trust_roles: '/OS-TRUST/trusts/{trust_id}/roles',
    trust_role: '/OS-TRUST/trusts/{trust_id}/roles/{role_id}',
  },
}

/** Keystone calls these experimental. */
const EXPERIMENTAL = ['registered_limits', 'registered_limit', 'limits', 'limit', 'limit_model']

/** Parameters that are an extension's. */
const PARAMETERS_OF: Readonly<Record<string, string>> = {
  trust_id: 'OS-TRUST',
  endpoint_group_id: 'OS-EP-FILTER',
  consumer_id: 'OS-OAUTH1',
  request_token_id: 'OS-OAUTH1',
  access_token_id: 'OS-OAUTH1',
}

export interface HomeResource {
  readonly relation: string
  /** Below `/v3`, with `{names}`. */
  readonly path: string
  readonly experimental: boolean
}

/** All resources that Keystone names and that are here; `paths` are those of routes: `/v3/users/:id`. */
export function homeResources(paths: readonly string[]): readonly HomeResource[] {
  const shapes = new Set(paths.map((path) => shapeOf(path)))
  return Object.entries(RESOURCES).flatMap(([extension, resources]) =>
    Object.entries(resources)
      .filter(([, path]) => shapes.has(shapeOf(`/v3${path}`)))
      .map(([name, path]) => ({
        relation: `${baseOf(extension)}/rel/${name}`,
        path,
        experimental: EXPERIMENTAL.includes(name),
      })),
  )
}

/** The directory as it is sent; `prefix` is `/v3`, or nothing for one that starts there. */
export function showHome(resources: readonly HomeResource[], prefix: string) {
  const entries = resources.map(({ relation, path, experimental }) => {
    const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!)
    const place =
      names.length === 0
        ? { href: prefix + path }
        : {
            'href-template': prefix + path,
            'href-vars': Object.fromEntries(names.map((name) => [name, parameterOf(name)])),
          }
    return [relation, { ...place, ...(experimental && { hints: { status: 'experimental' } }) }]
  })
  return { resources: Object.fromEntries(entries) }
}

function baseOf(extension: string): string {
  return extension === '' ? DOCS : `${DOCS}/ext/${extension}/1.0`
}

function parameterOf(name: string): string {
  const extension = Object.hasOwn(PARAMETERS_OF, name) ? PARAMETERS_OF[name]! : ''
  return `${baseOf(extension)}/param/${name === 'value' ? 'tag_value' : name}`
}

/** A path whatever its parts are called. */
function shapeOf(path: string): string {
  return path.replace(/\{\w+\}|:\w+/g, '*')
}
