/** A cluster in one process: storage nodes over real sockets, a ring over them, and backends that reach them. */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Clock, systemClock } from '../../common/clock.ts'
import type { ItemHashing } from '../../common/item.ts'
import { systemRandom } from '../../common/random.ts'
import type { Ring } from '../../common/ring/ring.ts'
import { type RingSet, type RingSource, steadyRings } from '../../common/ring/ring-set.ts'
import type { StorageNode } from '../../common/storage-node.ts'
import type { ObjectPath } from '../../proxy/backend/backend.ts'
import {
  type ClusterBackend,
  type ClusterBackendOptions,
  createClusterBackend,
} from '../../proxy/backend/cluster-backend.ts'
import { createRemoteNode } from '../../proxy/backend/remote-node.ts'
import { openLocalNode } from '../../storage-node/local-node.ts'
import { RingGuard } from '../../storage-node/ring-guard.ts'
import { type NodeServer, serveStorageNode } from '../../storage-node/server/node-server.ts'
import { onLoopback, ringOver } from './ring-over.ts'

export const HASHING: ItemHashing = { prefix: 'p', suffix: 's', placement: 'xxh64' }
const CLUSTER_KEY = 'a key that all nodes of the test share'
const PART_POWER = 4

export interface ClusterUnderTestOptions {
  readonly nodes: number
  readonly replicas: number
  /** Function calls instead of sockets. */
  readonly local?: boolean
}

/** Calls of a node that may be made to fail: the method's name and what it is called with. */
export type Fault = (method: string, parameters: readonly unknown[]) => Promise<void> | void

/** One device on each node, all named `d`. */
export class ClusterUnderTest {
  readonly ring: Ring
  readonly rings: RingSource
  readonly #t: Test
  readonly #folder: string
  readonly #options: ClusterUnderTestOptions
  readonly #locals: (StorageNode | null)[] = []
  readonly #guards: RingGuard[] = []
  readonly #servers: (NodeServer | null)[] = []
  readonly #ports: number[] = []
  readonly #remotes = new Map<number, StorageNode>()
  readonly #faults = new Map<number, Fault>()
  #proposers = 0

  static async open(t: Test, options: ClusterUnderTestOptions): Promise<ClusterUnderTest> {
    const folder = t.testdir()
    const ports: number[] = []
    const locals: StorageNode[] = []
    const guards: RingGuard[] = []
    const servers: (NodeServer | null)[] = []
    for (let index = 0; index < options.nodes; index++) {
      const guard = new RingGuard()
      guards.push(guard)
      const node = await openNode(folder, index, guard)
      locals.push(node)
      const server = options.local ? null : await serve(node, 0)
      servers.push(server)
      ports.push(server?.port ?? 6200 + index)
    }
    const cluster = new ClusterUnderTest(t, folder, options, ports)
    cluster.#locals.push(...locals)
    cluster.#guards.push(...guards)
    cluster.#servers.push(...servers)
    t.teardown(() => cluster.#close())
    return cluster
  }

  private constructor(
    t: Test,
    folder: string,
    options: ClusterUnderTestOptions,
    ports: readonly number[],
  ) {
    this.#t = t
    this.#folder = folder
    this.#options = options
    this.#ports.push(...ports)
    this.ring = ringOver(onLoopback(ports), {
      replicas: options.replicas,
      partPower: PART_POWER,
      device: 'd',
    })
    const { ring } = this
    this.rings = steadyRings({ account: ring, container: ring, objects: [ring] })
  }

  /** A proxy's backend with a proposer of its own. */
  backend(extra: Partial<ClusterBackendOptions> = {}): ClusterBackend {
    const backend = createClusterBackend({
      hashing: HASHING,
      rings: this.rings,
      nodeOf: (device) => this.faulty(device.id),
      clock: systemClock,
      random: systemRandom,
      proposer: ++this.#proposers,
      deadlineMs: 5_000,
      errorLimit: { count: 3, forMs: 200 },
      ...extra,
    })
    this.#t.teardown(() => backend.close())
    return backend
  }

  /** The node itself, without wire and faults. */
  node(index: number): StorageNode {
    return this.#locals[index]!
  }

  /** The node refuses from now on what comes by rings from before the moves of these. */
  teach(index: number, set: RingSet): void {
    this.#guards[index]!.use(set)
  }

  /** Every call to the node passes the fault first; null heals it. */
  setFault(index: number, fault: Fault | null): void {
    if (fault === null) this.#faults.delete(index)
    else this.#faults.set(index, fault)
  }

  /** The node ends; bodies that are under way are broken off. */
  async stop(index: number): Promise<void> {
    await this.#servers[index]?.close()
    await this.#locals[index]?.close()
    this.#servers[index] = null
    this.#locals[index] = null
  }

  /** The node comes back with its disk on its old port. */
  async start(index: number): Promise<void> {
    const node = await openNode(this.#folder, index, this.#guards[index]!)
    this.#locals[index] = node
    if (!this.#options.local) this.#servers[index] = await serve(node, this.#ports[index]!)
  }

  async #close(): Promise<void> {
    this.#faults.clear()
    for (const node of this.#remotes.values()) await node.close()
    for (let index = 0; index < this.#options.nodes; index++) await this.stop(index)
  }

  /** The node behind its wire and its fault, if it has one. */
  faulty(index: number): StorageNode {
    const known = this.#remotes.get(index)
    if (known !== undefined) return known
    const remote = this.#options.local
      ? this.#locals[index]!
      : createRemoteNode({
          ip: '127.0.0.1',
          port: this.#ports[index]!,
          clusterKey: CLUSTER_KEY,
          connectMs: 500,
          answerMs: 5_000,
        })
    const node = new Proxy(remote, {
      get: (target, name: keyof StorageNode) => {
        // Faults take their time; what cannot wait is left to `read`.
        if (name === 'readNow') return undefined
        const method = target[name].bind(target) as (...parameters: unknown[]) => unknown
        return (...parameters: unknown[]) => {
          const fault = this.#faults.get(index)
          if (fault === undefined) return method(...parameters)
          return Promise.resolve(fault(name, parameters)).then(() => method(...parameters))
        }
      },
    })
    this.#remotes.set(index, node)
    return node
  }
}

async function openNode(folder: string, index: number, guard: RingGuard): Promise<StorageNode> {
  const path = join(folder, `node${index}`)
  if (!existsSync(path)) mkdirSync(path)
  return openLocalNode({
    devices: [{ name: 'd', path }],
    clock: systemClock,
    random: systemRandom,
    shards: 1,
    guard,
  })
}

function serve(node: StorageNode, port: number): Promise<NodeServer> {
  return serveStorageNode(node, {
    host: '127.0.0.1',
    port,
    clusterKey: CLUSTER_KEY,
    closeGraceMs: 200,
  })
}

/** The path of an object of account `a` and container `c`. */
export function pathOf(object: string, container = 'c'): ObjectPath {
  return { account: 'a', container, object, policy: 0 }
}

/** A clock that is wrong by so much. */
export function skewedClock(skewMs: number): Clock {
  return { ...systemClock, nowMs: () => systemClock.nowMs() + skewMs }
}

/** Waits until the condition holds. */
export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`did not come to hold: ${what}`)
}
