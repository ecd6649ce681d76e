/**
 * Keeps the devices of a node in step with their replicas: compares digests of partitions, sends what the others lack,
 * gives away what belongs elsewhere, and fetches what is damaged here. It only sends: a device that was away is brought
 * up to date by those that were not, and sends what only it has.
 *
 * A pass that found nothing is followed by ever longer pauses; one that sent something, or could not reach a device, by
 * a short one. Sending is throttled, and stops between two pages when it is to stop.
 */
import { forEachParallel } from '../../common/bounded-parallel.ts'
import type { Clock } from '../../common/clock.ts'
import type { PartitionMove } from '../../common/cluster-member.ts'
import { ITEM_KINDS } from '../../common/item.ts'
import { type Log, silentLog } from '../../common/log.ts'
import {
  deviceLabel,
  type Placement,
  placedDevices,
  placedSides,
} from '../../common/ring/placement.ts'
import type { RingDevice } from '../../common/ring/ring.ts'
import type { ReplicationStatus, StorageNode } from '../../common/storage-node.ts'
import type { Device } from '../device.ts'
import type { RegisterId } from '../engine/memtable.ts'
import type { LearnedRing } from '../learning.ts'
import type { LocalNode } from '../local-node.ts'
import { Throttle } from '../throttle.ts'
import { Agreements, type Positions } from './agreements.ts'
import { Arrivals } from './arrivals.ts'
import { learn } from './learner.ts'
import {
  handOver,
  type OwnDevice,
  type SyncContext,
  SyncCounters,
  syncRange,
} from './partition-sync.ts'
import { type ReclaimContext, reclaimRange } from './reclaim.ts'
import { repairRecord } from './record-repair.ts'
import type { DeviceAddress } from './record-transfer.ts'
import {
  differingLeaves,
  type PeerPlan,
  placementsOf,
  planReplication,
  type ReplicationPlan,
} from './replication-plan.ts'

export interface ReplicatorOptions {
  readonly node: LocalNode
  /** The rings as they are now; empty as long as none are known. */
  readonly placements: () => readonly Placement[]
  /** The name here of a device of the rings; null if it is another node's. */
  readonly ownName: (device: RingDevice) => string | null
  /** How rings would name a device of this node that is in none of them; absent or null: nobody knows. */
  readonly labelOf?: (name: string) => string | null
  /** The storage node of a device of the rings. */
  readonly nodeOf: (device: RingDevice) => StorageNode
  readonly clock: Clock
  readonly log?: Log | undefined
  /** Of all devices together. */
  readonly bytesPerSecond?: number
  /** Pause after a pass that had something to do. */
  readonly busyMs?: number
  /** Longest pause while there is nothing to do. */
  readonly idleMs?: number
  /** Records younger than this are left to the proxy that is writing them. */
  readonly graceMs?: number
  /** How long deleted names are remembered. */
  readonly reclaimAgeMs?: number
  /** What all replicas know is forgotten so long after that was seen: others have to have seen it, too. */
  readonly reclaimWaitMs?: number
}

const DEFAULTS = {
  bytesPerSecond: 50 * 1024 * 1024,
  busyMs: 1_000,
  idleMs: 20_000,
  graceMs: 3_000,
  reclaimAgeMs: 7 * 24 * 3600 * 1000,
  reclaimWaitMs: 600_000,
  labelOf: (_name: string): string | null => null,
}

const NO_PASS: ReplicationStatus = {
  compared: 0,
  differing: 0,
  unreachable: 0,
  handoffs: 0,
  damaged: 0,
  passedAtMs: 0,
  passMs: 0,
  inStepAtMs: 0,
}

/** Partitions whose digests are asked for at once: about 80 KB of answer. */
const DIGESTS_MAX = 256
/** Partitions of which two devices first ask each other whether there is any difference at all. */
const FOLDED_MAX = 4096
/** Partitions that are synced at once with a peer. */
const PARTITIONS_AT_ONCE = 16
/** More leaves of a partition are synced together. */
const LEAVES_MAX = 4
/** Pause between two looks through all deletions, as a share of the time for which they are remembered. */
const RECLAIM_SHARE = 1 / 28
/** Damaged records repaired in one pass. */
const REPAIRS_MAX = 500

export class Replicator {
  readonly counters = new SyncCounters()
  /** What leaves the node. */
  readonly arrivals: Arrivals
  readonly #options: Required<Omit<ReplicatorOptions, 'log'>> & { readonly log: Log }
  readonly #throttle: Throttle
  readonly #abort = new AbortController()
  /** Of own devices, as rings have named them. */
  readonly #labels = new Map<string, string>()
  readonly #agreements = new Map<string, Agreements>()
  /** When deletions of a device are looked through again, in monotonic milliseconds. */
  readonly #reclaimAtMs = new Map<string, number>()
  readonly #status = new Map<string, ReplicationStatus>()
  readonly #plans = new Map<
    string,
    {
      readonly placement: Placement
      readonly held: readonly number[]
      readonly plan: ReplicationPlan
    }
  >()
  #pauseMs: number
  #cancel: (() => void) | null = null
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: ReplicatorOptions) {
    this.#options = { ...DEFAULTS, ...options, log: options.log ?? silentLog }
    this.#throttle = new Throttle(options.clock, {
      bytesPerSecond: this.#options.bytesPerSecond,
    })
    this.#pauseMs = this.#options.busyMs
    const { clock, log } = this.#options
    this.arrivals = new Arrivals({ clock, log, bring: (device, move) => this.#bring(device, move) })
  }

  /** Runs passes until `stop`; the first at once where a device has to learn before it is of use. */
  start(): void {
    const devices = [...this.#options.node.devices.values()]
    const isLearning = devices.some(({ learningReason }) => learningReason !== '')
    this.#schedule(isLearning ? 0 : this.#options.busyMs)
  }

  /** A pass soon, whatever the pause: the rings have changed, or damage was found. */
  wake(): void {
    if (this.#cancel === null || this.#abort.signal.aborted) return
    this.#cancel()
    this.#pauseMs = this.#options.busyMs
    this.#schedule(0)
  }

  /** Ends what is under way at its next step; idempotent. */
  async stop(): Promise<void> {
    this.#abort.abort()
    this.#cancel?.()
    await this.arrivals.stop()
    await this.#running
  }

  /** Of a device as of its last pass; all zero before the first. */
  status(device: string): ReplicationStatus {
    return this.#status.get(device) ?? NO_PASS
  }

  /** One pass over all devices, now; true if there was anything to do, or somebody could not be reached. */
  async pass(): Promise<boolean> {
    let isBusy = false
    for (const name of this.#options.node.devices.keys()) {
      if (this.#abort.signal.aborted) break
      try {
        if (await this.#passDevice(name)) isBusy = true
      } catch (error) {
        isBusy = true
        this.#options.log.warn('replication-failed', { device: name, error: String(error) })
      }
    }
    return isBusy
  }

  #schedule(delayMs: number): void {
    this.#cancel = this.#options.clock.after(delayMs, () => {
      this.#cancel = null
      this.#running = this.pass().then((isBusy) => {
        const { busyMs, idleMs } = this.#options
        this.#pauseMs = isBusy ? busyMs : Math.min(idleMs, this.#pauseMs * 2)
        if (!this.#abort.signal.aborted) this.#schedule(this.#pauseMs)
      })
    })
  }

  async #passDevice(name: string): Promise<boolean> {
    const { clock, placements, node } = this.#options
    const own = this.#own(name)
    const device = node.devices.get(name)
    if (own === null || device === undefined) return false
    const startMs = clock.monotonicMs()
    const isLearning = await learn(own, {
      placements: placements(),
      addressOf: (device) => this.#addressOf(device),
      signal: this.#abort.signal,
      sync: this.#context(own),
    })
    const count = { compared: 0, differing: 0, unreachable: 0, handoffs: 0 }
    for (const placement of placements()) {
      if (this.#abort.signal.aborted) break
      // There is nobody to be in step with.
      if (isAlone(placement, own.address.label)) continue
      const plan = await this.#plan(own, placement)
      for (const peerPlan of plan.byPeer.values()) {
        count.compared += peerPlan.partitions.length
        try {
          count.differing += await this.#syncPeer(own, placement, peerPlan)
        } catch (error) {
          count.unreachable += peerPlan.partitions.length
          const { peer } = peerPlan
          this.#options.log.info('peer-behind', { peer: deviceLabel(peer), error: String(error) })
        }
      }
      count.handoffs += await this.#handOver(own, placement, plan.handoffs)
    }
    const damaged = await this.#repair(own)
    await this.#reclaim(own)
    const passMs = clock.monotonicMs() - startMs
    const isBusy = isLearning || count.differing + count.unreachable + count.handoffs + damaged > 0
    const passedAtMs = clock.nowMs()
    const inStepAtMs = isBusy ? this.status(name).inStepAtMs : passedAtMs
    this.#status.set(name, { ...count, damaged, passedAtMs, passMs, inStepAtMs })
    return isBusy
  }

  /** What belongs where changes less often than passes are made. */
  async #plan({ address }: OwnDevice, placement: Placement): Promise<ReplicationPlan> {
    const held = await this.#options.node.heldPartitions(address.device, queryOf(placement))
    const key = `${address.label} ${placement.kind} ${placement.policy}`
    const known = this.#plans.get(key)
    if (known?.placement === placement && known.held === held) return known.plan
    const plan = planReplication(placement, address.label, held)
    this.#plans.set(key, { placement, held, plan })
    return plan
  }

  /** The number of partitions that differed. */
  async #syncPeer(own: OwnDevice, placement: Placement, plan: PeerPlan): Promise<number> {
    const peer = this.#addressOf(plan.peer)
    let differing = 0
    for (let at = 0; at < plan.partitions.length; at += FOLDED_MAX) {
      const some = plan.partitions.slice(at, at + FOLDED_MAX)
      const positions = positionsOf(own.device)
      if (await isSame(own.address, peer, placement, some)) {
        for (const partition of some) this.#agree(own, placement, partition, peer, positions)
        continue
      }
      differing += await this.#syncPartitions(own, peer, placement, some)
      if (this.#abort.signal.aborted) return differing
    }
    return differing
  }

  async #syncPartitions(
    own: OwnDevice,
    peer: DeviceAddress,
    placement: Placement,
    all: readonly number[],
  ): Promise<number> {
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
        if (this.#abort.signal.aborted) return
        differing++
        await this.#syncLeaves(own, peer, placement, partition, leaves)
      }
      // Most of the time of a small partition is spent waiting for the peer's answers.
      await forEachParallel(behind, PARTITIONS_AT_ONCE, sync, { stopAtFailure: true })
      if (this.#abort.signal.aborted) return differing
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
    const nowMs = this.#options.clock.monotonicMs()
    const of = { peer: peer.label, positions, nowMs }
    this.#agreementsOf(own).note(learnedRing(placement), partition, of)
  }

  #agreementsOf({ address: { device } }: OwnDevice): Agreements {
    const known = this.#agreements.get(device)
    if (known !== undefined) return known
    const agreements = new Agreements({ waitMs: this.#options.reclaimWaitMs })
    this.#agreements.set(device, agreements)
    return agreements
  }

  /** Forgets deletions that all replicas have known for long enough, now and then. */
  async #reclaim(own: OwnDevice): Promise<void> {
    const { clock, placements, reclaimAgeMs } = this.#options
    const { device } = own.address
    if (clock.monotonicMs() < (this.#reclaimAtMs.get(device) ?? 0)) return
    this.#reclaimAtMs.set(device, clock.monotonicMs() + reclaimAgeMs * RECLAIM_SHARE)
    // In one walk: each begins with a look at all that is not in the index below yet. What is not this device's is left
    // alone by `isShared`.
    const everything = { from: 0, to: 2 ** 32 }
    for (const placement of placements()) {
      const range = { ...rangeOf(placement), ...everything }
      await reclaimRange(own, range, this.#reclaimContext(own))
    }
  }

  #reclaimContext(own: OwnDevice): ReclaimContext {
    const agreements = this.#agreementsOf(own)
    return {
      reclaimAgeMs: this.#options.reclaimAgeMs,
      counters: this.counters,
      signal: this.#abort.signal,
      isShared: (id, of) => {
        const placement = this.#placementOf(id)
        if (placement === undefined) return false
        const partition = placement.ring.partitionOf(id.placement)
        if (!isPlaced(placement, partition, own.address.label)) return false
        const peers = placedDevices(placement, partition)
          .map(deviceLabel)
          .filter((label) => label !== own.address.label)
        return agreements.isShared(learnedRing(placement), partition, { ...of, peers })
      },
    }
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
      await syncRange(own, peer, range, this.#context(own))
    }
  }

  /**
   * Sends the devices that a partition moves to whatever this one holds of it, however young: its writers need not have
   * known of them. True if they have all of it.
   */
  async #bring(name: string, move: PartitionMove): Promise<boolean> {
    const placement = this.#options
      .placements()
      .find(({ kind, policy }) => kind === move.kind && policy === move.policy)
    const own = this.#own(name)
    if (placement === undefined || own === null) return false
    const { partition } = move
    const query = { ...queryOf(placement), partitions: [partition] }
    let isWhole = true
    for (const device of placement.ring.primaries(partition)) {
      const peer = this.#addressOf(device)
      if (peer.label === own.address.label || move.without?.includes(peer.label)) continue
      const [mine] = await own.address.node.digests(name, query)
      if (mine === undefined) return true
      const [theirs] = await peer.node.digests(peer.device, query)
      for (const leaf of differingLeaves(mine, theirs)) {
        const place = placementsOf(placement.ring.partPower, partition, leaf)
        const context = { ...this.#context(own), graceMs: Number.NEGATIVE_INFINITY }
        if (!(await syncRange(own, peer, { ...rangeOf(placement), ...place }, context))) {
          isWhole = false
        }
      }
    }
    return isWhole
  }

  /** The number of partitions that are still not given away. */
  async #handOver(
    own: OwnDevice,
    placement: Placement,
    handoffs: readonly number[],
  ): Promise<number> {
    let left = 0
    const { ring } = placement
    for (const partition of handoffs) {
      if (this.#abort.signal.aborted) return left + 1
      const range = { ...rangeOf(placement), ...placementsOf(ring.partPower, partition) }
      const { log } = this.#options
      try {
        const peers = ring.primaries(partition).map((device) => this.#addressOf(device))
        if (!(await handOver(own, peers, range, this.#context(own)))) left++
      } catch (error) {
        left++
        log.info('handoff-kept', { partition, error: String(error) })
      }
    }
    return left
  }

  /** Fetches damaged records from replicas; the number of those that are left. */
  async #repair(own: OwnDevice): Promise<number> {
    const { damagedItems } = own.device
    let left = REPAIRS_MAX
    for (const [key, id] of damagedItems) {
      if (left-- === 0 || this.#abort.signal.aborted) break
      const placement = this.#placementOf(id)
      if (placement === undefined) continue
      const { staying, leaving, arriving } = placedSides(
        placement,
        placement.ring.partitionOf(id.placement),
      )
      const peers = [...staying, ...leaving, ...arriving]
        .map((device) => this.#addressOf(device))
        .filter(({ label }) => label !== own.address.label)
      // What devices lack that are being filled says nothing; a quorum of a move has a majority of those before.
      const voters = new Set([...staying, ...leaving].map(deviceLabel))
      if (!(await repairRecord(own, peers, id, { ...this.#context(own), voters }))) continue
      damagedItems.delete(key)
    }
    return damagedItems.size
  }

  #placementOf(id: RegisterId): Placement | undefined {
    return this.#options
      .placements()
      .find(({ kind, policy }) => kind === ITEM_KINDS[id.kind] && policy === id.policy)
  }

  /** A device of this node; null for one that is in no ring, and was in none that is remembered. */
  #own(name: string): OwnDevice | null {
    const { node, placements, ownName } = this.#options
    const device = node.devices.get(name)
    if (device === undefined) return null
    for (const { ring, previous } of placements()) {
      for (const found of [...ring.devices, ...(previous?.devices ?? [])]) {
        if (found === null || ownName(found) !== name) continue
        const label = deviceLabel(found)
        this.#labels.set(name, label)
        return { device, address: { node, device: name, label } }
      }
    }
    // The rings have done without it since: it gives away what it still holds.
    const label = this.#labels.get(name) ?? this.#options.labelOf(name)
    return label === null ? null : { device, address: { node, device: name, label } }
  }

  #addressOf(device: RingDevice): DeviceAddress {
    const { node, nodeOf, ownName } = this.#options
    const name = ownName(device)
    const label = deviceLabel(device)
    if (name !== null) return { node, device: name, label }
    return { node: nodeOf(device), device: device.device, label }
  }

  #context(own: OwnDevice): SyncContext {
    const { clock, graceMs } = this.#options
    return {
      take: (bytes) => this.#throttle.take(bytes),
      graceMs,
      nowMs: () => clock.nowMs(),
      signal: this.#abort.signal,
      counters: this.counters,
      reclaim: this.#reclaimContext(own),
      isPlacedHere: (id) => {
        const placement = this.#placementOf(id)
        if (placement === undefined) return false
        const partition = placement.ring.partitionOf(id.placement)
        return isPlaced(placement, partition, own.address.label)
      },
      onDamage: (id) => own.device.noteDamagedItem(id),
    }
  }
}

function learnedRing({ kind, policy, ring }: Placement): LearnedRing {
  return { kind: ITEM_KINDS.indexOf(kind), policy, partPower: ring.partPower }
}

function positionsOf(device: Device): Positions {
  return new Map(Array.from(device.shards, ([number, shard]) => [number, shard.appliedUpTo]))
}

function isPlaced(placement: Placement, partition: number, label: string): boolean {
  return placedDevices(placement, partition).some((device) => deviceLabel(device) === label)
}

/** Whether the ring has this device and no other: one that it does without has something to give away. */
function isAlone({ ring, previous }: Placement, label: string): boolean {
  if (previous !== null) return false
  return ring.devices.every((device) => device === null || deviceLabel(device) === label)
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

function queryOf({ kind, policy, ring }: Placement) {
  return { kind, policy, partPower: ring.partPower }
}

function rangeOf({ kind, policy }: Placement): { readonly kind: number; readonly policy: number } {
  return { kind: ITEM_KINDS.indexOf(kind), policy }
}
