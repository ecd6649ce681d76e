/**
 * Brings what a device of this node holds to the others: compares digests of partitions and sends what differs, gives
 * away what belongs elsewhere, and brings moving partitions to where they move.
 */
import { forEachParallel } from '../../common/bounded-parallel.ts'
import type { PartitionMove } from '../../common/cluster-member.ts'
import type { Log } from '../../common/log.ts'
import type { Placement } from '../../common/ring/placement.ts'
import type { Device } from '../device.ts'
import type { Positions } from './agreements.ts'
import type { DeviceAddresses } from './device-addresses.ts'
import { handOver, type OwnDevice, type SyncContext, syncRange } from './partition-sync.ts'
import { queryOf, rangeOf } from './placed-registers.ts'
import type { Reclaimer } from './reclaimer.ts'
import type { DeviceAddress } from './record-transfer.ts'
import { differingLeaves, type PeerPlan, placementsOf } from './replication-plan.ts'

export interface PeerSyncOptions {
  readonly addresses: DeviceAddresses
  readonly placements: () => readonly Placement[]
  readonly reclaimer: Reclaimer
  readonly contextOf: (own: OwnDevice) => SyncContext
  readonly signal: AbortSignal
  readonly log: Log
}

/** Partitions whose digests are asked for at once: about 80 KB of answer. */
const DIGESTS_MAX = 256
/** Partitions of which two devices first ask each other whether there is any difference at all. */
const FOLDED_MAX = 4096
/** Partitions that are synced at once with a peer. */
const PARTITIONS_AT_ONCE = 16
/** More leaves of a partition are synced together. */
const LEAVES_MAX = 4

export class PeerSync {
  readonly #options: PeerSyncOptions

  constructor(options: PeerSyncOptions) {
    this.#options = options
  }

  /** Sends a peer what it lacks; the number of partitions that differed. */
  async sync(own: OwnDevice, placement: Placement, plan: PeerPlan): Promise<number> {
    const { addresses, signal } = this.#options
    const peer = addresses.of(plan.peer)
    let differing = 0
    for (let at = 0; at < plan.partitions.length; at += FOLDED_MAX) {
      const some = plan.partitions.slice(at, at + FOLDED_MAX)
      const positions = positionsOf(own.device)
      if (await isSame(own.address, peer, placement, some)) {
        for (const partition of some) this.#agree(own, placement, partition, peer, positions)
        continue
      }
      differing += await this.#syncPartitions(own, peer, placement, some)
      if (signal.aborted) return differing
    }
    return differing
  }

  async #syncPartitions(
    own: OwnDevice,
    peer: DeviceAddress,
    placement: Placement,
    all: readonly number[],
  ): Promise<number> {
    const { signal } = this.#options
    let differing = 0
    for (let at = 0; at < all.length; at += DIGESTS_MAX) {
      const partitions = all.slice(at, at + DIGESTS_MAX)
      const positions = positionsOf(own.device)
      // Ours first, as in isSame.
      const query = { ...queryOf(placement), partitions }
      const mine = await own.address.node.digests(own.address.device, query)
      const theirs = await peer.node.digests(peer.device, query)
      const byPartition = new Map(theirs.map((digest) => [digest.partition, digest]))
      const behind = mine.flatMap((digest) => {
        const leaves = differingLeaves(digest, byPartition.get(digest.partition))
        if (leaves.length > 0) return [{ partition: digest.partition, leaves }]
        this.#agree(own, placement, digest.partition, peer, positions)
        return []
      })
      const sync = async ({ partition, leaves }: (typeof behind)[number]) => {
        if (signal.aborted) return
        differing++
        await this.#syncLeaves(own, peer, placement, partition, leaves)
      }
      // Most of the time of a small partition is spent waiting for the peer's answers.
      await forEachParallel(behind, PARTITIONS_AT_ONCE, sync, { stopAtFailure: true })
      if (signal.aborted) return differing
    }
    return differing
  }

  #agree(
    own: OwnDevice,
    placement: Placement,
    partition: number,
    peer: DeviceAddress,
    positions: Positions,
  ): void {
    this.#options.reclaimer.agree(own, placement, partition, { peer: peer.label, positions })
  }

  async #syncLeaves(
    own: OwnDevice,
    peer: DeviceAddress,
    placement: Placement,
    partition: number,
    leaves: readonly number[],
  ): Promise<void> {
    const { partPower } = placement.ring
    // Where most of it differs, as on a new disk, one look is less than one for each leaf.
    const parts = leaves.length > LEAVES_MAX ? [undefined] : leaves
    for (const leaf of parts) {
      const range = { ...rangeOf(placement), ...placementsOf(partPower, partition, leaf) }
      await syncRange(own, peer, range, this.#options.contextOf(own))
    }
  }

  /**
   * Sends the devices that a partition moves to whatever this one holds of it, however young: its writers need not have
   * known of them. True if they have all of it.
   */
  async bring(name: string, move: PartitionMove): Promise<boolean> {
    const { addresses, contextOf } = this.#options
    const placement = this.#options
      .placements()
      .find(({ kind, policy }) => kind === move.kind && policy === move.policy)
    const own = addresses.own(name)
    if (placement === undefined || own === null) return false
    const { partition } = move
    const query = { ...queryOf(placement), partitions: [partition] }
    let isWhole = true
    for (const device of placement.ring.primaries(partition)) {
      const peer = addresses.of(device)
      if (peer.label === own.address.label || move.without?.includes(peer.label)) continue
      const [mine] = await own.address.node.digests(name, query)
      if (mine === undefined) return true
      const [theirs] = await peer.node.digests(peer.device, query)
      for (const leaf of differingLeaves(mine, theirs)) {
        const place = placementsOf(placement.ring.partPower, partition, leaf)
        const context = { ...contextOf(own), graceMs: Number.NEGATIVE_INFINITY }
        if (!(await syncRange(own, peer, { ...rangeOf(placement), ...place }, context))) {
          isWhole = false
        }
      }
    }
    return isWhole
  }

  /** Gives away partitions that are not the device's; the number of those that are still not given away. */
  async handOver(
    own: OwnDevice,
    placement: Placement,
    handoffs: readonly number[],
  ): Promise<number> {
    const { addresses, contextOf, signal, log } = this.#options
    let left = 0
    const { ring } = placement
    for (const partition of handoffs) {
      if (signal.aborted) return left + 1
      const range = { ...rangeOf(placement), ...placementsOf(ring.partPower, partition) }
      try {
        const peers = ring.primaries(partition).map((device) => addresses.of(device))
        if (!(await handOver(own, peers, range, contextOf(own)))) left++
      } catch (error) {
        left++
        log.info('handoff-kept', { partition, error: String(error) })
      }
    }
    return left
  }
}

function positionsOf(device: Device): Positions {
  return new Map(Array.from(device.shards, ([number, shard]) => [number, shard.appliedUpTo]))
}

/** Ours first: what the peer has when it answers includes what we had then. */
async function isSame(
  own: DeviceAddress,
  peer: DeviceAddress,
  placement: Placement,
  partitions: readonly number[],
): Promise<boolean> {
  const query = { ...queryOf(placement), partitions, folded: true }
  const [mine] = await own.node.digests(own.device, query)
  const [theirs] = await peer.node.digests(peer.device, query)
  return mine?.leaves[0] === theirs?.leaves[0]
}
