import { createHmac } from 'node:crypto'
import { join } from 'node:path'
import { Secret, TOTP } from 'otpauth'
import t from 'tap'
import { domainConfigs } from '../../auth/directories/directory-tables.ts'
import { optionsOf, sealPlainOptions } from '../../auth/directories/domain-config-rows.ts'
import { textSignature } from '../../auth/ec2/aws-signature.ts'
import { resealAll } from '../../auth/secrets/sealed-rows.ts'
import { credentials as table } from '../../auth/tables/credentials.ts'
import { stepOf } from '../../auth/tokens/totp-method.ts'
import { IdentityPeople, type Person } from '../support/identity-people.ts'
import { type ApiAnswer, IdentityRig } from '../support/identity-rig.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { runSwiftlet } from '../support/swiftlet-command.ts'

const clock = new MovedClock()
const rig = await IdentityRig.start({ clock })
t.teardown(() => rig.close())
const people = new IdentityPeople(rig)

const project = await people.project('keys')
const other = await people.project('other')
const ann = await people.user('ann')
const bob = await people.user('bob')
await people.grant(ann, 'member', `projects/${project}`)
await people.grant(bob, 'member', `projects/${other}`)
const annToken = await people.token(ann, { project: { id: project } })
const bobToken = await people.token(bob, { project: { id: other } })
const serviceToken = await rig.token(
  { project: { name: 'service', domain: { id: 'default' } } },
  { name: 'swift', domain: { id: 'default' }, password: 'the service password' },
)

const tokenOf = (answer: ApiAnswer) => answer.headers.get('x-subject-token') ?? ''
const EC2 = `/v3/users/${ann.id}/credentials/OS-EC2`

function add(credential: unknown, token = annToken): Promise<ApiAnswer> {
  return rig.call('POST', '/v3/credentials', { token, body: { credential } })
}

async function accessKey(token = annToken): Promise<{ access: string; secret: string }> {
  const answer = await rig.call('POST', EC2, { token, body: { tenant_id: project } })
  return answer.body.credential
}

t.test('credentials are kept for their user alone, and sealed', async (t) => {
  const seed = { type: 'cert', blob: 'a certificate', user_id: ann.id, color: 'red' }
  const made = await add(seed)
  t.match(made, { status: 201, body: { credential: { ...seed, project_id: null } } })
  const path = `/v3/credentials/${made.body.credential.id}`
  t.match(await rig.call('GET', path, { token: annToken }), { body: { credential: seed } })
  const row = await table.get(rig.service.parts.state, made.body.credential.id)
  t.notMatch(JSON.stringify(row), /a certificate/)
  for (const method of ['GET', 'DELETE']) {
    t.match(await rig.call(method, path, { token: bobToken }), { status: 403 })
  }
  const patch = { body: { credential: { blob: 'another' } } }
  t.match(await rig.call('PATCH', path, { ...patch, token: bobToken }), { status: 403 })
  const given = { body: { credential: { user_id: bob.id } }, token: annToken }
  t.match(await rig.call('PATCH', path, given), { status: 403 }, 'and is given to nobody else')
  t.match(await rig.call('PATCH', path, { ...patch, token: annToken }), {
    body: { credential: { blob: 'another', color: 'red' } },
  })
  const list = async (token: string, query = '') =>
    (await rig.call('GET', `/v3/credentials${query}`, { token })).body.credentials.length
  t.equal(await list(annToken), 1)
  t.equal(await list(bobToken), 0)
  t.equal(await list(bobToken, `?user_id=${ann.id}`), 0)
  t.equal(await list(annToken, '?type=ec2'), 0)
  t.match(await rig.call('DELETE', path, { token: annToken }), { status: 204 })
  t.match(await rig.call('GET', path), { status: 404 })
})

t.test('what cannot be meant makes no credential', async (t) => {
  const ec2 = { type: 'ec2', user_id: ann.id, project_id: project }
  const cases: readonly (readonly [unknown, number])[] = [
    [{}, 400],
    [{ type: 'cert', blob: 'x' }, 400],
    [{ type: '', blob: 'x', user_id: ann.id }, 400],
    [{ type: 'cert', blob: {}, user_id: ann.id }, 400],
    [{ type: 'cert', blob: 'x', user_id: bob.id }, 403],
    [{ type: 'cert', blob: 'x', user_id: 'u'.repeat(65) }, 400],
    [{ type: 'cert', blob: 'x', user_id: ann.id, project_id: 'none' }, 404],
    [{ type: 'ec2', user_id: ann.id, blob: '{"access":"a"}' }, 400],
    [{ ...ec2, blob: 'no json' }, 400],
    [{ ...ec2, blob: '[]' }, 400],
    [{ ...ec2, blob: 'null' }, 400],
    [{ ...ec2, blob: '{"access":7}' }, 400],
    [{ ...ec2, blob: '{"secret":"x"}' }, 400],
    [null, 400],
    [[], 400],
  ]
  for (const [value, status] of cases) t.match(await add(value), { status }, JSON.stringify(value))
  const made = await add({ ...ec2, blob: '{"access":"one","secret":"s"}' })
  t.match(made, { status: 201 })
  t.match(await add({ ...ec2, blob: '{"access":"one","secret":"t"}' }), { status: 409 })
  const two = await add({ ...ec2, blob: '{"access":"two","secret":"s"}' })
  const path = `/v3/credentials/${two.body.credential.id}`
  const patch = (credential: unknown) =>
    rig.call('PATCH', path, { token: annToken, body: { credential } })
  t.match(await patch({ blob: '{"access":"one"}' }), { status: 409 })
  t.match(await patch({ blob: '{"access":"two","trust_id":"x"}' }), { status: 400 })
  t.match(await patch({ project_id: null }), { status: 400 })
  t.match(await patch({ id: 'x' }), { status: 400 })
  t.match(await patch({}), { status: 400 })
  t.match(await patch({ blob: '{"access":"three","secret":"s"}' }), { status: 200 })
  t.match(await rig.call('GET', `${EC2}/three`, { token: annToken }), { status: 200 })
  t.match(await rig.call('GET', `${EC2}/two`, { token: annToken }), { status: 404 })
  t.match(await rig.call('GET', `${EC2}/two`), { status: 404 })
})

t.test('keys are rotated, and what older ones sealed is sealed anew', async (t) => {
  const { parts } = rig.service
  const [before] = parts.secrets()
  const rotate = ['identity', 'rotate-credential-keys', '--folder']
  const done = await runSwiftlet([...rotate, rig.folder])
  t.match(done, { code: 0, stdout: /^\S{8} seals now; 1 older keys open/ })
  t.not((await runSwiftlet([...rotate, join(rig.folder, 'none')])).code, 0)
  // The service follows the file once a second.
  for (let left = 100; parts.secrets()[0].id === before.id && left > 0; left--) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await resealAll(parts)
  t.not(parts.secrets()[0].id, before.id)
  t.strictSame(await table.by(parts.state, 'key', before.id), [])
  t.match(await rig.call('GET', `${EC2}/three`, { token: annToken }), {
    body: { credential: { secret: 's' } },
  })
})

t.test('passwords of directories are sealed, those of earlier versions at the start', async (t) => {
  const { parts } = rig.service
  const domainId = await people.domain('with a directory')
  const path = `/v3/domains/${domainId}/config`
  const password = 'bind password'
  const ldap = { url: 'ldap://127.0.0.1:1', user: 'cn=search', password }
  const shown = { identity: { driver: 'ldap' }, ldap: { url: ldap.url, user: ldap.user } }
  const rowsText = async () => {
    const tables = ['domain-configs', 'domain-secrets']
    return JSON.stringify(await Promise.all(tables.map((name) => parts.state.scan(name))))
  }
  const kept = () => optionsOf(parts, parts.state, domainId)
  const body = { config: { ...shown, ldap } }
  t.match(await rig.call('PUT', path, { body }), { status: 201, body: { config: shown } })
  t.notMatch(await rowsText(), password)
  t.strictSame(await kept(), body.config)
  const changed = { config: { url: 'ldap://127.0.0.1:2' } }
  t.equal((await rig.call('PATCH', `${path}/ldap/url`, { body: changed })).status, 200)
  t.equal((await kept()).ldap?.password, password, 'it stays when another option is changed')
  t.equal((await rig.call('DELETE', `${path}/ldap/password`)).status, 204)
  t.notOk('password' in (await kept()).ldap!)
  t.equal((await rig.call('DELETE', `${path}/ldap/password`)).status, 404)

  // As versions before kept it.
  await parts.state.transaction((tx) => domainConfigs.put(tx, { domainId, options: body.config }))
  t.match(await rowsText(), password)
  await sealPlainOptions(parts)
  t.notMatch(await rowsText(), password)
  t.strictSame(await kept(), body.config)
  await rig.call('PATCH', `/v3/domains/${domainId}`, { body: { domain: { enabled: false } } })
  t.equal((await rig.call('DELETE', `/v3/domains/${domainId}`)).status, 204)
  t.notMatch(await rowsText(), domainId)
})

t.test('access keys of EC2 are made, listed, shown and deleted', async (t) => {
  const key = await accessKey()
  t.match(key, { user_id: ann.id, tenant_id: project, access: /^[0-9a-f]{32}$/, trust_id: null })
  const path = `${EC2}/${key.access}`
  t.match(await rig.call('GET', path, { token: annToken }), { body: { credential: key } })
  t.match(await rig.call('GET', path, { token: bobToken }), { status: 403 })
  t.match(await rig.call('GET', EC2, { token: bobToken }), { status: 403 })
  const listed = (await rig.call('GET', EC2, { token: annToken })).body.credentials
  t.ok(listed.some(({ access }: { access: string }) => access === key.access))
  const foreign = `/v3/users/${bob.id}/credentials/OS-EC2`
  t.match(await rig.call('POST', foreign, { token: annToken, body: { tenant_id: project } }), {
    status: 403,
  })
  for (const [body, status] of [
    [{}, 404],
    [{ tenant_id: 'none' }, 404],
    [{ tenant_id: 7 }, 400],
  ] as const) {
    t.match(await rig.call('POST', EC2, { token: annToken, body }), { status })
  }
  t.match(await rig.call('DELETE', path, { token: bobToken }), { status: 403 })
  t.match(await rig.call('DELETE', path, { token: annToken }), { status: 204 })
  t.match(await rig.call('DELETE', path), { status: 404 })
  t.match(await rig.call('GET', path, { token: annToken }), { status: 404 }, 'it was hers')
  t.match(await rig.call('GET', path, { token: bobToken }), { status: 403 })
})

const TEXT = 'GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/bucket/key'

function s3Sign({ access, secret }: { access: string; secret: string }, text = TEXT) {
  const signature = textSignature(Buffer.from(text), secret)
  return { access, signature, token: Buffer.from(text).toString('base64url') }
}

function s3(credentials: unknown, token: string | null = serviceToken): Promise<ApiAnswer> {
  return rig.call('POST', '/v3/s3tokens', { token, body: { credentials } })
}

t.test('a service learns who signed a text of S3', async (t) => {
  const key = await accessKey()
  const good = s3Sign(key)
  const answer = await s3(good)
  t.match(answer, {
    status: 200,
    body: {
      token: { user: { id: ann.id }, project: { id: project }, methods: ['ec2credential'] },
    },
  })
  t.equal(answer.headers.get('x-subject-token'), null, 'but gets no token of that user')
  const date = '20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n'
  t.match(await s3(s3Sign(key, `AWS4-HMAC-SHA256\n${date}${'0'.repeat(64)}`)), { status: 200 })
  t.match(await s3(good, annToken), { status: 403 }, 'only services ask')
  t.match(await s3(good, null), { status: 401 })
  const cases: readonly (readonly [unknown, number])[] = [
    [{ ...good, signature: 'x' }, 401],
    [{ ...good, signature: undefined }, 401],
    [{ ...good, token: undefined }, 401],
    [{ ...good, token: '%%%' }, 401],
    [{ ...good, access: 'none' }, 404],
    [{ ...good, access: undefined }, 401],
    [{ ...good, access: 7 }, 400],
    [{ ...good, headers: 'x' }, 400],
    [{ ...good, access: 'one' }, 401],
    ['x', 400],
  ]
  for (const [value, status] of cases) t.match(await s3(value), { status }, JSON.stringify(value))
  t.match(await rig.call('POST', '/v3/s3tokens', { token: serviceToken, body: {} }), {
    status: 400,
  })
  await rig.call('PATCH', `/v3/projects/${project}`, { body: { project: { enabled: false } } })
  t.match(await s3(good), { status: 401 }, 'no token for a disabled project')
  await rig.call('PATCH', `/v3/projects/${project}`, { body: { project: { enabled: true } } })
})

t.test('a service signs a client of EC2 in', async (t) => {
  const token = await people.token(ann, { project: { id: project } })
  const key = await accessKey(token)
  const params: Record<string, string> = {
    SignatureVersion: '0',
    Action: 'Test',
    Timestamp: new Date(clock.nowMs()).toISOString(),
  }
  const sign = (values: Record<string, string>) => {
    const text = `${values.Action}${values.Timestamp}`
    const signature = createHmac('sha1', key.secret).update(text).digest('base64')
    return { access: key.access, signature, verb: 'GET', host: 'x:80', path: '/', params: values }
  }
  const post = (credentials: unknown) =>
    rig.call('POST', '/v3/ec2tokens', { token: serviceToken, body: { credentials } })
  const answer = await post(sign(params))
  t.match(answer, { status: 200, body: { token: { user: { id: ann.id } } } })
  t.match(await rig.call('GET', '/v3/auth/projects', { token: tokenOf(answer) }), { status: 200 })
  const old = new Date(clock.nowMs() - 16 * 60_000).toISOString()
  t.match(await post(sign({ ...params, Timestamp: old })), { status: 401 }, 'replayed')
  t.match(await post(sign({ ...params, Timestamp: 'yesterday' })), { status: 401 })
  t.match(await post({ ...sign(params), signature: 'x' }), { status: 401 })
  t.match(await post({ ...sign(params), params: { SignatureVersion: '9' } }), { status: 401 })
  t.match(await post({ ...sign(params), params: { SignatureVersion: {} } }), { status: 400 })
})

t.test('an access key is good for no more than what it was made by', async (t) => {
  const trust = {
    trustor_user_id: ann.id,
    trustee_user_id: bob.id,
    project_id: project,
    impersonation: true,
    roles: [{ name: 'member' }],
  }
  const token = await people.token(ann, { project: { id: project } })
  const made = (await rig.call('POST', '/v3/OS-TRUST/trusts', { token, body: { trust } })).body
    .trust
  const trusted = tokenOf(
    await rig.signIn({ 'OS-TRUST:trust': { id: made.id } }, { id: bob.id, password: bob.password }),
  )
  const key = await accessKey(trusted)
  t.match(await s3(s3Sign(key)), {
    status: 200,
    body: { token: { 'OS-TRUST:trust': { id: made.id }, user: { id: ann.id } } },
  })
  const fresh = await add({ type: 'totp', blob: 'x', user_id: ann.id }, trusted)
  t.match(fresh, { status: 403 }, 'nothing of the user beyond the project')
  await rig.call('DELETE', `/v3/OS-TRUST/trusts/${made.id}`, { token })
  t.match(await s3(s3Sign(key)), { status: 401 })

  const app = await rig.call('POST', `/v3/users/${ann.id}/application_credentials`, {
    token,
    body: {
      application_credential: { name: 'app', unrestricted: true, roles: [{ name: 'member' }] },
    },
  })
  const { id, secret } = app.body.application_credential
  const identity = { methods: ['application_credential'], application_credential: { id, secret } }
  const signedIn = await rig.call('POST', '/v3/auth/tokens', {
    token: null,
    body: { auth: { identity } },
  })
  const byApp = await accessKey(tokenOf(signedIn))
  t.match(await s3(s3Sign(byApp)), { body: { token: { application_credential: { id } } } })
})

t.test('by a delegation nobody gets at what gives all rights of its user', async (t) => {
  const token = await people.token(ann, { project: { id: project } })
  const trust = {
    trustor_user_id: ann.id,
    trustee_user_id: bob.id,
    project_id: project,
    impersonation: true,
    roles: [{ name: 'reader' }],
  }
  const trusted = (await rig.call('POST', '/v3/OS-TRUST/trusts', { token, body: { trust } })).body
    .trust
  const byTrust = tokenOf(
    await rig.signIn(
      { 'OS-TRUST:trust': { id: trusted.id } },
      { id: bob.id, password: bob.password },
    ),
  )
  const secretOf = { name: 'reads', unrestricted: true, roles: [{ name: 'reader' }] }
  const app = await rig.call('POST', `/v3/users/${ann.id}/application_credentials`, {
    token,
    body: { application_credential: secretOf },
  })
  const { id: appId, secret } = app.body.application_credential
  const byApp = tokenOf(
    await signInWith(['application_credential'], {
      application_credential: { id: appId, secret },
    }),
  )
  const whole = await accessKey(token)
  const [{ id: wholeId }] = (
    await rig.call('GET', `/v3/credentials?user_id=${ann.id}&type=ec2`, { token })
  ).body.credentials.filter(({ blob }: { blob: string }) => blob.includes(whole.access))
  const path = `/v3/credentials/${wholeId}`
  for (const [name, by] of Object.entries({ byTrust, byApp })) {
    const call = (method: string, at: string, body?: unknown) =>
      rig.call(method, at, { token: by, ...(body !== undefined && { body }) })
    const listed = await call('GET', '/v3/credentials')
    const texts = JSON.stringify([listed.body, (await call('GET', EC2)).body])
    t.notOk(texts.includes(whole.secret), `${name}: the key of the user stands in no list`)
    t.equal((await call('GET', path)).status, 403, `${name}: nor is it shown`)
    t.equal((await call('GET', `${EC2}/${whole.access}`)).status, 403)
    t.equal((await call('DELETE', path)).status, 403)
    const mine = JSON.stringify({ access: `mine-${name}`, secret: 'known' })
    const patched = await call('PATCH', path, { credential: { blob: mine } })
    t.equal(patched.status, 403, `${name}: no known secret is put into it`)
    const own = { user_id: ann.id, project_id: project }
    const cert = await add({ ...own, type: 'cert', blob: mine }, by)
    t.equal(cert.status, 201)
    const turned = await call('PATCH', `/v3/credentials/${cert.body.credential.id}`, {
      credential: { type: 'ec2' },
    })
    t.equal(turned.status, 403, `${name}: what is none becomes no key`)
    const seed = await add({ ...own, type: 'totp', blob: SEED }, by)
    t.equal(seed.status, 403, `${name}: no seed of codes to sign in by`)
    const named = JSON.stringify({ access: 'a', secret: 's', trust_id: trusted.id })
    const said = await add({ ...own, type: 'ec2', blob: named }, by)
    t.equal(said.status, 400, `${name}: what a key is made by is not said by its maker`)
  }
  const named = JSON.stringify({ access: 'b', secret: 's', app_cred_id: appId })
  const said = await add({ user_id: ann.id, project_id: project, type: 'ec2', blob: named }, token)
  t.equal(said.status, 400)
})

const SEED = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'

function codeAt(ms: number, seed = SEED): string {
  const secret = Secret.fromBase32(seed)
  return new TOTP({ secret, algorithm: 'SHA1', digits: 6, period: 30 }).generate({ timestamp: ms })
}

function signInWith(
  methods: readonly string[],
  payloads: Readonly<Record<string, unknown>>,
  receipt = '',
): Promise<ApiAnswer> {
  return rig.call('POST', '/v3/auth/tokens', {
    token: null,
    headers: receipt === '' ? {} : { 'Openstack-Auth-Receipt': receipt },
    body: { auth: { identity: { methods, ...payloads } } },
  })
}

const totpOf = ({ id }: Pick<Person, 'id'>, passcode: unknown) => ({
  totp: { user: { id, passcode } },
})
const passwordOf = ({ id, password }: Person) => ({ password: { user: { id, password } } })

t.test('a one-time code signs in once, and for a short time', async (t) => {
  t.equal(stepOf(SEED, { passcode: '287082', nowMs: 59_000, earlier: 0 }), 1, 'as in RFC 6238')
  for (const [passcode, seed] of [
    ['287083', SEED],
    ['', SEED],
    ['287082', 'not base 32!'],
    ['28708', SEED],
    ['x'.repeat(6), SEED],
  ] as const) {
    t.equal(stepOf(seed, { passcode, nowMs: 59_000, earlier: 1 }), null)
  }
  const future = codeAt(90_000)
  t.equal(stepOf(SEED, { passcode: future, nowMs: 59_000, earlier: 1 }), null)
  const kay = await people.user('kay')
  const kayToken = await people.token(kay, 'unscoped')
  t.match(await signInWith(['totp'], totpOf(kay, '123456')), { status: 401 })
  const made = await add({ type: 'totp', blob: SEED, user_id: kay.id }, bobToken)
  t.match(made, { status: 403 }, 'nobody makes one for another')
  const blob = { type: 'totp', blob: SEED, user_id: kay.id }
  t.match(await rig.call('POST', '/v3/credentials', { body: { credential: blob } }), {
    status: 201,
  })
  const code = codeAt(clock.nowMs())
  t.match(await signInWith(['totp'], totpOf(kay, code)), {
    status: 201,
    body: { token: { methods: ['totp'] } },
  })
  t.match(await signInWith(['totp'], totpOf(kay, code)), { status: 401 }, 'not twice')
  t.match(await signInWith(['totp'], totpOf(kay, codeAt(clock.nowMs() - 30_000))), { status: 401 })
  clock.move(30_000)
  const both = codeAt(clock.nowMs())
  const answers = await Promise.all([1, 2, 3].map(() => signInWith(['totp'], totpOf(kay, both))))
  t.equal(answers.filter(({ status }) => status === 201).length, 1, 'nor three times at once')
  t.match(await signInWith(['totp'], totpOf(kay, 7)), { status: 400 })
  t.match(await signInWith(['totp'], { totp: {} }), { status: 400 })
  clock.move(30_000)
  for (let count = 0; count < 10; count++) await signInWith(['totp'], totpOf(kay, '000000'))
  const right = codeAt(clock.nowMs())
  t.match(await signInWith(['totp'], totpOf(kay, right)), { status: 401 }, 'guessing locks out')
  t.match(await rig.call('GET', '/v3/auth/projects', { token: kayToken }), { status: 200 })
})

t.test('who has to prove more gets a receipt for what was proven', async (t) => {
  const lee = await people.user('lee')
  const blob = { type: 'totp', blob: SEED, user_id: lee.id }
  await rig.call('POST', '/v3/credentials', { body: { credential: blob } })
  const setRules = (rules: unknown, enabled = true) =>
    rig.call('PATCH', `/v3/users/${lee.id}`, {
      body: {
        user: {
          options: { multi_factor_auth_rules: rules, multi_factor_auth_enabled: enabled },
        },
      },
    })
  t.match(await setRules([['password', 'totp']]), { status: 200 })
  const first = await signInWith(['password'], passwordOf(lee))
  t.match(first, {
    status: 401,
    body: {
      receipt: { methods: ['password'], user: { id: lee.id, domain: { id: 'default' } } },
      required_auth_methods: [['password', 'totp']],
    },
  })
  const receipt = first.headers.get('openstack-auth-receipt') ?? ''
  t.not(receipt, '')
  t.match(await rig.call('GET', '/v3/auth/projects', { token: receipt }), { status: 401 })
  t.match(await signInWith(['token'], { token: { id: receipt } }), { status: 401 }, 'is no token')
  const step = () => {
    clock.move(30_000)
    return codeAt(clock.nowMs())
  }
  const second = await signInWith(['totp'], totpOf(lee, step()), receipt)
  t.equal(second.status, 201)
  t.strictSame([...second.body.token.methods].sort(), ['password', 'totp'])
  const again = await signInWith(['token'], { token: { id: tokenOf(second) } })
  t.match(again, { status: 201 }, 'and a token of both gets another')
  const both = { ...passwordOf(lee), ...totpOf(lee, step()) }
  t.match(await signInWith(['password', 'totp'], both), { status: 201 })
  const mixed = { ...passwordOf(ann), ...totpOf(lee, step()) }
  t.match(await signInWith(['password', 'totp'], mixed), { status: 401 }, 'of two users')
  t.match(await signInWith(['password'], passwordOf(ann), receipt), { status: 401 })
  for (const forged of ['x', `${receipt}x`, tokenOf(second), receipt.replace(/.$/, '_')]) {
    t.match(await signInWith(['totp'], totpOf(lee, step()), forged), { status: 401 })
  }
  clock.move(301_000)
  t.match(await signInWith(['totp'], totpOf(lee, step()), receipt), { status: 401 }, 'over')
  const fresh = (await signInWith(['password'], passwordOf(lee))).headers
  await rig.call('PATCH', `/v3/users/${lee.id}`, { body: { user: { password: 'a new one' } } })
  const revoked = fresh.get('openstack-auth-receipt') ?? ''
  t.match(await signInWith(['totp'], totpOf(lee, step()), revoked), { status: 401 }, 'revoked')
  const now = { ...lee, password: 'a new one' }
  await setRules([['password', 'totp']], false)
  t.match(await signInWith(['password'], passwordOf(now)), { status: 201 })
  await setRules([['retina']])
  t.match(await signInWith(['password'], passwordOf(now)), { status: 201 }, 'shuts nobody out')
  for (const bad of [[[]], [['password', 'password']], ['password'], [[7]], 'password']) {
    t.match(await setRules(bad), { status: 400 })
  }
})

t.test('credentials go with their user and project', async (t) => {
  const gone = await people.project('gone')
  const mia = await people.user('mia')
  await people.grant(mia, 'member', `projects/${gone}`)
  const make = async () => {
    const token = await people.token(mia, { project: { id: gone } })
    const path = `/v3/users/${mia.id}/credentials/OS-EC2`
    return (await rig.call('POST', path, { token, body: { tenant_id: gone } })).body.credential
  }
  const [one] = [await make()]
  await rig.call('DELETE', `/v3/projects/${gone}`)
  t.match(await s3(s3Sign(one)), { status: 404 })
  const cert = { type: 'cert', blob: 'x', user_id: mia.id }
  const { id } = (await rig.call('POST', '/v3/credentials', { body: { credential: cert } })).body
    .credential
  await rig.call('DELETE', `/v3/users/${mia.id}`)
  t.match(await rig.call('GET', `/v3/credentials/${id}`), { status: 404 })
})
