/** What the audit log of the identity service says, over a real socket. */
import { readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { IDENTITY_ROUTES } from '../../auth/api/routes.ts'
import { auditKindOf } from '../../auth/audit/audited-calls.ts'
import type { AuditNotification } from '../../auth/audit/cadf.ts'
import { AuditLog } from '../../bin/identity/audit-log.ts'
import { IdentityPeople } from '../support/identity-people.ts'
import { ADMIN_PASSWORD, IdentityRig, SERVICE_PASSWORD } from '../support/identity-rig.ts'

const noted: AuditNotification[] = []
const sink = { emit: (notification: AuditNotification) => void noted.push(notification) }
const rig = await IdentityRig.start({ audit: { sink, host: 'host1' } })
const people = new IdentityPeople(rig)
t.teardown(() => rig.close())

/** What was noted since it was asked the last time. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into events of every form.
function newEvents(): readonly any[] {
  return noted.splice(0)
}

const admin = await rig.call('GET', '/v3/users?name=admin')
const adminId: string = admin.body.users[0].id
const project = await people.project('audited')
const member = await people.role('member')
const ann = await people.user('ann')
newEvents()

t.test('every call that changes something is audited, and no other', async (t) => {
  const isAbsent = (path: string) => path.includes('OS-FEDERATION')
  for (const route of IDENTITY_ROUTES) {
    const { method, path } = route
    const changes = method !== 'GET' && method !== 'HEAD' && !isAbsent(path)
    if ((auditKindOf(route) !== null) !== changes) t.fail(`${method} ${path}`)
  }
  t.ok(IDENTITY_ROUTES.length > 100)
})

t.test(
  'creating, changing and deleting is noted with who, what, from where and when',
  async (t) => {
    const beforeMs = Date.now()
    const id = await people.project('fresh')
    await rig.call('PATCH', `/v3/projects/${id}`, {
      body: { project: { description: 'it is' } },
      headers: { 'User-Agent': 'a client/1.0' },
    })
    const { headers } = await rig.call('DELETE', `/v3/projects/${id}`)
    await rig.call('GET', '/v3/projects')
    const events = newEvents()
    t.strictSame(
      events.map(({ event_type, payload }) => [event_type, payload.action, payload.outcome]),
      [
        ['identity.project.created', 'created.project', 'success'],
        ['identity.project.updated', 'updated.project', 'success'],
        ['identity.project.deleted', 'deleted.project', 'success'],
      ],
    )
    t.equal(events[1].payload.initiator.host.agent, 'a client/1.0')
    const [last] = events.slice(-1)
    const services = await rig.call('GET', '/v3/services?type=identity')
    t.match(last, {
      priority: 'INFO',
      publisher_id: 'identity.host1',
      message_id: /^[\da-f-]{36}$/,
      timestamp: /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/,
      payload: {
        typeURI: 'http://schemas.dmtf.org/cloud/audit/1.0/event',
        eventType: 'activity',
        id: /^[\da-f-]{36}$/,
        eventTime: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/,
        observer: { typeURI: 'service/security', id: services.body.services[0].id },
        initiator: {
          typeURI: 'service/security/account/user',
          id: adminId,
          user_id: adminId,
          username: 'admin',
          project_id: String,
          request_id: headers.get('x-openstack-request-id'),
          host: { address: '127.0.0.1' },
        },
        target: { typeURI: 'data/security/project', id },
        resource_info: id,
      },
    })
    const eventMs = Date.parse(last.payload.eventTime)
    t.ok(eventMs >= beforeMs && eventMs <= Date.now())
  },
)

t.test('signing in is noted, and so is not being let in', async (t) => {
  const scope = { project: { id: project } }
  await people.grant(ann, 'member', `projects/${project}`)
  newEvents()
  await people.token(ann, scope)
  await rig.signIn(scope, { id: ann.id, password: 'a wrong word' })
  await rig.signIn(scope, { name: 'ann', domain: { id: 'default' }, password: 'a wrong word' })
  await rig.signIn(scope, { name: 'no-such user', domain: { id: 'default' }, password: 'x' })
  await rig.call('POST', '/v3/auth/tokens', { token: null, body: { auth: { identity: 5 } } })
  const [success, wrong, byName, nobody, nonsense] = newEvents()
  t.match(success, {
    event_type: 'identity.authenticate',
    payload: {
      action: 'authenticate',
      outcome: 'success',
      initiator: { id: ann.id, username: 'ann', project_id: project },
      target: { typeURI: 'service/security/account/user', id: ann.id },
    },
  })
  t.notOk('reason' in success.payload)
  for (const event of [wrong, byName]) {
    t.match(event.payload, {
      outcome: 'failure',
      initiator: { id: ann.id, username: 'ann', host: { address: '127.0.0.1' } },
      reason: { reasonCode: '401', reasonType: 'wrong password' },
    })
  }
  t.match(nobody.payload, { outcome: 'failure', initiator: { id: 'unknown' } })
  t.notMatch(JSON.stringify(nobody), /no-such user/, 'it may have been a password')
  t.match(nonsense.payload, { outcome: 'failure', reason: { reasonCode: '400' } })
})

t.test('a part of the proofs is pending', async (t) => {
  const two = await people.user('two')
  await rig.call('PATCH', `/v3/users/${two.id}`, {
    body: {
      user: {
        options: {
          multi_factor_auth_rules: [['password', 'totp']],
          multi_factor_auth_enabled: true,
        },
      },
    },
  })
  newEvents()
  t.equal((await rig.signIn('unscoped', { id: two.id, password: two.password })).status, 401)
  t.match(newEvents(), [{ payload: { outcome: 'pending', initiator: { id: two.id } } }])
})

t.test('roles given and taken away are noted with both ends', async (t) => {
  const group = await people.make('group', { name: 'some', domain_id: 'default' })
  newEvents()
  const cases: [path: string, more: object][] = [
    [`/v3/projects/${project}/users/${ann.id}/roles/${member}`, { user: ann.id, project }],
    [`/v3/domains/default/groups/${group}/roles/${member}`, { group, domain: 'default' }],
    [`/v3/system/users/${ann.id}/roles/${member}`, { user: ann.id, system: 'all' }],
    [
      `/v3/OS-INHERIT/domains/default/users/${ann.id}/roles/${member}/inherited_to_projects`,
      { user: ann.id, domain: 'default', inherited_to_projects: true },
    ],
  ]
  for (const [path, more] of cases) {
    for (const [method, operation] of [
      ['PUT', 'created'],
      ['DELETE', 'deleted'],
    ] as const) {
      t.equal((await rig.call(method, path)).status, 204)
      const [event, ...others] = newEvents()
      t.strictSame(others, [])
      t.match(event, {
        event_type: `identity.role_assignment.${operation}`,
        payload: {
          action: `${operation}.role_assignment`,
          outcome: 'success',
          role: member,
          inherited_to_projects: false,
          ...more,
        },
      })
    }
  }
  t.equal((await rig.call('PUT', `/v3/projects/none/users/${ann.id}/roles/${member}`)).status, 404)
  t.match(newEvents(), [{ payload: { outcome: 'failure', reason: { reasonCode: '404' } } }])
})

t.test('what was refused is noted with who tried', async (t) => {
  await people.grant(ann, 'member', `projects/${project}`)
  const token = await people.token(ann, { project: { id: project } })
  newEvents()
  await rig.call('DELETE', `/v3/users/${adminId}`, { token })
  await rig.call('POST', '/v3/users', { token: null, body: { user: { name: 'x' } } })
  const [forbidden, nobody] = newEvents()
  t.match(forbidden, {
    event_type: 'identity.user.deleted',
    payload: {
      outcome: 'failure',
      reason: { reasonCode: '403', reasonType: /not authorized/ },
      initiator: { id: ann.id, project_id: project },
      target: { typeURI: 'data/security/account/user', id: adminId },
    },
  })
  t.match(nobody.payload, { outcome: 'failure', initiator: { id: 'unknown' } })
})

t.test(
  'what is made together is an event each; what has no answer is named by its path',
  async (t) => {
    const services = await rig.call('GET', '/v3/services')
    const limit = (resource_name: string) => ({
      service_id: services.body.services[0].id,
      resource_name,
      default_limit: 5,
    })
    const made = await rig.call('POST', '/v3/registered_limits', {
      body: { registered_limits: [limit('a'), limit('b')] },
    })
    const ids = made.body.registered_limits.map(({ id }: { id: string }) => id)
    t.strictSame(
      newEvents().map(({ payload }) => payload.target.id),
      ids,
    )
    const group = await people.make('group', { name: 'members', domain_id: 'default' })
    newEvents()
    await rig.call('PUT', `/v3/groups/${group}/users/${ann.id}`)
    await rig.call('PUT', `/v3/projects/${project}/tags/blue`)
    const [joined, tagged] = newEvents()
    t.match(joined.payload, { action: 'updated.group', resource_info: group, user_added: ann.id })
    t.match(tagged.payload, { action: 'updated.project', resource_info: project })
  },
)

t.test('no event holds a secret', async (t) => {
  const password = 'pass phrase of bob'
  const bob = await people.user('bob')
  newEvents()
  const secrets = [ADMIN_PASSWORD, SERVICE_PASSWORD, password, bob.password, ann.password]
  await people.grant(bob, 'member', `projects/${project}`)
  const token = await people.token(bob, { project: { id: project } })
  secrets.push(token)
  const credential = await rig.call('POST', `/v3/users/${bob.id}/application_credentials`, {
    token,
    body: { application_credential: { name: 'robot' } },
  })
  const { id, secret } = credential.body.application_credential
  secrets.push(secret)
  for (const tried of [secret, 'not the secret of the robot']) {
    const identity = {
      methods: ['application_credential'],
      application_credential: { id, secret: tried },
    }
    await rig.call('POST', '/v3/auth/tokens', { token: null, body: { auth: { identity } } })
  }
  secrets.push('not the secret of the robot')
  const key = await rig.call('POST', `/v3/users/${bob.id}/credentials/OS-EC2`, {
    token,
    body: { tenant_id: project },
  })
  secrets.push(key.body.credential.secret)
  await rig.call('POST', '/v3/OS-SWIFTLET/access_key', {
    body: { access: key.body.credential.access },
  })
  await rig.call('POST', '/v3/credentials', {
    body: {
      credential: { type: 'totp', blob: 'GEZDGNBVGY3TQOJQ', user_id: bob.id, project_id: project },
    },
  })
  secrets.push('GEZDGNBVGY3TQOJQ')
  await rig.call('POST', `/v3/users/${bob.id}/password`, {
    token: null,
    body: { user: { original_password: bob.password, password } },
  })
  const withToken = { methods: ['token'], token: { id: token } }
  await rig.call('POST', '/v3/auth/tokens', {
    token: null,
    body: { auth: { identity: withToken } },
  })
  const fresh = await rig.token('unscoped', { id: bob.id, password })
  secrets.push(fresh)
  await rig.call('DELETE', '/v3/auth/tokens', { headers: { 'X-Subject-Token': fresh } })
  const consumer = await rig.call('POST', '/v3/OS-OAUTH1/consumers', { body: { consumer: {} } })
  secrets.push(consumer.body.consumer.secret)
  const events = newEvents()
  t.match(
    events.map(({ payload }) => payload.action),
    [
      'created.role_assignment',
      'authenticate',
      'created.application_credential',
      'authenticate',
      'authenticate',
      'created.credential',
      'read.credential',
      'created.credential',
      'updated.user',
      'authenticate',
      'authenticate',
      'revoked.token',
      'created.OS-OAUTH1:consumer',
    ],
  )
  const text = JSON.stringify(events)
  for (const secret of secrets) t.notOk(text.includes(secret))
  const robot = events.filter(({ payload }) => payload.initiator.id === bob.id)
  t.match(robot[2].payload, { action: 'authenticate', outcome: 'success' })
  t.match(robot[3].payload, { action: 'authenticate', outcome: 'failure' }, 'the user is known')
  const revoked = events.find(({ event_type }) => event_type === 'identity.token.revoked')
  t.match(revoked.payload.target.id, /^[\w-]{22}$/, 'the audit id of the token')
})

t.test('the file has a line each, and goes on in a new one after it was moved away', async (t) => {
  const folder = t.testdir()
  const file = join(folder, 'audit.log')
  const log = new AuditLog(file, (error) => t.fail(error.message))
  newEvents()
  await people.project('written')
  const [event] = newEvents()
  log.emit(event)
  log.emit(event)
  const isWritten = () => readFileSync(file, 'utf8').split('\n').length === 3
  while (!isWritten()) await new Promise((resolve) => setImmediate(resolve))
  renameSync(file, `${file}.1`)
  process.emit('SIGHUP')
  log.emit(event)
  await log.close()
  const lines = (path: string) => readFileSync(path, 'utf8').trimEnd().split('\n').map(parse)
  t.strictSame(lines(`${file}.1`), [event, event])
  t.strictSame(lines(file), [event])
  await log.close()
  t.throws(() => new AuditLog(join(folder, 'none', 'audit.log'), () => {}), { code: 'ENOENT' })
})

function parse(line: string): unknown {
  return JSON.parse(line)
}
