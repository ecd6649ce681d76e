import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { startDebianKeystone } from '../peers/debian-keystone.ts'
import { treeUsage } from '../process-usage.ts'
import { siblingPath } from '../sibling.ts'
import {
  type IdentityFigure,
  type IdentityPlace,
  identityCalls,
  measureCall,
} from './identity-load.ts'
import { makeUsers } from './many-users.ts'

export interface IdentityBenchOptions {
  readonly folder: string
  /** Users that Swiftlet's has; Debian's has the administrator alone. */
  readonly users: number
  readonly seconds: number
  /** Debian's Keystone beside. */
  readonly peer: boolean
  readonly say: (line: string) => void
}

export interface IdentitySide {
  readonly name: string
  readonly figures: readonly IdentityFigure[]
  /** Memory at rest, and after all calls; of all its processes. */
  readonly rssBytes: { readonly atStart: number; readonly after: number }
}

const CONCURRENCIES = [1, 16]
const PASSWORD = 'the administrator of the benchmark'

/** Token and list rates of the identity service, with few and with many users, beside Debian's Keystone. */
export async function runIdentityBench(options: IdentityBenchOptions): Promise<IdentitySide[]> {
  const folder = await mkdtemp(join(options.folder, 'identity-bench-'))
  try {
    const sides = [await measureOwn(join(folder, 'few'), 'Swiftlet, 1 user', options)]
    const many = join(folder, 'many')
    let said = 0
    await makeUsers(join(many, 'state'), options.users, (done) => {
      if (done - said < options.users / 10 && done !== options.users) return
      said = done
      options.say(`${done} of ${options.users} users made`)
    })
    sides.push(await measureOwn(many, `Swiftlet, ${options.users} users`, options))
    if (options.peer) sides.push(await measurePeer(join(folder, 'keystone'), options))
    return sides
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function measureOwn(
  folder: string,
  name: string,
  options: IdentityBenchOptions,
): Promise<IdentitySide> {
  const child = fork(siblingPath(import.meta.url, './serve'), [folder, PASSWORD], {
    env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
  })
  const exited = once(child, 'exit')
  const [port] = await Promise.race([
    once(child, 'message'),
    exited.then(() => Promise.reject(new Error('the identity service ended'))),
  ])
  const place = { origin: `http://127.0.0.1:${port}`, password: PASSWORD }
  try {
    return await measure({ name, pid: child.pid! }, place, options)
  } finally {
    child.disconnect()
    await exited
  }
}

async function measurePeer(folder: string, options: IdentityBenchOptions): Promise<IdentitySide> {
  const peer = await startDebianKeystone(folder, PASSWORD)
  try {
    const place = { origin: peer.origin, password: PASSWORD, closes: true }
    return await measure({ name: 'Debian’s Keystone, 1 user', pid: peer.pid }, place, options)
  } finally {
    await peer.stop()
  }
}

async function measure(
  { name, pid }: { readonly name: string; readonly pid: number },
  place: IdentityPlace,
  { seconds, say }: IdentityBenchOptions,
): Promise<IdentitySide> {
  const atStart = treeUsage(pid).rssBytes
  const figures: IdentityFigure[] = []
  for (const call of identityCalls(place.password)) {
    // Not measured: code is compiled and caches are filled.
    await measureCall(place, call, { concurrency: 2, seconds: seconds / 2 })
    for (const concurrency of call.isLong ? [1] : CONCURRENCIES) {
      const figure = await measureCall(place, call, { concurrency, seconds })
      figures.push(figure)
      say(`${name}: ${figureText(figure)}`)
    }
  }
  return { name, figures, rssBytes: { atStart, after: treeUsage(pid).rssBytes } }
}

function figureText({
  call,
  concurrency,
  perSecond,
  p50Ms,
  p99Ms,
  bodyBytes,
}: IdentityFigure): string {
  const rate = perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toFixed(1)
  const times = `median ${p50Ms.toFixed(1)} ms, 99 % below ${p99Ms.toFixed(1)} ms`
  return `${call}, ${concurrency} at once: ${rate} per second, ${times}, ${bodyBytes} bytes each`
}
