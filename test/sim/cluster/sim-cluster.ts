/** A whole cluster in one process: hosts with storage nodes, proxies, the rings and the network between them. */
import type { ItemHashing } from '../../../common/item.ts'
import { type Log, silentLog } from '../../../common/log.ts'
import type { Ring } from '../../../common/ring/ring.ts'
import { type RingSource, steadyRings } from '../../../common/ring/ring-set.ts'
import type { StorageNode } from '../../../common/storage-node.ts'
import type { LocalNode } from '../../../storage-node/local-node.ts'
import { Replicator } from '../../../storage-node/replicator/replicator.ts'
import { ringOver } from '../../support/ring-over.ts'
import type { SeededRandom } from '../../support/seeded-random.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import type { PlantedFault } from './planted-faults.ts'
import { DEVICE, SimHost } from './sim-host.ts'
import { SimNetwork } from './sim-network.ts'
import { SimProxy } from './sim-proxy.ts'
import { SimProcess, SimTime } from './sim-time.ts'

export const HASHING: ItemHashing = { prefix: 'p', suffix: 's', placement: 'xxh64' }
const PART_POWER = 3
/** Its pauses as in production, but for the longest: idle rounds are most of what a seed costs. */
const REPLICATION = { busyMs: 1_000, idleMs: 120_000, graceMs: 3_000, reclaimWaitMs: 130_000 }
/** Small, so that they roll and are compacted. */
const SEGMENT_BYTES = 16 * 1024
const WEEK_MS = 7 * 24 * 3600 * 1000

export interface SimClusterOptions {
  readonly seed: number
  readonly hosts: number
  readonly replicas: number
  readonly proxies: number
  readonly shards: number
  /** How long deletions are remembered; a week, as in production, if absent. */
  readonly reclaimAgeMs?: number
  readonly segmentBytes?: number
  readonly planted: PlantedFault | null
  readonly log?: Log
}

export class SimCluster {
  readonly time: SimTime
  readonly random: SeededRandom
  readonly hosts: readonly SimHost[]
  readonly proxies: readonly SimProxy[]
  readonly network: SimNetwork
  readonly ring: Ring
  readonly rings: RingSource
  readonly planted: PlantedFault | null
  readonly reclaimAgeMs: number
  readonly #observer: SimProcess

  constructor(options: SimClusterOptions) {
    const { seed, planted, shards } = options
    const log = options.log ?? silentLog
    this.planted = planted
    this.reclaimAgeMs = options.reclaimAgeMs ?? WEEK_MS
    this.random = seededRandom(seed)
    const draw = () => this.random.below(2 ** 31)
    this.time = new SimTime(draw())
    const { time } = this
    this.network = new SimNetwork({ seed: draw(), time, connectMs: 1_000, answerMs: 15_000 })
    this.ring = ringOver(
      Array.from({ length: options.hosts }, (_, id) => ({ ip: `10.0.0.${id + 1}`, port: 6200 })),
      { replicas: options.replicas, partPower: PART_POWER, device: DEVICE },
    )
    const { ring } = this
    this.rings = steadyRings({ account: ring, container: ring, objects: [ring] })
    const { rings } = this
    const replicatorOf = (host: SimHost, process: SimProcess, node: LocalNode) =>
      this.#replicator(host, process, node, log)
    this.hosts = Array.from({ length: options.hosts }, (_, index) => {
      return new SimHost({
        index,
        seed: draw(),
        time,
        log,
        shards,
        syncIsANoOp: planted?.syncIsANoOp ?? false,
        reclaimAgeMs: this.reclaimAgeMs,
        segmentBytes: options.segmentBytes ?? SEGMENT_BYTES,
        withoutLearning: planted?.withoutLearning ?? false,
        withoutReplication: planted?.withoutReplication ?? false,
        replicatorOf,
      })
    })
    this.proxies = Array.from({ length: options.proxies }, (_, index) => {
      const own = { index, seed: draw(), time, hashing: HASHING, rings, log }
      return new SimProxy({
        ...own,
        proposer: planted?.proposer,
        clockStepMs: planted?.clockStepMs,
        wrap: planted?.wrapBackend,
        nodeOf: (process, machine, id) => this.#link(process, machine, id),
      })
    })
    this.#observer = new SimProcess('observer', time, { offsetMs: 0, stepMs: 0 })
  }

  /** Starts all hosts; resolves when they have seen that none of them has anything to learn. */
  async start(): Promise<void> {
    for (const host of this.hosts) await host.start()
    while (this.hosts.some(({ isLearning }) => isLearning)) await this.time.sleep(100)
  }

  /** The devices that the cluster has. */
  get members(): readonly { readonly id: number }[] {
    return this.hosts.map(({ index }) => ({ id: index }))
  }

  /** The node of a ring device without network and faults; null while it is down. */
  nodeOf(deviceId: number): StorageNode | null {
    return this.hosts[deviceId]!.running?.node ?? null
  }

  /** A process that sees everything and is seen by nobody. */
  get observer(): SimProcess {
    return this.#observer
  }

  #replicator(host: SimHost, process: SimProcess, node: LocalNode, log: Log): Replicator {
    return new Replicator({
      ...REPLICATION,
      node,
      placements: () => this.rings.current().placements,
      ownName: ({ id }) => (id === host.index ? DEVICE : null),
      nodeOf: ({ id }) => this.network.link(process, host.machine, this.hosts[id]!),
      clock: process,
      log,
      reclaimAgeMs: this.reclaimAgeMs,
    })
  }

  #link(process: SimProcess, machine: string, id: number): StorageNode {
    const link = this.network.link(process, machine, this.hosts[id]!)
    return this.planted?.wrapLink?.(link) ?? link
  }
}
