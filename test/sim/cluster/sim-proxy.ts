/** A machine with one proxy: production's ClusterBackend, which dies in the middle of things and comes back empty. */
import type { ItemHashing } from '../../../common/item.ts'
import type { Log } from '../../../common/log.ts'
import type { RingSource } from '../../../common/ring/ring-set.ts'
import type { RingSetData } from '../../../common/ring/ring-set-file.ts'
import type { StorageNode } from '../../../common/storage-node.ts'
import type { Backend } from '../../../proxy/backend/backend.ts'
import {
  type ClusterBackend,
  createClusterBackend,
} from '../../../proxy/backend/cluster-backend.ts'
import { type SeededRandom, seededRandom } from '../../support/seeded-random.ts'
import { hostIndexOf, pollRings, SimRings } from './sim-rings.ts'
import { SimProcess, type SimTime, type WallClock } from './sim-time.ts'

/** Deadlines as in production; the daemons rest longer, because their idle rounds are most of what a seed costs. */
const TIMING = { deadlineMs: 10_000, settleAgeMs: 60_000, totalsMs: 5_000, idleMs: 40_000 }

export interface SimProxyOptions {
  readonly index: number
  readonly seed: number
  readonly time: SimTime
  readonly hashing: ItemHashing
  /** The rings at the beginning. */
  readonly rings: RingSetData
  /** Asks one of the nodes for newer rings than these. */
  readonly askRings: (
    process: SimProcess,
    machine: string,
    known: number,
  ) => Promise<Uint8Array | null>
  /** Planted fault. */
  readonly wrapRings?: ((rings: RingSource) => RingSource) | undefined
  readonly log: Log
  /** The storage node of a ring device as this process reaches it. */
  readonly nodeOf: (process: SimProcess, machine: string, hostIndex: number) => StorageNode
  /** A proposer that all proxies share: planted fault. Absent: each start draws its own, as in production. */
  readonly proposer?: number | undefined
  readonly clockStepMs?: number | undefined
  /** Planted faults: what clients talk to instead. */
  readonly wrap?: ((backend: Backend, proxy: ProxyParts) => Backend) | undefined
}

/** What a wrapped backend may reach around it. */
export interface ProxyParts {
  readonly process: SimProcess
  readonly random: SeededRandom
  readonly rings: RingSource
  readonly hashing: ItemHashing
  readonly nodeOf: (deviceId: number) => StorageNode
}

export class SimProxy {
  readonly index: number
  readonly machine: string
  readonly wall: WallClock
  /** What it knows of the rings. */
  rings: SimRings
  readonly #options: SimProxyOptions
  readonly #random: SeededRandom
  #process: SimProcess | null = null
  #backend: Backend | null = null
  #cluster: ClusterBackend | null = null
  #starts = 0

  constructor(options: SimProxyOptions) {
    this.index = options.index
    this.machine = `proxy${options.index}`
    this.#options = options
    this.rings = new SimRings(options.rings)
    this.wall = { offsetMs: 0, stepMs: options.clockStepMs ?? 0 }
    this.#random = seededRandom(options.seed)
    this.start()
  }

  /** Null while it is dead. */
  get running(): { readonly process: SimProcess; readonly backend: Backend } | null {
    const [process, backend] = [this.#process, this.#backend]
    return process === null || backend === null ? null : { process, backend }
  }

  get cluster(): ClusterBackend {
    return this.#cluster!
  }

  start(): void {
    const { time, hashing, log, nodeOf, proposer, wrap, askRings, wrapRings } = this.#options
    this.#starts++
    const process = new SimProcess(`${this.machine}.${this.#starts}`, time, this.wall)
    // What a process that died was asking is never answered.
    const known = new SimRings(this.rings.data())
    this.rings = known
    known.ask = () => askRings(process, this.machine, known.epoch)
    pollRings(process, known)
    const rings = wrapRings?.(known) ?? known
    const cluster = createClusterBackend({
      ...TIMING,
      hashing,
      rings,
      nodeOf: (device) => nodeOf(process, this.machine, hostIndexOf(device)),
      clock: process,
      random: this.#random,
      proposer: proposer ?? this.#random.below(2 ** 24),
      log,
    })
    cluster.start()
    this.#process = process
    this.#cluster = cluster
    const parts: ProxyParts = {
      process,
      random: this.#random,
      rings,
      hashing,
      nodeOf: (deviceId) => nodeOf(process, this.machine, deviceId),
    }
    this.#backend = wrap === undefined ? cluster : wrap(cluster, parts)
  }

  /** What it was doing stays undone; clients see their connections end. */
  crash(): void {
    this.#process?.die()
    this.#process = null
    this.#backend = null
  }
}
