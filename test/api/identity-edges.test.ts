/** What is refused at the edges of the identity API, and what never happens however calls meet. */
import t from 'tap'
import { DEFAULT_SETTINGS } from '../../auth/settings.ts'
import { signInFailures } from '../../auth/tables/sign-in-failures.ts'
import { IdentityRig } from '../support/identity-rig.ts'

const rig = await IdentityRig.start()
t.teardown(() => rig.close())

const idOf = async (kind: string, body: Readonly<Record<string, unknown>>): Promise<string> => {
  const answer = await rig.call('POST', `/v3/${kind}s`, { body: { [kind]: body } })
  if (answer.status !== 201) throw new Error(`${kind}: ${JSON.stringify(answer.body)}`)
  return answer.body[kind].id
}

t.test('what is immutable is neither changed nor deleted before it is made mutable', async (t) => {
  const immutable = { options: { immutable: true } }
  for (const kind of ['domain', 'project', 'role']) {
    const path = `/v3/${kind}s/${await idOf(kind, { name: `fixed ${kind}`, ...immutable })}`
    const change = (values: unknown) => rig.call('PATCH', path, { body: { [kind]: values } })
    t.match(await change({ name: 'other' }), { status: 403 })
    t.match(await change({ name: 'other', options: { immutable: false } }), { status: 403 })
    t.match(await rig.call('DELETE', path), {
      status: 403,
      body: { error: { message: new RegExp(`^Unable to delete immutable ${kind} resource`) } },
    })
    t.match(await change({ options: { color: 'red' } }), { status: 400 }, 'no such option')
    t.match(await change({ options: { immutable: null } }), { status: 200 })
    const mutable = kind === 'role' ? { name: 'other' } : { name: 'other', enabled: false }
    t.match(await change(mutable), { status: 200, body: { [kind]: { name: 'other' } } })
    t.match(await rig.call('DELETE', path), { status: 204 })
  }
  const project = await idOf('project', { name: 'tagged', tags: ['a'], ...immutable })
  t.match(await rig.call('PUT', `/v3/projects/${project}/tags/b`), { status: 403 })
  t.match(await rig.call('DELETE', `/v3/projects/${project}/tags`), { status: 403 })
})

t.test('a project that acts as a domain is deleted as one', async (t) => {
  const id = await idOf('project', { name: 'acting', is_domain: true })
  await idOf('user', { name: 'inhabitant', domain_id: id })
  t.match(await rig.call('DELETE', `/v3/projects/${id}`), { status: 403 }, 'not while enabled')
  await rig.call('PATCH', `/v3/projects/${id}`, { body: { project: { enabled: false } } })
  t.match(await rig.call('DELETE', `/v3/projects/${id}`), { status: 204 })
  t.match(await rig.call('GET', `/v3/domains/${id}`), { status: 404 })
  const left = await rig.call('GET', '/v3/users?name=inhabitant')
  t.strictSame(left.body.users, [], 'with who was in it')
  t.match(await rig.call('DELETE', '/v3/projects/default'), { status: 403 })
})

t.test('a token that is not good is not there, whoever asks', async (t) => {
  const id = await idOf('user', { name: 'nosy', password: 'pw' })
  const nosy = await rig.token('unscoped', { id, password: 'pw' })
  for (const method of ['GET', 'HEAD', 'DELETE']) {
    const headers = { 'X-Subject-Token': 'never.was.one' }
    t.match(await rig.call(method, '/v3/auth/tokens', { token: nosy, headers }), { status: 404 })
    t.match(await rig.call(method, '/v3/auth/tokens', { token: null, headers }), { status: 401 })
  }
})

t.test('a lockout shows neither itself nor whether the password was right', async (t) => {
  const rules = { lockoutFailureAttempts: 3, lockoutSeconds: 300 }
  const security = { ...DEFAULT_SETTINGS.security, ...rules }
  const strict = await IdentityRig.start({ settings: { security } })
  t.teardown(() => strict.close())
  const made = await strict.call('POST', '/v3/users', {
    body: { user: { name: 'ann', password: 'right' } },
  })
  const { id } = made.body.user
  const signIn = (userId: string, password: string) =>
    strict.signIn(undefined, { id: userId, password })
  t.match(await signIn(id, 'right'), { status: 201 })
  const unknown = await signIn('nobody-of-ours', 'wrong')
  t.equal(unknown.status, 401)
  const { state } = strict.service.parts
  const failures = async () => (await signInFailures.list(state)).map(({ count }) => count)
  t.strictSame(await failures(), [1], 'who is not there leaves a row as well: it takes as long')
  for (let n = 0; n < 3; n++) t.strictSame((await signIn(id, 'wrong')).body, unknown.body)
  t.match(await signInFailures.get(state, id), { count: 3 })
  t.strictSame((await signIn(id, 'right')).body, unknown.body, 'locked out')
  t.strictSame((await signIn(id, 'wrong')).body, unknown.body)
  t.match(await signInFailures.get(state, id), { count: 3 }, 'and the lockout gets no longer by it')
  const change = await strict.call('POST', `/v3/users/${id}/password`, {
    body: { user: { original_password: 'right', password: 'new' } },
    token: null,
  })
  t.strictSame(change.body, unknown.body)
})
