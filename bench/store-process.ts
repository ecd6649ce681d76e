import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where the object store listens with `--port-offset 0`. */
const DEFAULT_PORT = 8080
const IDENTITY_PORT = 5000
const START_MS_MAX = 120_000
const OUTPUT_CHARS_MAX = 256 * 1024

export interface StoreOptions {
  /** Where it keeps what is not on a disk: credentials, rings, users. */
  readonly dataFolder: string
  /** Device folders; absent: one below the data folder. */
  readonly disks?: readonly string[]
  readonly port: number
  /** So many storage nodes, each a process (`swiftlet cluster`); absent: all in one (`swiftlet up`). */
  readonly nodes?: number | undefined
  /** More arguments of the command. */
  readonly extraArguments?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** A real Swiftlet in a process of its own. */
export interface StoreProcess {
  readonly pid: number
  readonly port: number
  readonly origin: string
  /** From spawn to `Swiftlet is ready`. */
  readonly readyMs: number
  /** The end of what it wrote to stdout and stderr. */
  output(): string
  running(): boolean
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>
}

/** Starts `swiftlet up` or `cluster` and waits until it is ready; throws with its output if it ends before. */
export async function startStore(options: StoreOptions): Promise<StoreProcess> {
  const startMs = performance.now()
  const child = spawn(process.execPath, startArguments(options), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...cleanEnvironment(), UV_THREADPOOL_SIZE: '16', ...options.env },
  })
  const exited = once(child, 'exit')
  // A test that fails half way must not leave a server behind.
  const killWithUs = (): boolean => child.kill('SIGKILL')
  process.once('exit', killWithUs)
  child.once('exit', () => process.off('exit', killWithUs))
  const output = collectOutput(child)
  try {
    await untilReady(child, { output, exited })
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  const running = (): boolean => child.exitCode === null && child.signalCode === null
  const end = async (signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> => {
    if (running()) child.kill(signal)
    await exited
    return child.exitCode
  }
  return {
    pid: child.pid!,
    port: options.port,
    origin: `http://127.0.0.1:${options.port}`,
    readyMs: performance.now() - startMs,
    output: output.text,
    running,
    async kill() {
      await end('SIGKILL')
    },
    stop: () => end('SIGTERM'),
  }
}

/** A storage node of `swiftlet cluster` that is started by hand. */
export interface NodeProcess {
  readonly pid: number
  stop(): Promise<void>
}

/** Starts a storage node from its config file and waits until it is ready. */
export async function startNode(configPath: string): Promise<NodeProcess> {
  const child = spawn(process.execPath, [...command(), 'storage-node', '--config', configPath], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...cleanEnvironment(), UV_THREADPOOL_SIZE: '16' },
  })
  const exited = once(child, 'exit')
  const killWithUs = (): boolean => child.kill('SIGKILL')
  process.once('exit', killWithUs)
  child.once('exit', () => process.off('exit', killWithUs))
  await untilReady(child, { output: collectOutput(child), exited })
  return {
    pid: child.pid!,
    async stop() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

export interface StoreCredentials {
  readonly user: string
  readonly key: string
}

/** The admin that the first start made: what `swiftlet env` shows, without its process. */
export async function storeCredentials(dataFolder: string): Promise<StoreCredentials> {
  const text = await readFile(join(dataFolder, 'credentials'), 'utf8')
  const { user, password } = JSON.parse(text) as {
    readonly user: string
    readonly password: string
  }
  return { user, key: password }
}

/** Runs `swiftlet check` on a device folder: its exit code and what it said. */
export async function checkDevice(
  folder: string,
): Promise<{ readonly code: number; readonly text: string }> {
  const child = spawn(process.execPath, [...command(), 'check', folder], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: cleanEnvironment(),
  })
  const output = collectOutput(child)
  const [code] = (await once(child, 'exit')) as [number | null]
  return { code: code ?? -1, text: output.text() }
}

/**
 * Ports for servers of tests and benchmarks: above the default ones, and below those that the kernel gives to connections
 * (32768 and up), one of which could take it before its server does.
 */
const PORTS_FROM = 10_240
const PORTS_TO = 32_000

/** A port that nothing listens on now, nor on that of the identity service beside it. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS_FROM + Math.floor(Math.random() * (PORTS_TO - PORTS_FROM))
    if ((await isFree(port)) && (await isFree(port - DEFAULT_PORT + IDENTITY_PORT))) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const listens = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => resolve(true))
  })
  if (!listens) return false
  server.close()
  await once(server, 'close')
  return true
}

function startArguments(options: StoreOptions): string[] {
  const start = options.nodes === undefined ? ['up'] : ['cluster', '--nodes', String(options.nodes)]
  const disks = (options.disks ?? []).flatMap((disk) => ['--disk', disk])
  const offset = String(options.port - DEFAULT_PORT)
  return [
    ...command(),
    ...[...start, '--data', options.dataFolder, '--port-offset', offset],
    ...disks,
    ...(options.extraArguments ?? []),
  ]
}

/** The command: from source by its bootstrap, which builds dist/ if a source has changed. */
function command(): string[] {
  const fromSource = import.meta.url.endsWith('.ts')
  return [
    fileURLToPath(new URL(fromSource ? '../bin/swiftlet.cjs' : '../bin/main.js', import.meta.url)),
  ]
}

/** Without what a test runner puts into its children. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _options, ...env } = process.env
  return env
}

function collectOutput(child: ChildProcess): { text: () => string } {
  let text = ''
  const take = (piece: Buffer): void => {
    text = (text + piece.toString()).slice(-OUTPUT_CHARS_MAX)
  }
  child.stdout?.on('data', take)
  child.stderr?.on('data', take)
  return { text: () => text }
}

async function untilReady(
  child: ChildProcess,
  watch: { readonly output: { text: () => string }; readonly exited: Promise<unknown> },
): Promise<void> {
  const deadline = AbortSignal.timeout(START_MS_MAX)
  const dead = watch.exited.then(() => {
    throw new Error(`swiftlet ended before it was ready:\n${watch.output.text()}`)
  })
  dead.catch(() => {})
  while (!/^(Swiftlet|Storage node) is ready/m.test(watch.output.text())) {
    await Promise.race([once(child.stdout!, 'data', { signal: deadline }), dead])
  }
}
