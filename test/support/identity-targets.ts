import type { IdentityPeople, Person } from './identity-people.ts'
import type { IdentityRig } from './identity-rig.ts'

/** One thing of each kind, all of one company's project: what calls are made on. */
export interface Target {
  readonly domain: string
  readonly project: string
  readonly owner: Person
  /** A token of the owner for the project. */
  readonly token: string
  /** By the part of a path before the id: `projects`, `users`, … */
  readonly ids: Readonly<Record<string, string>>
}

/** Makes a user with one of everything on a project. */
export async function makeTarget(
  { rig, people }: { readonly rig: IdentityRig; readonly people: IdentityPeople },
  where: { readonly name: string; readonly domain: string; readonly project: string },
): Promise<Target> {
  const { name, domain, project } = where
  const owner = await people.user(`owner of ${name}`, domain)
  await people.grant(owner, 'member', `projects/${project}`)
  const group = await people.make('group', { name: `group of ${name}`, domain_id: domain })
  const role = await people.make('role', { name: `role of ${name}`, domain_id: domain })
  const token = await people.token(owner, { project: { id: project } })
  const post = async (path: string, body: unknown, by?: string) => {
    const answer = await rig.call('POST', path, { body, ...(by !== undefined && { token: by }) })
    if (answer.status !== 201) throw new Error(`${path}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  const made = await post(
    `/v3/users/${owner.id}/application_credentials`,
    {
      application_credential: {
        name: 'program',
        access_rules: [{ service: 'identity', path: '/v3', method: 'GET' }],
      },
    },
    token,
  )
  const app = made.application_credential
  const ec2 = await post(`/v3/users/${owner.id}/credentials/OS-EC2`, { tenant_id: project }, token)
  const kept = await post(
    '/v3/credentials',
    { credential: { type: 'cert', blob: `secret of ${name}`, user_id: owner.id } },
    token,
  )
  const given = await post(
    '/v3/OS-TRUST/trusts',
    {
      trust: {
        trustor_user_id: owner.id,
        trustee_user_id: owner.id,
        project_id: project,
        impersonation: false,
        roles: [{ name: 'reader' }],
      },
    },
    token,
  )
  const limit = await post('/v3/limits', {
    limits: [
      {
        project_id: project,
        service_id: await serviceId(rig),
        resource_name: 'bytes',
        resource_limit: 1,
      },
    ],
  })
  await rig.call('PUT', `/v3/projects/${project}/tags/blue`)
  return {
    domain,
    project,
    owner,
    token,
    ids: {
      domains: domain,
      projects: project,
      users: owner.id,
      groups: group,
      roles: role,
      application_credentials: app.id,
      access_rules: app.access_rules[0].id,
      'OS-EC2': ec2.credential.access,
      credentials: kept.credential.id,
      trusts: given.trust.id,
      limits: limit.limits[0].id,
      tags: 'blue',
    },
  }
}

/** The id of the object store's service, with a limit for all of it. */
export async function serviceId(rig: IdentityRig): Promise<string> {
  const { services } = (await rig.call('GET', '/v3/services?type=object-store')).body
  const [{ id }] = services
  await rig.call('POST', '/v3/registered_limits', {
    body: { registered_limits: [{ service_id: id, resource_name: 'bytes', default_limit: 10 }] },
  })
  return id
}

/** A path with the ids of a target in its named parts; what it has not is called `x`. */
export function pathFor(route: string, ids: Readonly<Record<string, string>>): string {
  const parts = route.split('/')
  const filled = parts.map((part, index) => {
    if (!part.startsWith(':') && !part.startsWith('*')) return part
    const kind = parts[index - 1] === 'implies' ? 'roles' : parts[index - 1]!
    return encodeURIComponent(Object.hasOwn(ids, kind) ? ids[kind]! : 'x')
  })
  return filled.join('/')
}

/** Bodies that would be good, by the last word of a route's path; `{}` for others. */
export function bodyFor(route: string, { domain, project, owner, ids }: Target): unknown {
  const words = route.split('/').filter((part) => !/^[:*]/.test(part))
  const bodies: Readonly<Record<string, unknown>> = {
    domains: { domain: { name: 'made', enabled: false } },
    projects: { project: { name: 'made', domain_id: domain } },
    users: { user: { name: 'made', domain_id: domain, password: 'made by another' } },
    groups: { group: { name: 'made', domain_id: domain } },
    roles: { role: { name: 'made' } },
    regions: { region: { description: 'made' } },
    services: { service: { type: 'made' } },
    endpoints: { endpoint: { url: 'http://127.0.0.1/made' } },
    tags: { tags: ['made'] },
    credentials: { credential: { type: 'cert', blob: 'made', user_id: owner.id } },
    'OS-EC2': { tenant_id: project },
    application_credentials: { application_credential: { name: 'made' } },
    trusts: {
      trust: {
        trustor_user_id: owner.id,
        trustee_user_id: owner.id,
        project_id: project,
        impersonation: true,
        roles: [{ name: 'reader' }],
      },
    },
    limits: { limits: [{ project_id: project }], limit: { resource_limit: 99 } },
    registered_limits: { registered_limits: [{}], registered_limit: { default_limit: 99 } },
    policies: { policy: { type: 'made', blob: 'made' } },
    endpoint_groups: { endpoint_group: { name: 'made', filters: { interface: 'public' } } },
    consumers: { consumer: { description: 'made' } },
    password: { user: { original_password: 'wrong', password: 'made' } },
    authorize: { roles: [{ id: ids.roles }] },
  }
  return bodies[words.at(-1) ?? ''] ?? {}
}
