/** The object store behind Keystone: who may do what, by roles, scopes, ACLs and services' tokens. */
import assert from 'node:assert'
import t from 'tap'
import { systemClock } from '../../common/clock.ts'
import { REQUEST_HOST } from '../../common/http/request-host.ts'
import { IdentityClient } from '../../common/identity-client/identity-client.ts'
import { silentLog } from '../../common/log.ts'
import type { TokenScope } from '../../common/token/claims.ts'
import { KeystoneIdentity } from '../../proxy/keystone/keystone-identity.ts'
import { KEYSTONE_DEFAULTS } from '../../proxy/keystone/keystone-settings.ts'
import { PROXY_DEFAULTS } from '../../proxy/proxy-options.ts'
import { FakeIdentity, type FakeUser } from '../support/fake-identity.ts'
import { httpClient } from './http-client.ts'
import { openTestStore } from './swift-store.ts'

const DEFAULT = { id: 'default', name: 'Default' }
const COMPANY = { id: 'company-id', name: 'Company' }
const DEMO = { kind: 'project', id: 'demo-id', name: 'demo', domain: DEFAULT } as const
const OTHER = { kind: 'project', id: 'other-id', name: 'other', domain: DEFAULT } as const
/** Of the same name in another domain. */
const TWIN = { kind: 'project', id: 'twin-id', name: 'demo', domain: COMPANY } as const
const SYSTEM = { kind: 'system' } as const
const UNSCOPED = { kind: 'unscoped' } as const
const DOMAIN = { kind: 'domain', ...DEFAULT } as const

type Claims = FakeUser['claims']

function claimsOf(scope: TokenScope, roles: readonly string[], user = 'ann'): Claims {
  const domain = scope.kind === 'project' ? scope.domain : DEFAULT
  return {
    user: { id: `${user}-${domain.id}`, name: user, domain },
    methods: ['password'],
    scope,
    roles: roles.map((name) => ({ id: `${name}-id`, name })),
  }
}

const fake = await FakeIdentity.start(() => systemClock.nowMs())
fake.users.set('service:swift', {
  password: 'secret',
  claims: claimsOf(
    { kind: 'project', id: 'service-id', name: 'service', domain: DEFAULT },
    ['service'],
    'swift',
  ),
})
fake.users.set('demo:ann', { password: 'annspass', claims: claimsOf(DEMO, ['member']) })
const client = await IdentityClient.open({
  url: fake.url,
  credentials: async () => ({ user: 'swift', password: 'secret', project: 'service' }),
  clock: systemClock,
  log: silentLog,
  pollMs: 50,
})
const store = await openTestStore(t.testdir(), {
  identity: new KeystoneIdentity({
    client,
    settings: { ...KEYSTONE_DEFAULTS, systemReaderRoles: ['auditor'] },
    prefixes: PROXY_DEFAULTS.resellerPrefixes,
    publicUri: fake.url.replace('127.0.0.1', REQUEST_HOST),
  }),
})
const http = httpClient(store.port)
const { call } = http
t.teardown(async () => {
  http.close()
  await store.close()
  await client.close()
  await fake.stop()
})

const tokenFor = async (claims: Claims) => ({ 'x-auth-token': await fake.issue(claims) })
const operator = await tokenFor(claimsOf(DEMO, ['member']))

async function expect(path: string, headers: Record<string, string> = {}): Promise<void> {
  const { status } = await call('PUT', path, { headers: { ...operator, ...headers }, body: '' })
  assert(status < 300, `PUT ${path}: ${status}`)
}
async function expectPost(path: string, headers: Record<string, string>): Promise<void> {
  const { status } = await call('POST', path, { headers: { ...operator, ...headers } })
  assert(status < 300, `POST ${path}: ${status}`)
}
await expect('/v1/AUTH_demo-id/box')
await expect('/v1/AUTH_demo-id/box/thing')

/** Calls to the account of demo, those that only look first. */
const READS = [
  ['GET', '/v1/AUTH_demo-id'],
  ['HEAD', '/v1/AUTH_demo-id'],
  ['GET', '/v1/AUTH_demo-id/box'],
  ['HEAD', '/v1/AUTH_demo-id/box'],
  ['GET', '/v1/AUTH_demo-id/box/thing'],
  ['HEAD', '/v1/AUTH_demo-id/box/thing'],
] as const
const WRITES = [
  ['POST', '/v1/AUTH_demo-id'],
  ['PUT', '/v1/AUTH_demo-id/made'],
  ['POST', '/v1/AUTH_demo-id/box'],
  ['PUT', '/v1/AUTH_demo-id/box/new'],
  ['POST', '/v1/AUTH_demo-id/box/thing'],
  ['COPY', '/v1/AUTH_demo-id/box/thing'],
  ['DELETE', '/v1/AUTH_demo-id/box/new'],
  ['DELETE', '/v1/AUTH_demo-id/made'],
] as const
const ACCOUNT_CHANGES = [['PUT', '/v1/AUTH_demo-id']] as const

async function statusesOf(
  calls: readonly (readonly [method: string, path: string])[],
  headers: Record<string, string>,
): Promise<string> {
  const statuses = new Set<string>()
  for (const [method, path] of calls) {
    const more: Record<string, string> = method === 'COPY' ? { destination: 'box/copy' } : {}
    const { status } = await call(method, path, { headers: { ...headers, ...more } })
    // The owner's calls change what the next ones find; others must not find anything.
    statuses.add(status < 300 ? 'done' : String(status))
  }
  return [...statuses].join(' ')
}

t.test('role by scope by call', async (t) => {
  const ALL = ['done', 'done', '403'] as const
  const LOOKS = ['done', '403', '403'] as const
  const NOTHING = ['403', '403', '403'] as const
  const EVERYTHING = ['done', 'done', 'done'] as const
  const scopes = { demo: DEMO, other: OTHER, twin: TWIN, system: SYSTEM, UNSCOPED, DOMAIN }
  type Outcome = readonly [reads: string, writes: string, account: string]
  const own: Record<string, Outcome> = {
    admin: ALL,
    manager: ALL,
    member: ALL,
    MEMBER: ALL,
    swiftoperator: ALL,
    reader: LOOKS,
    guest: NOTHING,
    service: NOTHING,
    'demo-id': NOTHING,
    'AUTH_demo-id': NOTHING,
    '.reseller_admin': NOTHING,
    ResellerAdmin: EVERYTHING,
    auditor: LOOKS,
  }
  for (const [role, wanted] of Object.entries(own)) {
    for (const [name, scope] of Object.entries(scopes)) {
      const everywhere = role === 'ResellerAdmin' || role === 'auditor'
      const [reads, writes, account] = name === 'demo' || everywhere ? wanted : NOTHING
      const headers = await tokenFor(claimsOf(scope, [role]))
      t.equal(await statusesOf(READS, headers), reads, `${role} on ${name} reads`)
      t.equal(await statusesOf(WRITES, headers), writes, `${role} on ${name} writes`)
      t.equal(await statusesOf(ACCOUNT_CHANGES, headers), account, `${role} on ${name}, account`)
    }
  }
  const bad: Record<string, Record<string, string>> = {
    'no token': {},
    garbage: { 'x-auth-token': 'garbage' },
    'a token of the v1 sign-in': { 'x-auth-token': `AUTH_tk${'a'.repeat(40)}` },
    forged: { 'x-auth-token': `${operator['x-auth-token'].slice(0, -4)}AAAA` },
  }
  for (const [what, headers] of Object.entries(bad)) {
    for (const calls of [READS, WRITES, ACCOUNT_CHANGES]) {
      t.equal(await statusesOf(calls, headers), '401', what)
    }
  }
})

t.test('a 401 says where to sign in', async (t) => {
  const { headers } = await call('GET', '/v1/AUTH_demo-id')
  t.match(headers['www-authenticate'], `Keystone uri="${fake.url}"`)
  t.match(headers['www-authenticate'], 'Swift realm="AUTH_demo-id"')
})

t.test(
  'container ACLs name projects and users, by ids and where they are unique by names',
  async (t) => {
    const callers = {
      ann: claimsOf(OTHER, ['member']),
      bob: claimsOf(OTHER, ['reader'], 'bob'),
      guest: claimsOf(DEMO, ['guest']),
      'twin ann': claimsOf(TWIN, ['member']),
      'unscoped ann': claimsOf(UNSCOPED, []),
    }
    type Name = keyof typeof callers
    const everybody = Object.keys(callers) as Name[]
    const cases: [acl: string, let_in: readonly Name[]][] = [
      ['other-id:ann-default', ['ann']],
      ['other:ann', ['ann']],
      ['other:ann-default', ['ann']],
      ['other-id:ann', ['ann']],
      ['other-id:*', ['ann', 'bob']],
      ['other:*', ['ann', 'bob']],
      ['*:ann-default', ['ann', 'guest', 'unscoped ann']],
      ['*:ann', ['ann', 'guest', 'unscoped ann']],
      ['*:*', everybody],
      ['demo:ann', ['guest']],
      ['demo:*', ['guest']],
      ['twin-id:*', ['twin ann']],
      ['*:ann-company-id', ['twin ann']],
      ['other', []],
      ['other-id', []],
      ['ann', []],
      ['guest', ['guest']],
      ['GUEST', ['guest']],
      ['member', []],
      ['reader', []],
      ['other:bob,twin-id:ann-company-id', ['bob', 'twin ann']],
      ['.r:*', everybody],
      ['.r:example.com', []],
    ]
    for (const [acl, letIn] of cases) {
      await expect('/v1/AUTH_demo-id/box', { 'x-container-read': acl, 'x-container-write': '' })
      for (const name of everybody) {
        const { status } = await call('GET', '/v1/AUTH_demo-id/box/thing', {
          headers: await tokenFor(callers[name]),
        })
        t.equal(status, letIn.includes(name) ? 200 : 403, `${acl}: ${name}`)
      }
    }
    await expect('/v1/AUTH_demo-id/box', {
      'x-container-write': 'other:ann',
      'x-container-read': '',
    })
    const headers = await tokenFor(callers.ann)
    const put = (path: string) => call('PUT', path, { headers })
    t.equal((await put('/v1/AUTH_demo-id/box/by-ann')).status, 201)
    t.equal((await put('/v1/AUTH_demo-id/box')).status, 403, 'the container is not hers')
    t.equal((await call('GET', '/v1/AUTH_demo-id/box/thing', { headers })).status, 403)
  },
)

t.test(
  "names in ACLs of another domain's accounts are not those of the default domain",
  async (t) => {
    const owner = await tokenFor(claimsOf(TWIN, ['member']))
    const share = async (acl: string) => {
      const headers = { ...owner, 'x-container-read': acl }
      t.ok((await call('PUT', '/v1/AUTH_twin-id/box', { headers })).status < 300)
    }
    await share('demo:ann')
    await call('PUT', '/v1/AUTH_twin-id/box/thing', { headers: owner, body: 'x' })
    const account = await call('HEAD', '/v1/AUTH_twin-id', { headers: owner })
    t.equal(account.headers['x-account-project-domain-id'], 'company-id')
    const get = async (claims: Claims) =>
      (await call('GET', '/v1/AUTH_twin-id/box/thing', { headers: await tokenFor(claims) })).status
    t.equal(await get(claimsOf(DEMO, ['member'])), 403)
    await share('demo-id:ann-default')
    t.equal(await get(claimsOf(DEMO, ['member'])), 200, 'ids are good everywhere')
  },
)

t.test('an account’s ACL names others by ids, or by names where these are unique', async (t) => {
  const setAcl = (members: readonly string[]) =>
    expectPost('/v1/AUTH_demo-id', {
      'x-account-access-control': JSON.stringify({ 'read-only': members }),
    })
  const bob = await tokenFor(claimsOf(OTHER, ['guest'], 'bob'))
  const twin = await tokenFor(claimsOf({ ...TWIN, name: 'other' }, ['guest'], 'bob'))
  const [reads, write] = [READS.slice(0, 2), [WRITES[1]]]
  for (const [member, ofBob, ofTwin] of [
    ['other-id:bob-default', 'done', '403'],
    ['other:bob', 'done', '403'],
    ['twin-id:bob-company-id', '403', 'done'],
    ['other:eve', '403', '403'],
    ['other', '403', '403'],
    ['guest', '403', '403'],
  ] as const) {
    await setAcl([member])
    t.equal(await statusesOf(reads, bob), ofBob, `${member}: bob`)
    t.equal(await statusesOf(reads, twin), ofTwin, `${member}: bob of another domain`)
    t.equal(await statusesOf(write, bob), '403', 'and no more than to read')
  }
  await setAcl([])
  t.equal(await statusesOf(reads, bob), '403')
})

t.test('accounts of services open to an owner together with a service', async (t) => {
  const service = await fake.issue(claimsOf(OTHER, ['service'], 'glance'))
  const member = await fake.issue(claimsOf(OTHER, ['member'], 'glance'))
  const cases: [string, Claims, string | undefined, number][] = [
    ['an owner alone', claimsOf(DEMO, ['member']), undefined, 403],
    ['an owner with a service', claimsOf(DEMO, ['member']), service, 201],
    ['an owner with somebody', claimsOf(DEMO, ['member']), member, 403],
    ['an owner with a bad token', claimsOf(DEMO, ['member']), 'garbage', 401],
    ['a reader with a service', claimsOf(DEMO, ['reader']), service, 403],
    ['a stranger with a service', claimsOf(OTHER, ['member']), service, 403],
    ['a service alone', claimsOf(DEMO, ['service', 'member']), undefined, 403],
  ]
  for (const [index, [what, claims, more, wanted]] of cases.entries()) {
    const headers = {
      ...(await tokenFor(claims)),
      ...(more !== undefined && { 'x-service-token': more }),
    }
    const { status } = await call('PUT', `/v1/SERVICE_demo-id/box${index}`, { headers })
    t.equal(status, wanted, what)
  }
  const headers = { ...(await tokenFor(claimsOf(OTHER, ['guest']))), 'x-service-token': member }
  const { status } = await call('GET', '/v1/AUTH_other-id', { headers })
  t.equal(status, 403, 'what the service may do by itself is not lent')
})

t.test('an application credential with access rules makes only those calls', async (t) => {
  const accessRules = [
    { service: 'object-store', method: 'GET', path: '/v1/AUTH_demo-id/box/**' },
    { service: 'image', method: 'PUT', path: '/**' },
  ]
  const applicationCredential = { id: 'credential', restricted: true, accessRules }
  const headers = await tokenFor({ ...claimsOf(DEMO, ['member']), applicationCredential })
  const status = async (method: string, path: string, more: Record<string, string> = {}) =>
    (await call(method, path, { headers: { ...headers, ...more } })).status
  t.equal(await status('GET', '/v1/AUTH_demo-id/box/thing'), 200)
  t.equal(await status('GET', '/v1/AUTH_demo-id/box/%74hing'), 200, 'however it is written')
  t.equal(await status('GET', '/v1/AUTH_demo-id/box'), 401)
  t.equal(await status('PUT', '/v1/AUTH_demo-id/box/more'), 401)
  t.equal(await status('DELETE', '/v1/AUTH_demo-id/box/thing'), 401)
  t.equal(await status('GET', '/v1/AUTH_demo-id'), 401)
  const service = { 'x-service-token': await fake.issue(claimsOf(OTHER, ['service'])) }
  t.equal(await status('GET', '/v1/AUTH_demo-id', service), 200, 'a service goes on for it')
})

t.test('old clients sign in by /auth/v1.0', async (t) => {
  const signIn = (user: string, key: string) =>
    call('GET', '/auth/v1.0', { headers: { 'x-auth-user': user, 'x-auth-key': key } })
  const { status, headers } = await signIn('demo:ann', 'annspass')
  t.equal(status, 200)
  t.match(headers['x-storage-url'], /\/v1\/AUTH_demo-id$/)
  t.ok(Number(headers['x-auth-token-expires']) > 3000)
  const token = { 'x-auth-token': headers['x-auth-token']! }
  t.equal(await statusesOf(READS, token), 'done')
  for (const [user, key] of [
    ['demo:ann', 'wrong'],
    ['other:ann', 'annspass'],
    ['demo:eve', 'annspass'],
    ['demo', 'annspass'],
    ['demo:ann', 'x'.repeat(2000)],
  ] as const) {
    t.equal((await signIn(user, key)).status, 401, user)
  }
  fake.interfere = (_request, response) => {
    response.writeHead(500).end()
    return 'answered'
  }
  const failed = await signIn('demo:ann', 'annspass')
  t.equal(failed.status, 503, 'a service that does not answer is not a wrong key')
  t.ok(Number(failed.headers['retry-after']) > 0)
  fake.interfere = () => undefined
})

t.test('a revoked token ends at the next poll, others do not', async (t) => {
  const token = await tokenFor(claimsOf(DEMO, ['member'], 'eve'))
  t.equal(await statusesOf(READS, token), 'done')
  const nowMs = systemClock.nowMs()
  fake.events.push({ userId: 'eve-default', issuedBeforeMs: nowMs, revokedAtMs: nowMs })
  for (let tries = 0; tries < 200; tries++) {
    if ((await statusesOf(READS, token)) === '401') break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.equal(await statusesOf([...READS, ...WRITES], token), '401')
  t.equal(await statusesOf(READS, operator), 'done')
})
