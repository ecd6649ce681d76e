/** Calls of the identity API that meet: whatever comes first, the state is whole and the answers are true. */
import t from 'tap'
import { memberships } from '../../auth/tables/tables.ts'
import { danglingReferences } from '../support/identity-check.ts'
import { IdentityRig } from '../support/identity-rig.ts'

const rig = await IdentityRig.start()
t.teardown(() => rig.close())

const { state } = rig.service.parts
const ROUNDS = 8

const make = async (kind: string, body: Readonly<Record<string, unknown>>): Promise<string> => {
  const answer = await rig.call('POST', `/v3/${kind}s`, { body: { [kind]: body } })
  if (answer.status !== 201) throw new Error(`${kind}: ${JSON.stringify(answer.body)}`)
  return answer.body[kind].id
}
const roleId = async (name: string): Promise<string> =>
  (await rig.call('GET', `/v3/roles?name=${name}`)).body.roles[0].id
const member = await roleId('member')

/** Starts all at once; their statuses. */
const together = async (
  ...calls: readonly (readonly [method: string, path: string, body?: unknown])[]
): Promise<readonly number[]> => {
  const answers = calls.map(([method, path, body]) => rig.call(method, path, { body }))
  return (await Promise.all(answers)).map(({ status }) => status)
}

t.test('of many who make the same name at once, one does', async (t) => {
  for (const kind of ['domain', 'project', 'user', 'group', 'role']) {
    const body = { [kind]: { name: `one ${kind}` } }
    const calls = Array.from({ length: 12 }, () => ['POST', `/v3/${kind}s`, body] as const)
    const statuses = await together(...calls)
    t.strictSame([...statuses].sort(), [201, ...Array(11).fill(409)], kind)
    const found = await rig.call('GET', `/v3/${kind}s?name=one%20${kind}`)
    t.equal(found.body[`${kind}s`].length, 1)
  }
  const kept = await make('user', { name: 'renamed' })
  await make('user', { name: 'taken' })
  const rename = ['PATCH', `/v3/users/${kept}`, { user: { name: 'taken' } }] as const
  t.strictSame(await together(rename, rename), [409, 409])
})

t.test('who is deleted while something is given to them has it not', async (t) => {
  for (let n = 0; n < ROUNDS; n++) {
    const user = await make('user', { name: `u${n}`, password: 'pw' })
    const group = await make('group', { name: `g${n}` })
    const project = await make('project', { name: `p${n}` })
    const role = await make('role', { name: `r${n}` })
    const blob = { credential: { user_id: user, project_id: project, type: 'cert', blob: 'b' } }
    const statuses = await together(
      ['PUT', `/v3/projects/${project}/users/${user}/roles/${member}`],
      ['PUT', `/v3/groups/${group}/users/${user}`],
      ['DELETE', n % 2 === 0 ? `/v3/users/${user}` : `/v3/projects/${project}`],
      ['POST', '/v3/credentials', blob],
      ['PUT', `/v3/projects/${project}/users/${user}/roles/${role}`],
      ['PUT', `/v3/roles/${role}/implies/${member}`],
      ['DELETE', `/v3/roles/${role}`],
      ['PUT', `/v3/domains/default/groups/${group}/roles/${role}`],
      ['DELETE', `/v3/groups/${group}`],
      ['POST', '/v3/projects', { project: { name: `below${n}`, parent_id: project } }],
    )
    t.notOk(
      statuses.some((status) => status >= 500),
      String(statuses),
    )
  }
  t.strictSame(await danglingReferences(state), [])
})

t.test('a domain that goes takes along who comes at that moment', async (t) => {
  for (let n = 0; n < ROUNDS; n++) {
    const domain = await make('domain', { name: `d${n}`, enabled: false })
    const inside = { name: 'x', domain_id: domain }
    const statuses = await together(
      ['POST', '/v3/users', { user: inside }],
      ['POST', '/v3/groups', { group: inside }],
      ['DELETE', `/v3/domains/${domain}`],
      ['POST', '/v3/projects', { project: inside }],
      ['POST', '/v3/roles', { role: inside }],
      ['PATCH', `/v3/domains/${domain}`, { domain: { description: 'd' } }],
    )
    t.notOk(
      statuses.some((status) => status >= 500),
      String(statuses),
    )
    t.match(await rig.call('GET', `/v3/domains/${domain}`), { status: 404 })
  }
  t.strictSame(await danglingReferences(state), [])
})

t.test('a service that goes takes along its endpoints and limits', async (t) => {
  for (let n = 0; n < ROUNDS; n++) {
    const id = await make('service', { type: `type${n}`, name: 's' })
    const endpoint = { service_id: id, interface: 'public', url: 'http://127.0.0.1/' }
    const limit = { service_id: id, resource_name: 'r', default_limit: 1 }
    const statuses = await together(
      ['POST', '/v3/endpoints', { endpoint }],
      ['DELETE', `/v3/services/${id}`],
      ['POST', '/v3/endpoints', { endpoint }],
      ['POST', '/v3/registered_limits', { registered_limits: [limit] }],
    )
    t.notOk(
      statuses.some((status) => status >= 500),
      String(statuses),
    )
  }
  t.strictSame(await danglingReferences(state), [])
})

t.test('a token is good until its user is gone, and not a moment longer', async (t) => {
  for (const way of ['DELETE', 'PATCH'] as const) {
    const id = await make('user', { name: `leaves by ${way}`, password: 'pw' })
    const token = await rig.token('unscoped', { id, password: 'pw' })
    const validate = async () =>
      (await rig.call('GET', '/v3/auth/tokens', { headers: { 'X-Subject-Token': token } })).status
    let gone = false
    const seen = Array.from({ length: 20 }, async () => {
      const before = gone
      return { before, status: await validate() }
    })
    const body = way === 'PATCH' ? { body: { user: { enabled: false } } } : {}
    const leaving = rig.call(way, `/v3/users/${id}`, body).then(() => {
      gone = true
    })
    for (const { status } of await Promise.all(seen)) t.ok([200, 404].includes(status))
    await leaving
    t.equal(await validate(), 404)
    const refused = await rig.call('GET', '/v3/auth/projects', { token })
    t.equal(refused.status, 401)
    t.match(await rig.signIn('unscoped', { id, password: 'pw' }), { status: 401 })
  }
})

t.test('a password that is changed twice at once is changed once', async (t) => {
  const id = await make('user', { name: 'changes', password: 'old' })
  const change = (password: string) =>
    rig.call('POST', `/v3/users/${id}/password`, {
      body: { user: { original_password: 'old', password } },
      token: null,
    })
  const statuses = (await Promise.all([change('a'), change('b')])).map(({ status }) => status)
  t.strictSame([...statuses].sort(), [204, 401])
  const good = statuses[0] === 204 ? 'a' : 'b'
  t.match(await rig.signIn('unscoped', { id, password: good }), { status: 201 })
})

t.test('the check of the state sees what dangles', async (t) => {
  await state.transaction((tx) => memberships.put(tx, { groupId: 'g', userId: 'u' }))
  await state.transaction(async (tx) => tx.put('users.name', 'nobody', 'no such row'))
  t.strictSame(await danglingReferences(state), [
    'a membership refers to group g',
    'a membership refers to user u',
    'users.name has nobody, which is not there',
  ])
})
