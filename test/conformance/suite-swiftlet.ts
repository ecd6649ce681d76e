/** A Swiftlet for Swift's own tests: by the `swiftlet` command, with a data folder, ports and users of its own. */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  freePortOffset,
  runSwiftlet,
  type StartedSwiftlet,
  startSwiftlet,
  swiftletEnv,
} from '../support/swiftlet-command.ts'
import { KeystoneAdmin } from './keystone-admin.ts'
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
  const disks = Array.from({ length: configuration.disks }, (_, i) => join(folder, `disk${i + 1}`))
  const { auth } = configuration
  const teardowns: (() => unknown)[] = []
  const start = (args: readonly string[]) =>
    startSwiftlet({ teardown: (end) => teardowns.push(end) }, args)
  const args = [
    ...['up', '--data', data, ...(await freePortOffset())],
    ...(threads === undefined ? [] : ['--threads', threads]),
  ]
  const shape = ['--policy', SECOND_POLICY, ...disks.flatMap((disk) => ['--disk', disk])]
  let running: StartedSwiftlet | null = null
  const stop = async () => {
    const code = await running?.end('SIGTERM')
    for (const end of teardowns) await end()
    if (code !== undefined && code !== 0) throw new Error(`swiftlet ended with ${code}`)
  }
  try {
    running = await start([...args, ...shape])
    await (auth === 'v1' ? addUsers(data) : makeUsers(await KeystoneAdmin.signIn(data)))
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

async function authUriOf(auth: 'v1' | 'v3', data: string, origin: string): Promise<string> {
  if (auth === 'v1') return `${origin}/auth/v1.0`
  return `${(await swiftletEnv(data)).OS_AUTH_URL!.replace(/\/$/, '')}/`
}

async function changeSettings(data: string, configuration: Configuration): Promise<void> {
  const file = join(data, 'swiftlet.json')
  const { layers, isEncrypted } = configuration
  const settings = { ...(JSON.parse(await readFile(file, 'utf8')) as object), layers }
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

async function makeUsers(keystone: KeystoneAdmin): Promise<void> {
  for (const { project, name, password, domain, roles } of usersOf('v3')) {
    const domainId = await keystone.ensure('domain', { name: domain })
    const projectId = await keystone.ensure('project', { name: project, domain_id: domainId })
    const userId = await keystone.ensure('user', { name, password, domain_id: domainId })
    for (const role of roles) {
      const roleId = await keystone.ensure('role', { name: role })
      await keystone.send('PUT', `/projects/${projectId}/users/${userId}/roles/${roleId}`)
    }
  }
}
