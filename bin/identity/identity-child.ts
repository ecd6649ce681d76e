import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { ServiceError } from '../../common/errors.ts'
import type { LogsOptions } from '../logs.ts'
import type { UpContext } from '../up.ts'
import { encodeIdentityConfig, type IdentityConfig } from './identity-config.ts'

export interface IdentityChildOptions {
  readonly config: IdentityConfig
  /** How it logs. */
  readonly logs: Pick<LogsOptions, 'level' | 'accessLog'>
  /** The file of its audit events. */
  readonly auditLog?: string
}

/** One that has died is started again after this, and after twice as long each time that it dies soon. */
const RESTART_MS = { min: 100, max: 10_000 }
/** One that has lived so long has not died soon. */
const LONG_LIFE_MS = 60_000

/**
 * The identity service in a process of its own, so that a fault in it does not stop the store: one that dies is started
 * again. It ends with this process, however that ends.
 */
export class IdentityChild {
  readonly #options: IdentityChildOptions
  readonly #context: UpContext
  #process: ChildProcess
  #startedMs = 0
  #restartMs = RESTART_MS.min
  #closing = false
  #cancelRestart: () => void = () => {}
  readonly #onHangup = () => void this.#process.kill('SIGHUP')

  private constructor(options: IdentityChildOptions, context: UpContext) {
    this.#options = options
    this.#context = context
    this.#process = this.#spawn()
    // Its files were moved away with ours. Without one the signal would end it.
    if (this.#hasFiles) process.on('SIGHUP', this.#onHangup)
  }

  get #hasFiles(): boolean {
    const { logs, auditLog } = this.#options
    return [logs.accessLog, auditLog].some((file) => file !== undefined && file !== '-')
  }

  /** Starts it and waits until it serves. Throws if it does not; it has said why on stderr. */
  static async start(options: IdentityChildOptions, context: UpContext): Promise<IdentityChild> {
    const child = new IdentityChild(options, context)
    const started = child.#process
    if (!(await isReady(started))) {
      await child.close()
      const { port } = options.config
      const message = `the identity service (port ${port}) did not start: see above`
      throw new ServiceError('IdentityFailed', message)
    }
    return child
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  /** Ends it; idempotent. */
  async close(): Promise<void> {
    this.#closing = true
    this.#cancelRestart()
    process.off('SIGHUP', this.#onHangup)
    const child = this.#process
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  }

  #spawn(): ChildProcess {
    const { config, logs, auditLog } = this.#options
    const { level, accessLog } = logs
    const log = [
      '--log-level',
      level,
      ...(accessLog === undefined ? [] : ['--access-log', accessLog]),
      ...(auditLog === undefined ? [] : ['--audit-log', auditLog]),
    ]
    const args = ['identity', 'serve', '--config', '-', ...log]
    const child = spawn(process.execPath, [...commandLine(), ...args], {
      // The channel ends with this process however it ends, and the service with the channel.
      stdio: ['pipe', 'pipe', 'inherit', 'ipc'],
      // A group of its own: Ctrl-C reaches the store first, which ends its requests before the service goes.
      detached: true,
    })
    child.stdin!.on('error', () => {})
    child.stdin!.end(encodeIdentityConfig(config))
    child.once('exit', (code, signal) => this.#ended(child, code ?? signal))
    this.#startedMs = this.#context.clock.monotonicMs()
    return child
  }

  #ended(child: ChildProcess, how: number | NodeJS.Signals | null): void {
    if (this.#closing || child !== this.#process) return
    const { clock, log } = this.#context
    const lived = clock.monotonicMs() - this.#startedMs
    this.#restartMs =
      lived > LONG_LIFE_MS ? RESTART_MS.min : Math.min(RESTART_MS.max, this.#restartMs * 2)
    log.error('identity-died', { how, restartMs: this.#restartMs })
    this.#cancelRestart = clock.after(this.#restartMs, () => {
      this.#process = this.#spawn()
      void isReady(this.#process).then((ready) => {
        if (ready) log.warn('identity-restarted', { pid: this.#process.pid })
      })
    })
  }
}

/** The `swiftlet` command of this tree, whatever program this process runs: a test that starts all in itself is another. */
function commandLine(): readonly string[] {
  const isSource = import.meta.url.endsWith('.ts')
  const main = fileURLToPath(new URL(isSource ? '../main.ts' : '../main.js', import.meta.url))
  return isSource ? ['--import', import.meta.resolve('tsx'), main] : ['--enable-source-maps', main]
}

/** Whether it came so far as to serve. What else it says on stdout is passed on: its log, if that goes there. */
async function isReady(child: ChildProcess): Promise<boolean> {
  const lines = createInterface({ input: child.stdout! })
  const ready = new Promise<boolean>((resolve) => {
    lines.on('line', (line) => {
      if (line.startsWith('Identity is ready')) resolve(true)
      else process.stdout.write(`${line}\n`)
    })
    lines.on('close', () => resolve(false))
  })
  return ready
}
