import assert from 'node:assert'
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey, ItemKind } from '../../common/item.ts'
import { deviceLabel, type Placement, placedSides, quorumOf } from '../../common/ring/placement.ts'
import type { RingDevice } from '../../common/ring/ring.ts'
import {
  isStaleRings,
  placementOf,
  type RingSet,
  type RingSource,
} from '../../common/ring/ring-set.ts'
import type { StorageNode } from '../../common/storage-node.ts'
import { DeviceHealth, type ErrorLimit } from './device-health.ts'

/** A device as the backend talks to it. */
export interface Replica {
  readonly node: StorageNode
  /** The device's name on its node. */
  readonly device: string
  readonly health: DeviceHealth
  /** `ip:port/device`, for logs. */
  readonly label: string
}

/** The devices of one partition, as of one epoch. */
export interface ReplicaGroup {
  /** Distinct, in ring order, never empty; while the partition moves, those that are being filled come last. */
  readonly replicas: readonly Replica[]
  /** How many of them, whichever, make a quorum for reads and writes. */
  readonly quorum: number
  readonly epoch: number
}

export interface ReplicaMapOptions {
  readonly rings: RingSource
  readonly nodeOf: (device: RingDevice) => StorageNode
  readonly clock: Clock
  readonly errorLimit?: ErrorLimit
  /** Storage policies with Swift's consistency: handoffs count. */
  readonly sloppyPolicies?: readonly number[]
}

/** The groups of one ring that were asked for, by partition. */
interface KeptGroups {
  readonly placement: Placement
  readonly groups: (ReplicaGroup | undefined)[]
}

/** Beyond this, groups are looked up in the ring each time instead of being kept by partition. */
const PARTITIONS_KEPT_MAX = 2 ** 16
/** Epochs that may follow each other while one operation goes on. */
const EPOCHS_MAX = 20

/**
 * From a name's key to the devices that hold it: key.placement -> ring -> partition -> group. A device that is in several
 * rings is one Replica, so that its health is known to all.
 */
export class ReplicaMap {
  readonly #rings: RingSource
  readonly #nodeOf: (device: RingDevice) => StorageNode
  readonly #clock: Clock
  readonly #errorLimit: ErrorLimit | undefined
  readonly #sloppy: ReadonlySet<number>
  readonly #byLabel = new Map<string, Replica>()
  /** Of these rings; others begin anew. */
  #kept: { readonly set: RingSet; readonly byKind: Record<ItemKind, KeptGroups[]> }
  #refreshing: Promise<void> | null = null

  constructor(options: ReplicaMapOptions) {
    this.#rings = options.rings
    this.#nodeOf = options.nodeOf
    this.#clock = options.clock
    this.#errorLimit = options.errorLimit
    this.#sloppy = new Set(options.sloppyPolicies)
    this.#kept = keptOf(options.rings.current())
  }

  /** The item's devices now. A ring without devices is a 503. */
  group(item: ItemKey): ReplicaGroup {
    const set = this.#rings.current()
    if (set !== this.#kept.set) this.#kept = keptOf(set)
    const kept = this.#kept.byKind[item.kind]
    kept[item.policy] ??= { placement: placementOf(set, item.kind, item.policy), groups: [] }
    const { placement, groups } = kept[item.policy]!
    const partition = placement.ring.partitionOf(item.placement)
    const known = groups[partition]
    if (known !== undefined) return known
    const { staying, leaving, arriving } = placedSides(placement, partition)
    const devices = [...staying, ...leaving, ...arriving]
    if (devices.length === 0) throw noDevices(item)
    const group = {
      replicas: devices.map((device) => this.#replicaOf(device)),
      quorum: quorumOf({
        staying: staying.length,
        leaving: leaving.length,
        arriving: arriving.length,
      }),
      epoch: set.epoch,
    }
    if (partition < PARTITIONS_KEPT_MAX) groups[partition] = group
    return group
  }

  /** The same, without the quorum. */
  primaries(item: ItemKey): readonly Replica[] {
    return this.group(item).replicas
  }

  /** Whether the item is an object of a policy with Swift's consistency. */
  isSloppy(item: Pick<ItemKey, 'kind' | 'policy'>): boolean {
    return this.#sloppy.size > 0 && item.kind === 'object' && this.#sloppy.has(item.policy)
  }

  get hasSloppyPolicies(): boolean {
    return this.#sloppy.size > 0
  }

  /** Who may hold the item's record on purpose: the primaries, and in a sloppy policy as many handoffs. */
  holders(item: ItemKey): Iterable<Replica> {
    return this.isSloppy(item) ? this.#withHandoffs(item) : this.primaries(item)
  }

  *#withHandoffs(item: ItemKey): Generator<Replica, void, undefined> {
    const primaries = this.primaries(item)
    yield* primaries
    let left = primaries.length
    for (const handoff of this.handoffs(item)) {
      yield handoff
      if (--left === 0) return
    }
  }

  /** The devices that stand in for absent primaries, best first; lazily. */
  *handoffs(item: ItemKey): Generator<Replica, void, undefined> {
    const { ring } = placementOf(this.#rings.current(), item.kind, item.policy)
    const { replicas } = this.group(item)
    for (const device of ring.handoffs(ring.partitionOf(item.placement))) {
      const replica = this.#replicaOf(device)
      if (!replicas.includes(replica)) yield replica
    }
  }

  /** Every device of the account and container rings and of the given policies' object rings, once each. */
  all(policies: readonly number[]): readonly Replica[] {
    const replicas = new Set<Replica>()
    for (const { kind, policy, ring, previous } of this.#rings.current().placements) {
      if (kind === 'object' && !policies.includes(policy)) continue
      for (const device of [...ring.devices, ...(previous?.devices ?? [])]) {
        if (device !== null) replicas.add(this.#replicaOf(device))
      }
    }
    return [...replicas]
  }

  /**
   * After a node said that rings of this epoch are too old: asks for newer ones. True if there are; otherwise what was
   * refused stays so.
   */
  async refresh(epoch: number): Promise<boolean> {
    if (this.#rings.current().epoch === epoch) {
      this.#refreshing ??= this.#rings.refresh().finally(() => {
        this.#refreshing = null
      })
      await this.#refreshing
    }
    return this.#rings.current().epoch > epoch
  }

  /** Does again by newer rings what nodes refused because ours were too old: only for what may be done twice. */
  fresh<T>(run: () => Promise<T>, left = EPOCHS_MAX): Promise<T> {
    const { epoch } = this.#rings.current()
    const orAgain = async (error: unknown): Promise<T> => {
      if (left === 0 || !isStaleRings(error) || !(await this.refresh(epoch))) throw error
      return this.fresh(run, left - 1)
    }
    try {
      return run().catch(orAgain)
    } catch (error) {
      return orAgain(error)
    }
  }

  #replicaOf(device: RingDevice): Replica {
    const label = deviceLabel(device)
    const known = this.#byLabel.get(label)
    if (known !== undefined) return known
    assert(device.device !== '', 'a ring device has a name')
    const replica: Replica = {
      node: this.#nodeOf(device),
      device: device.device,
      health: new DeviceHealth(this.#clock, this.#errorLimit),
      label,
    }
    this.#byLabel.set(label, replica)
    return replica
  }
}

/** The item as nodes are asked for it: with the epoch by which they were found. */
export function itemOf(group: ReplicaGroup, item: ItemKey): ItemKey {
  const { epoch } = group
  if (epoch === 0) return item
  const { kind, name, hash, placement, policy } = item
  // Field by field: V8 gives each object of a spread and one field more a shape of its own.
  return { kind, name, hash, placement, policy, epoch }
}

/** By kind of item, and by policy. */
function keptOf(set: RingSet): { set: RingSet; byKind: Record<ItemKind, KeptGroups[]> } {
  return { set, byKind: { account: [], container: [], object: [] } }
}

function noDevices(item: ItemKey): ServiceError {
  return new ServiceError('NoDevices', `the ring has no devices for ${item.kind}s yet`, {
    status: 503,
    retryAfterSeconds: 10,
  })
}
