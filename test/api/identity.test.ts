import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { text as readText } from 'node:stream/consumers'
import t from 'tap'
import { ADMIN_PASSWORD, IdentityRig } from '../support/identity-rig.ts'

const rig = await IdentityRig.start()
t.teardown(() => rig.close())

const IN_DEFAULT = { domain: { id: 'default' } }
const ADMIN_PROJECT = { project: { name: 'admin', ...IN_DEFAULT } }

t.test('signing in gives a token with scope, roles and catalog', async (t) => {
  const answer = await rig.signIn(ADMIN_PROJECT)
  t.equal(answer.status, 201)
  const { token } = answer.body
  t.match(token, {
    methods: ['password'],
    user: { name: 'admin', domain: { id: 'default', name: 'Default' }, password_expires_at: null },
    project: { name: 'admin', domain: { id: 'default', name: 'Default' } },
    is_domain: false,
  })
  const names = token.roles.map((role: { name: string }) => role.name)
  const implied = ['manager', 'member', 'reader']
  t.strictSame(names, ['ResellerAdmin', 'admin', ...implied], 'with the implied roles')
  t.match(token.issued_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}000Z$/)
  const store = token.catalog.find(({ type }: { type: string }) => type === 'object-store')
  t.equal(store.endpoints.length, 3)
  t.equal(store.endpoints[0].url, `http://127.0.0.1:8080/v1/AUTH_${token.project.id}`)
  const plain = await rig.signIn('unscoped')
  t.notOk('roles' in plain.body.token || 'catalog' in plain.body.token)
  t.strictSame((await rig.signIn({ system: { all: true } })).body.token.system, { all: true })
})

t.test('a catalog may name the host that the client has reached', async (t) => {
  const { body } = await rig.call('GET', '/v3/services?type=object-store')
  const service = body.services[0].id
  const url = 'http://$(request_host)s:8080/v1/AUTH_$(project_id)s'
  const made = await rig.call('POST', '/v3/endpoints', {
    body: { endpoint: { service_id: service, interface: 'public', region_id: 'RegionOne', url } },
  })
  t.match(made, { status: 201, body: { endpoint: { url } } })
  t.teardown(() => rig.call('DELETE', `/v3/endpoints/${made.body.endpoint.id}`))
  const token = await rig.token(ADMIN_PROJECT)
  const urlFor = async (host: string) => {
    const headers = { Host: host, 'X-Auth-Token': token }
    const [answer] = await once(get(`${rig.url}/v3/auth/catalog`, { headers }), 'response')
    const { catalog } = JSON.parse(await readText(answer as IncomingMessage))
    const store = catalog.find(({ type }: { type: string }) => type === 'object-store')
    return store.endpoints.find(({ id }: { id: string }) => id === made.body.endpoint.id).url
  }
  for (const [host, name] of [
    ['cloud.example.org', 'cloud.example.org'],
    ['192.0.2.7:5000', '192.0.2.7'],
    ['[2001:db8::7]:5000', '[2001:db8::7]'],
  ] as const) {
    const shown = (await urlFor(host)).replace(/[0-9a-f]{32}$/, 'ID')
    t.equal(shown, `http://${name}:8080/v1/AUTH_ID`)
  }
})

t.test('who cannot prove it is refused alike', async (t) => {
  const refused = { status: 401, body: { error: { code: 401, title: 'Unauthorized' } } }
  const user = { name: 'admin', ...IN_DEFAULT, password: ADMIN_PASSWORD }
  for (const wrong of [
    { ...user, password: 'wrong' },
    { ...user, name: 'nobody' },
    { ...user, domain: { id: 'elsewhere' } },
    { id: 'x', password: ADMIN_PASSWORD },
  ]) {
    const answer = await rig.signIn(ADMIN_PROJECT, wrong)
    t.match(answer, refused)
    t.match(answer.headers.get('www-authenticate'), /^Keystone uri="http:/)
  }
  t.match(await rig.signIn({ project: { id: 'none' } }), refused)
  t.match(await rig.signIn({ domain: { id: 'default' } }), refused, 'no role there')
  for (const auth of [undefined, {}, { identity: {} }, { identity: { methods: ['password'] } }]) {
    t.match(await rig.call('POST', '/v3/auth/tokens', { body: { auth }, token: null }), {
      status: 400,
    })
  }
  t.match(await rig.call('POST', '/v3/auth/tokens', { body: '{', token: null }), { status: 400 })
})

t.test('resources are made, shown, changed and deleted', async (t) => {
  const made = await rig.call('POST', '/v3/projects', {
    body: { project: { name: 'p1', color: 'red' } },
  })
  t.equal(made.status, 201)
  const { id } = made.body.project
  t.match(made.body.project, {
    name: 'p1',
    color: 'red',
    domain_id: 'default',
    parent_id: 'default',
    enabled: true,
    links: { self: `${rig.url}/v3/projects/${id}` },
  })
  t.match(await rig.call('POST', '/v3/projects', { body: { project: { name: 'p1' } } }), {
    status: 409,
  })
  t.match(await rig.call('GET', '/v3/projects/p1'), { status: 404 }, 'a name is no id')
  const found = await rig.call('GET', '/v3/projects?name=p1')
  t.strictSame(
    found.body.projects.map((row: { id: string }) => row.id),
    [id],
  )
  const changed = await rig.call('PATCH', `/v3/projects/${id}`, {
    body: { project: { enabled: false } },
  })
  t.match(changed, { status: 200, body: { project: { enabled: false, color: 'red' } } })
  t.match(await rig.call('DELETE', `/v3/projects/${id}`), { status: 204, body: null })
  t.match(await rig.call('GET', `/v3/projects/${id}`), { status: 404 })
})

t.test('grants give roles and taking them away voids tokens', async (t) => {
  const post = async (path: string, body: unknown) => (await rig.call('POST', path, { body })).body
  const { project } = await post('/v3/projects', { project: { name: 'granted' } })
  const { user } = await post('/v3/users', { user: { name: 'ann', password: 'secret of ann' } })
  const roles = (await rig.call('GET', '/v3/roles?name=member')).body.roles
  const grant = `/v3/projects/${project.id}/users/${user.id}/roles/${roles[0].id}`
  const who = { id: user.id, password: 'secret of ann' }
  t.match(await rig.signIn({ project: { id: project.id } }, who), { status: 401 })
  t.match(await rig.call('PUT', grant), { status: 204 })
  t.match(await rig.call('HEAD', grant), { status: 204 })
  const token = await rig.token({ project: { id: project.id } }, who)
  t.match(await rig.call('GET', `/v3/projects/${project.id}`, { token }), { status: 200 })
  t.match(await rig.call('GET', '/v3/users', { token }), { status: 403 })
  t.match(await rig.call('GET', '/v3/auth/projects', { token }), {
    body: { projects: [{ id: project.id }] },
  })
  t.match(await rig.call('DELETE', grant), { status: 204 })
  t.match(await rig.call('GET', `/v3/projects/${project.id}`, { token }), { status: 401 })
  const bare = await rig.token(undefined, who)
  await rig.call('PATCH', `/v3/users/${user.id}`, { body: { user: { enabled: false } } })
  t.match(await rig.call('GET', `/v3/users/${user.id}`, { token: bare }), { status: 401 })
})

t.test('a token is shown to whom it belongs, and can be given back', async (t) => {
  const token = await rig.token(ADMIN_PROJECT)
  const subject = { headers: { 'X-Subject-Token': token } }
  t.match(await rig.call('GET', '/v3/auth/tokens', subject), {
    status: 200,
    body: { token: { user: { name: 'admin' } } },
  })
  t.match(await rig.call('HEAD', '/v3/auth/tokens', subject), { status: 200, body: null })
  t.match(await rig.call('DELETE', '/v3/auth/tokens', subject), { status: 204 })
  t.match(await rig.call('GET', '/v3/auth/tokens', subject), { status: 404 })
  t.match(await rig.call('GET', '/v3/projects', { token }), { status: 401 })
})

t.test('what is not there says so', async (t) => {
  t.match(await rig.call('GET', '/v3/nothing'), { status: 404, body: { error: { code: 404 } } })
  t.match(await rig.call('PUT', '/v3/projects'), { status: 405 })
  t.match(await rig.call('GET', '/', { token: null }), { status: 300 })
  t.match(await rig.call('GET', '/v3', { token: null }), {
    body: { version: { status: 'stable' } },
  })
})
