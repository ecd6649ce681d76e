import t from 'tap'
import type { Clock } from '../common/clock.ts'
import { systemRandom as random } from '../common/random.ts'
import { Attempts } from './attempts.ts'
import { decodeToken, encodeToken } from './token.ts'
import { groupsOf, type Users } from './user.ts'
import { addUser, changeKey, randomKey, removeUser } from './user-edit.ts'
import { UserIdentity, type UserIdentityOptions } from './user-identity.ts'
import { hashKey, parseStoredKey, verifyKey } from './user-key.ts'

class FakeClock implements Clock {
  ms = Date.UTC(2026, 0, 1)
  nowMs() {
    return this.ms
  }
  monotonicMs() {
    return this.ms
  }
  after(): () => void {
    return () => {}
  }
}

const NONE: Users = new Map()
const KEYS = [random.bytes(32)]
const TESTER = { name: 'test:tester', key: 'testing', groups: ['.admin'] }

async function setUp(options: Partial<UserIdentityOptions> = {}) {
  const state = { users: await addUser(NONE, TESTER, random) }
  const clock = new FakeClock()
  const identity = (more: Partial<UserIdentityOptions> = {}) =>
    new UserIdentity({
      users: () => state.users,
      tokenKeys: KEYS,
      clock,
      random,
      ...options,
      ...more,
    })
  return { state, clock, identity }
}

t.test('the right key gives a token that says who holds it', async (t) => {
  const { clock, identity } = await setUp()
  const signIn = await identity().signIn('test:tester', 'testing')
  t.match(signIn?.token, /^AUTH_tk[\w-]{40,}$/)
  t.equal(signIn?.account, 'AUTH_test')
  t.equal(signIn?.expiresAtMs, clock.ms + 86_400_000)
  t.strictSame(identity().validate(signIn!.token), {
    user: 'test:tester',
    account: 'AUTH_test',
    groups: ['test', 'test:tester', 'AUTH_test', 'SERVICE_test'],
    expiresAtMs: clock.ms + 86_400_000,
  })
})

t.test('a wrong key, an unknown user and a bare name get nothing', async (t) => {
  const { identity } = await setUp()
  const one = identity()
  for (const [user, key] of [
    ['test:tester', 'testin'],
    ['test:tester', ''],
    ['test:nobody', 'testing'],
    ['', ''],
    ['__proto__', 'x'],
  ] as const) {
    t.equal(await one.signIn(user, key), null, `${user}/${key}`)
  }
})

t.test('an unknown user takes about the time of a known one', async (t) => {
  const { identity } = await setUp({ attempts: { failuresMax: 1000 } })
  const one = identity()
  const medianMs = async (user: string) => {
    const times: number[] = []
    for (let index = 0; index < 7; index++) {
      const started = performance.now()
      await one.signIn(user, 'wrong')
      times.push(performance.now() - started)
    }
    return times.sort((a, b) => a - b)[3]!
  }
  const [known, unknown] = [await medianMs('test:tester'), await medianMs('test:nobody')]
  t.ok(known / unknown < 3 && unknown / known < 3, `known ${known} ms, unknown ${unknown} ms`)
})

t.test('a token ends at its time, even when it is remembered', async (t) => {
  const { clock, identity } = await setUp({ tokenLifeSeconds: 60 })
  const one = identity()
  const { token } = (await one.signIn('test:tester', 'testing'))!
  t.ok(one.validate(token))
  clock.ms += 59_999
  t.ok(one.validate(token))
  clock.ms += 1
  t.equal(one.validate(token), null)
})

t.test('a token is good in another process and after a restart', async (t) => {
  const { identity } = await setUp()
  const { token } = (await identity().signIn('test:tester', 'testing'))!
  t.ok(identity().validate(token))
  t.equal(
    identity({ tokenKeys: [random.bytes(32)] }).validate(token),
    null,
    'but not with other keys',
  )
  t.ok(
    identity({ tokenKeys: [random.bytes(32), ...KEYS] }).validate(token),
    'an old key still reads',
  )
})

t.test('a changed key or a removed user voids the tokens there are', async (t) => {
  const { state, identity } = await setUp()
  const one = identity()
  const { token } = (await one.signIn('test:tester', 'testing'))!
  t.ok(one.validate(token))
  state.users = await changeKey(state.users, { name: 'test:tester', key: 'other' }, random)
  t.equal(one.validate(token), null)
  t.equal(await one.signIn('test:tester', 'testing'), null)
  const { token: second } = (await one.signIn('test:tester', 'other'))!
  t.ok(one.validate(second))
  state.users = removeUser(state.users, 'test:tester')
  t.equal(one.validate(second), null)
  t.equal(await one.signIn('test:tester', 'other'), null)
})

t.test('every altered character and length of a token is refused', async (t) => {
  const { identity } = await setUp()
  const one = identity()
  const { token } = (await one.signIn('test:tester', 'testing'))!
  const altered = Array.from(token, (character, index) => {
    const other = character === 'A' ? 'B' : 'A'
    return token.slice(0, index) + other + token.slice(index + 1)
  })
  const bad = [
    ...altered,
    ...Array.from(token, (_, index) => token.slice(0, index)),
    `${token}A`,
    `${token}=`,
    `${token} `,
    'AUTH_tk',
    `AUTH_tk${'A'.repeat(100_000)}`,
  ]
  t.strictSame(
    bad.filter((text) => one.validate(text) !== null),
    [],
  )
  t.ok(one.validate(token))
})

t.test('no more tokens are remembered than the limit', async (t) => {
  const { clock, identity } = await setUp({ cachedTokensMax: 3 })
  const one = identity()
  const tokens: string[] = []
  for (let index = 0; index < 10; index++) {
    clock.ms += 1000
    tokens.push((await one.signIn('test:tester', 'testing'))!.token)
  }
  t.equal(new Set(tokens).size, 10)
  for (const token of [...tokens, ...tokens]) t.ok(one.validate(token))
})

t.test('a remembered token is validated in microseconds', async (t) => {
  const { identity } = await setUp()
  const one = identity()
  const { token } = (await one.signIn('test:tester', 'testing'))!
  const started = performance.now()
  for (let index = 0; index < 100_000; index++) one.validate(token)
  const microseconds = ((performance.now() - started) * 1000) / 100_000
  t.comment(`${microseconds.toFixed(2)} us`)
  t.ok(microseconds < 50)
})

t.test('groups are what Swift shows to ACLs', async (t) => {
  const cases: [name: string, groups: string[], expected: string[]][] = [
    ['test:tester3', [], ['test', 'test:tester3']],
    ['test:tester', ['.admin'], ['test', 'test:tester', 'AUTH_test', 'SERVICE_test']],
    [
      'admin:admin',
      ['.admin', '.reseller_admin'],
      ['admin', 'admin:admin', '.reseller_admin', 'AUTH_admin', 'SERVICE_admin'],
    ],
    ['test5:tester5', ['service'], ['test5', 'test5:tester5', 'service']],
  ]
  for (const [name, groups, expected] of cases) {
    const users = await addUser(NONE, { name, key: 'k', groups }, random)
    t.strictSame(groupsOf(users.get(name)!), expected, name)
  }
  const prefixes = ['AUTH_', 'LAB_']
  const own = await addUser(NONE, { name: 'a:b', key: 'k', groups: ['.admin'] }, random)
  t.strictSame(groupsOf(own.get('a:b')!, prefixes), ['a', 'a:b', 'AUTH_a', 'LAB_a'])
  const lab = { name: 'a:lab', key: 'k', groups: ['.admin'], account: 'LAB_a' }
  const owner = (await addUser(NONE, lab, random)).get('a:lab')!
  t.strictSame(groupsOf(owner, prefixes), ['a', 'a:lab', 'LAB_a'])
  const sly = await addUser(NONE, { name: 'LAB_a:b', key: 'k', groups: [] }, random)
  t.strictSame(groupsOf(sly.get('LAB_a:b')!, prefixes), ['LAB_a:b'], "an account's name owns it")
})

t.test('bad users are refused with a reason', async (t) => {
  const users = await addUser(NONE, TESTER, random)
  const cases = [
    [{ ...TESTER, name: 'tester' }, 'BadUserName'],
    [{ ...TESTER, name: 'a:b:c' }, 'BadUserName'],
    [{ ...TESTER, name: 'a b:c' }, 'BadUserName'],
    [{ ...TESTER, name: 'x:y', groups: ['a,b'] }, 'BadGroup'],
    [{ ...TESTER, name: 'x:y', key: '' }, 'BadKey'],
    [{ ...TESTER, name: 'x:y', key: 'a\nb' }, 'BadKey'],
    [{ ...TESTER, name: 'x:y', account: 'a/b' }, 'BadAccount'],
    [TESTER, 'UserExists'],
  ] as const
  for (const [user, code] of cases) await t.rejects(addUser(users, user, random), { code }, code)
  await t.rejects(changeKey(users, { name: 'no:one', key: 'x' }, random), { code: 'NoSuchUser' })
  t.throws(() => removeUser(users, 'no:one'), { code: 'NoSuchUser' })
})

t.test('keys are stored salted and verified; damaged texts verify nothing', async (t) => {
  const [one, two] = [await hashKey('k', random.bytes(16)), await hashKey('k', random.bytes(16))]
  t.not(one, two)
  t.ok(await verifyKey('k', one))
  t.notOk(await verifyKey('K', one))
  for (const bad of [
    '',
    'k',
    one.replace('8192', '8191'),
    one.replace('8192', '4194304'),
    one.slice(0, 30),
  ]) {
    t.equal(parseStoredKey(bad), null, bad)
    t.notOk(await verifyKey('k', bad))
  }
  t.match(randomKey(random), /^[a-z2-9]{32}$/)
})

t.test('claims survive encoding', (t) => {
  const claims = { user: 'tést:x', version: '00ff00ff00ff00ff', expiresAtSeconds: 2 ** 33 + 5 }
  t.strictSame(decodeToken(encodeToken(claims, KEYS[0]!), KEYS), claims)
  t.end()
})

t.test('a name that fails too often waits, others and the right key do not', async (t) => {
  const { clock, identity } = await setUp({ attempts: { failuresMax: 3, windowMs: 60_000 } })
  const one = identity()
  t.ok(await one.signIn('test:tester', 'testing'))
  for (let index = 0; index < 3; index++) await one.signIn('test:tester', 'wrong')
  await t.rejects(one.signIn('test:tester', 'wrong'), {
    code: 'TooManyFailures',
    status: 429,
    retryAfterSeconds: 60,
  })
  t.ok(await one.signIn('test:tester', 'testing'), 'whoever held the key before still gets in')
  t.equal(await one.signIn('test:other', 'wrong'), null)
  clock.ms += 60_000
  t.equal(await one.signIn('test:tester', 'wrong'), null)
})

t.test('few keys are checked at once, few wait, the rest is told to come back', async (t) => {
  const attempts = new Attempts({ monotonicMs: () => 0, runningMax: 2, waitingMax: 3 })
  const releases: (() => void)[] = []
  let runningMost = 0
  let running = 0
  const check = async () => {
    runningMost = Math.max(runningMost, ++running)
    await new Promise<void>((resolve) => releases.push(resolve))
    running--
    return true
  }
  const runs = [1, 2, 3, 4, 5].map((index) => attempts.run(`user${index}`, check))
  await t.rejects(attempts.run('user6', check), { code: 'Busy', status: 503 })
  for (let done = 0; done < 5; done++) {
    while (releases.length === 0) await new Promise((resolve) => setImmediate(resolve))
    releases.shift()!()
  }
  t.strictSame(await Promise.all(runs), [true, true, true, true, true])
  t.equal(runningMost, 2)
})
