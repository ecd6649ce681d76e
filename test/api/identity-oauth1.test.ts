import t from 'tap'
import { type OAuthRequest, oauthSignatures } from '../../auth/oauth1/oauth-signature.ts'
import { randomId, systemRandom } from '../../common/random.ts'
import { IdentityPeople } from '../support/identity-people.ts'
import { type ApiAnswer, IdentityRig } from '../support/identity-rig.ts'
import { MovedClock } from '../support/moved-clock.ts'

const clock = new MovedClock()
const rig = await IdentityRig.start({ clock })
t.teardown(() => rig.close())
const people = new IdentityPeople(rig)
const project = await people.project('shared')
const ann = await people.user('ann')
await people.grant(ann, 'admin', `projects/${project}`)
const token = await people.token(ann, { project: { id: project } })
const OAUTH = '/v3/OS-OAUTH1'

interface Keys {
  readonly id: string
  readonly secret: string
}

interface Signed {
  readonly consumer: Keys
  readonly token?: Keys
  readonly more?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** The header of a signed request, as clients make it. */
function headerOf(path: string, { consumer, token: by, more = {} }: Signed): string {
  const parameters = new Map(
    Object.entries({
      oauth_consumer_key: consumer.id,
      oauth_signature_method: 'HMAC-SHA1',
      oauth_timestamp: String(Math.floor(clock.nowMs() / 1000)),
      oauth_nonce: randomId(systemRandom),
      oauth_version: '1.0',
      ...(by !== undefined && { oauth_token: by.id }),
      ...more,
    }),
  )
  const request: OAuthRequest = { method: 'POST', urls: [rig.url + path], query: [], parameters }
  const secrets = { consumer: consumer.secret, token: by?.secret ?? '' }
  const [signature = ''] = oauthSignatures(request, secrets)
  const all = [...parameters, ['oauth_signature', signature]] as const
  return `OAuth ${all.map(([name, value]) => `${name}="${encodeURIComponent(value)}"`).join(', ')}`
}

async function send(path: string, signed: Signed, header = headerOf(path, signed)) {
  const response = await fetch(rig.url + path, {
    method: 'POST',
    headers: {
      Authorization: header,
      ...(signed.body !== undefined && { 'Content-Type': 'application/json' }),
      ...signed.headers,
    },
    ...(signed.body !== undefined && { body: JSON.stringify(signed.body) }),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

function keysOf(text: string): Keys {
  const form = new URLSearchParams(text)
  return { id: form.get('oauth_token')!, secret: form.get('oauth_token_secret')! }
}

async function newConsumer(): Promise<Keys> {
  const made = await rig.call('POST', `${OAUTH}/consumers`, { body: { consumer: {} } })
  return made.body.consumer
}

const WANTS = { 'Requested-Project-Id': project }
const ask = (consumer: Keys) => send(`${OAUTH}/request_token`, { consumer, headers: WANTS })
const authorize = (id: string, roles: unknown, by = token): Promise<ApiAnswer> =>
  rig.call('PUT', `${OAUTH}/authorize/${id}`, { token: by, body: { roles } })
const SIGN_IN = { auth: { identity: { methods: ['oauth1'], oauth1: {} } } }

/** A consumer with an access token for the roles. */
async function granted(names: readonly string[] = ['reader']) {
  const consumer = await newConsumer()
  const asked = keysOf((await ask(consumer)).text)
  const roles = names.map((name) => ({ name }))
  const { oauth_verifier } = (await authorize(asked.id, roles)).body.token
  const got = await send(`${OAUTH}/access_token`, {
    consumer,
    token: asked,
    more: { oauth_verifier },
  })
  return { consumer, access: keysOf(got.text), asked, oauth_verifier }
}

t.test('consumers are made, shown, changed and deleted', async (t) => {
  const made = await rig.call('POST', `${OAUTH}/consumers`, {
    body: { consumer: { description: 'a program', color: 'red' } },
  })
  t.match(made, { status: 201, body: { consumer: { description: 'a program', color: 'red' } } })
  t.match(made.body.consumer.secret, /^[0-9a-f]{32}$/)
  const path = `${OAUTH}/consumers/${made.body.consumer.id}`
  t.notOk('secret' in (await rig.call('GET', path)).body.consumer)
  const patch = (consumer: unknown) => rig.call('PATCH', path, { body: { consumer } })
  t.match(await patch({ description: 'another' }), {
    body: { consumer: { description: 'another', color: 'red' } },
  })
  for (const bad of [{ secret: 'x' }, {}, { description: 7 }, { id: 'x' }, 'x', null]) {
    t.match(await patch(bad), { status: 400 }, JSON.stringify(bad))
  }
  t.equal((await rig.call('GET', `${OAUTH}/consumers`)).body.consumers.length, 1)
  t.match(await rig.call('DELETE', path), { status: 204 })
  t.match(await rig.call('GET', path), { status: 404 })
})

t.test('a consumer acts for a user with the roles agreed to', async (t) => {
  const { consumer, access, asked, oauth_verifier } = await granted()
  const answer = await send('/v3/auth/tokens', { consumer, token: access, body: SIGN_IN })
  t.equal(answer.status, 201)
  const said = JSON.parse(answer.text).token
  t.match(said, {
    methods: ['oauth1'],
    user: { id: ann.id },
    project: { id: project },
    'OS-OAUTH1': { access_token_id: access.id, consumer_id: consumer.id },
  })
  t.strictSame(
    said.roles.map((role: { name: string }) => role.name),
    ['reader'],
  )
  const got = answer.headers.get('x-subject-token') ?? ''
  t.match(await rig.call('GET', `/v3/projects/${project}`, { token: got }), { status: 200 })
  const identity = { methods: ['token'], token: { id: got } }
  t.match(await rig.call('POST', '/v3/auth/tokens', { body: { auth: { identity } } }), {
    status: 403,
  })
  const again = { consumer, token: asked, more: { oauth_verifier } }
  t.equal((await send(`${OAUTH}/access_token`, again)).status, 404, 'a request token is used once')
  const list = `/v3/users/${ann.id}/OS-OAUTH1/access_tokens`
  t.match(await rig.call('GET', list, { token }), {
    body: { access_tokens: [{ id: access.id, authorizing_user_id: ann.id }] },
  })
  t.match(await rig.call('GET', `${list}/${access.id}`, { token }), { status: 200 })
  t.match(await rig.call('GET', `/v3/users/x/OS-OAUTH1/access_tokens/${access.id}`), {
    status: 404,
  })
  const roles = (await rig.call('GET', `${list}/${access.id}/roles`, { token })).body.roles
  t.match(roles, [{ name: 'reader' }])
  t.match(await rig.call('GET', `${list}/${access.id}/roles/${roles[0].id}`, { token }), {
    status: 200,
  })
  t.match(await rig.call('GET', `${list}/${access.id}/roles/none`, { token }), { status: 404 })
  t.match(await rig.call('DELETE', `${list}/${access.id}`, { token }), { status: 204 })
  t.match(await rig.call('GET', `/v3/projects/${project}`, { token: got }), { status: 401 })
  const after = await send('/v3/auth/tokens', { consumer, token: access, body: SIGN_IN })
  t.equal(after.status, 401)
})

t.test('what is not signed, or not by who it says, is refused', async (t) => {
  const consumer = await newConsumer()
  const path = `${OAUTH}/request_token`
  const good = { consumer, headers: WANTS }
  const status = async (signed: Signed, header?: string) =>
    (await send(path, signed, header)).status
  t.equal(await status(good), 201)
  t.equal(await status({ ...good, consumer: { ...consumer, secret: 'x' } }), 401)
  t.equal(await status({ ...good, consumer: { ...consumer, id: 'none' } }), 401)
  t.equal(await status({ ...good, more: { oauth_signature_method: 'PLAINTEXT' } }), 401)
  t.equal(await status({ ...good, more: { oauth_version: '2.0' } }), 401)
  t.equal(await status({ ...good, more: { oauth_timestamp: '1' } }), 401)
  t.equal(await status({ ...good, more: { oauth_timestamp: 'x' } }), 401)
  t.equal(await status({ ...good, more: { oauth_nonce: '' } }), 401)
  t.equal(await status({ consumer }), 400, 'no project')
  t.equal(await status({ consumer, headers: { 'Requested-Project-Id': 'none' } }), 404)
  t.equal(await status(good, 'Bearer x'), 400)
  t.equal(await status(good, 'OAuth a="b"'), 400)
  const once = headerOf(path, good)
  t.equal(await status(good, once), 201)
  t.equal(await status(good, once), 401, 'replayed')
  const elsewhere = headerOf(`${OAUTH}/access_token`, good)
  t.equal(await status(good, elsewhere), 401, 'signed for another call')
  const body = { auth: { identity: { methods: ['oauth1'], oauth1: {} } } }
  t.match(await rig.call('POST', '/v3/auth/tokens', { body, token: null }), { status: 400 })
})

t.test('nobody gets more than was agreed to, by whom it is for', async (t) => {
  const consumer = await newConsumer()
  const asked = keysOf((await ask(consumer)).text)
  for (const [roles, status] of [
    [undefined, 400],
    [[], 400],
    [[{}], 400],
    [[{ name: 'none' }], 404],
    ['reader', 400],
    [[{ name: 'service' }], 401],
  ] as const) {
    t.match(await authorize(asked.id, roles), { status }, JSON.stringify(roles))
  }
  t.match(await authorize('none', [{ name: 'reader' }]), { status: 404 })
  const exchange = (more: Readonly<Record<string, string>>, by = consumer) =>
    send(`${OAUTH}/access_token`, { consumer: by, token: asked, more })
  t.equal((await exchange({ oauth_verifier: 'x' })).status, 401, 'before anybody agreed')
  const { oauth_verifier } = (await authorize(asked.id, [{ name: 'member' }])).body.token
  t.equal((await exchange({})).status, 400)
  t.equal((await exchange({ oauth_verifier: 'wrong' })).status, 401)
  t.equal((await exchange({ oauth_verifier }, await newConsumer())).status, 401)
  const got = await exchange({ oauth_verifier })
  t.equal(got.status, 201)
  t.equal(got.headers.get('content-type'), 'application/x-www-form-urlencoded')
  const access = keysOf(got.text)
  const scoped = { auth: { ...SIGN_IN.auth, scope: { project: { id: project } } } }
  t.equal((await send('/v3/auth/tokens', { consumer, token: access, body: scoped })).status, 401)
  const body = SIGN_IN
  t.equal((await send('/v3/auth/tokens', { consumer, token: access, body })).status, 201)
  clock.move(24 * 3600_000 + 1000)
  t.equal((await send('/v3/auth/tokens', { consumer, token: access, body })).status, 401, 'over')
  const late = keysOf((await ask(consumer)).text)
  clock.move(8 * 3600_000 + 1000)
  const fresh = await people.token(ann, { project: { id: project } })
  t.match(await authorize(late.id, [{ name: 'reader' }], fresh), { status: 401 }, 'over')
  t.teardown(() => clock.move(-32 * 3600_000 - 2000))
})

t.test('consumers, users and projects take along what was got', async (t) => {
  const { consumer, access } = await granted(['member'])
  const signIn = () => send('/v3/auth/tokens', { consumer, token: access, body: SIGN_IN })
  const got = (await signIn()).headers.get('x-subject-token') ?? ''
  t.match(await rig.call('GET', '/v3/auth/projects', { token: got }), { status: 200 })
  await rig.call('DELETE', `${OAUTH}/consumers/${consumer.id}`)
  t.match(await rig.call('GET', '/v3/auth/projects', { token: got }), { status: 401 })
  t.equal((await signIn()).status, 401)
  const second = await granted(['member'])
  await people.revoke(ann, 'admin', `projects/${project}`)
  const without = await send('/v3/auth/tokens', {
    consumer: second.consumer,
    token: second.access,
    body: SIGN_IN,
  })
  t.equal(without.status, 401, 'the user has no role there any more')
  await rig.call('DELETE', `/v3/projects/${project}`)
  const list = `/v3/users/${ann.id}/OS-OAUTH1/access_tokens`
  t.strictSame((await rig.call('GET', list)).body.access_tokens, [])
})
