/** A whole Swiftlet in the test's own folder and process: real engine, real sign-in, real sockets. */

import { Registry } from 'prom-client'
import type { Users } from '../../auth/user.ts'
import { addUser } from '../../auth/user-edit.ts'
import { UserIdentity } from '../../auth/user-identity.ts'
import { systemClock } from '../../common/clock.ts'
import { createLog, type Log } from '../../common/log.ts'
import { systemRandom } from '../../common/random.ts'
import { steadyRings } from '../../common/ring/ring-set.ts'
import type { Backend } from '../../proxy/backend/backend.ts'
import { createClusterBackend } from '../../proxy/backend/cluster-backend.ts'
import { encryptedBackend } from '../../proxy/encryption/encrypted-backend.ts'
import type { RootSecrets } from '../../proxy/encryption/root-secrets.ts'
import type { ContainerSyncerContext } from '../../proxy/layers/sync/container-syncer.ts'
import type { ProxyOptions } from '../../proxy/proxy-options.ts'
import { createProxyServer } from '../../proxy/server.ts'
import { openLocalNode } from '../../storage-node/local-node.ts'
import { onLoopback, ringOver } from '../support/ring-over.ts'

/** In what a proxy beside the first may differ. */
type OtherOptions = Partial<Pick<ProxyOptions, 'tls' | 'layers' | 'metrics' | 'clientTimeoutMs'>>

export interface TestStore {
  readonly port: number
  /** `http://127.0.0.1:…` */
  readonly url: string
  /** Access log lines and others, parsed. */
  readonly lines: readonly Record<string, unknown>[]
  /** The parts of its proxy, for daemons that a test runs by itself. */
  readonly context: ContainerSyncerContext
  /** Brings container totals to their accounts, and expired objects to their end, now. */
  runDaemons(): Promise<void>
  /** Another proxy over the same storage node, with a cache of its own; it ends with this one. */
  openBeside(other?: OtherOptions): Promise<{ readonly port: number }>
  close(): Promise<void>
}

/** The users that Swift's functional tests expect. */
const USERS: readonly (readonly [name: string, key: string, groups: readonly string[]])[] = [
  ['test:tester', 'testing', ['.admin']],
  ['test:tester3', 'testing3', []],
  ['test2:tester2', 'testing2', ['.admin']],
  ['test5:tester5', 'testing5', ['service']],
  ['admin:admin', 'admin', ['.admin', '.reseller_admin']],
]

export async function openTestStore(
  folder: string,
  options: Partial<ProxyOptions> & {
    readonly listenPort?: number
    /** Objects are enciphered with them. */
    readonly encryption?: RootSecrets
  } = {},
): Promise<TestStore> {
  const lines: Record<string, unknown>[] = []
  const log = recordingLog(lines)
  const context = { clock: systemClock, random: systemRandom, log }
  const node = await openLocalNode({ ...context, devices: [{ name: 'd1', path: folder }] })
  const ring = ringOver(onLoopback([6200]), { replicas: 1, partPower: 4, device: 'd1' })
  const identity = await testIdentity()
  const closing: (() => Promise<void>)[] = []
  const openProxy = async (proposer: number, listenPort: number, other: OtherOptions = {}) => {
    const backend = createClusterBackend({
      ...context,
      hashing: { prefix: 'test', suffix: 'store', placement: 'xxh64' },
      rings: steadyRings({ account: ring, container: ring, objects: [ring, ring] }),
      nodeOf: () => node,
      proposer,
      policies: [0, 1],
    })
    const { encryption: roots } = options
    const inside =
      roots === undefined ? backend : encryptedBackend({ backend, roots, random: systemRandom })
    const server = createProxyServer({
      ...context,
      backend: interruptible(inside),
      identity,
      metrics: new Registry(),
      policies: [
        { index: 0, name: 'gold', aliases: ['yellow'], default: true },
        { index: 1, name: 'silver', default: false },
        { index: 2, name: 'old', default: false, deprecated: true },
      ],
      allowAccountManagement: true,
      ...options,
      ...other,
    })
    const { port } = await server.listen({ host: '127.0.0.1', port: listenPort })
    backend.start()
    closing.push(async () => {
      await server.close()
      await backend.close()
    })
    return { port, backend }
  }
  const { port, backend } = await openProxy(1, options.listenPort ?? 0)
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    lines,
    context: { ...context, backend },
    runDaemons: () => backend.runDaemonsOnce(),
    openBeside: (other) => openProxy(closing.length + 1, 0, other),
    async close() {
      for (const close of closing) await close()
      await node.close()
    },
  }
}

let users: Promise<Users> | undefined

async function testIdentity(): Promise<UserIdentity> {
  users ??= addUsers()
  const all = await users
  return new UserIdentity({
    users: () => all,
    tokenKeys: [systemRandom.bytes(32)],
    clock: systemClock,
    random: systemRandom,
  })
}

async function addUsers(): Promise<Users> {
  let all: Users = new Map()
  for (const [name, key, groups] of USERS) {
    all = await addUser(all, { name, key, groups }, systemRandom)
  }
  return all
}

function recordingLog(lines: Record<string, unknown>[]): Log {
  return createLog({
    component: 'proxy',
    nowMs: () => systemClock.nowMs(),
    write(text) {
      for (const line of text.trimEnd().split('\n')) lines.push(JSON.parse(line))
    },
  })
}

/** Its calls are looked up anew each time: a test that replaces one stands in the proxy's way. */
function interruptible(backend: Backend): Backend {
  const methods = Object.entries(backend).map(([name, value]) => {
    if (typeof value !== 'function') return [name, value]
    const call = (...parameters: unknown[]) =>
      (backend[name as keyof Backend] as (...given: unknown[]) => unknown)(...parameters)
    return [name, call]
  })
  return Object.fromEntries(methods) as Backend
}
