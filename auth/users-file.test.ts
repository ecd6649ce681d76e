import { chmodSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Clock } from '../common/clock.ts'
import { createLog } from '../common/log.ts'
import { systemRandom as random } from '../common/random.ts'
import { decodeUsers, encodeUsers, type Users } from './user.ts'
import { addUser, removeUser } from './user-edit.ts'
import { readUsers, UsersFile, writeUsers } from './users-file.ts'

const NONE: Users = new Map()

/** A clock whose timers run when told. */
class ManualClock implements Clock {
  #actions: (() => void)[] = []
  nowMs = () => 0
  monotonicMs = () => 0
  after(_delayMs: number, action: () => void): () => void {
    this.#actions.push(action)
    return () => {
      this.#actions = this.#actions.filter((other) => other !== action)
    }
  }
  get waiting() {
    return this.#actions.length
  }
  /** Runs what is due and waits until the poll has come round. */
  async tick() {
    const actions = this.#actions
    this.#actions = []
    for (const action of actions) action()
    while (this.#actions.length === 0) await new Promise((resolve) => setImmediate(resolve))
  }
}

async function setUp(t: Test) {
  const path = join(t.testdir(), 'users.json')
  const users = await addUser(NONE, { name: 'a:b', key: 'k', groups: ['.admin'] }, random)
  await writeUsers(path, users)
  const clock = new ManualClock()
  const lines: string[] = []
  const log = createLog({ write: (text) => lines.push(text), nowMs: () => 0, component: 'test' })
  const file = await UsersFile.open(path, { clock, log })
  t.teardown(() => file.close())
  const logged = () => {
    log.flush()
    return lines.splice(0).join('')
  }
  return { path, users, clock, file, logged }
}

t.test('users survive the file, which only the owner may read', async (t) => {
  const { path, users, file } = await setUp(t)
  t.strictSame([...(await readUsers(path))], [...users])
  t.strictSame([...file.users], [...users])
  t.equal(statSync(path).mode & 0o777, 0o600)
  chmodSync(path, 0o644)
  await writeUsers(path, users)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.strictSame(readdirSync(join(path, '..')), ['users.json'], 'nothing is left beside it')
})

t.test('a change is seen at the next look, and no change gives the same map', async (t) => {
  const { path, users, clock, file, logged } = await setUp(t)
  const before = file.users
  await clock.tick()
  t.equal(file.users, before)
  await writeUsers(path, removeUser(users, 'a:b'))
  await clock.tick()
  t.equal(file.users.size, 0)
  t.match(logged(), /users reloaded/)
})

t.test('a damaged or missing file is reported once and changes nothing', async (t) => {
  const { path, users, clock, file, logged } = await setUp(t)
  writeFileSync(path, '{ "format": 1')
  await clock.tick()
  t.match(logged(), /unreadable.*not JSON/)
  await clock.tick()
  t.equal(logged(), '')
  rmSync(path)
  await clock.tick()
  t.match(logged(), /unreadable.*ENOENT/)
  await clock.tick()
  t.equal(logged(), '')
  t.strictSame([...file.users], [...users])
  await writeUsers(path, NONE)
  await clock.tick()
  t.equal(file.users.size, 0, 'and a mended one is read again')
})

t.test('after close nothing is looked at', async (t) => {
  const { clock, file } = await setUp(t)
  file.close()
  t.equal(clock.waiting, 0)
})

t.test('opening what is not a users file fails with the reason', async (t) => {
  const path = join(t.testdir(), 'users.json')
  await t.rejects(readUsers(path), { code: 'NoUsersFile' })
  const users = await addUser(NONE, { name: 'a:b', key: 'k', groups: [] }, random)
  const good = JSON.parse(encodeUsers(users)) as { users: Record<string, object> }
  const cases: [what: string, text: string, message: RegExp][] = [
    ['empty', '', /not JSON/],
    ['a list', '[]', /not an object/],
    ['another format', '{"format":2,"users":{}}', /format 2 is not 1/],
    ['no users', '{"format":1}', /users is not an object/],
    ['a bad name', '{"format":1,"users":{"x":{}}}', /not a user's name/],
    ...['key', 'groups', 'account', 'version'].map((field): [string, string, RegExp] => [
      `a bad ${field}`,
      JSON.stringify({ ...good, users: { 'a:b': { ...good.users['a:b'], [field]: 7 } } }),
      new RegExp(`a:b: bad ${field}`),
    ]),
  ]
  for (const [what, text, message] of cases) {
    t.throws(() => decodeUsers(text), { code: 'BadUsersFile', message }, what)
  }
})
