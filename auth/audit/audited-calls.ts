/** What a call that is audited does to what. */
export interface AuditedCall {
  /** `created`, `updated`, `deleted`; how Keystone says it. */
  readonly operation: string
  /** `user`, `OS-TRUST:trust`. */
  readonly resource: string
  /** The part of the path that names what it is done to; absent: the answer's `id` does. */
  readonly idParam?: string
  /** The part of the body that does. */
  readonly idField?: string
  /** The token in `X-Subject-Token` does. */
  readonly ofToken?: true
  /** Parts of the path that the event has besides, by their names there. */
  readonly more?: Readonly<Record<string, string>>
}

/** The kinds of things as the taxonomy of CADF has them, for those that Keystone names. */
const TYPE_URIS: Readonly<Record<string, string>> = {
  group: 'data/security/group',
  project: 'data/security/project',
  role: 'data/security/role',
  user: 'data/security/account/user',
  domain: 'data/security/domain',
  region: 'data/security/region',
  endpoint: 'data/security/endpoint',
  service: 'data/security/service',
  policy: 'data/security/policy',
  credential: 'data/security/credential',
  application_credential: 'data/security/credential',
  'OS-TRUST:trust': 'data/security/trust',
  'OS-OAUTH1:access_token': 'data/security/credential',
  'OS-OAUTH1:request_token': 'data/security/credential',
  'OS-OAUTH1:consumer': 'data/security/account',
}

/** The type of a target of this kind. */
export function typeUriOf(resource: string): string {
  return TYPE_URIS[resource] ?? 'data/security'
}

const created = (resource: string): AuditedCall => ({ operation: 'created', resource })
const updated = (
  resource: string,
  idParam = 'id',
  more?: Readonly<Record<string, string>>,
): AuditedCall => ({
  operation: 'updated',
  resource,
  idParam,
  ...(more !== undefined && { more }),
})
const deleted = (resource: string, idParam = 'id'): AuditedCall => ({
  operation: 'deleted',
  resource,
  idParam,
})

/** Creating, changing and deleting one kind of thing, below one path. */
function crud(resource: string, path: string): Readonly<Record<string, AuditedCall>> {
  return {
    [`POST ${path}`]: created(resource),
    [`PATCH ${path}/:id`]: updated(resource),
    [`DELETE ${path}/:id`]: deleted(resource),
  }
}

const MEMBER = '/v3/groups/:id/users/:userId'
const IMPLIED = '/v3/roles/:id/implies/:impliedId'
const TAGS = '/v3/projects/:id/tags'
const PROJECT_ENDPOINT = '/v3/OS-EP-FILTER/projects/:projectId/endpoints/:endpointId'
const PROJECT_GROUP = '/v3/OS-EP-FILTER/endpoint_groups/:groupId/projects/:projectId'
const STORE_USERS = '/v3/OS-SWIFTLET/store-users'
const EC2_KEYS = '/v3/users/:userId/credentials/OS-EC2'

/** Every call that changes something or gives a secret, besides signing in and granting roles. */
const CALLS: Readonly<Record<string, AuditedCall>> = {
  ...crud('domain', '/v3/domains'),
  ...crud('project', '/v3/projects'),
  ...crud('user', '/v3/users'),
  ...crud('group', '/v3/groups'),
  ...crud('role', '/v3/roles'),
  ...crud('region', '/v3/regions'),
  ...crud('service', '/v3/services'),
  ...crud('endpoint', '/v3/endpoints'),
  ...crud('policy', '/v3/policies'),
  ...crud('credential', '/v3/credentials'),
  ...crud('limit', '/v3/limits'),
  ...crud('registered_limit', '/v3/registered_limits'),
  ...crud('endpoint_group', '/v3/OS-EP-FILTER/endpoint_groups'),
  ...crud('OS-OAUTH1:consumer', '/v3/OS-OAUTH1/consumers'),
  'PUT /v3/regions/:id': { ...created('region'), idParam: 'id' },
  'POST /v3/users/:id/password': updated('user'),
  'PUT /v3/domains/:id/config': updated('domain'),
  'PATCH /v3/domains/:id/config': updated('domain'),
  'PATCH /v3/domains/:id/config/:group': updated('domain', 'id', { config_group: 'group' }),
  'PATCH /v3/domains/:id/config/:group/:option': updated('domain', 'id', { config_group: 'group' }),
  'DELETE /v3/domains/:id/config': updated('domain'),
  'DELETE /v3/domains/:id/config/:group': updated('domain', 'id', { config_group: 'group' }),
  'DELETE /v3/domains/:id/config/:group/:option': updated('domain', 'id', {
    config_group: 'group',
  }),
  [`PUT ${TAGS}`]: updated('project'),
  [`DELETE ${TAGS}`]: updated('project'),
  [`PUT ${TAGS}/:tag`]: updated('project'),
  [`DELETE ${TAGS}/:tag`]: updated('project'),
  [`PUT ${MEMBER}`]: updated('group', 'id', { user_added: 'userId' }),
  [`DELETE ${MEMBER}`]: updated('group', 'id', { user_removed: 'userId' }),
  [`PUT ${IMPLIED}`]: updated('role', 'id', { implied_role_added: 'impliedId' }),
  [`DELETE ${IMPLIED}`]: updated('role', 'id', { implied_role_removed: 'impliedId' }),
  [`PUT ${PROJECT_ENDPOINT}`]: updated('project', 'projectId', { endpoint_added: 'endpointId' }),
  [`DELETE ${PROJECT_ENDPOINT}`]: updated('project', 'projectId', {
    endpoint_removed: 'endpointId',
  }),
  [`PUT ${PROJECT_GROUP}`]: updated('project', 'projectId', { endpoint_group_added: 'groupId' }),
  [`DELETE ${PROJECT_GROUP}`]: updated('project', 'projectId', {
    endpoint_group_removed: 'groupId',
  }),
  'POST /v3/users/:userId/application_credentials': created('application_credential'),
  'DELETE /v3/users/:userId/application_credentials/:id': deleted('application_credential'),
  'DELETE /v3/users/:userId/access_rules/:id': deleted('access_rule'),
  'POST /v3/OS-TRUST/trusts': created('OS-TRUST:trust'),
  'DELETE /v3/OS-TRUST/trusts/:id': deleted('OS-TRUST:trust'),
  [`POST ${EC2_KEYS}`]: created('credential'),
  [`DELETE ${EC2_KEYS}/:access`]: deleted('credential', 'access'),
  'POST /v3/OS-OAUTH1/request_token': created('OS-OAUTH1:request_token'),
  'PUT /v3/OS-OAUTH1/authorize/:id': updated('OS-OAUTH1:request_token'),
  'POST /v3/OS-OAUTH1/access_token': created('OS-OAUTH1:access_token'),
  'DELETE /v3/users/:userId/OS-OAUTH1/access_tokens/:id': deleted('OS-OAUTH1:access_token'),
  'DELETE /v3/auth/tokens': { operation: 'revoked', resource: 'token', ofToken: true },
  'POST /v3/OS-SWIFTLET/access_key': {
    operation: 'read',
    resource: 'credential',
    idField: 'access',
  },
  'POST /v3/OS-SWIFTLET/iam': { operation: 'updated', resource: 'iam', idField: 'action' },
  'POST /v3/OS-SWIFTLET/accounts_of_emails': { operation: 'read', resource: 'user' },
  [`POST ${STORE_USERS}`]: created('user'),
  [`DELETE ${STORE_USERS}/:name`]: deleted('user', 'name'),
  [`PUT ${STORE_USERS}/:name/key`]: updated('user', 'name'),
}

/** Calls that sign somebody in, or say who has signed a request. */
const SIGN_INS = ['POST /v3/auth/tokens', 'POST /v3/ec2tokens', 'POST /v3/s3tokens']

/** A role given or taken away. */
export interface AuditedGrant {
  readonly kind: 'role-assignment'
  readonly operation: 'created' | 'deleted'
  readonly actor: 'user' | 'group'
  readonly target: 'project' | 'domain' | 'system'
  readonly inherited: boolean
}

export type AuditKind =
  | { readonly kind: 'authenticate' }
  | AuditedGrant
  | { readonly kind: 'resource'; readonly call: AuditedCall }

/** How a call is audited; null if it is not: it changes nothing. */
export function auditKindOf(route: {
  readonly method: string
  readonly path: string
}): AuditKind | null {
  const { method, path } = route
  const name = `${method} ${path}`
  if (SIGN_INS.includes(name)) return { kind: 'authenticate' }
  if (/\/policies\/:\w+\/OS-ENDPOINT-POLICY\//.test(path) && method !== 'GET') {
    const param = /\/policies\/:(\w+)/.exec(path)![1]!
    return { kind: 'resource', call: updated('policy', param) }
  }
  if (path.includes('/:actorId/roles/:roleId')) return grantOf(method, path)
  const call = CALLS[name]
  return call === undefined ? null : { kind: 'resource', call }
}

function grantOf(method: string, path: string): AuditedGrant | null {
  if (method === 'GET') return null
  return {
    kind: 'role-assignment',
    operation: method === 'PUT' ? 'created' : 'deleted',
    actor: path.includes('/users/') ? 'user' : 'group',
    target: path.includes('/projects/')
      ? 'project'
      : path.includes('/domains/')
        ? 'domain'
        : 'system',
    inherited: path.endsWith('/inherited_to_projects'),
  }
}
