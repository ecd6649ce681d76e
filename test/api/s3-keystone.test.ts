/** Access keys of Keystone as clients of S3 use them, the identity service and the store being real. */
import assert from 'node:assert'
import t from 'tap'
import { KeystoneAccessKeys } from '../../proxy/keystone/keystone-access-keys.ts'
import { openKeystoneStore } from './s3-keystone-store.ts'
import { sendSigned, type TestKey } from './s3-store.ts'

const { rig, store } = await openKeystoneStore(t)

async function made(path: string, body: Record<string, unknown>): Promise<{ readonly id: string }> {
  const [kind = '', value] = Object.entries(body)[0]!
  const answer = await rig.call('POST', path, { body: { [kind]: value } })
  assert.equal(answer.status, 201, `POST ${path}`)
  return answer.body[kind]
}

const { id: projectId } = await made('/v3/projects', {
  project: { name: 'shop', domain_id: 'default' },
})
const { id: userId } = await made('/v3/users', {
  user: { name: 'ann', domain_id: 'default', password: 'annspassword' },
})
const EC2 = `/v3/users/${userId}/credentials/OS-EC2`

async function grant(method: 'PUT' | 'DELETE', role: string): Promise<void> {
  const found = await rig.call('GET', `/v3/roles?name=${role}`)
  const path = `/v3/projects/${projectId}/users/${userId}/roles/${found.body.roles[0].id}`
  assert.equal((await rig.call(method, path)).status, 204, `${method} ${role}`)
}

async function newKey(): Promise<TestKey> {
  const { body, status } = await rig.call('POST', EC2, { body: { tenant_id: projectId } })
  assert.equal(status, 201, 'an access key')
  return { accessKeyId: body.credential.access, secretAccessKey: body.credential.secret }
}

async function codeOf(key: TestKey, path = '/', method = 'GET'): Promise<string> {
  const { status, code } = await sendSigned(store.port, { method, path, key })
  return `${status} ${code}`.trim()
}

/** What the answer becomes once the news has come to the store. */
async function becomes(key: TestKey, wanted: string): Promise<void> {
  for (;;) {
    if ((await codeOf(key)) === wanted) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

t.test(
  'a key of Keystone signs for its project, until it or its holder’s rights are gone',
  async (t) => {
    await grant('PUT', 'member')
    const key = await newKey()
    t.equal(await codeOf(key, '/keystone-bucket', 'PUT'), '200')
    const { body } = await sendSigned(store.port, { path: '/', key })
    t.match(body, `<ID>AUTH_${projectId}</ID>`)
    t.match(body, '<Name>keystone-bucket</Name>')
    t.equal(await codeOf({ ...key, secretAccessKey: 'wrong' }), '403 SignatureDoesNotMatch')
    t.equal(await codeOf({ ...key, accessKeyId: 'nobody' }), '403 InvalidAccessKeyId')
    t.equal((await rig.call('DELETE', `${EC2}/${key.accessKeyId}`)).status, 204)
    await becomes(key, '403 InvalidAccessKeyId')
    const other = await newKey()
    t.equal(await codeOf(other), '200')
    await rig.call('PATCH', `/v3/users/${userId}`, { body: { user: { enabled: false } } })
    await becomes(other, '403 InvalidAccessKeyId')
    await rig.call('PATCH', `/v3/users/${userId}`, { body: { user: { enabled: true } } })
    await becomes(other, '200')
  },
)

t.test('who may only read a project makes no bucket, and clears none away', async (t) => {
  const project = { project: { id: projectId } }
  const user = { name: 'ann', domain: { id: 'default' }, password: 'annspassword' }
  const signedIn = await rig.signIn(project, user)
  const headers = { 'x-auth-token': signedIn.headers.get('x-subject-token')! }
  // Parts of a bucket that is gone; or what a client of Swift's calls so.
  const left = `${store.url}/v1/AUTH_${projectId}/gone%2Bsegments`
  for (const url of [left, `${left}/o`])
    t.equal((await fetch(url, { method: 'PUT', headers, body: '' })).status, 201)
  const { id } = await made('/v3/users', { user: { name: 'rob', domain_id: 'default' } })
  const role = (await rig.call('GET', '/v3/roles?name=reader')).body.roles[0].id
  await rig.call('PUT', `/v3/projects/${projectId}/users/${id}/roles/${role}`)
  const ec2 = `/v3/users/${id}/credentials/OS-EC2`
  const { credential } = (await rig.call('POST', ec2, { body: { tenant_id: projectId } })).body
  const key = { accessKeyId: credential.access, secretAccessKey: credential.secret }
  t.equal(await codeOf(key, '/keystone-bucket'), '200', 'he reads')
  t.equal(await codeOf(key, '/gone', 'PUT'), '403 AccessDenied')
  t.equal(await codeOf(key, '/keystone-bucket', 'PUT'), '403 AccessDenied')
  t.equal((await fetch(`${left}/o`, { headers })).status, 200)
})

t.test('grants by e-mail address are to the account of whoever has it', async (t) => {
  const person = async (name: string, email: string, projects: readonly string[]) => {
    const { id } = await made('/v3/users', { user: { name, domain_id: 'default', email } })
    const role = (await rig.call('GET', '/v3/roles?name=member')).body.roles[0].id
    for (const project of projects)
      await rig.call('PUT', `/v3/projects/${project}/users/${id}/roles/${role}`)
    return id
  }
  const [one, two] = await Promise.all(
    ['mail-1', 'mail-2'].map((name) =>
      made('/v3/projects', { project: { name, domain_id: 'default' } }),
    ),
  )
  await person('bob', 'Bob@example.com', [one!.id])
  await person('carol', 'carol@example.com', [one!.id, two!.id])
  await person('dan', 'twice@example.com', [one!.id])
  await person('dan2', 'twice@example.com', [two!.id])
  const off = await person('off', 'off@example.com', [one!.id])
  await rig.call('PATCH', `/v3/users/${off}`, { body: { user: { enabled: false } } })
  const key = await newKey()
  t.equal(await codeOf(key, '/mailed', 'PUT'), '200')
  const put = async (headers: Record<string, string>, body = '') => {
    const path = '/mailed?acl'
    const { status, code } = await sendSigned(store.port, {
      method: 'PUT',
      path,
      headers,
      body,
      key,
    })
    return `${status} ${code}`.trim()
  }
  const grant = (email: string) => ({ 'x-amz-grant-read': `emailAddress="${email}"` })
  t.equal(await put(grant('bob@example.com')), '200', 'whatever the case')
  const { body } = await sendSigned(store.port, { path: '/mailed?acl', key })
  t.match(body, `<ID>AUTH_${one!.id}</ID>`)
  t.equal(await put(grant('none@example.com')), '400 UnresolvableGrantByEmailAddress')
  t.equal(await put(grant('off@example.com')), '400 UnresolvableGrantByEmailAddress', 'disabled')
  t.equal(
    await put(grant('carol@example.com')),
    '400 UnresolvableGrantByEmailAddress',
    'two projects',
  )
  t.equal(await put(grant('twice@example.com')), '400 AmbiguousGrantByEmailAddress')
  t.equal(await put(grant('x'.repeat(300))), '400 UnresolvableGrantByEmailAddress')
  t.equal(await put(grant('__proto__')), '400 UnresolvableGrantByEmailAddress')
  const grantee = (email: string) =>
    `<AccessControlPolicy><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="AmazonCustomerByEmail"><EmailAddress>${email}</EmailAddress></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>`
  t.equal(await put({}, grantee('bob@example.com')), '200', 'in a document')
  t.equal(await put({}, grantee('none@example.com')), '400 UnresolvableGrantByEmailAddress')
  const path = '/v3/OS-SWIFTLET/accounts_of_emails'
  const user = { name: 'ann', domain: { id: 'default' }, password: 'annspassword' }
  const token = (await rig.signIn({ project: { id: projectId } }, user)).headers.get(
    'x-subject-token',
  )!
  const asked = { body: { emails: ['bob@example.com'] }, token }
  t.equal((await rig.call('POST', path, asked)).status, 403, 'for services only')
})

t.test('secrets are for services only', async (t) => {
  const path = '/v3/OS-SWIFTLET/access_key'
  const key = await newKey()
  const body = { access: key.accessKeyId }
  const user = { name: 'ann', domain: { id: 'default' }, password: 'annspassword' }
  const signedIn = await rig.signIn({ project: { id: projectId } }, user)
  const token = signedIn.headers.get('x-subject-token')!
  t.equal((await rig.call('POST', path, { body, token })).status, 403)
  t.equal((await rig.call('POST', path, { body, token: null })).status, 401)
  t.equal((await rig.call('POST', path, { body: {} })).status, 400)
  t.equal((await rig.call('POST', path, { body: { access: 'none' } })).status, 404)
  t.equal((await rig.call('POST', path, { body })).body.access_key.secret, key.secretAccessKey)
})

t.test('policies of many holders are remembered as far as there is room for them', async (t) => {
  let asked = 0
  const principal = { kind: 'user', account: 'a', arn: '', arns: [], userId: 'u', tags: [] }
  const bounds = { policies: ['x'.repeat(40)], boundary: 'y'.repeat(10), isCloud: false }
  const keys = new KeystoneAccessKeys({
    session: {
      async send() {
        asked++
        const known = { access_key: { secret: 's', principal: { ...principal, ...bounds } } }
        return { status: 200, header: () => null, body: known }
      },
    },
    validate: () => null,
    clock: { monotonicMs: () => 0, nowMs: () => 0 },
    policyCharactersMax: 100,
  })
  for (const name of ['a', 'b', 'a', 'b']) await keys.find(name)
  t.equal(asked, 2, 'two fit')
  await keys.find('c')
  await keys.find('b')
  t.equal(asked, 3)
  await keys.find('a')
  t.equal(asked, 4, 'the oldest was forgotten')
})

t.test(
  'answers are remembered for a while, longer if nobody answers, and not for ever',
  async (t) => {
    let nowMs = 0
    let asked = 0
    let isDown = false
    const caller = { user: 'u', account: 'a', groups: [], expiresAtMs: 1 }
    const keys = new KeystoneAccessKeys({
      session: {
        async send({ body }) {
          asked++
          if (isDown) throw new Error('down')
          const { access } = body as { readonly access: string }
          const known = { access_key: { secret: `secret of ${access}`, token: 'token' } }
          const isThere = access !== 'none'
          return { status: isThere ? 200 : 404, header: () => null, body: isThere ? known : null }
        },
      },
      validate: () => caller,
      clock: { monotonicMs: () => nowMs, nowMs: () => nowMs },
      keysMax: 2,
    })
    const both = await Promise.all([keys.find('k'), keys.find('k')])
    t.strictSame(both[0], { secret: 'secret of k', caller })
    t.equal(asked, 1, 'one question for two who want to know')
    t.strictSame(keys.find('k'), both[0], 'at once, from memory')
    t.equal(await keys.find('none'), null)
    t.equal(keys.find('none'), null)
    t.equal(asked, 2)
    nowMs = 6_000
    isDown = true
    t.strictSame(await keys.find('k'), both[0], 'what was known lasts while nobody answers')
    nowMs = 70_000
    await t.rejects(keys.find('k') as Promise<unknown>, /down/)
    isDown = false
    for (const name of ['a', 'b', 'c']) await keys.find(name)
    asked = 0
    await keys.find('k')
    t.equal(asked, 1, 'the oldest was forgotten')
    t.equal(keys.find('x'.repeat(300)), null)
  },
)
