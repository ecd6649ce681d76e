import fc from 'fast-check'
import t from 'tap'
import type { IdentityRoute } from '../../auth/api/identity-call.ts'
import { IDENTITY_ROUTES } from '../../auth/api/routes.ts'
import { IdentityPeople } from '../support/identity-people.ts'
import { IdentityRig } from '../support/identity-rig.ts'
import { makeTarget, pathFor, serviceId } from '../support/identity-targets.ts'

/** Bodies, and queries, of each route; many more in the long form. */
const RUNS = process.env.SWIFTLET_PROBE === 'long' ? 2000 : 15
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)

const rig = await IdentityRig.start()
t.teardown(() => rig.close())
const people = new IdentityPeople(rig)
const service = await serviceId(rig)
const domain = await people.domain('fuzzed')
const project = await people.project('fuzzed', domain)
const target = await makeTarget({ rig, people }, { name: 'fuzzed', domain, project })
const IDS = { ...target.ids, services: service, regions: 'RegionOne' }

/** Names that bodies have at some place, and some that none has. */
const NAMES = [
  ...['id', 'name', 'description', 'enabled', 'domain_id', 'parent_id', 'project_id', 'tags'],
  ...['options', 'immutable', 'password', 'email', 'default_project_id', 'type', 'blob', 'user_id'],
  ...['url', 'interface', 'region', 'region_id', 'service_id', 'parent_region_id', 'roles'],
  ...['trustor_user_id', 'trustee_user_id', 'impersonation', 'expires_at', 'remaining_uses'],
  ...['allow_redelegation', 'redelegation_count', 'access_rules', 'unrestricted', 'secret'],
  ...['path', 'method', 'service', 'default_limit', 'resource_limit', 'resource_name', 'filters'],
  ...[
    'tenant_id',
    'access',
    'signature',
    'token',
    'host',
    'verb',
    'params',
    'headers',
    'body_hash',
  ],
  ...['methods', 'identity', 'scope', 'user', 'passcode', 'original_password', 'project', 'domain'],
  ...['system', 'all', 'OS-TRUST:trust', 'is_domain', 'links', 'extra', '__proto__', 'constructor'],
  ...['multi_factor_auth_rules', 'lock_password', 'toString', 'hasOwnProperty', '', 'ünïcode'],
]
/** What bodies may be about: their one member. */
const MEMBERS = [
  ...['domain', 'project', 'user', 'group', 'role', 'region', 'service', 'endpoint', 'credential'],
  ...[
    'application_credential',
    'trust',
    'registered_limits',
    'registered_limit',
    'limits',
    'limit',
  ],
  ...['policy', 'endpoint_group', 'consumer', 'auth', 'tags', 'roles', 'credentials', 'config'],
]

const word = fc.constantFrom(
  ...Object.values(IDS),
  ...['', ' ', 'x', 'x'.repeat(300), 'null', 'true', '-1', '2026-01-01T00:00:00Z', '9999-12-31'],
  ...[
    '{}',
    '[]',
    '{"access":"a"}',
    '{"access":{}}',
    'http://x/$(project_id)s',
    '%(x',
    'é',
    '\ud800',
  ],
  ...['\u0001', '\u0002', 'public', 'ec2', 'totp', 'password', 'oauth1', 'application_credential'],
)
const leaf = fc.oneof(
  word,
  fc.string(),
  fc.boolean(),
  fc.integer(),
  fc.double(),
  fc.constant(null),
  fc.constantFrom(-1, 0, 1, 2 ** 31, 2 ** 53, 1e308),
)
const value = fc.letrec((tie) => ({
  any: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, tie('list'), tie('object')),
  list: fc.array(tie('any'), { maxLength: 4 }),
  object: fc.dictionary(fc.constantFrom(...NAMES), tie('any'), { maxKeys: 8 }),
})).any

/** The member that the route wants, from its path, more often than another. */
function bodiesOf(route: IdentityRoute): fc.Arbitrary<unknown> {
  const words = route.path.split('/').filter((part) => part !== '' && !/^[:*]/.test(part))
  const last = words.at(-1) ?? ''
  const likely = [last, last.replace(/s$/, ''), last.replace(/ies$/, 'y'), 'auth', 'user']
  const member = fc.oneof(fc.constantFrom(...likely), fc.constantFrom(...MEMBERS))
  return fc.oneof(
    { weight: 4, arbitrary: fc.tuple(member, value).map(([name, inner]) => ({ [name]: inner })) },
    { weight: 1, arbitrary: value },
    { weight: 1, arbitrary: fc.string().map((text) => new RawBody(text)) },
  )
}

/** A body that is sent as it is. */
class RawBody {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** Ids of what there is, of what there is not, and texts that are none. */
const ids = fc.oneof(
  { weight: 3, arbitrary: fc.constant(IDS as Readonly<Record<string, string>>) },
  fc.constantFrom({}, { users: '\u0001', projects: 'x'.repeat(500), domains: '../..', tags: '🙂' }),
)

/** Not what is not built, and not what takes away what the rest is made with. */
const CHANGES = IDENTITY_ROUTES.filter(
  ({ method, path }) =>
    ['POST', 'PUT', 'PATCH'].includes(method) && !path.includes('OS-FEDERATION'),
)
const READS = IDENTITY_ROUTES.filter(
  ({ method, path }) => method === 'GET' && !path.includes('OS-FEDERATION'),
)

async function check(property: fc.IAsyncPropertyWithHooks<[unknown, unknown]>): Promise<string> {
  const details = await fc.check(property, { numRuns: RUNS, seed })
  return details.failed ? (fc.defaultReportMessage(details) ?? 'failed') : ''
}

t.test('whatever a body is, it is answered with less than 500', { timeout: 900_000 }, async (t) => {
  t.comment(`seed ${seed}`)
  for (const route of CHANGES) {
    const property = fc.asyncProperty(bodiesOf(route), ids, async (body, known) => {
      const path = pathFor(route.path, known as Readonly<Record<string, string>>)
      const sent = body instanceof RawBody ? body.text : JSON.stringify(body)
      const { status } = await rig.call(route.method, path, {
        body: sent,
        headers: { 'X-Subject-Token': 'x' },
      })
      return status < 500
    })
    t.equal(await check(property), '', `${route.method} ${route.path}`)
  }
})

t.test(
  'whatever a query is, it is answered with less than 500',
  { timeout: 900_000 },
  async (t) => {
    const FILTERS = [
      'limit',
      'marker',
      'sort_key',
      'sort_dir',
      'effective',
      'include_names',
      'cascade',
    ]
    const name = fc.oneof(
      fc.constantFrom(
        ...NAMES,
        ...FILTERS,
        'user.id',
        'scope.project.id',
        'name__contains',
        'x__y',
      ),
      fc.string(),
    )
    const queries = fc.array(fc.tuple(name, fc.oneof(word, fc.string())), { maxLength: 4 })
    for (const route of READS) {
      const property = fc.asyncProperty(queries, ids, async (query, known) => {
        const path = pathFor(route.path, known as Readonly<Record<string, string>>)
        const pairs = (query as [string, string][]).map((pair) =>
          pair.map((text) => Buffer.from(text).toString()),
        )
        const search = pairs.map((pair) => pair.map(encodeURIComponent).join('=')).join('&')
        const { status } = await rig.call('GET', `${path}?${search}`)
        return status < 500
      })
      t.equal(await check(property as never), '', `GET ${route.path}`)
    }
  },
)

t.test('it still works after all that', async (t) => {
  const answer = await rig.signIn({ project: { name: 'admin', domain: { id: 'default' } } })
  t.equal(answer.status, 201)
  t.equal((await rig.call('GET', '/v3/projects')).status, 200)
})
