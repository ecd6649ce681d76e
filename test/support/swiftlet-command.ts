/** The `swiftlet` command as a person runs it, for black-box tests. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { freePort } from '../../bench/store-process.ts'

const ENTRY = fileURLToPath(new URL('../../bin/swiftlet.cjs', import.meta.url))
const DEFAULT_PORT = 8080
/** Includes a build, where a source has changed since the last one. */
const READY_MS_MAX = 120_000

export interface CommandResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

/** Runs a command to its end. */
export async function runSwiftlet(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = launch(args, options)
  child.process.stdin!.end(options.input ?? '')
  await child.exited
  return { code: child.process.exitCode, stdout: child.stdout(), stderr: child.stderr() }
}

/** A Swiftlet that serves. */
export interface StartedSwiftlet {
  readonly process: ChildProcess
  /** `http://127.0.0.1:…`. */
  readonly origin: string
  readonly stdout: () => string
  readonly stderr: () => string
  /** Sends the signal and resolves with how the process ended. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>
}

/**
 * Starts a serving command (`up`, `cluster`, `proxy`) and waits for its `Swiftlet is ready`; it is killed with the test. Throws
 * with what it said if it ends before.
 */
export async function startSwiftlet(
  t: { teardown(end: () => unknown): unknown },
  args: readonly string[],
  options: CommandOptions & { readonly scheme?: 'http' | 'https' } = {},
): Promise<StartedSwiftlet> {
  const child = launch(args, options)
  t.teardown(async () => {
    if (isRunning(child.process)) child.process.kill('SIGKILL')
    await child.exited
  })
  await untilReady(child)
  const origin = /object store (\S+)\/v1/.exec(child.stdout())?.[1]
  if (origin === undefined) throw new Error(`no URL in:\n${child.stdout()}`)
  return {
    process: child.process,
    origin,
    stdout: child.stdout,
    stderr: child.stderr,
    async end(signal) {
      child.process.kill(signal)
      await child.exited
      return child.process.exitCode ?? child.process.signalCode
    },
  }
}

/** Starts a storage node and waits until it is ready; it is killed with the test. Gives what ends it before. */
export async function startStorageNode(
  t: Test,
  config: string,
  extraArguments: readonly string[] = [],
): Promise<() => Promise<unknown>> {
  const child = launch(['storage-node', '--config', config, ...extraArguments], {})
  t.teardown(async () => {
    if (isRunning(child.process)) child.process.kill('SIGKILL')
    await child.exited
  })
  await untilReady(child)
  return () => {
    child.process.kill('SIGTERM')
    return child.exited
  }
}

/** Arguments for a free port: `--port-offset N`. */
export async function freePortOffset(): Promise<readonly string[]> {
  return ['--port-offset', String((await freePort()) - DEFAULT_PORT)]
}

/** The variables that `swiftlet env` prints for a data folder. */
export async function swiftletEnv(data: string): Promise<Readonly<Record<string, string>>> {
  const { code, stdout, stderr } = await runSwiftlet(['env', '--data', data])
  if (code !== 0) throw new Error(`swiftlet env: ${stderr}`)
  const lines = stdout.matchAll(/^export (\w+)=(.*)$/gm)
  return Object.fromEntries(Array.from(lines, ([, name, value]) => [name!, value!]))
}

/** A signed-in client of the test's own. */
export interface Session {
  readonly token: string
  readonly storageUrl: string
  send(method: string, path: string, body?: string): Promise<Response>
}

/** Signs in with what `swiftlet env` prints, or with another user. */
export async function signIn(
  data: string,
  user?: { readonly name: string; readonly key: string },
): Promise<Session> {
  const env = await swiftletEnv(data)
  const response = await fetch(env.ST_AUTH!, {
    headers: { 'X-Auth-User': user?.name ?? env.ST_USER!, 'X-Auth-Key': user?.key ?? env.ST_KEY! },
  })
  if (response.status !== 200) throw new Error(`sign-in: ${response.status}`)
  const token = response.headers.get('x-auth-token')!
  const storageUrl = response.headers.get('x-storage-url')!
  return {
    token,
    storageUrl,
    send: (method, path, body) =>
      fetch(storageUrl + path, {
        method,
        headers: { 'X-Auth-Token': token },
        ...(body === undefined ? {} : { body }),
      }),
  }
}

interface Launched {
  readonly process: ChildProcess
  readonly exited: Promise<unknown>
  readonly stdout: () => string
  readonly stderr: () => string
}

function launch(args: readonly string[], options: CommandOptions): Launched {
  // tap has every Node process that a test starts load its hooks, by NODE_OPTIONS: users' processes have none.
  const command = ['-u', 'NODE_OPTIONS', process.execPath, ENTRY, ...args]
  const child = spawn('env', command, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  })
  const collect = (stream: NodeJS.ReadableStream): (() => string) => {
    let text = ''
    stream.setEncoding('utf8')
    stream.on('data', (piece: string) => {
      text += piece
    })
    // What a start says while it installs or builds depends on what ran before the test.
    return () => text.replace(/^(Building|Installing) .*\n/gm, '')
  }
  return {
    process: child,
    exited: once(child, 'close'),
    stdout: collect(child.stdout),
    stderr: collect(child.stderr),
  }
}

async function untilReady(child: Launched): Promise<void> {
  const late = AbortSignal.timeout(READY_MS_MAX)
  const ended = child.exited.then(() => {
    throw new Error(`ended before it was ready:\n${child.stdout()}${child.stderr()}`)
  })
  ended.catch(() => {})
  while (!/^(Swiftlet|Storage node|Proxy) is ready.*\n/m.test(child.stdout())) {
    await Promise.race([once(child.process.stdout!, 'data', { signal: late }), ended])
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

/** A path in a folder of the test's own. */
export function dataFolderOf(t: Test): string {
  return join(t.testdir(), 'data')
}
