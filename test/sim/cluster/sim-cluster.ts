/** A whole cluster in one process: hosts with storage nodes, proxies, the rings and the network between them. */
import type { ItemHashing, ItemKind } from '../../../common/item.ts'
import { type Log, silentLog } from '../../../common/log.ts'
import type { RingData } from '../../../common/ring/ring.ts'
import { placementOf } from '../../../common/ring/ring-set.ts'
import type { StorageNode } from '../../../common/storage-node.ts'
import type { LocalNode } from '../../../storage-node/local-node.ts'
import { Replicator } from '../../../storage-node/replicator/replicator.ts'
import type { SeededRandom } from '../../support/seeded-random.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import type { PlantedFault } from './planted-faults.ts'
import { DEVICE, SimHost } from './sim-host.ts'
import { SimNetwork } from './sim-network.ts'
import { SimProxy } from './sim-proxy.ts'
import { hostIndexOf, ringDataOf, ringSetDataOf, SimKeeper, SimRings } from './sim-rings.ts'
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
  /** Hosts that are in no ring at first. */
  readonly spares?: number
  readonly replicas: number
  /** Rings may change to fewer replicas than three, or to more: what loses a disk's data is not among the troubles. */
  readonly hasFewReplicas?: boolean
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
  /** As the keeper has them. */
  readonly rings: SimRings
  readonly keeper: SimKeeper
  #replicas: number
  readonly hasFewReplicas: boolean
  readonly #first: readonly number[]
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
    this.#replicas = options.replicas
    this.hasFewReplicas = options.hasFewReplicas ?? false
    const first = Array.from({ length: options.hosts }, (_, index) => index)
    this.#first = first
    const rings = ringSetDataOf(this.#ringOf(first))
    this.rings = new SimRings(rings)
    const replicatorOf = (host: SimHost, process: SimProcess, node: LocalNode) =>
      this.#replicator(host, process, node, log)
    const hosts = options.hosts + (options.spares ?? 0)
    this.hosts = Array.from({ length: hosts }, (_, index) => {
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
        rings,
        askRings: (host, process) => this.#askOneForRings(host, process),
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
        wrapRings: planted?.wrapRings,
        askRings: (process, machine, known) => this.#askRings(process, machine, known),
        nodeOf: (process, machine, id) => this.#link(process, machine, id),
      })
    })
    this.keeper = new SimKeeper({
      time,
      rings: this.rings,
      memberOf: (process, device) =>
        this.network.member(process, 'keeper', this.hosts[hostIndexOf(device)]!),
    })
    this.#observer = new SimProcess('observer', time, { offsetMs: 0, stepMs: 0 })
  }

  /** Starts all hosts; resolves when they have seen that none of them has anything to learn. */
  async start(): Promise<void> {
    for (const host of this.hosts) await host.start()
    while (this.placedHosts.some(({ isLearning }) => isLearning)) await this.time.sleep(100)
  }

  /** Those that are in a ring as the keeper has them; who is in none has nothing to learn from. */
  get placedHosts(): readonly SimHost[] {
    const { ring } = placementOf(this.rings.current(), 'object', 0)
    const placed = new Set<number>()
    for (let partition = 0; partition < ring.partitionCount; partition++) {
      for (const device of ring.primaries(partition)) placed.add(hostIndexOf(device))
    }
    return this.hosts.filter(({ index }) => placed.has(index))
  }

  /** The hosts of the first rings. */
  get firstMembers(): readonly number[] {
    return this.#first
  }

  /** The devices that the cluster has. */
  get members(): readonly { readonly id: number }[] {
    return this.hosts.filter(({ isLost }) => !isLost).map(({ index }) => ({ id: index }))
  }

  /** The hosts that the rings are to be made of, from now on; those given up are waited for no more. */
  changeRings(hosts: readonly number[], replicas = this.#replicas): void {
    this.#replicas = replicas
    const lost = this.hosts.filter(({ isLost }) => isLost)
    const labels = lost.map(({ index }) => labelOf(index))
    this.keeper.aim(this.#ringOf(hosts), new Set(labels))
  }

  /** The hosts of an item, as the keeper has the rings. */
  hostsOf(kind: ItemKind, placement: number): readonly number[] {
    const { ring } = placementOf(this.rings.current(), kind, 0)
    return ring.primaries(ring.partitionOf(placement)).map(hostIndexOf)
  }

  get replicas(): number {
    return this.#replicas
  }

  #ringOf(hosts: readonly number[]): RingData {
    const replicas = this.#replicas
    return ringDataOf(hosts, { replicas, partPower: PART_POWER, device: DEVICE })
  }

  #askOneForRings(host: SimHost, process: SimProcess): Promise<Uint8Array | null> {
    const others = this.hosts.filter((other) => !other.isLost && other !== host)
    const asked = this.network.member(process, host.machine, this.random.pick(others)!)
    return asked.rings(host.rings.epoch)
  }

  /** All nodes at once; the first that has newer ones is believed. */
  #askRings(process: SimProcess, machine: string, known: number): Promise<Uint8Array | null> {
    const hosts = this.hosts.filter(({ isLost }) => !isLost)
    return new Promise((resolve) => {
      let left = hosts.length
      const hear = (bytes: Uint8Array | null) => {
        left--
        if (bytes !== null || left === 0) resolve(bytes)
      }
      for (const host of hosts) {
        const asked = this.network.member(process, machine, host).rings(known)
        asked.then(hear, () => hear(null))
      }
    })
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
      busyMs: this.planted?.replicationMs ?? REPLICATION.busyMs,
      node,
      placements: () => host.rings.current().placements,
      ownName: (device) => (hostIndexOf(device) === host.index ? DEVICE : null),
      labelOf: () => labelOf(host.index),
      nodeOf: (device) =>
        this.network.link(process, host.machine, this.hosts[hostIndexOf(device)]!),
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

function labelOf(index: number): string {
  return `10.0.0.${index + 1}:6200/${DEVICE}`
}
