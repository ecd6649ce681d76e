/** `swiftlet up` with its identity service: who is known, and what happens when the service or the store dies. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { encodeUsers, type Users } from '../../auth/user.ts'
import { addUser } from '../../auth/user-edit.ts'
import { freePort } from '../../bench/store-process.ts'
import { portHolders } from '../../bin/ports.ts'
import { systemRandom as random } from '../../common/random.ts'
import {
  dataFolderOf,
  freePortOffset,
  runSwiftlet,
  signIn,
  startSwiftlet,
  swiftletEnv,
} from '../support/swiftlet-command.ts'

/** A project's token by Keystone's API, and calls with it. */
class Keystone {
  readonly #url: string
  #token = ''

  constructor(url: string) {
    this.#url = url
  }

  async signIn(user: string, password: string, project: string): Promise<string> {
    const domain = { id: 'default' }
    const response = await this.call('POST', '/auth/tokens', {
      auth: {
        identity: { methods: ['password'], password: { user: { name: user, domain, password } } },
        scope: { project: { name: project, domain } },
      },
    })
    if (response.status !== 201) throw new Error(`sign-in: ${response.status}`)
    this.#token = response.headers.get('x-subject-token')!
    return this.#token
  }

  call(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    return fetch(this.#url + path, {
      method,
      headers: { 'content-type': 'application/json', 'x-auth-token': this.#token, ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  }

  /** The id of what has the name in a list. */
  async idOf(kind: 'users' | 'projects' | 'roles', name: string): Promise<string> {
    const found = (await (await this.call('GET', `/${kind}?name=${name}`)).json()) as Readonly<
      Record<string, readonly { readonly id: string }[]>
    >
    return found[kind]![0]!.id
  }
}

async function keystoneOf(data: string): Promise<Keystone> {
  const env = await swiftletEnv(data)
  const keystone = new Keystone(env.OS_AUTH_URL!)
  await keystone.signIn(env.OS_USERNAME!, env.OS_PASSWORD!, env.OS_PROJECT_NAME!)
  return keystone
}

/** Milliseconds until answers in a row, so many that they came from every thread, have this status. */
async function msUntil(status: number, ask: () => Promise<number>): Promise<number> {
  const startedMs = performance.now()
  for (let inARow = 0; inARow < 12; ) {
    if (performance.now() - startedMs > 120_000) throw new Error(`it never was ${status}`)
    inARow = (await ask()) === status ? inARow + 1 : 0
    if (inARow === 0) await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return performance.now() - startedMs
}

/** A connection of its own for each: the kernel spreads them over the threads. */
const statusWith = (url: string, token: string) => async () => {
  const headers = { 'x-auth-token': token, connection: 'close' }
  return (await fetch(url, { headers })).status
}

async function start(t: Test, data: string, options: readonly string[]) {
  return startSwiftlet(t, ['--data', data, '--threads', '3', ...options])
}

t.test('every thread refuses a token within seconds of what voids it', async (t) => {
  const data = dataFolderOf(t)
  await start(t, data, await freePortOffset())
  const admin = await keystoneOf(data)
  const env = await swiftletEnv(data)
  const project = await admin.idOf('projects', 'admin')
  const role = await admin.idOf('roles', 'member')
  const storage = `${env.ST_AUTH!.replace('/auth/v1.0', '/v1')}/AUTH_${project}`
  /** What voids the token of a user. */
  const causes: Record<string, (user: string, token: string) => Promise<Response>> = {
    'it signs out': (_, token) =>
      admin.call('DELETE', '/auth/tokens', undefined, { 'x-subject-token': token }),
    'its password is changed': (user) =>
      admin.call('PATCH', `/users/${user}`, { user: { password: 'another' } }),
    'it is disabled': (user) => admin.call('PATCH', `/users/${user}`, { user: { enabled: false } }),
    'its role is taken away': (user) =>
      admin.call('DELETE', `/projects/${project}/users/${user}/roles/${role}`),
    'it is deleted': (user) => admin.call('DELETE', `/users/${user}`),
  }
  for (const [what, cause] of Object.entries(causes)) {
    const name = what.replaceAll(' ', '-')
    const made = await admin.call('POST', '/users', {
      user: { name, password: 'pass', domain_id: 'default' },
    })
    const { id } = ((await made.json()) as { readonly user: { readonly id: string } }).user
    await admin.call('PUT', `/projects/${project}/users/${id}/roles/${role}`)
    const token = await new Keystone(env.OS_AUTH_URL!).signIn(name, 'pass', 'admin')
    const status = statusWith(storage, token)
    await msUntil(204, status)
    const answer = await cause(id, token)
    t.ok(answer.status < 300, `${what}: ${answer.status}`)
    const ms = await msUntil(401, status)
    t.comment(`${what}: ${ms.toFixed(0)} ms`)
  }
})

t.test(
  'keys are rotated while it runs: old tokens stay good until their key is retired',
  async (t) => {
    const data = dataFolderOf(t)
    const audit = join(data, '..', 'audit.log')
    const swiftlet = await start(t, data, [...(await freePortOffset()), '--audit-log', audit])
    const session = await signIn(data)
    const isAudited = () =>
      existsSync(audit) && readFileSync(audit, 'utf8').includes('"identity.authenticate"')
    await msUntil(200, async () => (isAudited() ? 200 : 0))
    renameSync(audit, `${audit}.1`)
    process.kill(swiftlet.process.pid!, 'SIGHUP')
    const status = statusWith(session.storageUrl, session.token)
    const env = await swiftletEnv(data)
    const headers = { 'X-Auth-User': env.ST_USER!, 'X-Auth-Key': env.ST_KEY! }
    const newToken = async () =>
      (await fetch(env.ST_AUTH!, { headers })).headers.get('x-auth-token') ?? ''
    /** Rotates, and waits until the service signs with the key that the command has named. */
    const rotate = async () => {
      const { code, stdout } = await runSwiftlet(['identity', 'rotate-keys', '--data', data])
      t.equal(code, 0)
      const key = /^(\S{16}) signs now, /.exec(stdout)![1]
      await msUntil(200, async () => (keyOf(await newToken()) === key ? 200 : 0))
    }
    t.equal(await status(), 204)
    await rotate()
    await rotate()
    await msUntil(204, status)
    await rotate()
    await msUntil(401, status)
    t.equal(await statusWith(session.storageUrl, await newToken())(), 204)
    // In a new file after SIGHUP.
    await msUntil(200, async () => ((await newToken()) !== '' && isAudited() ? 200 : 0))
    t.equal(await swiftlet.end('SIGTERM'), 0)
    t.equal(swiftlet.stderr(), '')
  },
)

t.test('the store outlives its identity service, which is started again', async (t) => {
  const data = dataFolderOf(t)
  const port = await freePortOffset()
  const swiftlet = await start(t, data, port)
  const session = await signIn(data)
  const env = await swiftletEnv(data)
  const identityPid = pidBehind(env.OS_AUTH_URL!)
  t.not(identityPid, swiftlet.process.pid, 'it is a process of its own')
  process.kill(identityPid, 'SIGKILL')
  t.equal((await session.send('PUT', '/c')).status, 201, 'who is signed in works on')
  await msUntil(200, async () => {
    const headers = { 'X-Auth-User': env.ST_USER!, 'X-Auth-Key': env.ST_KEY! }
    return (await fetch(env.ST_AUTH!, { headers })).status
  })
  const second = pidBehind(env.OS_AUTH_URL!)
  t.not(second, identityPid)

  t.equal(await swiftlet.end('SIGKILL'), 'SIGKILL')
  const again = await start(t, data, port)
  t.notOk(isRunning(second), 'the service of a killed store ends with it')
  t.equal((await session.send('GET', '/c')).status, 204, 'and the token is still good')
  const third = pidBehind(env.OS_AUTH_URL!)
  t.equal(await again.end('SIGTERM'), 0)
  t.notOk(isRunning(third), 'it ends with the store')
})

t.test('users of an older data folder sign in as before, and find their data', async (t) => {
  const data = dataFolderOf(t)
  const port = await freePortOffset()
  const first = await start(t, data, port)
  await first.end('SIGTERM')
  let users: Users = new Map()
  const old: [name: string, groups: string[], account?: string][] = [
    ['admin:admin', ['.admin', '.reseller_admin']],
    ['test:tester', ['.admin']],
    ['test:tester3', []],
    ['test2:tester', ['.admin']],
    ['shop:clerk', ['clerks', 'admin'], 'AUTH_shop-account'],
  ]
  for (const [name, groups, account] of old) {
    const user = { name, key: `key of ${name}`, groups, ...(account && { account }) }
    users = await addUser(users, user, random)
  }
  // As the version before this one left it.
  writeFileSync(join(data, 'users.json'), encodeUsers(users))
  const credentials = { user: 'admin:admin', password: 'key of admin:admin', account: 'AUTH_admin' }
  writeFileSync(join(data, 'credentials'), JSON.stringify(credentials))
  rmSync(join(data, 'identity'), { recursive: true })
  const swiftlet = await start(t, data, port)
  const accountOf = async (name: string, key: string) =>
    (await signIn(data, { name, key })).storageUrl.split('/').at(-1)
  t.equal(await accountOf('admin:admin', 'key of admin:admin'), 'AUTH_admin')
  t.equal(await accountOf('test:tester', 'key of test:tester'), 'AUTH_test')
  t.equal(await accountOf('shop:clerk', 'key of shop:clerk'), 'AUTH_shop-account')
  t.equal(await accountOf('test2:test2-tester', 'key of test2:tester'), 'AUTH_test2')
  const guest = await signIn(data, { name: 'test:tester3', key: 'key of test:tester3' })
  t.equal((await guest.send('GET', '')).status, 403, 'who had no rights has none')
  const listed = (await runSwiftlet(['user', 'list', '--data', data])).stdout
  t.match(listed, /^shop:clerk AUTH_shop-account clerks$/m, 'a group does not become a power')
  t.notOk(existsSync(join(data, 'users.json')))
  t.ok(existsSync(join(data, 'users.json.taken')))
  t.equal(await swiftlet.end('SIGTERM'), 0)
  t.match(swiftlet.stderr(), /user test2:tester signs in as test2:test2-tester now/)
  t.match(swiftlet.stderr(), /user shop:clerk has no group admin any more/)
  const again = await start(t, data, port)
  t.equal(await accountOf('test:tester', 'key of test:tester'), 'AUTH_test')
  t.equal(again.stderr(), '', 'and it is done once')
})

t.test('a proxy on another machine asks the identity service that its settings name', async (t) => {
  const data = dataFolderOf(t)
  await start(t, data, await freePortOffset())
  const env = await swiftletEnv(data)
  const other = join(data, '..', 'other')
  mkdirSync(other)
  for (const name of ['rings', 'cluster.key', 'credentials']) {
    cpSync(join(data, name), join(other, name), { recursive: true })
  }
  const settings = JSON.parse(readFileSync(join(data, 'swiftlet.json'), 'utf8'))
  const serviceUsersFile = join(data, 'identity', 'service-users.json')
  const identity = { url: env.OS_AUTH_URL, serviceUsersFile, roles: { operatorRoles: ['boss'] } }
  writeFileSync(join(other, 'swiftlet.json'), JSON.stringify({ ...settings, identity }))
  const config = join(other, 'proxy.json')
  writeFileSync(config, JSON.stringify({ port: await freePort(), dataFolder: '.' }))
  const proxy = await startSwiftlet(t, ['proxy', '--config', config])
  const ask = (path: string, headers: Record<string, string>) =>
    fetch(proxy.origin + path, { headers })
  const user = (key: string) => ({ 'X-Auth-User': env.ST_USER!, 'X-Auth-Key': key })
  t.equal((await ask('/auth/v1.0', user('wrong'))).status, 401)
  const signedIn = await ask('/auth/v1.0', user(env.ST_KEY!))
  t.equal(signedIn.status, 200)
  const nobody = await ask('/v1/AUTH_x', {})
  t.match(nobody.headers.get('www-authenticate'), `Keystone uri="${env.OS_AUTH_URL}"`)
  const token = { 'X-Auth-Token': signedIn.headers.get('x-auth-token')! }
  const { status } = await ask('/v1/AUTH_x', token)
  t.equal(status, 503, 'let in as ResellerAdmin, to storage nodes that are not there')
  const add = await runSwiftlet(['user', 'add', 'a:b', '--data', other])
  t.match(add, { code: 1, stderr: /its users are those of http/ })
  writeFileSync(join(other, 'swiftlet.json'), JSON.stringify({ ...settings, identity: { u: 1 } }))
  t.match(await runSwiftlet(['proxy', '--config', config]), {
    code: 1,
    stderr: /unknown setting u/,
  })
})

t.test('a cluster lets in the users of the identity service that its settings name', async (t) => {
  const data = dataFolderOf(t)
  await start(t, data, await freePortOffset())
  const env = await swiftletEnv(data)
  const cluster = join(data, '..', 'cluster')
  const shape = ['--nodes', '2', '--disks', '1', '--replicas', '2', '--part-power', '4']
  const command = ['cluster', '--data', cluster, ...(await freePortOffset()), ...shape]
  const alone = await startSwiftlet(t, command)
  t.equal(await alone.end('SIGTERM'), 0)
  const settings = JSON.parse(readFileSync(join(cluster, 'swiftlet.json'), 'utf8'))
  const settle = (identity: object) =>
    writeFileSync(join(cluster, 'swiftlet.json'), JSON.stringify({ ...settings, identity }))
  settle({ region: 'here' })
  t.match(await runSwiftlet(command), { code: 1, stderr: /identity needs a url/ })
  const serviceUsersFile = join(data, 'identity', 'service-users.json')
  settle({ url: env.OS_AUTH_URL, serviceUsersFile })
  const { origin } = await startSwiftlet(t, command)
  const keystone = new Keystone(env.OS_AUTH_URL!)
  const token = await keystone.signIn(env.OS_USERNAME!, env.OS_PASSWORD!, env.OS_PROJECT_NAME!)
  const account = `${origin}/v1/AUTH_${await keystone.idOf('projects', env.OS_PROJECT_NAME!)}`
  const send = async (method: string, path: string, withToken = token) => {
    const headers = { 'x-auth-token': withToken }
    const body = method === 'PUT' ? { body: 'data' } : {}
    return (await fetch(account + path, { method, headers, ...body })).status
  }
  t.equal(await send('PUT', '/c'), 201)
  t.equal(await send('PUT', '/c/o'), 201)
  t.equal(await send('GET', '/c/o'), 200)
  t.equal(await send('GET', '/c/o', 'forged'), 401)
  const { headers } = await fetch(account)
  t.match(headers.get('www-authenticate'), `Keystone uri="${env.OS_AUTH_URL}"`)
  const revoked = await keystone.call('DELETE', '/auth/tokens', undefined, {
    'x-subject-token': token,
  })
  t.equal(revoked.status, 204)
  t.ok((await msUntil(401, () => send('GET', '/c/o'))) < 60_000)
})

t.test('an identity service that cannot start is said, and nothing is left running', async (t) => {
  const data = dataFolderOf(t)
  mkdirSync(data)
  writeFileSync(join(data, 'identity'), 'a file')
  const { code, stderr } = await runSwiftlet(['--data', data, ...(await freePortOffset())])
  t.equal(code, 1)
  t.match(stderr, /identity service \(port \d+\) did not start/)
  t.notOk(existsSync(join(data, 'lock')))
})

/** The key that a token says it was signed with. */
function keyOf(token: string): unknown {
  const head = Buffer.from(token.split('.')[0]!, 'base64url').toString()
  return head === '' ? null : (JSON.parse(head) as { readonly kid?: unknown }).kid
}

/** The process that listens where a URL leads. */
function pidBehind(url: string): number {
  return portHolders(Number(new URL(url).port))[0]!.pid
}

function isRunning(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}
