import t from 'tap'
import { silentLog } from '../../common/log.ts'
import { IdentityPeople } from '../support/identity-people.ts'
import { IdentityRig } from '../support/identity-rig.ts'
import { MovedClock } from '../support/moved-clock.ts'

const clock = new MovedClock()
const troubles: string[] = []
const log = { ...silentLog, error: (event: string) => void troubles.push(event) }
const rig = await IdentityRig.start({ clock, log, settings: { limitModel: 'strict_two_level' } })
t.teardown(() => rig.close())
const people = new IdentityPeople(rig)

const domain = await people.domain('company')
const project = await people.project('inside', domain)
const other = await people.project('other')
const ann = await people.user('ann')
await people.grant(ann, 'member', `projects/${project}`)
const services = (await rig.call('GET', '/v3/services')).body.services
const idOf = (type: string): string =>
  services.find((row: { type: string }) => row.type === type).id
const store = idOf('object-store')

const post = (path: string, body: unknown, token?: string) =>
  rig.call('POST', path, { body, ...(token !== undefined && { token }) })
const patch = (path: string, body: unknown) => rig.call('PATCH', path, { body })

t.test('registered limits are for all, limits for one project or domain', async (t) => {
  const resource = { service_id: store, resource_name: 'bytes' }
  const REGISTERED = '/v3/registered_limits'
  const registered = (value: unknown) => post(REGISTERED, { registered_limits: value })
  const made = await registered([
    { ...resource, default_limit: 10, description: 'all of them' },
    { ...resource, resource_name: 'objects', default_limit: -1, region_id: 'RegionOne' },
  ])
  t.match(made, { status: 201, body: { registered_limits: [{ region_id: null }, {}] } })
  const [bytes, objects] = made.body.registered_limits
  const cases: readonly (readonly [unknown, number])[] = [
    [undefined, 400],
    [[], 400],
    [{}, 400],
    [[{ ...resource }], 400],
    [[{ ...resource, default_limit: 'x' }], 400],
    [[{ ...resource, default_limit: -2 }], 400],
    [[{ ...resource, default_limit: 2 ** 31 }], 400],
    [[{ ...resource, default_limit: 1.5 }], 400],
    [[{ ...resource, default_limit: 1, color: 'red' }], 400],
    [[{ ...resource, default_limit: 1, service_id: 'none' }], 400],
    [[{ ...resource, default_limit: 1, region_id: 'none' }], 400],
    [[{ ...resource, default_limit: 1 }], 409],
    [
      [
        { ...resource, resource_name: 'x', default_limit: 1 },
        { ...resource, default_limit: 1 },
      ],
      409,
    ],
  ]
  for (const [value, status] of cases) t.match(await registered(value), { status })
  t.equal((await rig.call('GET', REGISTERED)).body.registered_limits.length, 2, 'all or nothing')
  t.match(await rig.call('GET', `${REGISTERED}?resource_name=bytes`), {
    body: { registered_limits: [{ id: bytes.id }] },
  })
  const one = `${REGISTERED}/${bytes.id}`
  t.match(await patch(one, { registered_limit: { default_limit: 100 } }), {
    body: { registered_limit: { default_limit: 100 } },
  })
  t.match(await patch(one, { registered_limit: { resource_name: 'x', service_id: 'none' } }), {
    status: 400,
  })
  t.match(await patch(one, { registered_limit: {} }), { status: 400 })

  const limit = (value: unknown) => post('/v3/limits', { limits: value })
  const mine = { ...resource, project_id: project, resource_limit: 50 }
  const bad: readonly (readonly [unknown, number])[] = [
    [[{ ...mine, project_id: 'none' }], 400],
    [[{ ...mine, domain_id: domain }], 400],
    [[{ ...mine, project_id: undefined }], 400],
    [[{ ...mine, resource_name: 'unheard of' }], 403],
    [[{ ...mine, resource_limit: 101 }], 403],
    [[{ ...mine, resource_limit: -1 }], 403],
    [[{ ...mine, resource_limit: null }], 400],
    [[mine, mine], 409],
  ]
  for (const [value, status] of bad) t.match(await limit(value), { status }, JSON.stringify(value))
  const both = await limit([mine, { ...resource, domain_id: domain, resource_limit: 60 }])
  t.match(both, { status: 201, body: { limits: [{ project_id: project }, { domain_id: domain }] } })
  const [ofProject, ofDomain] = both.body.limits
  const change = (id: string, resource_limit: number) =>
    patch(`/v3/limits/${id}`, { limit: { resource_limit } })
  t.match(await change(ofProject.id, 61), { status: 403 }, 'not more than the domain')
  t.match(await change(ofDomain.id, 49), { status: 403 }, 'nor the domain less')
  t.match(await change(ofDomain.id, -1), { status: 200 })
  t.match(await change(ofProject.id, 1000), { status: 200 })
  t.match(await rig.call('DELETE', one), { status: 403 }, 'in use')
  t.match(await patch(one, { registered_limit: { default_limit: 1 } }), { status: 403 })
  t.match(await rig.call('GET', '/v3/limits/model'), {
    body: { model: { name: 'strict_two_level' } },
  })
  const annToken = await people.token(ann, { project: { id: project } })
  t.match(await rig.call('GET', '/v3/limits', { token: annToken }), {
    body: { limits: [{ id: ofProject.id }] },
  })
  t.equal((await rig.call('GET', '/v3/limits', { token: annToken })).body.limits.length, 1)
  t.match(await rig.call('GET', `/v3/limits/${ofProject.id}`, { token: annToken }), { status: 200 })
  t.match(await rig.call('GET', `/v3/limits/${ofDomain.id}`, { token: annToken }), { status: 403 })
  t.match(await rig.call('DELETE', '/v3/regions/RegionOne'), { status: 403 })
  t.match(await post('/v3/projects', { project: { name: 'deep', parent_id: project } }), {
    status: 403,
  })
  t.match(await rig.call('DELETE', `${REGISTERED}/${objects.id}`), { status: 204 })
  await rig.call('DELETE', `/v3/projects/${project}`)
  t.match(await rig.call('GET', `/v3/limits/${ofProject.id}`), { status: 404 })
  await patch(`/v3/domains/${domain}`, { domain: { enabled: false } })
  await rig.call('DELETE', `/v3/domains/${domain}`)
  t.match(await rig.call('GET', `/v3/limits/${ofDomain.id}`), { status: 404 })
  t.match(await rig.call('DELETE', one), { status: 204 })
})

t.test('policies are kept, and are for endpoints, services and regions', async (t) => {
  const made = await post('/v3/policies', { policy: { type: 'json', blob: '{}', color: 'red' } })
  t.match(made, { status: 201, body: { policy: { type: 'json', blob: '{}', color: 'red' } } })
  for (const policy of [{ type: 'x' }, { blob: 'x' }, { type: 7, blob: 'x' }, null]) {
    t.match(await post('/v3/policies', { policy }), { status: 400 })
  }
  const path = `/v3/policies/${made.body.policy.id}`
  t.match(await patch(path, { policy: { blob: '[]' } }), { body: { policy: { blob: '[]' } } })
  t.match(await patch(path, { policy: { id: 'x', blob: '' } }), { status: 400 })
  t.equal((await rig.call('GET', '/v3/policies?type=none')).body.policies.length, 0)
  const second = (await post('/v3/policies', { policy: { type: 'json', blob: 'two' } })).body.policy
  const endpoints = (await rig.call('GET', `/v3/endpoints?service_id=${store}`)).body.endpoints
  const [first] = endpoints
  const of = (id: string) => `/v3/endpoints/${id}/OS-ENDPOINT-POLICY/policy`
  t.match(await rig.call('GET', of(first.id)), { status: 404 })
  const base = (id: string) => `/v3/policies/${id}/OS-ENDPOINT-POLICY`
  const places = [
    `services/${store}`,
    `services/${store}/regions/RegionOne`,
    `endpoints/${first.id}`,
  ]
  for (const [index, place] of places.entries()) {
    const id = index % 2 === 0 ? made.body.policy.id : second.id
    t.match(await rig.call('PUT', `${base(id)}/${place}`), { status: 204 })
    t.match(await rig.call('GET', `${base(id)}/${place}`), { status: 204 })
    t.match(await rig.call('GET', of(first.id)), { body: { policy: { id } } }, 'the nearest counts')
  }
  t.match(await rig.call('GET', `${base(second.id)}/${places[0]}`), { status: 404 })
  t.match(await rig.call('PUT', `${base(second.id)}/services/none`), { status: 404 })
  const listed = (await rig.call('GET', `${base(second.id)}/endpoints`)).body.endpoints
  t.equal(listed.length, endpoints.length)
  t.match(await rig.call('DELETE', `${base(made.body.policy.id)}/${places[2]}`), { status: 204 })
  t.match(await rig.call('GET', of(first.id)), { body: { policy: { id: second.id } } })
  await rig.call('DELETE', `/v3/policies/${second.id}`)
  t.match(await rig.call('GET', of(first.id)), { body: { policy: { id: made.body.policy.id } } })
  t.match(await rig.call('DELETE', path), { status: 204 })
  t.match(await rig.call('GET', of(first.id)), { status: 404 })
})

t.test('a project with endpoints of its own sees these alone', async (t) => {
  const EP = '/v3/OS-EP-FILTER'
  const kay = await people.user('kay')
  await people.grant(kay, 'member', `projects/${other}`)
  const catalog = async () => {
    const answer = await rig.signIn(
      { project: { id: other } },
      { id: kay.id, password: kay.password },
    )
    return answer.body.token.catalog.flatMap((entry: { endpoints: { id: string }[] }) =>
      entry.endpoints.map(({ id }) => id),
    )
  }
  const all = await catalog()
  t.equal(all.length, 6)
  const [one] = all
  const path = `${EP}/projects/${other}/endpoints/${one}`
  t.match(await rig.call('PUT', path), { status: 204 })
  t.match(await rig.call('PUT', path), { status: 409 })
  t.match(await rig.call('GET', path), { status: 204 })
  t.strictSame(await catalog(), [one])
  t.match(await rig.call('PUT', `${EP}/projects/none/endpoints/${one}`), { status: 404 })
  t.match(await rig.call('GET', `${EP}/endpoints/${one}/projects`), {
    body: { projects: [{ id: other }] },
  })
  const group = { name: 'public ones', filters: { interface: 'public' } }
  const made = await post(`${EP}/endpoint_groups`, { endpoint_group: group })
  t.match(made, { status: 201, body: { endpoint_group: group } })
  for (const bad of [
    { name: 'x' },
    { ...group, filters: {} },
    { ...group, filters: { color: 'red' } },
    { ...group, filters: 'x' },
    { ...group, name: '' },
  ]) {
    t.match(await post(`${EP}/endpoint_groups`, { endpoint_group: bad }), { status: 400 })
  }
  const { id } = made.body.endpoint_group
  const joined = `${EP}/endpoint_groups/${id}/projects/${other}`
  t.match(await rig.call('GET', joined), { status: 404 })
  t.match(await rig.call('PUT', joined), { status: 204 })
  t.match(await rig.call('PUT', joined), { status: 409 })
  t.match(await rig.call('GET', joined), {
    body: { project_endpoint_group: { project_id: other, endpoint_group_id: id } },
  })
  t.match(await rig.call('GET', `${EP}/endpoint_groups/${id}/projects`), {
    body: { projects: [{ id: other }] },
  })
  t.equal((await rig.call('GET', `${EP}/endpoint_groups/${id}/endpoints`)).body.endpoints.length, 2)
  t.match(await rig.call('GET', `${EP}/projects/${other}/endpoint_groups`), {
    body: { endpoint_groups: [{ id }] },
  })
  const seen = await catalog()
  t.ok(seen.length === 2 || seen.length === 3, 'those of the group with the one')
  t.equal(
    (await rig.call('GET', `${EP}/projects/${other}/endpoints`)).body.endpoints.length,
    seen.length,
  )
  t.match(
    await patch(`${EP}/endpoint_groups/${id}`, {
      endpoint_group: { filters: { region_id: 'none' } },
    }),
    {
      status: 200,
    },
  )
  t.strictSame(await catalog(), [one])
  t.match(await rig.call('DELETE', path), { status: 204 })
  t.match(await rig.call('DELETE', path), { status: 404 })
  t.strictSame(await catalog(), [])
  t.match(await rig.call('DELETE', `${EP}/endpoint_groups/${id}`), { status: 204 })
  t.equal((await catalog()).length, 6)
})

t.test('a tree of projects goes at once, if none of it must stay', async (t) => {
  const flat = await IdentityRig.start()
  t.teardown(() => flat.close())
  const there = new IdentityPeople(flat)
  const [top, stays] = [await there.project('top'), await there.project('stays')]
  const middle = await there.project('middle', 'default', top)
  const leaf = await there.project('leaf', 'default', middle)
  t.match(await flat.call('DELETE', `/v3/projects/${top}`), { status: 403 })
  t.match(await flat.call('DELETE', `/v3/projects/${top}?cascade`), { status: 403 }, 'enabled')
  const set = (id: string, values: unknown) =>
    flat.call('PATCH', `/v3/projects/${id}`, { body: { project: values } })
  await set(leaf, { enabled: false })
  await set(middle, { enabled: false })
  await set(leaf, { options: { immutable: true } })
  t.match(await flat.call('DELETE', `/v3/projects/${top}?cascade`), { status: 403 }, 'immutable')
  t.match(await flat.call('GET', `/v3/projects/${middle}`), { status: 200 }, 'nothing is half done')
  await set(leaf, { options: { immutable: null } })
  t.match(await flat.call('DELETE', `/v3/projects/${top}?cascade`), { status: 204 })
  t.match(await flat.call('GET', `/v3/projects/${leaf}`), { status: 404 })
  t.match(await flat.call('GET', `/v3/projects/${stays}`), { status: 200 })
})

t.test('the directory of the API names what is there', async (t) => {
  const home = (path: string, Accept: string) =>
    rig.call('GET', path, { token: null, headers: { Accept } })
  const answer = await home('/v3', 'application/json-home')
  t.equal(answer.headers.get('content-type'), 'application/json-home')
  const base = 'https://docs.openstack.org/api/openstack-identity/3'
  t.strictSame(answer.body.resources[`${base}/rel/user`], {
    'href-template': '/users/{user_id}',
    'href-vars': { user_id: `${base}/param/user_id` },
  })
  t.strictSame(answer.body.resources[`${base}/ext/OS-TRUST/1.0/rel/trusts`], {
    href: '/OS-TRUST/trusts',
  })
  t.match(answer.body.resources[`${base}/rel/limits`], { hints: { status: 'experimental' } })
  t.notMatch(JSON.stringify(answer.body), /FEDERATION/)
  const root = await home('/', 'application/json;q=0.5, application/json-home')
  t.match(root.body.resources[`${base}/rel/users`], { href: '/v3/users' })
  t.match(await home('/v3', 'application/json-home;q=0.2, application/json'), {
    body: { version: { id: /^v3/ } },
  })
  t.match(await home('/v3', '*/*'), { body: { version: {} } })
})

t.test('what is not built, or no more, says so', async (t) => {
  for (const path of ['/v3/OS-FEDERATION/identity_providers', '/v3/OS-FEDERATION/saml2/metadata']) {
    t.match(await rig.call('GET', path), { status: 501, body: { error: { code: 501 } } })
  }
  t.match(await rig.call('POST', '/v3/auth/OS-FEDERATION/saml2'), { status: 501 })
  t.match(await rig.call('PUT', '/v3/OS-FEDERATION/mappings/x', { body: {} }), { status: 501 })
  t.strictSame(troubles, [], 'which is no trouble of the service')
  for (const path of ['ca', 'certificates']) {
    t.match(await rig.call('GET', `/v3/OS-SIMPLE-CERT/${path}`), {
      status: 410,
      body: { error: { title: 'Gone' } },
    })
  }
})

t.test(
  'who does not sign in for long is switched off, but for whom it is not to count',
  async (t) => {
    const security = {
      ...rig.service.parts.settings.security,
      disableUserAccountDaysInactive: 30,
    }
    const strict = await IdentityRig.start({ clock, settings: { security } })
    t.teardown(() => strict.close())
    const there = new IdentityPeople(strict)
    const [lee, mia] = [await there.user('lee'), await there.user('mia')]
    const user = (id: string, values: unknown) =>
      strict.call('PATCH', `/v3/users/${id}`, { body: { user: values } })
    await user(mia.id, { options: { ignore_user_inactivity: true } })
    for (const one of [lee, mia]) await there.token(one, 'unscoped')
    clock.move(29 * 24 * 3600_000)
    await there.token(lee, 'unscoped')
    clock.move(31 * 24 * 3600_000)
    const signIn = ({ id, password }: typeof lee) => strict.signIn('unscoped', { id, password })
    t.match(await signIn(lee), { status: 401 })
    t.match(await signIn(mia), { status: 201 })
    const admin = await strict
      .token({ project: { name: 'admin', domain: { id: 'default' } } })
      .catch(() => null)
    t.equal(admin, null, 'administrators too')
    t.teardown(() => clock.move(-60 * 24 * 3600_000))
  },
)
