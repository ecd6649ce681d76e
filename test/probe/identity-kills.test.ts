/**
 * kill -9 of the identity service under changes, again and again: what was acknowledged is there afterwards, what was
 * deleted stays gone, nothing is half there, tokens of before are good and those that were revoked are not.
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openLevelState } from '../../common/state/level-state.ts'
import { danglingReferences } from '../support/identity-check.ts'
import { type IdentityProcess, startIdentity } from '../support/identity-process.ts'
import { ADMIN_PASSWORD } from '../support/identity-rig.ts'

const KILLS = process.env.SWIFTLET_PROBE === 'long' ? 40 : 3
const WORKERS = 6
/** Changes acknowledged between a start and a kill. */
const CHANGES = 40

type Calls = (method: string, path: string, body?: unknown) => Promise<Answer>
interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: bodies of every form.
  readonly body: any
}

/** What has to be found again. */
class Ledger {
  readonly users = new Map<string, string>()
  readonly gone = new Set<string>()
  acknowledged = 0
  sequence = 0
}

t.test('nothing is half there after kill -9', { timeout: KILLS * 60_000 }, async (t) => {
  const folder = t.testdir()
  const ledger = new Ledger()
  let kept: string | null = null
  let revoked: string | null = null
  for (let kill = 0; kill < KILLS; kill++) {
    const identity = await startIdentity({ folder })
    const token = await signIn(identity)
    if (kept !== null) t.equal(await validate(identity, token, kept), 200, 'a token of before')
    if (revoked !== null) t.equal(await validate(identity, token, revoked), 404, 'a revoked one')
    kept = token
    revoked = await signIn(identity)
    t.equal((await calls(identity, revoked)('DELETE', '/v3/auth/tokens')).status, 204)
    const call = calls(identity, token)
    await findAgain(t, call, ledger)
    const from = ledger.acknowledged
    const working = Array.from({ length: WORKERS }, () => work(call, ledger))
    // A worker ends when the service is gone.
    while (ledger.acknowledged - from < CHANGES + kill * 3) await Promise.race([tick(), ...working])
    await identity.kill()
    await Promise.all(working)
    const state = await openLevelState(join(folder, 'state'))
    t.strictSame(await danglingReferences(state), [])
    await state.close()
    t.notMatch(identity.log(), /"level":"error"/)
  }
  t.comment(`${KILLS} kills, ${ledger.acknowledged} changes`)
})

const tick = () => new Promise((resolve) => setImmediate(resolve))

/** Makes a user with groups, a project and roles, then deletes some; until the service is gone. */
async function work(call: Calls, ledger: Ledger): Promise<void> {
  const made = async (kind: string, values: Readonly<Record<string, unknown>>): Promise<string> => {
    const answer = await call('POST', `/v3/${kind}s`, { [kind]: values })
    if (answer.status !== 201) throw new Error(`${kind}: ${answer.status}`)
    ledger.acknowledged++
    return answer.body[kind].id
  }
  const done = async (method: string, path: string): Promise<void> => {
    const { status } = await call(method, path)
    if (status !== 204) throw new Error(`${method} ${path}: ${status}`)
    ledger.acknowledged++
  }
  const roles = (await call('GET', '/v3/roles?name=member').catch(() => null))?.body.roles
  try {
    for (;;) {
      const n = ledger.sequence++
      const name = `user ${n}`
      const user = await made('user', { name })
      ledger.users.set(user, name)
      const group = await made('group', { name: `group ${n}` })
      const project = await made('project', { name: `project ${n}` })
      await done('PUT', `/v3/groups/${group}/users/${user}`)
      await done('PUT', `/v3/projects/${project}/groups/${group}/roles/${roles[0].id}`)
      await done('PUT', `/v3/projects/${project}/users/${user}/roles/${roles[0].id}`)
      if (n % 2 === 0) {
        ledger.users.delete(user)
        await done('DELETE', `/v3/users/${user}`)
        ledger.gone.add(user)
      } else {
        await done('DELETE', `/v3/projects/${project}`)
      }
    }
  } catch (error) {
    // fetch's word for a connection that is gone.
    if (!(error instanceof TypeError)) throw error
  }
}

async function findAgain(t: Test, call: Calls, { users, gone }: Ledger): Promise<void> {
  const { body } = await call('GET', '/v3/users')
  const found = new Map<string, string>(
    body.users.map(({ id, name }: { id: string; name: string }) => [id, name]),
  )
  const lost = [...users].filter(([id, name]) => found.get(id) !== name)
  t.strictSame(lost, [], `${users.size} users that were made are there`)
  t.strictSame(
    [...gone].filter((id) => found.has(id)),
    [],
    `${gone.size} that were deleted are not`,
  )
}

async function signIn({ url }: IdentityProcess): Promise<string> {
  const domain = { id: 'default' }
  const user = { name: 'admin', domain, password: ADMIN_PASSWORD }
  const scope = { project: { name: 'admin', domain } }
  const answer = await fetch(`${url}/v3/auth/tokens`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      auth: { identity: { methods: ['password'], password: { user } }, scope },
    }),
  })
  return answer.headers.get('x-subject-token')!
}

async function validate({ url }: IdentityProcess, token: string, subject: string): Promise<number> {
  const headers = { 'X-Auth-Token': token, 'X-Subject-Token': subject }
  return (await fetch(`${url}/v3/auth/tokens`, { headers })).status
}

function calls({ url }: IdentityProcess, token: string): Calls {
  return async (method, path, body) => {
    const headers = {
      'X-Auth-Token': token,
      ...(path.endsWith('/auth/tokens') && { 'X-Subject-Token': token }),
      'Content-Type': 'application/json',
    }
    const sent = body === undefined ? {} : { body: JSON.stringify(body) }
    const answer = await fetch(url + path, { method, headers, ...sent })
    const text = await answer.text()
    return { status: answer.status, body: text === '' ? null : JSON.parse(text) }
  }
}
