import t from 'tap'
import { IdentityPeople } from '../support/identity-people.ts'
import { type ApiAnswer, IdentityRig } from '../support/identity-rig.ts'
import { MovedClock } from '../support/moved-clock.ts'

const clock = new MovedClock()
const rig = await IdentityRig.start({ clock, settings: { applicationCredentialsPerUserMax: 12 } })
t.teardown(() => rig.close())
const people = new IdentityPeople(rig)

const project = await people.project('delegated')
const other = await people.project('other')
const ann = await people.user('ann')
const bob = await people.user('bob')
const [member, reader] = [await people.role('member'), await people.role('reader')]
await people.grant(ann, 'member', `projects/${project}`)
await people.grant(ann, 'member', `projects/${other}`)
await people.grant(bob, 'reader', `projects/${other}`)
const IN_PROJECT = { project: { id: project } }
const annToken = await people.token(ann, IN_PROJECT)
const CREDENTIALS = `/v3/users/${ann.id}/application_credentials`
const TRUSTS = '/v3/OS-TRUST/trusts'

/** A new application credential of ann's. */
async function credential(values: Readonly<Record<string, unknown>>, token = annToken) {
  const answer = await rig.call('POST', CREDENTIALS, {
    token,
    body: { application_credential: values },
  })
  return answer.status === 201 ? answer.body.application_credential : answer
}

function signInBy(application_credential: unknown, scope?: unknown): Promise<ApiAnswer> {
  const identity = { methods: ['application_credential'], application_credential }
  return rig.call('POST', '/v3/auth/tokens', { token: null, body: { auth: { identity, scope } } })
}

function signInWith(token: string, scope?: unknown): Promise<ApiAnswer> {
  const identity = { methods: ['token'], token: { id: token } }
  return rig.call('POST', '/v3/auth/tokens', { token: null, body: { auth: { identity, scope } } })
}

const tokenOf = (answer: ApiAnswer) => answer.headers.get('x-subject-token') ?? ''
const namesOf = (answer: ApiAnswer) =>
  answer.body.token.roles.map((role: { name: string }) => role.name)

t.test('an application credential is for one project and the roles chosen', async (t) => {
  const made = await credential({ name: 'reads', roles: [{ name: 'reader' }] })
  t.match(made, { project_id: project, unrestricted: false, roles: [{ id: reader }] })
  t.match(made.links.self, new RegExp(`${CREDENTIALS}/${made.id}$`))
  t.ok(made.secret.length >= 86)
  const shown = await rig.call('GET', `${CREDENTIALS}/${made.id}`, { token: annToken })
  t.notOk('secret' in shown.body.application_credential, 'its secret is shown once')
  const answer = await signInBy({ id: made.id, secret: made.secret })
  t.match(answer, {
    status: 201,
    body: {
      token: {
        methods: ['application_credential'],
        project: { id: project },
        user: { id: ann.id },
        application_credential: { id: made.id, name: 'reads', restricted: true },
      },
    },
  })
  t.strictSame(namesOf(answer), ['reader'])
  const byName = { name: 'reads', user: { name: 'ann', domain: { name: 'Default' } } }
  t.match(await signInBy({ ...byName, secret: made.secret }), { status: 201 })
  t.match(await rig.call('GET', CREDENTIALS, { token: annToken }), {
    body: { application_credentials: [{ name: 'reads' }] },
  })
  for (const wrong of [
    { id: made.id, secret: 'x' },
    { id: 'none', secret: made.secret },
    { ...byName, name: 'none', secret: made.secret },
    { ...byName, user: { id: bob.id }, secret: made.secret },
  ]) {
    t.match(await signInBy(wrong), { status: 401 })
  }
  t.match(await signInBy({ id: made.id, secret: made.secret }, IN_PROJECT), { status: 401 })
  for (const bad of [{ id: made.id }, { secret: 'x' }, { name: 'reads', secret: 'x' }, 7]) {
    t.match(await signInBy(bad), { status: 400 })
  }
  const got = await signInWith(tokenOf(answer))
  t.match(got, { status: 201, body: { token: { application_credential: { id: made.id } } } })
  t.strictSame(namesOf(got), ['reader'], 'a token got by its token is no more than it')
  t.match(await signInWith(tokenOf(answer), IN_PROJECT), { status: 403 })
})

t.test('what cannot be meant makes no application credential', async (t) => {
  const count = async () =>
    (await rig.call('GET', CREDENTIALS, { token: annToken })).body.application_credentials.length
  const before = await count()
  const cases: readonly (readonly [unknown, number])[] = [
    [{}, 400],
    [{ name: '' }, 400],
    [{ name: 'n'.repeat(256) }, 400],
    [{ name: 7 }, 400],
    [{ name: 'x', roles: [{ name: 'admin' }] }, 400],
    [{ name: 'x', roles: [{ name: 'none' }] }, 404],
    [{ name: 'x', roles: [{ id: member, name: 'member' }] }, 400],
    [{ name: 'x', expires_at: 'tomorrow' }, 400],
    [{ name: 'x', expires_at: '2001-01-01T00:00:00Z' }, 400],
    [{ name: 'x', unrestricted: 'yes' }, 400],
    [{ name: 'x', color: 'red' }, 400],
    [{ name: 'x', access_rules: [{ path: '/v3', service: 'identity' }] }, 400],
    [{ name: 'x', access_rules: [{ path: 'v3', service: 'identity', method: 'GET' }] }, 400],
    [{ name: 'x', access_rules: [{ path: '/v3', service: 'identity', method: 'BREW' }] }, 400],
    [{ name: 'x', access_rules: [{ id: 'none' }] }, 404],
    [{ name: 'reads' }, 409],
    ['x', 400],
    [null, 400],
  ]
  for (const [value, status] of cases) {
    const answer = await rig.call('POST', CREDENTIALS, {
      token: annToken,
      body: { application_credential: value },
    })
    t.equal(answer.status, status, JSON.stringify(value).slice(0, 80))
  }
  t.equal(await count(), before)
  const bobToken = await people.token(bob, { project: { id: other } })
  t.match(await credential({ name: 'x' }, bobToken), { status: 403 }, 'only for oneself')
  t.match(await credential({ name: 'x' }, await people.token(ann, 'unscoped')), { status: 403 })
  const one = await credential({ name: 'hidden' })
  for (const path of [CREDENTIALS, `/v3/users/${bob.id}/application_credentials`]) {
    t.match(await rig.call('GET', `${path}/${one.id}`, { token: bobToken }), { status: 403 })
    t.match(await rig.call('DELETE', `${path}/${one.id}`, { token: bobToken }), { status: 403 })
  }
  t.match(await rig.call('GET', `${CREDENTIALS}/none`, { token: annToken }), { status: 404 })
})

t.test('a restricted one makes no others, an unrestricted one does', async (t) => {
  const tight = await credential({ name: 'tight' })
  const free = await credential({ name: 'free', unrestricted: true })
  const tightToken = tokenOf(await signInBy({ id: tight.id, secret: tight.secret }))
  const freeToken = tokenOf(await signInBy({ id: free.id, secret: free.secret }))
  t.match(await credential({ name: 'child' }, tightToken), { status: 403 })
  const gone = await rig.call('DELETE', `${CREDENTIALS}/${tight.id}`, { token: tightToken })
  t.match(gone, { status: 403 })
  t.match(await credential({ name: 'child' }, freeToken), { name: 'child' })
  for (const token of [tightToken, freeToken]) {
    const trust = { trustor_user_id: ann.id, trustee_user_id: bob.id, impersonation: false }
    t.match(await rig.call('POST', TRUSTS, { token, body: { trust } }), { status: 403 })
  }
})

t.test('access rules let a token make the calls they name, and no other', async (t) => {
  const rules = [
    { service: 'identity', path: `/v3/projects/{id}`, method: 'GET' },
    { service: 'object-store', path: '/v1/**', method: 'GET' },
  ]
  const made = await credential({ name: 'ruled', access_rules: rules })
  const token = tokenOf(await signInBy({ id: made.id, secret: made.secret }))
  t.match(await rig.call('GET', `/v3/projects/${project}`, { token }), { status: 200 })
  t.match(await rig.call('GET', `/v3/projects/${project}/tags`, { token }), { status: 401 })
  t.match(await rig.call('GET', '/v3/auth/projects', { token }), { status: 401 })
  const subject = { headers: { 'X-Subject-Token': token } }
  t.match(await rig.call('GET', '/v3/auth/tokens', subject), { status: 404 }, 'not to old services')
  const knowing = { ...subject.headers, 'OpenStack-Identity-Access-Rules': '1.0' }
  t.match(await rig.call('GET', '/v3/auth/tokens', { headers: knowing }), {
    body: { token: { application_credential: { access_rules: rules } } },
  })
  const none = await credential({ name: 'nothing', access_rules: [] })
  const nothing = tokenOf(await signInBy({ id: none.id, secret: none.secret }))
  t.match(await rig.call('GET', '/v3/auth/projects', { token: nothing }), { status: 401 })

  const list = `/v3/users/${ann.id}/access_rules`
  const listed = (await rig.call('GET', `${list}?service=identity`, { token: annToken })).body
  t.equal(listed.access_rules.length, 1)
  const [rule] = listed.access_rules
  t.match(await rig.call('DELETE', `${list}/${rule.id}`, { token: annToken }), { status: 403 })
  const again = await credential({ name: 'again', access_rules: [{ id: rule.id }, rules[1]] })
  t.equal(again.access_rules[0].id, rule.id)
  t.equal(again.access_rules[1].id, made.access_rules[1].id, 'equal rules are one')
  for (const { id } of [made, again, none]) {
    t.match(await rig.call('DELETE', `${CREDENTIALS}/${id}`, { token: annToken }), { status: 204 })
  }
  t.match(await rig.call('GET', '/v3/projects', { token }), { status: 401 })
  t.match(await rig.call('DELETE', `${list}/${rule.id}`, { token: annToken }), { status: 204 })
  t.match(await rig.call('GET', `${list}/${rule.id}`, { token: annToken }), { status: 404 })
})

t.test('an application credential ends with its time, its role, its user', async (t) => {
  const soon = new Date(clock.nowMs() + 60_000).toISOString()
  const brief = await credential({ name: 'brief', expires_at: soon })
  t.equal(brief.expires_at, soon.replace('Z', '000'))
  const answer = await signInBy({ id: brief.id, secret: brief.secret })
  t.equal(answer.body.token.expires_at, soon.replace('Z', '000Z'))
  clock.move(61_000)
  t.match(await signInBy({ id: brief.id, secret: brief.secret }), { status: 401 })
  t.match(await rig.call('GET', '/v3/auth/projects', { token: tokenOf(answer) }), { status: 401 })

  const kay = await people.user('kay')
  await people.grant(kay, 'member', `projects/${project}`)
  const path = `/v3/users/${kay.id}/application_credentials`
  const make = async (name: string) => {
    const token = await people.token(kay, IN_PROJECT)
    const body = { application_credential: { name } }
    return (await rig.call('POST', path, { token, body })).body.application_credential
  }
  const first = await make('first')
  const token = tokenOf(await signInBy({ id: first.id, secret: first.secret }))
  await people.revoke(kay, 'member', `projects/${project}`)
  t.match(await rig.call('GET', '/v3/auth/projects', { token }), { status: 401 })
  t.match(await signInBy({ id: first.id, secret: first.secret }), { status: 401 })
  await people.grant(kay, 'member', `projects/${project}`)
  t.match(await rig.call('GET', `${path}/${first.id}`), { status: 404 }, 'it does not come back')
  const second = await make('second')
  await rig.call('DELETE', `/v3/users/${kay.id}`)
  t.match(await signInBy({ id: second.id, secret: second.secret }), { status: 401 })
})

t.test('there is a limit of application credentials', async (t) => {
  const statuses: number[] = []
  for (let count = 0; count < 13; count++) {
    const made = await credential({ name: `many ${count}` })
    statuses.push(made.status ?? 201)
  }
  t.equal(statuses.at(-1), 403)
  t.ok(statuses.includes(201))
})

/** A new trust of ann's for bob. */
async function trust(values: Readonly<Record<string, unknown>> = {}, token = annToken) {
  const body = {
    trust: {
      trustor_user_id: ann.id,
      trustee_user_id: bob.id,
      project_id: project,
      impersonation: false,
      roles: [{ name: 'reader' }],
      ...values,
    },
  }
  const answer = await rig.call('POST', TRUSTS, { token, body })
  return answer.status === 201 ? answer.body.trust : answer
}

function signInTrusted(id: string, user: { id: string; password: string } = bob) {
  return rig.signIn({ 'OS-TRUST:trust': { id } }, { id: user.id, password: user.password })
}

t.test('a trust lets the trustee act with roles of the trustor', async (t) => {
  const made = await trust()
  t.match(made, { remaining_uses: null, redelegation_count: 0, deleted_at: null, expires_at: null })
  t.match(made.roles, [{ id: reader, name: 'reader' }])
  const answer = await signInTrusted(made.id)
  t.match(answer, {
    status: 201,
    body: {
      token: {
        user: { id: bob.id },
        project: { id: project },
        'OS-TRUST:trust': {
          id: made.id,
          impersonation: false,
          trustor_user: { id: ann.id },
          trustee_user: { id: bob.id },
        },
      },
    },
  })
  t.strictSame(namesOf(answer), ['reader'])
  const acted = await trust({ impersonation: true })
  t.match((await signInTrusted(acted.id)).body, { token: { user: { id: ann.id } } })
  t.match(await signInTrusted(made.id, ann), { status: 403 }, 'for nobody else')
  t.match(await signInTrusted('none'), { status: 401 })
  const token = tokenOf(answer)
  t.match(await signInWith(token), { status: 403 })
  t.match(await signInWith(token, { 'OS-TRUST:trust': { id: made.id } }), { status: 403 })
  t.match(await credential({ name: 'x' }, token), { status: 403 })
  t.match(await trust({ trustor_user_id: bob.id, trustee_user_id: ann.id }, token), { status: 403 })
  const change = { user: { original_password: bob.password, password: 'another one' } }
  const changed = await rig.call('POST', `/v3/users/${bob.id}/password`, { token, body: change })
  t.match(changed, { status: 403 })
  const roles = await rig.call('GET', `${TRUSTS}/${made.id}/roles`, { token: annToken })
  t.match(roles.body.roles, [{ name: 'reader' }])
  t.match(await rig.call('GET', `${TRUSTS}/${made.id}/roles/${reader}`, { token: annToken }), {
    body: { role: { name: 'reader' } },
  })
  t.match(await rig.call('GET', `${TRUSTS}/${made.id}/roles/${member}`, { token: annToken }), {
    status: 404,
  })
  const bobToken = await people.token(bob, { project: { id: other } })
  t.match(await rig.call('GET', `${TRUSTS}/${made.id}`, { token: bobToken }), { status: 200 })
  t.match(await rig.call('DELETE', `${TRUSTS}/${made.id}`, { token: bobToken }), { status: 403 })
  const lists = [`?trustee_user_id=${bob.id}`, `?trustor_user_id=${ann.id}`, '']
  const [mine, theirs, all] = await Promise.all(
    lists.map((query) => rig.call('GET', TRUSTS + query, { token: bobToken })),
  )
  t.match(mine, { status: 200 })
  t.match([theirs, all], [{ status: 403 }, { status: 403 }])
  t.match(await rig.call('DELETE', `${TRUSTS}/${made.id}`, { token: annToken }), { status: 204 })
  t.match(await rig.call('GET', `${TRUSTS}/${made.id}`, { token: annToken }), { status: 404 })
  t.match(await rig.call('GET', '/v3/auth/projects', { token }), { status: 401 })
  t.match(await signInTrusted(made.id), { status: 401 })
})

t.test('what cannot be meant makes no trust', async (t) => {
  const cases: readonly (readonly [Readonly<Record<string, unknown>>, number])[] = [
    [{ trustor_user_id: bob.id }, 403],
    [{ trustee_user_id: 'none' }, 404],
    [{ project_id: 'none' }, 404],
    [{ roles: [] }, 403],
    [{ roles: [{ name: 'none' }] }, 404],
    [{ roles: [{ name: 'admin' }] }, 404],
    [{ roles: [{}] }, 400],
    [{ roles: 'reader' }, 400],
    [{ impersonation: 'yes' }, 400],
    [{ impersonation: undefined }, 400],
    [{ trustee_user_id: undefined }, 400],
    [{ remaining_uses: 0 }, 400],
    [{ remaining_uses: -1 }, 400],
    [{ remaining_uses: 'two' }, 400],
    [{ expires_at: 'x' }, 400],
    [{ expires_at: '2001-01-01T00:00:00Z' }, 400],
    [{ allow_redelegation: true, redelegation_count: 4 }, 403],
    [{ allow_redelegation: true, remaining_uses: 3 }, 400],
  ]
  for (const [values, status] of cases) {
    t.match(await trust(values), { status }, JSON.stringify(values))
  }
  const expires_at = new Date(clock.nowMs() + 3_600_000).toISOString()
  t.match(await trust({ expires_at }), { expires_at: expires_at.replace('Z', '000Z') })
  t.match(await trust({ expires_at }), { status: 409 })
})

t.test('a trust ends with its time, its uses, the roles of the trustor', async (t) => {
  const expires_at = new Date(clock.nowMs() + 60_000).toISOString()
  const brief = await trust({ expires_at })
  const token = tokenOf(await signInTrusted(brief.id))
  clock.move(61_000)
  t.match(await signInTrusted(brief.id), { status: 401 })
  t.match(await rig.call('GET', '/v3/auth/projects', { token }), { status: 401 })
  t.match(await rig.call('GET', `${TRUSTS}/${brief.id}`, { token: annToken }), { status: 404 })

  const twice = await trust({ remaining_uses: 2 })
  const wrong = await signInTrusted(twice.id, { id: bob.id, password: 'wrong' })
  t.match(wrong, { status: 401 }, 'takes no use')
  const answers = await Promise.all([1, 2, 3, 4].map(() => signInTrusted(twice.id)))
  const statuses = answers.map(({ status }) => status).sort()
  t.strictSame(statuses, [201, 201, 401, 401], 'as many as there are, at whatever times')
  const good = tokenOf(answers.find(({ status }) => status === 201)!)
  t.match(await rig.call('GET', '/v3/auth/projects', { token: good }), { status: 200 })

  const kay = await people.user('kay')
  await people.grant(kay, 'member', `projects/${project}`)
  const kayToken = await people.token(kay, IN_PROJECT)
  const given = await trust({ trustor_user_id: kay.id }, kayToken)
  const used = tokenOf(await signInTrusted(given.id))
  await people.revoke(kay, 'member', `projects/${project}`)
  t.match(await signInTrusted(given.id), { status: 403 })
  t.match(await rig.call('GET', '/v3/auth/projects', { token: used }), { status: 401 })
  await people.grant(kay, 'member', `projects/${project}`)
  t.match(await signInTrusted(given.id), { status: 201 })
  await rig.call('PATCH', `/v3/users/${kay.id}`, { body: { user: { enabled: false } } })
  t.match(await signInTrusted(given.id), { status: 401 })
  await rig.call('DELETE', `/v3/users/${kay.id}`)
  t.match(await rig.call('GET', `${TRUSTS}/${given.id}`), { status: 404 })
})

t.test('a trust is given on as far as it says, and never for more', async (t) => {
  const cid = await people.user('cid')
  const source = await trust({
    allow_redelegation: true,
    redelegation_count: 2,
    impersonation: true,
  })
  t.equal(source.redelegation_count, 2)
  const token = tokenOf(await signInTrusted(source.id))
  const on = (values: Readonly<Record<string, unknown>>, by = token) =>
    trust({ trustee_user_id: cid.id, ...values }, by)
  t.match(await on({ project_id: other }), { status: 403 })
  t.match(await on({ roles: [{ name: 'member' }] }), { status: 403 })
  t.match(await on({ remaining_uses: 1 }), { status: 403 })
  t.match(await on({ allow_redelegation: true, redelegation_count: 2 }), { status: 403 })
  const next = await on({ allow_redelegation: true })
  t.match(next, { redelegated_trust_id: source.id, redelegation_count: 1 })
  const cidToken = tokenOf(await signInTrusted(next.id, cid))
  t.match(await on({ impersonation: true }, cidToken), { status: 403 }, 'it impersonates nobody')
  const plain = await trust()
  const plainToken = tokenOf(await signInTrusted(plain.id))
  t.match(await on({ trustor_user_id: bob.id }, plainToken), { status: 403 })
  await rig.call('DELETE', `${TRUSTS}/${source.id}`, { token: annToken })
  t.match(await rig.call('GET', '/v3/auth/projects', { token: cidToken }), { status: 401 })
  t.match(await signInTrusted(next.id, cid), { status: 401 }, 'what was given on goes with it')
})

t.test('a project takes its trusts and application credentials along', async (t) => {
  const brief = await people.project('brief')
  await people.grant(ann, 'member', `projects/${brief}`)
  const token = await people.token(ann, { project: { id: brief } })
  for (const { id } of (await rig.call('GET', CREDENTIALS, { token: annToken })).body
    .application_credentials) {
    await rig.call('DELETE', `${CREDENTIALS}/${id}`, { token: annToken })
  }
  const made = await credential({ name: 'of brief' }, token)
  const given = await trust({ project_id: brief }, token)
  t.match(await signInTrusted(given.id), { status: 201 })
  await rig.call('DELETE', `/v3/projects/${brief}`)
  t.match(await rig.call('GET', `${CREDENTIALS}/${made.id}`), { status: 404 })
  t.match(await rig.call('GET', `${TRUSTS}/${given.id}`), { status: 404 })
})
