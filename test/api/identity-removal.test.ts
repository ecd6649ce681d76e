import { join } from 'node:path'
import t from 'tap'
import { IdentityService } from '../../auth/identity-service.ts'
import type { UserRow } from '../../auth/tables/rows.ts'
import { assignments, memberships, projects, users } from '../../auth/tables/tables.ts'
import { systemClock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import { silentLog as log } from '../../common/log.ts'
import { systemRandom as random } from '../../common/random.ts'
import { openState } from '../../common/state/open-state.ts'
import type { StateStore, StateTransaction } from '../../common/state/state-store.ts'
import { danglingReferences } from '../support/identity-check.ts'
import { IdentityPeople } from '../support/identity-people.ts'
import { IdentityRig } from '../support/identity-rig.ts'

/** Changes of one transaction that the service may make: 100 rows, each with its indexes and what belongs to it. */
const CHANGES_MAX = 1500
const USERS = 600

/** The rig's state, that can be told to fail, and tells what transactions were made of it. */
class WatchedState implements StateStore {
  readonly #state: StateStore
  /** Transactions until all fail; none does if infinite. */
  left = Number.POSITIVE_INFINITY
  changes: number[] = []

  constructor(state: StateStore) {
    this.#state = state
  }

  get = (table: string, key: string) => this.#state.get(table, key)
  scan = (...args: Parameters<StateStore['scan']>) => this.#state.scan(...args)
  close = () => this.#state.close()

  async transaction<T>(work: (tx: StateTransaction) => Promise<T>): Promise<T> {
    if (this.left-- <= 0) throw new ServiceError('StateUnavailable', 'it is off', { status: 503 })
    let changes = 0
    try {
      return await this.#state.transaction((tx) =>
        work({
          get: (...args) => tx.get(...args),
          scan: (...args) => tx.scan(...args),
          put(...args) {
            changes++
            tx.put(...args)
          },
          delete(...args) {
            changes++
            tx.delete(...args)
          },
        }),
      )
    } finally {
      this.changes.push(changes)
    }
  }
}

/** Steps are not ended by time while it stands still. */
let stands = false
const clock = { ...systemClock, monotonicMs: () => (stands ? 0 : systemClock.monotonicMs()) }
let state!: WatchedState
const rig = await IdentityRig.start({
  clock,
  async openState(place) {
    state = new WatchedState(await openState(place, { service: 'identity' }))
    return state
  },
})
t.teardown(() => rig.close())
const people = new IdentityPeople(rig)
const outsider = await people.user('outsider')
const elsewhere = await people.project('elsewhere')

interface Crowd {
  readonly domainId: string
  readonly groupId: string
  readonly projectId: string
  readonly insider: string
}

/** A disabled domain with more of everything than one step deletes. */
async function makeCrowd(name: string): Promise<Crowd> {
  const domainId = await people.domain(name)
  const groupId = await people.make('group', { name: 'many', domain_id: domainId })
  const projectId = await people.project('place', domainId)
  await people.project('below', domainId, projectId)
  await people.make('role', { name: 'local', domain_id: domainId })
  const role = await people.role('member')
  const rows = Array.from({ length: USERS }, (_, nth) => userRow(`${name}-${nth}`, domainId))
  for (let at = 0; at < USERS; at += 250) {
    await state.transaction(async (tx) => {
      for (const row of rows.slice(at, at + 250)) {
        await users.put(tx, row)
        await memberships.put(tx, { groupId, userId: row.id })
        await assignments.put(tx, {
          actorKind: 'user',
          actorId: row.id,
          targetKind: 'project',
          targetId: projectId,
          roleId: role,
          inherited: false,
        })
      }
    })
  }
  const insider = (await people.user('insider', domainId)).id
  await call('PUT', `/v3/groups/${groupId}/users/${outsider.id}`)
  await call('PUT', `/v3/projects/${elsewhere}/groups/${groupId}/roles/${role}`)
  await call('PUT', `/v3/projects/${projectId}/users/${outsider.id}/roles/${role}`)
  await call('PATCH', `/v3/users/${outsider.id}`, { user: { default_project_id: projectId } })
  return { domainId, groupId, projectId, insider }
}

const call = async (method: string, path: string, body?: unknown) =>
  (await rig.call(method, path, body === undefined ? {} : { body })).status

function userRow(name: string, domainId: string): UserRow {
  return {
    id: Buffer.from(name.padEnd(16, '.')).toString('hex'),
    domainId,
    name,
    enabled: true,
    defaultProjectId: null,
    passwords: [],
    options: {},
    extra: {},
    createdAtMs: 0,
    lastActiveAtMs: null,
  }
}

/** Tokens of the one who stays, got by what goes. */
async function tokensOfOutsider({ projectId }: Crowd): Promise<readonly string[]> {
  const tokenFor = (id: string) =>
    rig.token({ project: { id } }, { id: outsider.id, password: outsider.password })
  return [await tokenFor(projectId), await tokenFor(elsewhere)]
}

async function refused(tokens: readonly string[]): Promise<readonly number[]> {
  const answers = tokens.map((token) => rig.call('GET', '/v3/auth/tokens', subject(token)))
  return (await Promise.all(answers)).map(({ status }) => status)
}

const subject = (token: string) => ({ headers: { 'X-Subject-Token': token } })

t.test('a large domain goes in steps of bounded size, with few events', async (t) => {
  const crowd = await makeCrowd('large')
  const tokens = await tokensOfOutsider(crowd)
  t.strictSame(await refused(tokens), [200, 200])
  t.equal(await call('DELETE', `/v3/domains/${crowd.domainId}`), 403, 'not while it is enabled')
  t.equal(await call('PATCH', `/v3/domains/${crowd.domainId}`, { domain: { enabled: false } }), 200)
  const events = rig.service.parts.revocations.count
  state.changes = []
  t.equal(await call('DELETE', `/v3/domains/${crowd.domainId}`), 204)
  t.ok(state.changes.length >= USERS / 100, `${state.changes.length} transactions`)
  const most = Math.max(...state.changes)
  t.ok(most <= CHANGES_MAX, `${most} changes in one`)
  const added = rig.service.parts.revocations.count - events
  t.ok(added < 20, `${added} events`)
  t.strictSame(await refused(tokens), [404, 404])
  t.equal(await call('DELETE', `/v3/domains/${crowd.domainId}`), 404)
  t.strictSame(await danglingReferences(state), [])
  t.strictSame(await users.by(state, 'domain', crowd.domainId), [])
  const stayed = await rig.call('GET', `/v3/users/${outsider.id}`)
  t.notOk('default_project_id' in stayed.body.user)
})

t.test('what a failure leaves of a domain is not there for anybody', async (t) => {
  const crowd = await makeCrowd('half')
  const { domainId } = crowd
  const tokens = await tokensOfOutsider(crowd)
  await call('PATCH', `/v3/domains/${domainId}`, { domain: { enabled: false } })
  state.left = 3
  t.equal(await call('DELETE', `/v3/domains/${domainId}`), 503)
  state.left = Number.POSITIVE_INFINITY
  const left = (await users.by(state, 'domain', domainId)).length
  t.ok(left > 0, `${left} users are left`)
  t.strictSame(await danglingReferences(state), [], 'and the state is whole')
  for (const [method, path, body] of [
    ['GET', `/v3/domains/${domainId}`],
    ['PATCH', `/v3/domains/${domainId}`, { domain: { enabled: true } }],
    ['DELETE', `/v3/domains/${domainId}`],
    ['GET', `/v3/projects/${domainId}`],
    ['PATCH', `/v3/projects/${domainId}`, { project: { enabled: true } }],
    ['PUT', `/v3/domains/${domainId}/config`, { config: { identity: { driver: 'sql' } } }],
    ['POST', '/v3/users', { user: { name: 'late', domain_id: domainId } }],
    ['POST', '/v3/groups', { group: { name: 'late', domain_id: domainId } }],
    ['POST', '/v3/projects', { project: { name: 'late', domain_id: domainId } }],
    ['POST', '/v3/projects', { project: { name: 'late', parent_id: domainId } }],
    ['POST', '/v3/roles', { role: { name: 'late', domain_id: domainId } }],
    ['PUT', `/v3/domains/${domainId}/users/${outsider.id}/roles/${await people.role('member')}`],
  ] as const) {
    t.equal(await call(method, path, body), 404, `${method} ${path} ${JSON.stringify(body)}`)
  }
  for (const path of ['/v3/domains', '/v3/projects?is_domain=true']) {
    const { body } = await rig.call('GET', path)
    const ids = (body.domains ?? body.projects).map(({ id }: { readonly id: string }) => id)
    t.notOk(ids.includes(domainId), path)
  }
  t.strictSame(await refused(tokens.slice(0, 1)), [404])
  const insider = { id: crowd.insider, password: 'the password of insider' }
  t.equal((await rig.signIn('unscoped', insider)).status, 401)
  t.equal(await call('POST', '/v3/domains', { domain: { name: 'half' } }), 201, 'its name is free')
  await rig.service.parts.removals.finishAll()
  t.equal(await projects.get(state, domainId), undefined)
  t.strictSame(await users.by(state, 'domain', domainId), [])
  t.strictSame(await refused(tokens.slice(1)), [404])
  t.strictSame(await danglingReferences(state), [])
})

t.test('the next start finishes what a crash has left', async (t) => {
  const { domainId } = await makeCrowd('crashed')
  await call('PATCH', `/v3/domains/${domainId}`, { domain: { enabled: false } })
  state.left = 2
  t.equal(await call('DELETE', `/v3/domains/${domainId}`), 503)
  state.left = Number.POSITIVE_INFINITY
  t.ok((await projects.get(state, domainId))?.removing)
  const next = await IdentityService.open(
    { state, keyFile: join(rig.folder, 'keys.json') },
    { clock, random, log },
  )
  t.teardown(() => next.close())
  while ((await projects.get(state, domainId)) !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.strictSame(await users.by(state, 'domain', domainId), [])
  t.strictSame(await danglingReferences(state), [])
})

t.test('a small domain goes at once', async (t) => {
  const domainId = await people.domain('small')
  await people.user('few', domainId)
  await people.project('place', domainId)
  await call('PATCH', `/v3/domains/${domainId}`, { domain: { enabled: false } })
  state.changes = []
  stands = true
  t.equal(await call('DELETE', `/v3/domains/${domainId}`), 204)
  stands = false
  t.equal(state.changes.length, 1)
})
