import t from 'tap'
import type { IdentityCall } from '../../auth/api/identity-call.ts'
import { type LongList, longListAnswer } from '../../auth/api/long-lists.ts'
import type { AssignmentRow, UserRow } from '../../auth/tables/rows.ts'
import { assignments, memberships, users } from '../../auth/tables/tables.ts'
import { IdentityPeople } from '../support/identity-people.ts'
import { IdentityRig } from '../support/identity-rig.ts'

const LIMIT = 700
const USERS = 2000
/** More than a page of rows, fewer than users. */
const MEMBERS = 900

const rig = await IdentityRig.start({
  settings: { listLimit: LIMIT, listLimits: { resource: 3, role: null } },
})
t.teardown(() => rig.close())
const people = new IdentityPeople(rig)
const domainId = await people.domain('crowd')
const groupId = await people.make('group', { name: 'many', domain_id: domainId })
const projectId = await people.project('place', domainId)
const role = await people.role('member')
const { state } = rig.service.parts
const idOf = (nth: number) => nth.toString(16).padStart(32, '0')
const all = Array.from({ length: USERS }, (_, nth) => userRow(nth))
await fill(all, (tx, row) => users.put(tx, row))
await fill(all.slice(0, MEMBERS), (tx, { id }) => memberships.put(tx, { groupId, userId: id }))
await fill(all.slice(0, MEMBERS), (tx, { id }) => assignments.put(tx, assignment('user', id)))

function userRow(nth: number): UserRow {
  return {
    id: idOf(nth),
    domainId,
    // In another order than the ids, every seventh of one name each with a common beginning.
    name: `${nth % 7 === 0 ? 'seventh' : 'user'}-${String(USERS - nth).padStart(5, '0')}`,
    enabled: true,
    defaultProjectId: null,
    passwords: [],
    options: {},
    extra: { color: nth % 2 === 0 ? 'red' : 'blue' },
    createdAtMs: 0,
    lastActiveAtMs: null,
  }
}

function assignment(actorKind: 'user' | 'group', actorId: string): AssignmentRow {
  return {
    actorKind,
    actorId,
    targetKind: 'project',
    targetId: projectId,
    roleId: role,
    inherited: false,
  }
}

type Put = Parameters<Parameters<typeof state.transaction>[0]>[0]

async function fill<Row>(
  rows: readonly Row[],
  put: (tx: Put, row: Row) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < rows.length; at += 500) {
    await state.transaction(async (tx) => {
      for (const row of rows.slice(at, at + 500)) await put(tx, row)
    })
  }
}

interface Listed {
  readonly ids: readonly string[]
  readonly next: string | null
  readonly truncated: boolean | undefined
}

async function list(path: string, name = 'users'): Promise<Listed> {
  const { status, body } = await rig.call('GET', path)
  if (status !== 200) throw new Error(`${path}: ${status} ${JSON.stringify(body)}`)
  const { truncated } = body
  const ids = body[name].map((item: { readonly id: string }) => item.id)
  return { ids, next: body.links.next, truncated }
}

/** All pages, as the links lead through them. */
async function follow(path: string, name = 'users'): Promise<readonly string[]> {
  const ids: string[] = []
  for (let at: string | null = path; at !== null; ) {
    const page: Listed = await list(at, name)
    ids.push(...page.ids)
    at = page.next === null ? null : page.next.replace(rig.url, '')
  }
  return ids
}

const expected = all.map(({ id }) => id)

t.test('a list is cut where the settings say, and tells where it goes on', async (t) => {
  const path = `/v3/users?domain_id=${domainId}`
  const first = await list(path)
  t.strictSame(first.ids, expected.slice(0, LIMIT))
  t.equal(first.truncated, true)
  t.equal(first.next, `${rig.url}${path}&marker=${idOf(LIMIT - 1)}`)
  t.strictSame(await follow(path), expected, 'the pages are the whole')
  const whole = await follow('/v3/users')
  t.strictSame(whole.filter((id) => expected.includes(id)).length, USERS)
  t.equal(new Set(whole).size, whole.length, 'none comes twice')
})

t.test('a client that asks for pages of its own gets those', async (t) => {
  const path = `/v3/users?domain_id=${domainId}`
  const first = await list(`${path}&limit=10`)
  t.strictSame([first.ids, first.truncated], [expected.slice(0, 10), undefined])
  t.equal(first.next, `${rig.url}${path}&limit=10&marker=${idOf(9)}`)
  const last = await list(`${path}&limit=10&marker=${idOf(USERS - 10)}`)
  t.strictSame([last.ids, last.next], [expected.slice(-9), null])
  const exact = await list(`${path}&limit=9&marker=${idOf(USERS - 10)}`)
  t.strictSame([exact.ids.length, exact.next], [9, null], 'nothing follows, and none is said to')
  const greedy = await list(`${path}&limit=5000`)
  t.strictSame([greedy.ids.length, greedy.truncated], [LIMIT, true])
  t.strictSame((await list(`${path}&limit=0`)).ids, [])
  for (const wrong of ['limit=x', 'limit=-1', 'marker=nobody', `marker=${groupId}`]) {
    t.equal((await rig.call('GET', `${path}&${wrong}`)).status, 400, wrong)
  }
  const admin = await rig.call('GET', '/v3/users?name=admin')
  const foreign = await rig.call('GET', `${path}&marker=${admin.body.users[0].id}`)
  t.equal(foreign.status, 400, 'a user of another domain marks nothing here')
})

t.test('filters and orders hold through the pages', async (t) => {
  const path = `/v3/users?domain_id=${domainId}&name__startswith=seventh&limit=100`
  const sevenths = all.filter(({ name }) => name.startsWith('seventh')).map(({ id }) => id)
  t.strictSame(await follow(path), sevenths)
  t.strictSame(await follow(`${path}&sort_key=name`), sevenths.toReversed())
  t.strictSame(await follow(`${path}&sort_key=name&sort_dir=desc`), sevenths)
  const colours = await follow(`/v3/users?domain_id=${domainId}&sort_key=color&limit=150`)
  const half = (rest: number) => expected.filter((_, nth) => nth % 2 === rest)
  t.strictSame(colours, [...half(1), ...half(0)], 'of equal ones none is lost between pages')
})

t.test('members of a group, and other kinds, have pages too', async (t) => {
  const members = await list(`/v3/groups/${groupId}/users`)
  t.strictSame([members.ids.length, members.truncated], [LIMIT, true])
  t.strictSame(await follow(`/v3/groups/${groupId}/users`), expected.slice(0, MEMBERS))
  const foreign = `/v3/groups/${groupId}/users?marker=${idOf(MEMBERS)}`
  t.equal((await rig.call('GET', foreign)).status, 400, 'who is no member marks nothing')
  for (let nth = 0; nth < 5; nth++) await people.project(`p${nth}`, domainId)
  const path = `/v3/projects?domain_id=${domainId}`
  t.match(await list(path, 'projects'), { ids: { length: 3 }, truncated: true })
  t.equal((await follow(path, 'projects')).length, 6)
  const roles = await list('/v3/roles', 'roles')
  t.ok(roles.ids.length > 3 && roles.truncated === undefined, 'without a limit, all')
})

t.test(
  'assignments are cut, and those of a user or a project found without the others',
  async (t) => {
    const { body } = await rig.call('GET', '/v3/role_assignments')
    t.strictSame([body.role_assignments.length, body.truncated], [LIMIT, true])
    const count = async (query: string) => {
      const answer = await rig.call('GET', `/v3/role_assignments?${query}`)
      t.equal(answer.status, 200)
      return answer.body.role_assignments.length
    }
    const last = idOf(MEMBERS - 1)
    t.equal(await count(`user.id=${last}&effective`), 2, 'member, and the reader that it implies')
    t.equal(await count(`user.id=${last}`), 1)
    t.equal(await count(`scope.project.id=${projectId}&effective`), LIMIT)
    const below = await people.project('below', domainId, projectId)
    const inherit = (actor: string) =>
      rig.call(
        'PUT',
        `/v3/OS-INHERIT/domains/${domainId}/${actor}/roles/${role}/inherited_to_projects`,
      )
    t.equal((await inherit(`users/${last}`)).status, 204)
    t.equal(await count(`scope.project.id=${below}&effective`), 2)
    t.equal(await count(`user.id=${last}&scope.project.id=${below}&effective`), 2)
    t.equal((await inherit(`groups/${groupId}`)).status, 204)
    t.equal(
      await count(`scope.project.id=${below}&effective`),
      LIMIT,
      'all members, as far as shown',
    )
    t.equal(
      await count(`user.id=${idOf(0)}&scope.project.id=${below}&effective`),
      2,
      'by the group',
    )
  },
)

t.test('a long list gives others their turn again and again', async (t) => {
  const settings = { ...rig.service.parts.settings, listLimit: null }
  const context = { parts: { ...rig.service.parts, settings }, caller: null }
  const call = { path: '/v3/users', query: new URLSearchParams(), baseUrl: rig.url, context }
  let turns = 0
  let ended = false
  const count = () => {
    turns++
    if (!ended) setImmediate(count)
  }
  setImmediate(count)
  const rows: LongList<UserRow> = {
    async *pages() {
      for (let at = 0; at < USERS; at += 100) yield all.slice(at, at + 100)
    },
    get: async () => undefined,
    show: ({ id, name }) => ({ id, name }),
  }
  const answer = await longListAnswer(call as IdentityCall, rows, { name: 'users' })
  ended = true
  t.ok(turns >= USERS / 100 + USERS / 256, `${turns} turns`)
  const shown = JSON.parse(Buffer.from(answer.body as Uint8Array).toString())
  t.strictSame(
    shown.users.map(({ id }: { readonly id: string }) => id),
    expected,
  )
  t.strictSame([shown.links.next, shown.truncated], [null, undefined])
})
