import t, { type Test } from 'tap'
import { FakeIdentity, type FakeUser } from '../../test/support/fake-identity.ts'
import type { Clock } from '../clock.ts'
import { createLog } from '../log.ts'
import type { RevocationEvent } from '../token/revocation.ts'
import { IdentityClient, type IdentityClientOptions } from './identity-client.ts'

/** Time that stands still but for what tests add; what is due is run when it has come. */
class ManualClock implements Clock {
  #ms = Date.UTC(2026, 0, 1)
  #actions: { readonly atMs: number; readonly action: () => void }[] = []
  nowMs = () => this.#ms
  monotonicMs = () => this.#ms
  after(delayMs: number, action: () => void): () => void {
    const entry = { atMs: this.#ms + delayMs, action }
    this.#actions.push(entry)
    return () => {
      this.#actions = this.#actions.filter((other) => other !== entry)
    }
  }
  add(ms: number) {
    this.#ms += ms
    const due = this.#actions.filter(({ atMs }) => atMs <= this.#ms)
    this.#actions = this.#actions.filter(({ atMs }) => atMs > this.#ms)
    for (const { action } of due) action()
  }
}

const DEFAULT = { id: 'default', name: 'Default' }
const claimsOf = (project: string, user: string, roles: readonly string[]): FakeUser['claims'] => ({
  user: { id: `${user}-id`, name: user, domain: DEFAULT },
  methods: ['password'],
  scope: { kind: 'project', id: `${project}-id`, name: project, domain: DEFAULT },
  roles: roles.map((name) => ({ id: `${name}-id`, name })),
})
const ANN = claimsOf('demo', 'ann', ['member'])
const SWIFT = { user: 'swift', password: 'secret', project: 'service' }

async function setUp(t: Test, options: Partial<IdentityClientOptions> = {}) {
  const clock = new ManualClock()
  const fake = await FakeIdentity.start(clock.nowMs)
  t.teardown(() => fake.stop())
  const claims = claimsOf('service', 'swift', ['service'])
  fake.users.set('service:swift', { password: 'secret', claims })
  fake.users.set('demo:ann', { password: 'annspass', claims: ANN })
  const lines: string[] = []
  const log = createLog({ write: (text) => lines.push(text), nowMs: () => 0, component: 'test' })
  const open = async () => {
    const client = await IdentityClient.open({
      url: `${fake.url}/v3/`,
      credentials: async () => SWIFT,
      clock,
      log,
      ...options,
    })
    t.teardown(() => client.close())
    return client
  }
  const event = (fields: Partial<RevocationEvent>): RevocationEvent => ({
    issuedBeforeMs: clock.nowMs(),
    revokedAtMs: clock.nowMs(),
    ...fields,
  })
  /** Lets the next poll come and waits for its end. */
  const poll = async (stepMs = 2000) => {
    const before = fake.count('GET /v3/OS-REVOKE/events')
    clock.add(stepMs)
    await until(() => fake.count('GET /v3/OS-REVOKE/events') > before)
    await settled()
  }
  const logged = () => {
    log.flush()
    return lines.splice(0).join('')
  }
  return { clock, fake, client: await open(), open, event, poll, logged }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1))
}

/** Answers on their way have come in. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 20))

const unavailable = { status: 503, code: 'IdentityUnavailable' }

t.test('a token is validated without asking for it, and then at once', async (t) => {
  const { fake, client } = await setUp(t)
  const token = await fake.issue(ANN)
  const asked = [...fake.counts]
  const [first, second] = await Promise.all([client.validate(token), client.validate(token)])
  t.match(first, ANN)
  t.equal(first, second, 'verified once')
  t.equal(client.validate(token), first, 'no promise for one that is remembered')
  t.strictSame([...fake.counts], asked)
  for (const bad of ['', 'garbage', `${token}x`, token.slice(0, -10)]) {
    t.equal(await client.validate(bad), null, bad)
  }
})

t.test('a token ends at its time, and one from the future is not believed', async (t) => {
  const { clock, fake, client, poll } = await setUp(t)
  const token = await fake.issue(ANN)
  const early = await fake.issue(ANN, { issuedAtMs: clock.nowMs() + 61_000 })
  t.ok(await client.validate(token))
  t.equal(await client.validate(early), null)
  await poll(fake.tokenLifeMs)
  t.equal(await client.validate(token), null)
})

t.test('revocations are seen by tokens that are remembered, and by others', async (t) => {
  const { fake, client, event, poll } = await setUp(t)
  const known = await fake.issue(ANN)
  const unseen = await fake.issue(ANN)
  const other = await fake.issue(claimsOf('demo', 'bob', ['member']))
  t.ok(await client.validate(known))
  t.ok(await client.validate(other))
  fake.events.push(event({ userId: 'ann-id' }))
  await poll()
  t.equal(await client.validate(known), null)
  t.equal(await client.validate(unseen), null)
  t.ok(await client.validate(other), 'and nobody else is touched')
  await poll()
  t.ok(await client.validate(await fake.issue(ANN)), 'who signs in later is let in')
})

t.test('a client with an old list refuses tokens with 503, until it has a new one', async (t) => {
  const { clock, fake, client, poll, logged } = await setUp(t)
  const token = await fake.issue(ANN)
  t.ok(await client.validate(token))
  fake.interfere = (_request, response) => {
    response.writeHead(500).end()
    return 'answered'
  }
  await poll()
  clock.add(57_000)
  await settled()
  t.ok(await client.validate(token), 'for a minute it goes on')
  clock.add(2000)
  t.throws(() => client.validate(token), unavailable)
  await t.rejects(async () => client.validate(await fake.issue(ANN)), unavailable)
  t.equal(await client.validate('garbage'), null, 'what is no token is refused as ever')
  t.notOk(client.isReady)
  t.equal(logged().match(/cannot be asked/g)?.length, 1, 'and it is reported once')
  fake.interfere = () => undefined
  await settled()
  await poll()
  t.ok(await client.validate(token))
  t.match(logged(), /answers again/)
})

t.test('a list that is not understood does not pass for an empty one', async (t) => {
  for (const body of ['{}', 'no JSON', '{"events":[{"flavor_id":"x"}]}', '{"events":{}}']) {
    const { clock, fake, client, poll } = await setUp(t)
    const token = await fake.issue(ANN)
    fake.interfere = (request, response) => {
      if (!request.url!.includes('REVOKE')) return undefined
      response.writeHead(200).end(body)
      return 'answered'
    }
    await poll()
    clock.add(59_000)
    await t.rejects(async () => client.validate(token), unavailable, body)
  }
})

t.test(
  'keys are followed: staged ones are known before they sign, retired ones void',
  async (t) => {
    const { fake, client, poll } = await setUp(t)
    const old = await fake.issue(ANN)
    t.ok(await client.validate(old))
    const before = fake.count('GET /v3/OS-SWIFTLET/token-keys')
    await fake.rotate(1)
    t.ok(await client.validate(await fake.issue(ANN)), 'by the key that was staged')
    t.equal(fake.count('GET /v3/OS-SWIFTLET/token-keys'), before, 'without asking')
    await poll()
    t.ok(await client.validate(old), 'by a secondary key')
    await fake.rotate(1)
    await poll()
    t.equal(await client.validate(old), null, 'by a retired key')
  },
)

t.test('a key that is not known is asked about, but not for every forged token', async (t) => {
  const { clock, fake, client } = await setUp(t, { pollMs: 1e9 })
  await fake.rotate(1)
  await fake.rotate(1)
  const token = await fake.issue(ANN)
  clock.add(3000)
  t.ok(await client.validate(token), 'a new key is fetched')
  const before = fake.count('GET /v3/OS-SWIFTLET/token-keys')
  const stranger = await FakeIdentity.start(clock.nowMs)
  t.teardown(() => stranger.stop())
  for (let index = 0; index < 20; index++) {
    t.equal(await client.validate(await stranger.issue(ANN)), null)
  }
  t.equal(fake.count('GET /v3/OS-SWIFTLET/token-keys'), before)
  clock.add(3000)
  t.equal(await client.validate(await stranger.issue(ANN)), null)
  t.equal(fake.count('GET /v3/OS-SWIFTLET/token-keys'), before + 1)
})

t.test('the tokens that are remembered are bounded', async (t) => {
  const { fake, client } = await setUp(t, { cachedTokensMax: 2 })
  const tokens = [await fake.issue(ANN), await fake.issue(ANN), await fake.issue(ANN)]
  for (const token of tokens) t.ok(await client.validate(token))
  t.ok(client.validate(tokens[0]!) instanceof Promise, 'the first was forgotten')
  t.notOk(client.validate(tokens[2]!) instanceof Promise)
})

t.test('the service signs in once, renews in time, and after a 401', async (t) => {
  const { clock, fake, client, poll } = await setUp(t)
  const signIns = () => fake.count('POST /v3/auth/tokens')
  const token = await client.session.token()
  t.equal(await client.session.token(), token)
  t.equal(signIns(), 1)
  await poll(fake.tokenLifeMs - 301_000)
  t.equal(await client.session.token(), token)
  await poll(2000)
  const second = await client.session.token()
  t.not(second, token, 'renewed before its end')
  t.equal(signIns(), 2)
  fake.refuseTokens()
  clock.add(0)
  const answer = await client.session.send({ method: 'GET', path: '/v3/OS-REVOKE/events' })
  t.equal(answer.status, 200)
  t.equal(signIns(), 3)
  t.not(await client.session.token(), second)
})

t.test('many who want a token at once make one sign-in', async (t) => {
  const { fake, client } = await setUp(t, { pollMs: 1e9 })
  client.session.forget(await client.session.token())
  const before = fake.count('POST /v3/auth/tokens')
  const tokens = await Promise.all(Array.from({ length: 10 }, () => client.session.token()))
  t.equal(new Set(tokens).size, 1)
  t.equal(fake.count('POST /v3/auth/tokens'), before + 1)
})

t.test('a client that is started first is ready when the identity service is', async (t) => {
  const clock = new ManualClock()
  const fake = await FakeIdentity.start(clock.nowMs)
  const { port } = new URL(fake.url)
  await fake.stop()
  const claims = claimsOf('service', 'swift', ['service'])
  fake.users.set('service:swift', { password: 'secret', claims })
  const client = await IdentityClient.open({
    url: fake.url,
    credentials: async () => SWIFT,
    clock,
    log: createLog({ write: () => {}, nowMs: () => 0, component: 'test' }),
  })
  t.teardown(() => client.close())
  const token = await fake.issue(ANN)
  t.notOk(client.isReady)
  await t.rejects(async () => client.validate(token), unavailable)
  await fake.listen(Number(port))
  t.teardown(() => fake.stop())
  clock.add(100)
  await until(() => client.isReady)
  clock.add(3000)
  t.ok(await client.validate(token))
})

t.test(
  'others are signed in: null for a wrong password, a failure for what cannot be told',
  async (t) => {
    const { clock, fake, client } = await setUp(t, {
      pollMs: 1e9,
      http: { bodyBytesMax: 4000, timeoutMs: 5000 },
    })
    const ann = { user: 'ann', password: 'annspass', project: 'demo' }
    const issued = await client.signIn(ann)
    t.match(issued, { projectId: 'demo-id', expiresAtMs: clock.nowMs() + fake.tokenLifeMs })
    t.match(await client.validate(issued!.token), ANN)
    t.equal(await client.signIn({ ...ann, password: 'wrong' }), null)
    t.equal(await client.signIn({ ...ann, project: 'other' }), null)
    const statuses: [status: number, body: string, failure: number | null][] = [
      [400, '{}', null],
      [403, '{}', null],
      [429, '{}', 429],
      [404, '{}', 503],
      [500, '{}', 503],
      [302, '', 503],
      [201, '{}', 503],
      [201, '<html>', 503],
      [201, `"${'x'.repeat(5000)}"`, 503],
    ]
    for (const [status, body, failure] of statuses) {
      fake.interfere = (_request, response) => {
        response.writeHead(status, { location: 'http://127.0.0.1:1/', 'x-subject-token': 'x' })
        response.end(body)
        return 'answered'
      }
      if (failure === null) t.equal(await client.signIn(ann), null, `${status}`)
      else {
        const failed = failure === 429 ? { status: 429, code: 'TooManyFailures' } : unavailable
        await t.rejects(client.signIn(ann), failed, `${status} ${body.slice(0, 9)}`)
      }
    }
    let asked = false
    fake.interfere = () => {
      asked = true
      return 'answered'
    }
    const waiting = client.signIn(ann)
    await until(() => asked)
    clock.add(5000)
    await t.rejects(waiting, unavailable, 'one that is not answered in time')
  },
)

t.test('a connection that was closed while it was idle is not a failure', async (t) => {
  const { fake, client } = await setUp(t, { pollMs: 1e9 })
  const ann = { user: 'ann', password: 'annspass', project: 'demo' }
  let dropped = 0
  fake.interfere = (request) => {
    if (dropped++ > 0) return undefined
    request.socket.destroy()
    return 'answered'
  }
  t.ok(await client.signIn(ann))
  fake.interfere = (request) => {
    request.socket.destroy()
    return 'answered'
  }
  await t.rejects(client.signIn(ann), unavailable, 'but it is tried once more only')
})

t.test('a token that is remembered is told at once, among a thousand revocations', async (t) => {
  const { fake, client, event, poll } = await setUp(t)
  for (let index = 0; index < 1000; index++) fake.events.push(event({ userId: `user-${index}` }))
  await poll()
  const bytes = Buffer.from(await fake.issue(ANN))
  await client.validate(bytes.toString('latin1'))
  const rounds: number[] = []
  for (let round = 0; round < 9; round++) {
    const started = performance.now()
    // As from a socket: a new text each time.
    for (let index = 0; index < 1000; index++) void client.validate(bytes.toString('latin1'))
    rounds.push(performance.now() - started)
  }
  t.comment(`${Math.min(...rounds).toFixed(2)} us a token`)
  t.notOk(client.validate(bytes.toString('latin1')) instanceof Promise)
})
