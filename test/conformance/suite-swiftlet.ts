/** A Swiftlet for Swift's own tests: by the `swiftlet` command, with a data folder, ports and users of its own. */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureItem, type KeystoneAdmin, openKeystoneAdmin } from '../support/keystone-admin.ts'
import {
  freePortOffset,
  runSwiftlet,
  type StartedSwiftlet,
  startSwiftlet,
  swiftletEnv,
} from '../support/swiftlet-command.ts'
import { type Configuration, SECOND_POLICY, usersOf } from './swift-configurations.ts'

export interface SuiteSwiftlet {
  readonly authUri: string
  stop(): Promise<void>
}

/** Rejects with what the command said if it does not start. `threads`: as many as there are cores if undefined. */
export async function startSuiteSwiftlet(
  configuration: Configuration,
  folder: string,
  threads: string | undefined,
): Promise<SuiteSwiftlet> {
  const data = join(folder, 'data')
  const { auth } = configuration
  const teardowns: (() => unknown)[] = []
  const start = (args: readonly string[]) =>
    startSwiftlet({ teardown: (end) => teardowns.push(end) }, args)
  const command = configuration.users === 'file' ? 'cluster' : 'up'
  const args = [
    ...[command, '--data', data, ...(await freePortOffset())],
    ...(threads === undefined || command === 'cluster' ? [] : ['--threads', threads]),
  ]
  const shape = ['--policy', SECOND_POLICY, ...shapeOf(configuration, folder)]
  let running: StartedSwiftlet | null = null
  const stop = async () => {
    const code = await running?.end('SIGTERM')
    for (const end of teardowns) await end()
    if (code !== undefined && code !== 0) throw new Error(`swiftlet ended with ${code}`)
  }
  try {
    running = await start([...args, ...shape])
    await (auth === 'v1' ? addUsers(data) : makeUsers(await adminOf(data)))
    // Settings are read at a start, and there are none before the first.
    await running.end('SIGTERM')
    await changeSettings(data, configuration)
    running = await start(args)
    return { authUri: await authUriOf(auth, data, running.origin), stop }
  } catch (error) {
    await stop().catch(() => {})
    throw error
  }
}

/** What only a first start is told. */
function shapeOf({ users, replicas }: Configuration, folder: string): readonly string[] {
  if (users === 'file') return ['--nodes', String(replicas)]
  const disks = Array.from({ length: replicas }, (_, i) => join(folder, `disk${i + 1}`))
  return disks.flatMap((disk) => ['--disk', disk])
}

async function authUriOf(auth: 'v1' | 'v3', data: string, origin: string): Promise<string> {
  if (auth === 'v1') return `${origin}/auth/v1.0`
  return `${(await swiftletEnv(data)).OS_AUTH_URL!.replace(/\/$/, '')}/`
}

async function changeSettings(data: string, configuration: Configuration): Promise<void> {
  const file = join(data, 'swiftlet.json')
  const { layers, isEncrypted } = configuration
  const known = JSON.parse(await readFile(file, 'utf8')) as object
  const settings = { ...known, ...configuration.settings, layers }
  if (isEncrypted) {
    const secrets = { one: randomBytes(32).toString('base64') }
    const keys = join(data, '..', 'keys.json')
    await writeFile(keys, JSON.stringify({ active: 'one', secrets }), { mode: 0o600 })
    Object.assign(settings, { encryptionKeyFile: keys })
  }
  await writeFile(file, JSON.stringify(settings, null, 2))
}

async function addUsers(data: string): Promise<void> {
  for (const { project, name, password, groups = [] } of usersOf('v1')) {
    const group = groups.length === 0 ? [] : ['--group', ...groups]
    const { code, stderr } = await runSwiftlet([
      ...['user', 'add', `${project}:${name}`, '--key', password, '--data', data],
      ...group,
    ])
    if (code !== 0) throw new Error(`swiftlet user add: ${stderr}`)
  }
}

/** The first user, at the identity service. */
async function adminOf(data: string): Promise<KeystoneAdmin> {
  const env = await swiftletEnv(data)
  return openKeystoneAdmin({
    url: env.OS_AUTH_URL!.replace(/\/$/, ''),
    user: env.OS_USERNAME!,
    password: env.OS_PASSWORD!,
  })
}

async function makeUsers(keystone: KeystoneAdmin): Promise<void> {
  for (const { project, name, password, domain, roles } of usersOf('v3')) {
    const domainId = await ensureItem(keystone, 'domain', { name: domain })
    const projectId = await ensureItem(keystone, 'project', { name: project, domain_id: domainId })
    const userId = await ensureItem(keystone, 'user', { name, password, domain_id: domainId })
    for (const role of roles) {
      const roleId = await ensureItem(keystone, 'role', { name: role })
      await keystone.call('PUT', `/projects/${projectId}/users/${userId}/roles/${roleId}`)
    }
  }
}
