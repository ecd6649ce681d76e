import { Registry } from 'prom-client'
import t from 'tap'
import { DEFAULT_SETTINGS, type SecurityCompliance } from '../../auth/settings.ts'
import { IdentityPeople, type Person } from '../support/identity-people.ts'
import { IdentityRig, SERVICE_PASSWORD } from '../support/identity-rig.ts'
import { MovedClock } from '../support/moved-clock.ts'

const DAY_MS = 24 * 3600_000

/** A test, as far as it ends what was started. */
interface Cleaning {
  teardown(action: () => unknown): void
}

/** A service with rules of its own for passwords. */
async function start(t: Cleaning, security: Partial<SecurityCompliance> = {}) {
  const clock = new MovedClock()
  const rig = await IdentityRig.start({
    clock,
    settings: { security: { ...DEFAULT_SETTINGS.security, ...security } },
  })
  t.teardown(() => rig.close())
  const people = new IdentityPeople(rig)
  const change = (user: Person, password: string, original = user.password) =>
    rig.call('POST', `/v3/users/${user.id}/password`, {
      token: null,
      body: { user: { original_password: original, password } },
    })
  const signIn = (user: Person, password = user.password) =>
    rig.signIn('unscoped', { id: user.id, password })
  const set = (user: Person, values: unknown) =>
    rig.call('PATCH', `/v3/users/${user.id}`, { body: { user: values } })
  return { clock, rig, people, change, signIn, set }
}

t.test('passwords are held to the rules there are', async (t) => {
  const { clock, rig, people, change, signIn, set } = await start(t, {
    passwordRegex: '^the .{4,}',
    passwordRegexDescription: 'begins with the',
    uniqueLastPasswordCount: 3,
    minimumPasswordAgeDays: 1,
    passwordExpiresDays: 30,
  })
  const bad = { user: { name: 'x', password: 'short' } }
  t.match(await rig.call('POST', '/v3/users', { body: bad }), {
    status: 400,
    body: { error: { message: /begins with the/ } },
  })
  const ann = await people.user('ann')
  t.match(await change(ann, 'short'), { status: 400 })
  t.match(await change(ann, 'the second one', 'wrong'), { status: 401 })
  t.match(await change(ann, 'the second one'), { status: 204 })
  t.match(await signIn(ann), { status: 401 })
  t.match(await change(ann, 'the third one', 'the second one'), { status: 400 }, 'too soon')
  clock.move(DAY_MS + 1000)
  t.match(await change(ann, ann.password, 'the second one'), { status: 400 }, 'had before')
  t.match(await change(ann, 'the third one', 'the second one'), { status: 204 })
  clock.move(31 * DAY_MS)
  const expired = await signIn(ann, 'the third one')
  t.match(expired, { status: 401, body: { error: { message: /expired/ } } })
  t.match(await change(ann, 'the fourth one', 'the third one'), { status: 204 }, 'may be changed')
  t.match(await signIn(ann, 'the fourth one'), { status: 201 })
  const token = await rig.token({ project: { name: 'admin', domain: { id: 'default' } } })
  const lock = { user: { options: { lock_password: true } } }
  await rig.call('PATCH', `/v3/users/${ann.id}`, { body: lock, token })
  clock.move(2 * DAY_MS)
  t.match(await change(ann, 'the fifth one', 'the fourth one'), { status: 400 }, 'locked')
  t.match(await set(ann, { options: { lock_password: 'yes' } }), { status: 401 }, 'token is over')
})

t.test('a password that an administrator set is for the first use', async (t) => {
  const { people, change, signIn, set } = await start(t, { changePasswordUponFirstUse: true })
  const ann = await people.user('ann')
  t.match(await signIn(ann), { status: 401, body: { error: { message: /needs to be changed/ } } })
  t.match(await change(ann, 'my own'), { status: 204 })
  t.match(await signIn(ann, 'my own'), { status: 201 })
  t.match(await set(ann, { password: 'reset' }), { status: 200 })
  t.match(await signIn(ann, 'reset'), { status: 401 })
  t.match(await set(ann, { options: { ignore_change_password_upon_first_use: true } }), {
    status: 200,
  })
  t.match(await signIn(ann, 'reset'), { status: 201 })
})

t.test('roles are inherited below a domain or a project, and not where they stand', async (t) => {
  const { rig, people } = await start(t)
  const domain = await people.domain('company')
  const top = await people.project('top', domain)
  const leaf = await people.project('leaf', domain, top)
  const beside = await people.project('beside', domain)
  const [ann, bob] = [await people.user('ann', domain), await people.user('bob', domain)]
  const member = await people.role('member')
  const path = (place: string, user: Person, role = `/${member}`) =>
    `/v3/OS-INHERIT/${place}/users/${user.id}/roles${role}/inherited_to_projects`
  t.match(await rig.call('PUT', path(`domains/${domain}`, ann)), { status: 204 })
  t.match(await rig.call('PUT', path(`projects/${top}`, bob)), { status: 204 })
  t.match(await rig.call('HEAD', path(`projects/${top}`, bob)), { status: 204 })
  t.match(await rig.call('GET', path(`projects/${top}`, bob, '')), {
    body: { roles: [{ id: member }] },
  })
  t.match(await rig.call('GET', `/v3/projects/${top}/users/${bob.id}/roles`), {
    body: { roles: [] },
  })
  const signIn = async (user: Person, scope: unknown) =>
    (await rig.signIn(scope, { id: user.id, password: user.password })).status
  for (const [user, id, status] of [
    [ann, top, 201],
    [ann, leaf, 201],
    [ann, beside, 201],
    [bob, top, 401],
    [bob, leaf, 201],
    [bob, beside, 401],
  ] as const) {
    t.equal(await signIn(user, { project: { id } }), status)
  }
  t.equal(await signIn(ann, { domain: { id: domain } }), 401)
  const token = await people.token(bob, { project: { id: leaf } })
  t.match(await rig.call('DELETE', path(`projects/${top}`, bob)), { status: 204 })
  t.match(await rig.call('GET', `/v3/projects/${leaf}`, { token }), { status: 401 })
  t.match(await rig.call('DELETE', path(`projects/${top}`, bob)), { status: 404 })
  t.match(await rig.call('PUT', path('projects/none', bob)), { status: 404 })
})

t.test('events of revocation are listed since a time', async (t) => {
  const { clock, rig, people, set } = await start(t)
  const ann = await people.user('ann')
  await set(ann, { password: 'another' })
  clock.move(60_000)
  const since = new Date(clock.nowMs()).toISOString()
  await set(ann, { enabled: false })
  const events = async (query: string) => rig.call('GET', `/v3/OS-REVOKE/events${query}`)
  const [all, late] = [await events(''), await events(`?since=${since}`)]
  t.ok(all.body.events.length > late.body.events.length)
  t.match(late.body.events, [{ user_id: ann.id }])
  t.match(await events('?since=yesterday'), { status: 400 })
})

t.test('the list of revocations is sent again only when it has changed', async (t) => {
  const { clock, rig, people, set } = await start(t)
  const ann = await people.user('ann')
  const ask = (etag: string) =>
    rig.call('GET', '/v3/OS-REVOKE/events', { headers: { 'If-None-Match': etag } })
  const first = await ask('"none"')
  t.equal(first.status, 200)
  const etag = first.headers.get('etag')!
  const again = await ask(etag)
  t.match(again, { status: 304, body: null })
  t.equal(again.headers.get('etag'), etag)
  await set(ann, { password: 'another' })
  const changed = await ask(etag)
  t.match(changed, { status: 200, body: { events: [{ user_id: ann.id }] } })
  const second = changed.headers.get('etag')!
  t.not(second, etag)
  t.equal((await ask(second)).status, 304)
  clock.move(3 * DAY_MS + 60_000)
  while (rig.service.parts.revocations.count > 0) await new Promise((next) => setTimeout(next, 50))
  t.match(await rig.signIn(), { status: 201 })
  const token = await rig.token({ system: { all: true } })
  const asked = { token, headers: { 'If-None-Match': second } }
  const pruned = await rig.call('GET', '/v3/OS-REVOKE/events', asked)
  t.match(pruned, { status: 200, body: { events: [] } }, 'what is forgotten is a change, too')
})

t.test('metrics of calls, sign-ins and revocations are there for Prometheus', async (t) => {
  const registry = new Registry()
  const rig = await IdentityRig.start({ metrics: registry })
  t.teardown(() => rig.close())
  await rig.signIn(undefined, { name: 'admin', domain: { id: 'default' }, password: 'wrong' })
  await rig.call('GET', '/v3/users/none')
  await rig.call('GET', '/v3/no-such-thing/some-secret')
  const response = await fetch(`${rig.url}/metrics`)
  t.equal(response.status, 200)
  t.match(response.headers.get('content-type'), /^text\/plain; version=/)
  const text = await response.text()
  const counter = (labels: string) =>
    new RegExp(`^swiftlet_identity_requests_total\\{${labels}\\} 1$`, 'm')
  t.match(text, counter('method="POST",route="/v3/auth/tokens",status="201"'))
  t.match(text, counter('method="POST",route="/v3/auth/tokens",status="401"'))
  t.match(text, counter('method="GET",route="/v3/users/:id",status="404"'))
  t.match(text, counter('method="GET",route="other",status="404"'))
  t.match(text, /^swiftlet_identity_request_seconds_bucket\{le="10",method="POST",/m)
  t.match(text, /^swiftlet_identity_revocations 0$/m)
  t.match(text, /^swiftlet_identity_passwords_waiting 0$/m)
  t.notMatch(text, /some-secret/)
  const plain = await IdentityRig.start()
  t.teardown(() => plain.close())
  t.equal((await fetch(`${plain.url}/metrics`)).status, 404)
})

t.test(
  'a token that is over is good for a service that asks for it, within the time',
  async (t) => {
    const { clock, rig, people } = await start(t)
    const ann = await people.user('ann')
    const bob = await people.user('bob')
    const project = await people.project('work')
    const scope = { project: { id: project } }
    for (const user of [ann, bob]) await people.grant(user, 'member', `projects/${project}`)
    const token = await people.token(ann, scope)
    const [revoked, held] = [await people.token(bob, scope), await people.token(bob, scope)]
    await rig.call('DELETE', '/v3/auth/tokens', { headers: { 'X-Subject-Token': revoked } })
    const service = { name: 'swift', domain: { id: 'default' }, password: SERVICE_PASSWORD }
    const serviceScope = { project: { name: 'service', domain: { id: 'default' } } }
    const ask = async (query: string, subject = token) => {
      const asker = await rig.token(serviceScope, service)
      const headers = { 'X-Subject-Token': subject }
      return rig.call('GET', `/v3/auth/tokens${query}`, { token: asker, headers })
    }
    t.match(await ask(''), { status: 200 })
    clock.move(2 * DAY_MS)
    const { revocations } = rig.service.parts
    const prune = revocations.prune.bind(revocations)
    // The service's own next look for events that no token needs any more.
    await new Promise<void>((resolve) => {
      revocations.prune = (beforeMs) => prune(beforeMs).then(resolve)
    })
    revocations.prune = prune
    t.match(await ask(''), { status: 404 })
    t.match(await ask('?allow_expired=0'), { status: 404 })
    t.match(await ask('?allow_expired=1'), {
      status: 200,
      body: { token: { user: { id: ann.id } } },
    })
    t.match(await ask('?allow_expired=1', revoked), { status: 404 }, 'what was revoked stays so')
    const own = await rig.call('GET', '/v3/auth/catalog', { token })
    t.match(own, { status: 401 }, 'it lets nobody in')
    const other = await people.token(bob, scope)
    const headers = { 'X-Subject-Token': token }
    const asked = await rig.call('GET', '/v3/auth/tokens?allow_expired=1', {
      token: other,
      headers,
    })
    t.match(asked, { status: 403 }, 'nor may others ask')
    t.match(await ask('?allow_expired=1', held), { status: 200 })
    const admin = await rig.token({ project: { name: 'admin', domain: { id: 'default' } } })
    const disable = { token: admin, body: { user: { enabled: false } } }
    t.equal((await rig.call('PATCH', `/v3/users/${bob.id}`, disable)).status, 200)
    t.match(await ask('?allow_expired=1', held), { status: 404 }, 'the holder is disabled')
    clock.move(DAY_MS + 60_000)
    t.match(await ask('?allow_expired=1'), { status: 404 }, 'it is over for too long')
  },
)

t.test(
  'a trust that is given on is never for more, longer or further than the first',
  async (t) => {
    const { clock, rig, people } = await start(t)
    const [ann, bob, cid, dan] = await Promise.all(
      ['ann', 'bob', 'cid', 'dan'].map((name) => people.user(name)),
    )
    const [work, other] = await Promise.all(['work', 'other'].map((name) => people.project(name)))
    for (const role of ['member', 'reader', 'manager'])
      await people.grant(ann!, role, `projects/${work}`)
    await people.grant(ann!, 'member', `projects/${other}`)
    const inHours = (hours: number) => new Date(clock.nowMs() + hours * 3600_000).toISOString()
    const give = async (token: string, values: Readonly<Record<string, unknown>>) => {
      const trust = {
        trustor_user_id: ann!.id,
        project_id: work,
        impersonation: false,
        roles: [{ name: 'member' }],
        ...values,
      }
      return rig.call('POST', '/v3/OS-TRUST/trusts', { token, body: { trust } })
    }
    const signIn = async (id: string, { id: userId, password }: Person) => {
      const answer = await rig.signIn({ 'OS-TRUST:trust': { id } }, { id: userId, password })
      return { status: answer.status, token: answer.headers.get('x-subject-token') ?? '' }
    }
    const made = async (token: string, values: Readonly<Record<string, unknown>>) => {
      const answer = await give(token, values)
      t.equal(answer.status, 201, JSON.stringify(answer.body))
      return answer.body.trust
    }
    const scope = { project: { id: work } }
    const annToken = await people.token(ann!, scope)
    const first = await made(annToken, {
      trustee_user_id: bob!.id,
      impersonation: true,
      roles: [{ name: 'member' }, { name: 'reader' }],
      allow_redelegation: true,
      redelegation_count: 2,
      expires_at: inHours(2),
    })
    const { token: bobToken } = await signIn(first.id, bob!)
    const more: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
      ['a role that the first has not', { roles: [{ name: 'manager' }] }],
      ['one more role', { roles: [{ name: 'member' }, { name: 'manager' }] }],
      ['another project', { project_id: other }],
      ['no project', { project_id: null, roles: [] }],
      ['a second longer', { expires_at: inHours(3) }],
      ['longer, written without fractions', { expires_at: inHours(3).replace(/\.\d+Z/, 'Z') }],
      ['as often as the first', { allow_redelegation: true, redelegation_count: 2 }],
      ['more often', { allow_redelegation: true, redelegation_count: 3 }],
      ['a count of uses', { remaining_uses: 1 }],
      ['somebody else as trustor', { trustor_user_id: dan!.id }],
    ]
    for (const [what, values] of more) {
      t.match(await give(bobToken, { trustee_user_id: cid!.id, ...values }), { status: 403 }, what)
    }
    const narrow = { trustee_user_id: cid!.id, roles: [{ name: 'reader' }] }
    const second = await made(bobToken, { ...narrow, allow_redelegation: true })
    t.match(second, { redelegated_trust_id: first.id, redelegation_count: 1 })
    t.equal(Date.parse(second.expires_at), Date.parse(first.expires_at), 'it ends with the first')
    const { token: cidToken } = await signIn(second.id, cid!)
    t.match(await rig.call('GET', '/v3/auth/projects', { token: cidToken }), { status: 200 })
    const onward = {
      trustee_user_id: dan!.id,
      trustor_user_id: cid!.id,
      roles: [{ name: 'reader' }],
    }
    t.match(
      await give(cidToken, { ...onward, impersonation: true }),
      { status: 403 },
      'again as ann',
    )
    t.match(
      await give(cidToken, { ...onward, roles: [{ name: 'member' }] }),
      { status: 403 },
      'what was left out',
    )
    const third = await made(cidToken, { ...onward, allow_redelegation: true })
    t.equal(third.redelegation_count, 0)
    const { token: danToken } = await signIn(third.id, dan!)
    const last = { trustee_user_id: bob!.id, trustor_user_id: dan!.id, roles: [{ name: 'reader' }] }
    t.match(await give(danToken, last), { status: 403 }, 'further than it goes')
    const forged = {
      redelegated_trust_id: first.id,
      trustee_user_id: dan!.id,
      trustor_user_id: cid!.id,
    }
    const cidOwn = await rig.signIn('unscoped', { id: cid!.id, password: cid!.password })
    const unscoped = cidOwn.headers.get('x-subject-token')!
    t.not((await give(unscoped, forged)).status, 201, 'by naming a trust without its token')
    t.match(await signIn(first.id, cid!), { status: 403 }, 'a trust of somebody else')
    const rescoped = await rig.call('POST', '/v3/auth/tokens', {
      token: null,
      body: { auth: { identity: { methods: ['token'], token: { id: danToken } }, scope } },
    })
    t.equal(rescoped.status, 403, 'its token gives no other')
    await people.revoke(ann!, 'reader', `projects/${work}`)
    await people.revoke(ann!, 'member', `projects/${work}`)
    await people.revoke(ann!, 'manager', `projects/${work}`)
    t.not(
      (await signIn(third.id, dan!)).status,
      201,
      'what ann has not any more, nobody has by her',
    )
    await people.grant(ann!, 'member', `projects/${work}`)
    t.equal((await signIn(third.id, dan!)).status, 201)
    clock.move(2 * 3600_000 + 1000)
    t.equal((await signIn(third.id, dan!)).status, 401, 'over with the first')
    t.match(await rig.call('GET', '/v3/auth/projects', { token: danToken }), { status: 401 })
  },
)
