import assert from 'node:assert'
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import type { Ring, RingDevice } from '../../common/ring/ring.ts'
import type { StorageNode } from '../../common/storage-node.ts'
import { DeviceHealth, type ErrorLimit } from './device-health.ts'

/** The rings of a cluster. `object` throws a ServiceError for a policy that does not exist. */
export interface ClusterRings {
  readonly account: Ring
  readonly container: Ring
  readonly object: (policy: number) => Ring
}

/** A device as the backend talks to it. */
export interface Replica {
  readonly node: StorageNode
  /** The device's name on its node. */
  readonly device: string
  readonly health: DeviceHealth
  /** `ip:port/device`, for logs. */
  readonly label: string
}

export interface ReplicaMapOptions {
  readonly rings: ClusterRings
  readonly nodeOf: (device: RingDevice) => StorageNode
  readonly clock: Clock
  readonly errorLimit?: ErrorLimit
  /** Storage policies with Swift's consistency: handoffs count. */
  readonly sloppyPolicies?: readonly number[]
}

/** Beyond this, primaries are looked up in the ring each time instead of being kept by partition. */
const PARTITIONS_KEPT_MAX = 2 ** 16

/**
 * From a name's key to the devices that hold it: key.placement -> ring -> partition -> primaries. A device that is in
 * several rings is one Replica, so that its health is known to all.
 */
export class ReplicaMap {
  readonly #rings: ClusterRings
  readonly #nodeOf: (device: RingDevice) => StorageNode
  readonly #clock: Clock
  readonly #errorLimit: ErrorLimit | undefined
  readonly #sloppy: ReadonlySet<number>
  readonly #byLabel = new Map<string, Replica>()
  readonly #primaries = new WeakMap<Ring, (readonly Replica[] | undefined)[]>()

  constructor(options: ReplicaMapOptions) {
    this.#rings = options.rings
    this.#nodeOf = options.nodeOf
    this.#clock = options.clock
    this.#errorLimit = options.errorLimit
    this.#sloppy = new Set(options.sloppyPolicies)
  }

  /** The item's distinct primaries in ring order, never empty: a ring without devices is a 503. */
  primaries(item: ItemKey): readonly Replica[] {
    const ring = this.#ringOf(item)
    const partition = ring.partitionOf(item.placement)
    const kept = this.#keptOf(ring)
    const known = kept[partition]
    if (known !== undefined) return known
    const primaries = ring.primaries(partition).map((device) => this.#replicaOf(device))
    if (primaries.length === 0) throw noDevices(item)
    if (partition < PARTITIONS_KEPT_MAX) kept[partition] = primaries
    return primaries
  }

  /** Whether the item is an object of a policy with Swift's consistency. */
  isSloppy(item: Pick<ItemKey, 'kind' | 'policy'>): boolean {
    return this.#sloppy.size > 0 && item.kind === 'object' && this.#sloppy.has(item.policy)
  }

  get hasSloppyPolicies(): boolean {
    return this.#sloppy.size > 0
  }

  /** Who may hold the item's record on purpose: the primaries, and in a sloppy policy as many handoffs. */
  *holders(item: ItemKey): Generator<Replica, void, undefined> {
    const primaries = this.primaries(item)
    yield* primaries
    if (!this.isSloppy(item)) return
    let left = primaries.length
    for (const handoff of this.handoffs(item)) {
      yield handoff
      if (--left === 0) return
    }
  }

  /** The devices that stand in for absent primaries, best first; lazily. */
  *handoffs(item: ItemKey): Generator<Replica, void, undefined> {
    const ring = this.#ringOf(item)
    for (const device of ring.handoffs(ring.partitionOf(item.placement))) {
      yield this.#replicaOf(device)
    }
  }

  /** Every device of the account and container rings and of the given policies' object rings, once each. */
  all(policies: readonly number[]): readonly Replica[] {
    const rings = [this.#rings.account, this.#rings.container, ...policies.map(this.#rings.object)]
    const replicas = new Set<Replica>()
    for (const ring of rings) {
      for (const device of ring.devices) if (device !== null) replicas.add(this.#replicaOf(device))
    }
    return [...replicas]
  }

  #ringOf(item: ItemKey): Ring {
    switch (item.kind) {
      case 'object':
        return this.#rings.object(item.policy)
      case 'container':
        return this.#rings.container
      case 'account':
        return this.#rings.account
    }
  }

  #keptOf(ring: Ring): (readonly Replica[] | undefined)[] {
    let kept = this.#primaries.get(ring)
    if (kept === undefined) {
      kept = []
      this.#primaries.set(ring, kept)
    }
    return kept
  }

  #replicaOf(device: RingDevice): Replica {
    const label = `${device.ip}:${device.port}/${device.device}`
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

function noDevices(item: ItemKey): ServiceError {
  return new ServiceError('NoDevices', `the ring has no devices for ${item.kind}s yet`, {
    status: 503,
    retryAfterSeconds: 10,
  })
}
