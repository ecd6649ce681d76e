import { readFile, writeFile } from 'node:fs/promises'
import t from 'tap'
import type { IdentityRoute } from '../../auth/api/identity-call.ts'
import { IDENTITY_ROUTES } from '../../auth/api/routes.ts'
import { policyPage } from '../../auth/policy/policy-page.ts'
import * as applicationTables from '../../auth/tables/application-credentials.ts'
import * as credentialTables from '../../auth/tables/credentials.ts'
import * as filterTables from '../../auth/tables/endpoint-filters.ts'
import * as iamTables from '../../auth/tables/iam.ts'
import * as limitTables from '../../auth/tables/limits.ts'
import * as oauthTables from '../../auth/tables/oauth1.ts'
import * as policyTables from '../../auth/tables/policies.ts'
import * as coreTables from '../../auth/tables/tables.ts'
import * as trustTables from '../../auth/tables/trusts.ts'
import { forEachParallel } from '../../common/bounded-parallel.ts'
import { Table } from '../../common/state/table.ts'
import { IdentityPeople } from '../support/identity-people.ts'
import { IdentityRig } from '../support/identity-rig.ts'
import {
  bodyFor,
  makeTarget,
  pathFor,
  serviceId,
  type Target,
} from '../support/identity-targets.ts'

const rig = await IdentityRig.start()
t.teardown(() => rig.close())
const people = new IdentityPeople(rig)
await serviceId(rig)

/** Two companies with three projects each. */
const acme = await people.domain('acme')
const globex = await people.domain('globex')
const acmeProjects = [
  await people.project('acme build', acme),
  await people.project('acme test', acme),
  await people.project('acme run', acme),
]
const globexProjects = [
  await people.project('globex build', globex),
  await people.project('globex test', globex),
  await people.project('globex run', globex),
]

const own = await makeTarget(
  { rig, people },
  { name: 'acme build', domain: acme, project: acmeProjects[0]! },
)
const sibling = await makeTarget(
  { rig, people },
  { name: 'acme test', domain: acme, project: acmeProjects[1]! },
)
const foreign = await makeTarget(
  { rig, people },
  { name: 'globex build', domain: globex, project: globexProjects[0]! },
)

const ROLES = ['reader', 'member', 'manager', 'admin'] as const
type Role = (typeof ROLES)[number]
type Scope = 'unscoped' | 'project' | 'domain' | 'system'

/** Somebody with one role in one place, and a token for it. */
interface Somebody {
  readonly role: Role | 'none'
  readonly scope: Scope
  readonly token: string
}

const PLACES = [
  ['project', `projects/${own.project}`, { project: { id: own.project } }],
  ['domain', `domains/${acme}`, { domain: { id: acme } }],
  ['system', 'system', { system: { all: true } }],
] as const

async function everybody(): Promise<readonly Somebody[]> {
  const nobody = await people.user('nobody', acme)
  const found: Somebody[] = [
    { role: 'none', scope: 'unscoped', token: await people.token(nobody, 'unscoped') },
  ]
  for (const role of ROLES) {
    for (const [scope, place, wanted] of PLACES) {
      const user = await people.user(`${role} of ${scope}`, acme)
      await people.grant(user, role, place)
      found.push({ role, scope, token: await people.token(user, wanted) })
    }
  }
  return found
}

const READS = IDENTITY_ROUTES.filter(({ method }) => method === 'GET')
/** Signing in is for everybody, and federation for nobody. */
const WRITES = IDENTITY_ROUTES.filter(
  ({ method, path }) =>
    method !== 'GET' && !/OS-FEDERATION/.test(path) && path !== '/v3/auth/tokens',
)

function ask({ method, path }: IdentityRoute, by: Somebody, target: Target) {
  return rig.call(method, pathFor(path, target.ids), {
    token: by.token,
    headers: { 'X-Subject-Token': target.token },
    ...(method !== 'GET' && method !== 'DELETE' && { body: bodyFor(path, target) }),
  })
}

/** The routes that answered 2xx, by method and path; texts of their answers. */
async function allowed(routes: readonly IdentityRoute[], by: Somebody, target: Target) {
  const found = new Map<string, string>()
  await forEachParallel(routes, 8, async (route) => {
    const answer = await ask(route, by, target)
    if (answer.status >= 300) return
    found.set(`${route.method} ${route.path}`, JSON.stringify(answer.body))
  })
  return found
}
t.test('the page of the rules is the table of the code', async (t) => {
  const page = new URL('../../docs/identity-policy.md', import.meta.url)
  if (process.env.UPDATE_DOCS === '1') await writeFile(page, policyPage())
  t.equal(await readFile(page, 'utf8'), policyPage())
})

/** All that is kept, but for what signing in itself writes. */
async function everything(): Promise<string> {
  const modules = [
    coreTables,
    applicationTables,
    credentialTables,
    filterTables,
    iamTables,
    limitTables,
    oauthTables,
    policyTables,
    trustTables,
  ]
  const tables = modules.flatMap((module) =>
    Object.values(module).filter((value): value is Table<object> => value instanceof Table),
  )
  const rows = await Promise.all(tables.map(({ name }) => rig.service.parts.state.scan(name)))
  return JSON.stringify(tables.map(({ name }, index) => [name, rows[index]]))
}

const OPEN = ['/v3', '/v3/OS-SWIFTLET/token-keys']
const SELF = ['/v3/auth/domains', '/v3/auth/projects', '/v3/auth/system']
const SCOPED = [
  '/v3/credentials',
  '/v3/limits',
  '/v3/limits/model',
  '/v3/regions',
  '/v3/registered_limits',
]
const OF_PROJECT = [
  '/v3/limits/:id',
  '/v3/projects/:id',
  '/v3/projects/:id/tags',
  '/v3/projects/:id/tags/:tag',
]
/** They show of the domain alone, whatever is asked for. */
const LISTS_OF_DOMAIN = ['domains', 'groups', 'projects', 'role_assignments', 'users'].map(
  (name) => `/v3/${name}`,
)
const GRANTS = ['groups', 'users'].flatMap((actors) =>
  ['domains', 'projects'].flatMap((targets) => [
    `/v3/${targets}/:targetId/${actors}/:actorId/roles`,
    `/v3/OS-INHERIT/${targets}/:targetId/${actors}/:actorId/roles/inherited_to_projects`,
  ]),
)
const OF_DOMAIN = [
  ...LISTS_OF_DOMAIN,
  ...GRANTS,
  ...OF_PROJECT,
  '/v3/domains/:id',
  '/v3/groups/:id',
  '/v3/groups/:id/users',
  '/v3/users/:id',
  '/v3/users/:id/groups',
  '/v3/users/:id/projects',
]
const OF_SYSTEM = [
  ...OF_DOMAIN,
  '/v3/auth/tokens',
  '/v3/OS-TRUST/trusts',
  '/v3/OS-TRUST/trusts/:id',
  '/v3/OS-TRUST/trusts/:id/roles',
  '/v3/OS-EP-FILTER/endpoint_groups',
  '/v3/OS-EP-FILTER/projects/:projectId/endpoint_groups',
  '/v3/OS-EP-FILTER/projects/:projectId/endpoints',
  '/v3/OS-OAUTH1/consumers',
  '/v3/credentials/:id',
  '/v3/endpoints',
  '/v3/policies',
  '/v3/role_inferences',
  '/v3/roles',
  '/v3/roles/:id',
  '/v3/roles/:id/implies',
  '/v3/services',
  '/v3/system/groups/:actorId/roles',
  '/v3/system/users/:actorId/roles',
  '/v3/users/:userId/access_rules',
  '/v3/users/:userId/access_rules/:id',
  '/v3/users/:userId/application_credentials',
  '/v3/users/:userId/application_credentials/:id',
  '/v3/users/:userId/credentials/OS-EC2',
  '/v3/users/:userId/credentials/OS-EC2/:access',
]

type TargetName = 'own' | 'sibling' | 'foreign'

/** What somebody without the role `admin` sees of a target; nobody of them changes anything. */
function expectedReads({ role, scope }: Somebody, name: TargetName): readonly string[] {
  if (scope === 'unscoped') return [...OPEN, ...SELF]
  const all = [...OPEN, ...SELF, ...SCOPED]
  const manages = role === 'manager'
  switch (scope) {
    case 'system':
      return [...all, ...OF_SYSTEM]
    case 'domain': {
      const lists = manages ? [...LISTS_OF_DOMAIN, '/v3/roles'] : LISTS_OF_DOMAIN
      return [...all, ...lists, ...(name === 'foreign' ? [] : OF_DOMAIN)]
    }
    case 'project':
      return [
        ...all,
        '/v3/auth/catalog',
        ...(name === 'foreign' ? [] : ['/v3/domains/:id']),
        ...(name === 'own' ? OF_PROJECT : []),
      ]
  }
}

/** Domain configuration is judged by tests of its own. */
const isJudged = (route: string) => !/^GET \/v3\/domains\/(:\w+\/)?config/.test(route)

t.test(
  'each sees what its role and scope let it, and changes nothing',
  { timeout: 600_000 },
  async (t) => {
    const targets = { own, sibling, foreign }
    const secrets = {
      sibling: [sibling.project, sibling.owner.id, ...Object.values(sibling.ids).slice(3, -1)],
      foreign: [
        foreign.domain,
        foreign.project,
        foreign.owner.id,
        ...Object.values(foreign.ids).slice(3, -1),
      ],
    }
    for (const by of await everybody()) {
      if (by.role === 'admin') continue
      const before = await everything()
      for (const [name, target] of Object.entries(targets) as [TargetName, Target][]) {
        // Of a domain, all projects are alike.
        if (name === 'sibling' && by.scope !== 'project') continue
        const title = `${by.role}, ${by.scope}: ${name}`
        const reads = await allowed(READS, by, target)
        const found = [...reads.keys()].filter(isJudged).map((route) => route.replace('GET ', ''))
        t.strictSame(found.sort(), [...new Set(expectedReads(by, name))].sort(), title)
        if (by.scope !== 'system') {
          const texts = [...reads]
            .filter(([route]) => !route.includes('/auth/'))
            .map(([, text]) => text)
          const hidden =
            by.scope === 'project' ? [...secrets.sibling, ...secrets.foreign] : secrets.foreign
          const leaked = hidden.filter((id) => texts.some((text) => text.includes(id)))
          t.strictSame(leaked, [], `${title}: nothing of another shows`)
        }
        // A manager of a domain changes it: another test's.
        if (by.role === 'manager' && by.scope === 'domain' && name !== 'foreign') continue
        t.strictSame([...(await allowed(WRITES, by, target)).keys()], [], `${title}: no change`)
      }
      t.equal(await everything(), before, `${by.role}, ${by.scope}: nothing was touched`)
    }
  },
)

t.test('an administrator sees all of everybody', { timeout: 300_000 }, async (t) => {
  const user = await people.user('the administrator', acme)
  await people.grant(user, 'admin', `projects/${own.project}`)
  const scope = { project: { id: own.project } }
  const by: Somebody = { role: 'admin', scope: 'project', token: await people.token(user, scope) }
  const reads = await allowed(READS, by, foreign)
  const missing = OF_SYSTEM.filter((path) => !reads.has(`GET ${path}`))
  t.strictSame(
    missing.filter((path) => !path.includes('access_rules')),
    [],
  )
})

t.test('two companies, three projects each, and users across them', async (t) => {
  const all = [...acmeProjects, ...globexProjects]
  /** By user: roles on the six projects, `-` for none. */
  const model: Readonly<Record<string, readonly string[]>> = {
    dana: ['member', 'reader', '-', '-', '-', '-'],
    eric: ['-', 'member', 'manager', '-', '-', '-'],
    fred: ['-', '-', '-', 'member', '-', 'reader'],
    gina: ['reader', '-', '-', '-', 'member', '-'],
  }
  for (const [name, roles] of Object.entries(model)) {
    const user = await people.user(name, name < 'f' ? acme : globex)
    for (const [index, role] of roles.entries()) {
      if (role !== '-') await people.grant(user, role, `projects/${all[index]}`)
    }
    const who = { id: user.id, password: user.password }
    for (const [index, role] of roles.entries()) {
      const answer = await rig.signIn({ project: { id: all[index] } }, who)
      t.equal(answer.status, role === '-' ? 401 : 201, `${name} in project ${index}`)
      if (role === '-') continue
      const names = answer.body.token.roles.map((row: { name: string }) => row.name)
      t.ok(names.includes(role) && !names.includes('admin'))
      const token = answer.headers.get('x-subject-token')!
      for (const [other, id] of all.entries()) {
        const seen = await rig.call('GET', `/v3/projects/${id}`, { token })
        t.equal(seen.status, other === index ? 200 : 403, `${name} sees ${other} from ${index}`)
      }
    }
    const token = await people.token(user, 'unscoped')
    const mine = (await rig.call('GET', '/v3/auth/projects', { token })).body.projects
    t.equal(mine.length, roles.filter((role) => role !== '-').length)
    t.match(await rig.signIn({ domain: { id: acme } }, who), { status: 401 })
  }
})

t.test('a manager of a domain runs it, and it alone', async (t) => {
  const boss = await people.user('boss', acme)
  await people.grant(boss, 'manager', `domains/${acme}`)
  const token = await people.token(boss, { domain: { id: acme } })
  const post = (path: string, body: unknown) => rig.call('POST', path, { token, body })
  const user = await post('/v3/users', { user: { name: 'new hand', password: 'of the new hand' } })
  t.match(user, { status: 201, body: { user: { domain_id: acme } } })
  const project = await post('/v3/projects', { project: { name: 'new work' } })
  t.match(project, { status: 201, body: { project: { domain_id: acme } } })
  const group = await post('/v3/groups', { group: { name: 'new hands' } })
  t.match(group, { status: 201 })
  const grant = (userId: string, place: string, role: string) =>
    rig.call('PUT', `/v3/${place}/users/${userId}/roles/${role}`, { token })
  const [member, admin] = [await people.role('member'), await people.role('admin')]
  const [mine, theirs] = [`projects/${project.body.project.id}`, `projects/${globexProjects[0]}`]
  t.match(await grant(user.body.user.id, mine, member), { status: 204 })
  t.match(
    await grant(user.body.user.id, mine, admin),
    { status: 403 },
    'but makes no administrators',
  )
  t.match(await grant(user.body.user.id, theirs, member), { status: 403 })
  t.match(await grant(foreign.owner.id, mine, member), { status: 403 })
  t.match(await grant(user.body.user.id, 'system', member), { status: 403 })
  for (const [path, body] of [
    ['/v3/users', { user: { name: 'spy', domain_id: globex } }],
    ['/v3/projects', { project: { name: 'spies', domain_id: globex } }],
    ['/v3/groups', { group: { name: 'spies', domain_id: globex } }],
    ['/v3/domains', { domain: { name: 'initech' } }],
    ['/v3/roles', { role: { name: 'spy' } }],
  ] as const) {
    t.match(await post(path, body), { status: 403 }, path)
  }
  t.match(await rig.call('DELETE', `/v3/users/${foreign.owner.id}`, { token }), { status: 403 })
  t.match(await rig.call('DELETE', `/v3/users/${user.body.user.id}`, { token }), { status: 204 })
  t.match(await rig.call('DELETE', `/v3/${mine}`, { token }), { status: 204 })
})
