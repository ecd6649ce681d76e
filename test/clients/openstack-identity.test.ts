/** The openstack client drives the identity service: what there is of each resource is made, shown, changed and deleted. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { missing } from '../support/client-tree.ts'
import {
  adminEnvironment,
  type IdentityProcess,
  startIdentity,
} from '../support/identity-process.ts'
import { OpenstackShell } from '../support/openstack-shell.ts'

const skip = missing('openstack')
const timeout = 120_000
const work = t.testdir()
let identity: IdentityProcess
let shell: OpenstackShell
/** Knows the cloud but no user. */
let bare: OpenstackShell

t.before(async () => {
  if (skip !== false) return
  identity = await startIdentity({ folder: work })
  shell = new OpenstackShell(adminEnvironment(identity))
  bare = new OpenstackShell({ OS_AUTH_URL: `${identity.url}/v3`, OS_IDENTITY_API_VERSION: '3' })
})
t.teardown(async () => {
  if (skip !== false) return
  await shell.close()
  await bare.close()
  await identity.stop()
})

/** A file with such text, for commands that read one. */
function fileOf(name: string, text: string): string {
  const path = join(work, name)
  writeFileSync(path, text)
  return path
}

/** What makes a command somebody else's. */
function signedInAs(name: string, password: string, project: string): readonly string[] {
  return ['--os-username', name, '--os-password', password, '--os-project-name', project]
}

t.test('domains', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const made = await os.json('domain', 'create', '--description', 'of one company', 'acme')
  t.match(made, { name: 'acme', description: 'of one company', enabled: true })
  await os.fails(/Conflict occurred.*HTTP 409/, 'domain', 'create', 'acme')
  t.match(await os.json('domain', 'create', '--or-show', 'acme'), { id: made.id })
  t.match(await os.json('domain', 'show', 'acme'), { id: made.id }, 'found by name')
  await os.fails(/enabled, please disable it first/, 'domain', 'delete', 'acme')
  await os.ok('domain', 'set', '--name', 'acme2', '--disable', made.id)
  t.match(await os.json('domain', 'show', made.id), { name: 'acme2', enabled: false })
  t.ok((await os.column('Name', 'domain', 'list')).includes('acme2'))
  await os.ok('domain', 'delete', 'acme2')
  await os.fails(/No domain with a name or ID of 'acme2' exists/, 'domain', 'show', 'acme2')
  await os.fails(/Cannot delete the default domain|immutable/, 'domain', 'delete', 'default')
})

t.test('projects', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const parent = await os.json('project', 'create', '--tag', 'blue', '--property', 'k=v', 'top')
  t.match(parent, { name: 'top', domain_id: 'default', tags: ['blue'], k: 'v', is_domain: false })
  const child = await os.json('project', 'create', '--parent', 'top', '--disable', 'below')
  t.match(child, { parent_id: parent.id, enabled: false })
  const shown = await os.json('project', 'show', '--parents', 'below')
  t.match(shown, { parents: { [parent.id]: { default: null } } })
  t.match(await os.json('project', 'show', '--children', 'top'), {
    subtree: { [child.id]: null },
  })
  await os.ok('project', 'set', '--tag', 'red', '--description', 'changed', '--enable', 'below')
  t.match(await os.json('project', 'show', 'below'), { description: 'changed', tags: ['red'] })
  t.strictSame(await os.column('Name', 'project', 'list', '--tags', 'blue'), ['top'])
  t.strictSame(await os.column('Name', 'project', 'list', '--parent', 'top'), ['below'])
  t.ok((await os.column('Domain ID', 'project', 'list', '--long')).includes('default'))
  await os.ok('project', 'set', '--immutable', 'below')
  await os.fails(/Unable to delete immutable project/, 'project', 'delete', 'below')
  await os.ok('project', 'set', '--no-immutable', 'below')
  await os.fails(/not a leaf in the hierarchy/, 'project', 'delete', 'top')
  await os.ok('project', 'delete', 'below', 'top')
  await os.fails(/No project with a name or ID of 'top' exists/, 'project', 'show', 'top')
})

t.test('users and their passwords', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const make = ['user', 'create', '--password', 'first pass', '--email', 'ann@acme.example']
  const ann = await os.json(
    ...make,
    '--project',
    'admin',
    '--ignore-lockout-failure-attempts',
    'ann',
  )
  t.match(ann, {
    name: 'ann',
    email: 'ann@acme.example',
    domain_id: 'default',
    enabled: true,
    options: { ignore_lockout_failure_attempts: true },
    password_expires_at: null,
  })
  t.notOk('password' in ann)
  await os.fails(/HTTP 409/, ...make, 'ann')
  await os.ok(
    'user',
    'set',
    '--name',
    'anna',
    '--description',
    'd',
    '--email',
    'new@acme.example',
    'ann',
  )
  t.match(await os.json('user', 'show', 'anna'), { id: ann.id, email: 'new@acme.example' })
  await os.ok('role', 'add', '--user', 'anna', '--project', 'admin', 'member')
  const names = await os.column('Name', 'user', 'list', '--project', 'admin')
  t.strictSame([...names].sort(), ['admin', 'anna'])
  const [listed] = (await os.json('user', 'list', '--long', '--domain', 'default')).filter(
    (row: { Name: string }) => row.Name === 'anna',
  )
  t.match(listed, { Email: 'new@acme.example', Domain: 'default', Enabled: true })
  const first = shell.on(t, ...signedInAs('anna', 'first pass', 'admin'))
  t.match(await first.json('token', 'issue'), { user_id: ann.id })
  await first.fails(/HTTP 403/, 'user', 'list')
  await first.ok(
    'user',
    'password',
    'set',
    '--original-password',
    'first pass',
    '--password',
    'other',
  )
  await first.fails(/HTTP 401/, 'token', 'issue')
  await shell.on(t, ...signedInAs('anna', 'other', 'admin')).ok('token', 'issue')
  await os.ok('user', 'set', '--password', 'third', 'anna')
  const third = shell.on(t, ...signedInAs('anna', 'third', 'admin'))
  await third.ok('token', 'issue')
  await os.ok('user', 'set', '--disable', 'anna')
  await third.fails(/HTTP 401/, 'token', 'issue')
  await os.ok('user', 'delete', 'anna')
  await os.fails(/No user with a name or ID of 'anna' exists/, 'user', 'show', 'anna')
})

t.test('groups', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  await os.ok('user', 'create', '--password', 'x', 'bob')
  const group = await os.json('group', 'create', '--description', 'of all', 'staff')
  t.match(group, { name: 'staff', description: 'of all', domain_id: 'default' })
  t.match(await os.json('group', 'create', '--or-show', 'staff'), { id: group.id })
  await os.ok('group', 'set', '--name', 'crew', '--description', 'new', 'staff')
  t.match(await os.json('group', 'show', 'crew'), { description: 'new' })
  const contains = ['group', 'contains', 'user', 'crew', 'bob']
  t.notMatch(await os.ok(...contains), /bob in group crew/)
  await os.ok('group', 'add', 'user', 'crew', 'bob')
  t.match(await os.ok(...contains), /bob in group crew/)
  t.strictSame(await os.column('Name', 'user', 'list', '--group', 'crew'), ['bob'])
  t.strictSame(await os.column('Name', 'group', 'list', '--user', 'bob'), ['crew'])
  await os.ok('group', 'remove', 'user', 'crew', 'bob')
  t.strictSame(await os.column('Name', 'user', 'list', '--group', 'crew'), [])
  await os.ok('group', 'delete', 'crew')
  await os.ok('user', 'delete', 'bob')
  t.strictSame(await os.column('Name', 'group', 'list'), [])
})

t.test('roles and what they imply', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const role = await os.json('role', 'create', '--description', 'reads logs', 'auditor')
  t.match(role, { name: 'auditor', domain_id: null, description: 'reads logs' })
  await os.ok('role', 'set', '--name', 'log-reader', 'auditor')
  t.match(await os.json('role', 'show', 'log-reader'), { id: role.id })
  t.match(await os.json('implied', 'role', 'create', '--implied-role', 'reader', 'log-reader'), {
    prior_role: role.id,
  })
  const rules = await os.json('implied', 'role', 'list')
  t.ok(rules.some((row: Record<string, string>) => row['Prior Role Name'] === 'log-reader'))
  await os.fails(
    /HTTP 403/,
    ...['implied', 'role', 'create', '--implied-role', 'admin', 'log-reader'],
  )
  await os.ok('implied', 'role', 'delete', '--implied-role', 'reader', 'log-reader')
  await os.ok('domain', 'create', 'roled')
  await os.ok('role', 'create', '--domain', 'roled', 'local')
  t.strictSame(await os.column('Name', 'role', 'list', '--domain', 'roled'), ['local'])
  await os.ok('role', 'delete', '--domain', 'roled', 'local')
  await os.ok('domain', 'set', '--disable', 'roled')
  await os.ok('domain', 'delete', 'roled')
  await os.fails(/immutable/, 'role', 'delete', 'admin')
  await os.ok('role', 'delete', 'log-reader')
  t.strictSame(await os.column('Name', 'role', 'list'), [
    'ResellerAdmin',
    'admin',
    'manager',
    'member',
    'reader',
    'service',
  ])
})

t.test('role assignments', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  await os.ok('project', 'create', 'work')
  await os.ok('project', 'create', '--parent', 'work', 'desk')
  await os.ok('group', 'create', 'team')
  await os.ok('user', 'create', '--password', 'pw', 'eve')
  await os.ok('group', 'add', 'user', 'team', 'eve')
  const of = (...args: string[]) => os.json('role', 'assignment', 'list', '--names', ...args)
  await os.ok('role', 'add', '--user', 'eve', '--project', 'work', 'member')
  await os.ok('role', 'add', '--user', 'eve', '--project', 'work', '--inherited', 'reader')
  await os.ok('role', 'add', '--group', 'team', '--domain', 'default', 'reader')
  await os.ok('role', 'add', '--user', 'eve', '--system', 'all', 'reader')
  t.strictSame(await of('--user', 'eve', '--project', 'work', '--role', 'member'), [
    {
      Role: 'member',
      User: 'eve@Default',
      Group: '',
      Project: 'work@Default',
      Domain: '',
      System: '',
      Inherited: false,
    },
  ])
  t.match(await of('--group', 'team'), [{ Domain: 'Default', Inherited: false, Role: 'reader' }])
  t.match(await of('--system', 'all', '--user', 'eve'), [{ System: 'all', Role: 'reader' }])
  t.match(await of('--effective', '--user', 'eve', '--project', 'desk'), [
    { Role: 'reader', Inherited: true },
  ])
  const eve = shell.on(t, ...signedInAs('eve', 'pw', 'desk'))
  await eve.ok('token', 'issue')
  await eve.fails(/HTTP 403/, 'role', 'assignment', 'list', '--auth-user')
  const own = (await of('--auth-user', '--auth-project')) as readonly Record<string, unknown>[]
  t.strictSame(own.map(({ Role }) => Role).sort(), ['ResellerAdmin', 'admin'])
  t.ok(own.every(({ User, Project }) => `${User} ${Project}` === 'admin@Default admin@Default'))
  await os.ok('role', 'remove', '--user', 'eve', '--project', 'work', '--inherited', 'reader')
  await eve.fails(/HTTP 401/, 'token', 'issue')
  await os.ok('role', 'remove', '--user', 'eve', '--project', 'work', 'member')
  await os.ok('role', 'remove', '--group', 'team', '--domain', 'default', 'reader')
  await os.ok('role', 'remove', '--user', 'eve', '--system', 'all', 'reader')
  await os.fails(/HTTP 404/, 'role', 'remove', '--user', 'eve', '--system', 'all', 'reader')
  t.strictSame(await of('--user', 'eve'), [])
  await os.ok('user', 'delete', 'eve')
  await os.ok('group', 'delete', 'team')
  await os.ok('project', 'delete', 'desk', 'work')
})

t.test('services, endpoints, regions and the catalog', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const make = ['service', 'create', '--name', 'nova', '--description', 'computes', 'compute']
  t.match(await os.json(...make), { name: 'nova', type: 'compute', enabled: true })
  await os.ok('service', 'set', '--description', 'changed', 'compute')
  t.match(await os.json('service', 'show', 'nova'), { description: 'changed' })
  t.ok((await os.column('Type', 'service', 'list', '--long')).includes('compute'))
  t.match(await os.json('region', 'create', '--description', 'north', 'north'), { region: 'north' })
  await os.ok('region', 'create', '--parent-region', 'north', 'far-north')
  await os.ok('region', 'set', '--description', 'colder', 'far-north')
  t.match(await os.json('region', 'show', 'far-north'), {
    parent_region: 'north',
    description: 'colder',
  })
  t.strictSame(await os.column('Region', 'region', 'list', '--parent-region', 'north'), [
    'far-north',
  ])
  const url = 'http://127.0.0.1:8774/v2.1/$(project_id)s'
  const endpoint = await os.json('endpoint', 'create', '--region', 'north', 'nova', 'public', url)
  t.match(endpoint, { service_type: 'compute', interface: 'public', url, region_id: 'north' })
  await os.fails(/HTTP 40/, 'endpoint', 'create', 'nova', 'public', 'no url')
  t.strictSame(await os.column('ID', 'endpoint', 'list', '--service', 'nova'), [endpoint.id])
  t.strictSame(await os.column('ID', 'endpoint', 'list', '--region', 'north'), [endpoint.id])
  const catalog = await os.json('catalog', 'show', 'compute')
  t.match(catalog.endpoints, [{ interface: 'public', url: /\/v2\.1\/[0-9a-f]{32}$/ }])
  await os.ok('endpoint', 'set', '--disable', '--url', 'http://127.0.0.1:1/', endpoint.id)
  t.match(await os.json('endpoint', 'show', endpoint.id), { enabled: false })
  t.ok((await os.column('Type', 'catalog', 'list')).includes('identity'))
  await os.fails(/HTTP 403/, 'region', 'delete', 'north')
  await os.ok('endpoint', 'delete', endpoint.id)
  await os.ok('service', 'delete', 'nova')
  await os.ok('region', 'delete', 'north')
  t.strictSame(await os.column('Region', 'region', 'list'), ['RegionOne'], 'with those in it')
})

t.test('tokens and versions', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const { id } = await os.json('token', 'issue')
  const held = bare.on(t, '--os-auth-type', 'v3token', '--os-token', id)
  await held.ok('user', 'show', 'admin')
  await os.ok('token', 'revoke', id)
  await held.fails(/HTTP 401/, 'user', 'show', 'admin')
  const system = shell.on(t, '--os-system-scope', 'all', '--os-project-name', '')
  t.notOk('project_id' in (await system.json('token', 'issue')))
  t.match(await os.json('versions', 'show', '--service', 'identity'), [
    { 'Service Type': 'identity', Version: '3.14', Status: 'CURRENT' },
  ])
})

t.test('application credentials and access rules', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const rules = JSON.stringify([{ service: 'identity', method: 'GET', path: '/v3/users' }])
  const options = ['--secret', 'open sesame', '--role', 'reader', '--access-rules', rules]
  const until = ['--expiration', '2099-01-01T00:00:00']
  const name = ['application', 'credential']
  const made = await os.json(
    ...name,
    'create',
    ...options,
    ...until,
    '--description',
    'for CI',
    'ci',
  )
  t.match(made, { name: 'ci', description: 'for CI', roles: 'reader', unrestricted: false })
  t.match(made, { secret: 'open sesame', expires_at: /^2099-01-01T00:00:00/ })
  await os.fails(/HTTP 409/, ...name, 'create', 'ci')
  t.match(await os.json(...name, 'show', 'ci'), { id: made.id, name: 'ci' })
  t.strictSame(await os.column('Name', ...name, 'list'), ['ci'])
  const [rule] = await os.column('ID', 'access', 'rule', 'list')
  t.match(await os.json('access', 'rule', 'show', String(rule)), { path: '/v3/users' })
  const other = await os.json(...name, 'create', 'plain')
  t.match(other.secret, /^\S{40,}$/, 'one is made')
  const held = ['--os-auth-type', 'v3applicationcredential', '--os-application-credential-id']
  const by = (id: string, secret: string) =>
    bare.on(t, ...held, id, '--os-application-credential-secret', secret)
  const ci = by(other.id, other.secret)
  await ci.ok('token', 'issue')
  await ci.fails(/HTTP 403/, ...name, 'create', 'more')
  await by(other.id, 'wrong').fails(/HTTP 401/, 'token', 'issue')
  await os.ok(...name, 'delete', 'ci', 'plain')
  await os.ok('access', 'rule', 'delete', String(rule))
  t.strictSame(await os.column('ID', 'access', 'rule', 'list'), [])
  await ci.fails(/HTTP 40/, 'token', 'issue')
})

t.test('trusts', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  await os.ok('user', 'create', '--password', 'pw', 'helper')
  const make = ['trust', 'create', '--project', 'admin', '--role', 'member', '--impersonate']
  const made = await os.json(...make, '--expiration', '2099-01-01T00:00:00', 'admin', 'helper')
  t.match(made, { impersonation: true, roles: 'member', expires_at: /^2099-01-01/ })
  t.match(await os.json('trust', 'show', made.id), { id: made.id, deleted_at: null })
  t.strictSame(await os.column('ID', 'trust', 'list'), [made.id])
  const who = ['--os-username', 'helper', '--os-password', 'pw', '--os-user-domain-name', 'Default']
  const helper = bare.on(t, ...who, '--os-trust-id', made.id)
  const issued = await helper.json('token', 'issue')
  t.equal(issued.user_id, made.trustor_user_id, 'acts as the trustor')
  await os.ok('trust', 'delete', made.id)
  await helper.fails(/HTTP 40[134]/, 'token', 'issue')
  await os.ok('user', 'delete', 'helper')
  t.strictSame(await os.column('ID', 'trust', 'list'), [])
})

t.test('credentials', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const made = await os.json('credential', 'create', '--type', 'cert', 'admin', 'the certificate')
  t.match(made, { type: 'cert', blob: 'the certificate', project_id: null })
  const data = ['--user', 'admin', '--type', 'cert', '--data', 'another', '--project', 'admin']
  await os.ok('credential', 'set', ...data, made.id)
  t.match(await os.json('credential', 'show', made.id), { blob: 'another', type: 'cert' })
  t.strictSame(await os.column('ID', 'credential', 'list', '--type', 'cert'), [made.id])
  t.strictSame(await os.column('ID', 'credential', 'list', '--user', 'admin'), [made.id])
  await os.ok('credential', 'delete', made.id)
  t.strictSame(await os.column('ID', 'credential', 'list'), [])
})

t.test('EC2 credentials', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const made = await os.json('ec2', 'credentials', 'create')
  t.match(made, { access: /^[0-9a-f]{32}$/, secret: /^\S{20,}$/ })
  t.match(await os.json('ec2', 'credentials', 'show', made.access), { secret: made.secret })
  t.strictSame(await os.column('Access', 'ec2', 'credentials', 'list'), [made.access])
  await os.ok('ec2', 'credentials', 'delete', made.access)
  t.strictSame(await os.column('Access', 'ec2', 'credentials', 'list'), [])
})

t.test('limits', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const [service] = await os.column('ID', 'service', 'list')
  const of = ['--service', String(service)]
  const registered = await os.json(
    ...['registered', 'limit', 'create', ...of, '--default-limit', '10', 'images'],
  )
  t.match(registered, { default_limit: 10, resource_name: 'images' })
  await os.ok('registered', 'limit', 'set', '--default-limit', '20', registered.id)
  t.match(await os.json('registered', 'limit', 'show', registered.id), { default_limit: 20 })
  t.strictSame(await os.column('ID', 'registered', 'limit', 'list'), [registered.id])
  const make = ['limit', 'create', '--project', 'admin', ...of, '--resource-limit', '5', 'images']
  const limit = await os.json(...make)
  t.match(limit, { resource_limit: 5, resource_name: 'images' })
  await os.fails(/HTTP 409/, ...make)
  await os.ok('limit', 'set', '--resource-limit', '7', '--description', 'more', limit.id)
  t.match(await os.json('limit', 'show', limit.id), { resource_limit: 7, description: 'more' })
  t.strictSame(await os.column('ID', 'limit', 'list'), [limit.id])
  await os.fails(/HTTP 403/, 'registered', 'limit', 'delete', registered.id)
  await os.ok('limit', 'delete', limit.id)
  await os.ok('registered', 'limit', 'delete', registered.id)
  t.strictSame(await os.column('ID', 'registered', 'limit', 'list'), [])
})

t.test('policies and endpoint groups', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const rules = fileOf('policy.json', '{"admin_required": "role:admin"}')
  const policy = await os.json('policy', 'create', '--type', 'application/json', rules)
  t.match(policy, { type: 'application/json', rules: /admin_required/ })
  await os.ok('policy', 'set', '--type', 'text/plain', policy.id)
  t.match(await os.json('policy', 'show', policy.id), { type: 'text/plain' })
  t.strictSame(await os.column('ID', 'policy', 'list'), [policy.id])
  await os.ok('policy', 'delete', policy.id)
  t.strictSame(await os.column('ID', 'policy', 'list'), [])

  const filters = fileOf('filters.json', '{"interface": "public"}')
  const group = await os.json('endpoint', 'group', 'create', 'public-ones', filters)
  t.match(group, { name: 'public-ones', filters: { interface: 'public' } })
  await os.ok('endpoint', 'group', 'set', '--name', 'publics', group.id)
  t.match(await os.json('endpoint', 'group', 'show', 'publics'), { id: group.id })
  await os.ok('endpoint', 'group', 'add', 'project', 'publics', 'admin')
  t.strictSame(await os.column('ID', 'endpoint', 'group', 'list', '--project', 'admin'), [group.id])
  await os.ok('endpoint', 'group', 'remove', 'project', 'publics', 'admin')
  await os.ok('endpoint', 'group', 'delete', group.id)
  t.strictSame(await os.column('ID', 'endpoint', 'group', 'list'), [])

  await os.ok('project', 'create', 'filtered')
  const [endpoint] = await os.column('ID', 'endpoint', 'list')
  await os.ok('endpoint', 'add', 'project', String(endpoint), 'filtered')
  t.strictSame(await os.column('ID', 'endpoint', 'list', '--project', 'filtered'), [endpoint])
  await os.ok('endpoint', 'remove', 'project', String(endpoint), 'filtered')
  await os.ok('project', 'delete', 'filtered')
})

t.test('OAuth1', { skip, timeout }, async (t) => {
  const os = shell.on(t)
  const consumer = await os.json('consumer', 'create', '--description', 'a partner')
  t.match(consumer, { description: 'a partner', secret: /^\S{16,}$/ })
  await os.ok('consumer', 'set', '--description', 'changed', consumer.id)
  t.match(await os.json('consumer', 'show', consumer.id), { description: 'changed' })
  t.strictSame(await os.column('ID', 'consumer', 'list'), [consumer.id])
  const key = ['--consumer-key', consumer.id, '--consumer-secret', consumer.secret]
  const request = await os.json('request', 'token', 'create', ...key, '--project', 'admin')
  const { oauth_verifier: verifier } = await os.json(
    ...['request', 'token', 'authorize', '--request-key', request.id, '--role', 'member'],
  )
  const requested = ['--request-key', request.id, '--request-secret', request.secret]
  const access = await os.json(
    ...['access', 'token', 'create', ...key, ...requested, '--verifier', verifier],
  )
  t.match(access, { id: /^\S+$/, secret: /^\S+$/ })
  await os.ok('consumer', 'delete', consumer.id)
  t.strictSame(await os.column('ID', 'consumer', 'list'), [])
})
