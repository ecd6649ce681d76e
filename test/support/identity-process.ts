/** The identity service in a process of its own, which can be killed and started again. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { IdentitySettingsChoice } from '../../auth/settings.ts'
import { ADMIN_PASSWORD } from './identity-rig.ts'

const ENTRY = fileURLToPath(new URL('identity-main.ts', import.meta.url))

export interface IdentityProcessOptions {
  /** Where state and keys are. */
  readonly folder: string
  /** A free one if absent. */
  readonly port?: number
  readonly settings?: IdentitySettingsChoice
}

export interface IdentityProcess {
  /** `http://127.0.0.1:…`, without `/v3`. */
  readonly url: string
  readonly port: number
  readonly pid: number
  /** What it has logged. */
  log(): string
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>
}

/** Starts it and waits until it serves; throws with its log if it ends before. */
export async function startIdentity(options: IdentityProcessOptions): Promise<IdentityProcess> {
  const { folder, port = 0, settings = {} } = options
  const args = ['--import=tsx', ENTRY, folder, String(port)]
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      // tap has every Node process that a test starts load its hooks.
      NODE_OPTIONS: '',
      IDENTITY_SETTINGS: JSON.stringify(settings),
    },
  })
  const exited = once(child, 'exit')
  const killWithUs = (): boolean => child.kill('SIGKILL')
  process.once('exit', killWithUs)
  child.once('exit', () => process.off('exit', killWithUs))
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  const url = await new Promise<string>((resolve, reject) => {
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
      const ready = /^identity is ready (\S+)\n/m.exec(said)
      if (ready !== null) resolve(ready[1]!)
    })
    child.once('exit', () => reject(new Error(`identity ended before it was ready:\n${log}`)))
  })
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    await exited
    return child.exitCode
  }
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid!,
    log: () => log,
    async kill() {
      await end('SIGKILL')
    },
    stop: () => end('SIGTERM'),
  }
}

/** What clients find the administrator's account by: `OS_…`. */
export function adminEnvironment({ url }: Pick<IdentityProcess, 'url'>): Record<string, string> {
  return {
    OS_AUTH_URL: `${url}/v3`,
    OS_IDENTITY_API_VERSION: '3',
    OS_USERNAME: 'admin',
    OS_PASSWORD: ADMIN_PASSWORD,
    OS_PROJECT_NAME: 'admin',
    OS_USER_DOMAIN_NAME: 'Default',
    OS_PROJECT_DOMAIN_NAME: 'Default',
  }
}
