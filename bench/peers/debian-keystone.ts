import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism, userInfo } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../store-process.ts'

const PROGRAMS = ['/usr/bin/keystone-manage', '/usr/bin/uwsgi']
const START_MS_MAX = 120_000

/** Debian's Keystone, serving on loopback from a folder of its own. */
export interface KeystoneProcess {
  readonly origin: string
  readonly pid: number
  stop(): Promise<void>
}

/** Why it cannot be started, or false. */
export function missingDebianKeystone(): string | false {
  const missing = PROGRAMS.filter((program) => !existsSync(program))
  if (missing.length === 0) return false
  return `${missing.join(', ')} missing: apt-get install python3-keystone uwsgi-core uwsgi-plugin-python3`
}

/** Starts it with SQLite, Fernet tokens and its caches, in as many processes as there are cores, under uWSGI. */
export async function startDebianKeystone(
  folder: string,
  password: string,
): Promise<KeystoneProcess> {
  const config = join(folder, 'keystone.conf')
  await mkdir(join(folder, 'fernet'), { recursive: true, mode: 0o700 })
  await mkdir(join(folder, 'credential'), { mode: 0o700 })
  await writeFile(
    config,
    `[DEFAULT]
log_dir = ${folder}
[database]
connection = sqlite:///${folder}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = ${folder}/fernet
[credential]
key_repository = ${folder}/credential
[cache]
enabled = true
backend = dogpile.cache.memory
`,
  )
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  manage(config, ['db_sync'])
  const owner = ['--keystone-user', userInfo().username, '--keystone-group', groupName()]
  manage(config, ['fernet_setup', ...owner])
  manage(config, ['credential_setup', ...owner])
  const urls = ['--bootstrap-public-url', `${origin}/v3`, '--bootstrap-region-id', 'RegionOne']
  manage(config, ['bootstrap', '--bootstrap-password', password, ...urls])
  const module = join(folder, 'keystone_app.py')
  await writeFile(
    module,
    `from keystone.server.wsgi import initialize_public_application\napplication = initialize_public_application()\n`,
  )
  const workers = ['--master', '--processes', String(availableParallelism())]
  const http = ['--http-socket', `127.0.0.1:${port}`, '--buffer-size', '65535']
  const quiet = ['--disable-logging', '--die-on-term', '--need-app', '--lazy-apps']
  const app = ['--plugin', 'python3', '--wsgi-file', module]
  const child = spawn('uwsgi', [...http, ...app, ...workers, ...quiet], {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { ...process.env, OS_KEYSTONE_CONFIG_FILES: config },
  })
  const exited = once(child, 'exit')
  try {
    await untilServing(origin)
  } catch (error) {
    child.kill('SIGTERM')
    throw error
  }
  return {
    origin,
    pid: child.pid!,
    async stop() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

function groupName(): string {
  return execFileSync('id', ['--group', '--name'], { encoding: 'utf8' }).trim()
}

function manage(config: string, args: readonly string[]): void {
  const command = ['--config-file', config, ...args]
  const { status, stderr } = spawnSync('keystone-manage', command, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`keystone-manage ${args[0]}: ${stderr}`)
}

async function untilServing(origin: string): Promise<void> {
  const lateMs = performance.now() + START_MS_MAX
  for (;;) {
    const answer = await fetch(`${origin}/v3`).catch(() => null)
    await answer?.text()
    if (answer?.status === 200) return
    if (performance.now() > lateMs) throw new Error('Debian’s Keystone does not serve')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
