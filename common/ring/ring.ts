import assert from 'node:assert'
import { createHash } from 'node:crypto'

/**
 * The ring as readers see it: which devices hold a partition (primaries), and who stands in when those are away
 * (handoffs). It is immutable and holds no names; a name becomes a placement (u32) elsewhere, by `placement`'s hash.
 *
 *   placement (u32) --top partPower bits--> partition --replicaToPartToDevice--> device ids --devices--> RingDevice
 */

/** One disk of the cluster. Its failure domains are region > zone > node (`ip`) > device. */
export interface RingDevice {
  /** Index into the ring's `devices`; never reused for another disk while the ring remembers it. */
  readonly id: number
  readonly region: number
  readonly zone: number
  /** IPv4, IPv6 (without brackets) or host name. */
  readonly ip: string
  readonly port: number
  readonly replicationIp: string
  readonly replicationPort: number
  /** Name of the disk on its node, such as `sdb1`. */
  readonly device: string
  /** Share of the data, relative to the other devices; 0 drains it. */
  readonly weight: number
  /** Free text of the operator. */
  readonly meta: string
}

/** The hashes that turn a name into a placement. Swift's rings are `md5`. */
export const PLACEMENTS = ['xxh64', 'md5'] as const
export type Placement = (typeof PLACEMENTS)[number]

/** Everything a ring file says. */
export interface RingData {
  /** The builder's version when the ring was written; grows with every change. */
  readonly version: number
  /** There are 2^partPower partitions. */
  readonly partPower: number
  /** May be fractional: with 2.5, half of the partitions have three replicas and half two. */
  readonly replicaCount: number
  /** Hours a partition rests after one of its replicas moved; unknown in Swift's ring files. */
  readonly minPartHours?: number
  /** During a partition power increase: partPower + 1 (prepared) or partPower (increased, clean-up pending). */
  readonly nextPartPower?: number
  /** Position is the device's id; null where a device was removed. */
  readonly devices: readonly (RingDevice | null)[]
  /** One row per replica, device ids by partition. The last may be short (fractional replicas). Empty before the first rebalance. */
  readonly replicaToPartToDevice: readonly Uint32Array[]
  readonly placement: Placement
}

/** Answers where a partition lives. Throws an assertion error if the data names devices that are not there. */
export class Ring {
  readonly partPower: number
  readonly partitionCount: number
  readonly replicaCount: number
  readonly placement: Placement
  readonly devices: readonly (RingDevice | null)[]
  readonly version: number
  readonly nextPartPower: number | undefined
  readonly #rows: readonly Uint32Array[]
  readonly #tiers: AssignedTiers
  #md5: string | null = null

  constructor(data: RingData) {
    assert(data.partPower >= 0 && data.partPower <= 32, 'partition power within 0..32')
    this.partPower = data.partPower
    this.partitionCount = 2 ** data.partPower
    this.replicaCount = data.replicaCount
    this.placement = data.placement
    this.devices = data.devices
    this.version = data.version
    this.nextPartPower = data.nextPartPower
    this.#rows = data.replicaToPartToDevice
    this.#tiers = assignedTiers(data)
  }

  /** Of all that it says: rings that place the same have the same. */
  get md5(): string {
    const { version, partPower, replicaCount, placement, nextPartPower, devices } = this
    const head = { version, partPower, replicaCount, placement, nextPartPower, devices }
    if (this.#md5 === null) {
      const hash = createHash('md5').update(JSON.stringify(head))
      for (const row of this.#rows) hash.update(row)
      this.#md5 = hash.digest('hex')
    }
    return this.#md5
  }

  /** The partition of a placement, which is the first 32 bits of the name's hash: its top partPower bits. */
  partitionOf(placement: number): number {
    // A shift by 32 is a shift by 0 in JavaScript, so the ring of one partition needs its own answer.
    return this.partPower === 0 ? 0 : placement >>> (32 - this.partPower)
  }

  /** Distinct primaries of the partition, in replica order; empty in a ring that was never rebalanced. */
  primaries(partition: number): readonly RingDevice[] {
    assert(partition >= 0 && partition < this.partitionCount, 'partition within the ring')
    const primaries: RingDevice[] = []
    for (const row of this.#rows) {
      if (partition >= row.length) continue
      const device = this.devices[row[partition]!]!
      if (!primaries.includes(device)) primaries.push(device)
    }
    return primaries
  }

  /**
   * Every other device that has partitions, in the order in which they stand in for absent primaries: first one of each
   * region without a primary, then of each such zone, then of each such node, then any device. The order is Swift's
   * (Ring.get_more_nodes), so that both read the same cluster; it is computed lazily, ask for no more than you need.
   */
  *handoffs(partition: number): Generator<RingDevice, void, undefined> {
    const primaries = this.primaries(partition)
    const tiers = this.#tiers
    const usedIds = new Set<number>(primaries.map((device) => device.id))
    const usedByTier = tiers.levels.map(
      (level) => new Set<number>(primaries.map((device) => level.tierOf[device.id]!)),
    )
    const firstPartition = handoffStart(partition, this.partPower)
    for (const [depth, level] of tiers.levels.entries()) {
      const used = usedByTier[depth]!
      if (used.size === level.count) continue
      for (const id of this.#walk(firstPartition)) {
        if (usedIds.has(id) || used.has(level.tierOf[id]!)) continue
        usedIds.add(id)
        // Tiers above are full already or hold this one's parent; only this one and those below can gain.
        for (const [below, set] of usedByTier.entries()) set.add(tiers.levels[below]!.tierOf[id]!)
        yield this.devices[id]!
        if (used.size === level.count) break
      }
    }
  }

  /** Device ids in the order Swift looks for handoffs: from a hashed partition on, in steps, over all replicas, and round. */
  *#walk(start: number): Generator<number, void, undefined> {
    const parts = this.#rows[0]?.length ?? 0
    const step = Math.floor(parts / 65536) || 1
    for (let part = start; part < parts; part += step) yield* this.#idsAt(part)
    // Swift's arithmetic to the letter: where the step divides the rest, partition 0 is left out.
    for (let part = step - ((parts - start) % step); part < start; part += step) {
      yield* this.#idsAt(part)
    }
  }

  *#idsAt(partition: number): Generator<number, void, undefined> {
    for (const row of this.#rows) if (partition < row.length) yield row[partition]!
  }
}

/** Numbered failure domains of the devices that hold partitions: regions, zones, nodes, and the devices themselves. */
interface AssignedTiers {
  readonly levels: readonly { readonly tierOf: Int32Array; readonly count: number }[]
}

/** Swift counts only devices with partitions, so that a domain nobody can serve from is not looked for. */
function assignedTiers(data: RingData): AssignedTiers {
  const assigned = assignedIds(data)
  const names = [
    (device: RingDevice) => `${device.region}`,
    (device: RingDevice) => `${device.region} ${device.zone}`,
    (device: RingDevice) => `${device.region} ${device.zone} ${device.ip}`,
    (device: RingDevice) => `${device.id}`,
  ]
  const levels = names.map((nameOf) => {
    const tierOf = new Int32Array(data.devices.length).fill(-1)
    const tiers = new Map<string, number>()
    for (const device of data.devices) {
      if (device === null || assigned[device.id] === 0) continue
      const name = nameOf(device)
      const tier = tiers.get(name) ?? tiers.size
      tiers.set(name, tier)
      tierOf[device.id] = tier
    }
    return { tierOf, count: tiers.size }
  })
  return { levels }
}

function assignedIds(data: RingData): Uint8Array {
  const assigned = new Uint8Array(data.devices.length)
  for (const row of data.replicaToPartToDevice) {
    for (let part = 0; part < row.length; part++) {
      const id = row[part]!
      assert(id < assigned.length, 'ring assigns a partition to a device of its list')
      assigned[id] = 1
    }
  }
  for (const [id, device] of data.devices.entries()) {
    assert(device === null || device.id === id, 'a device stands at its id')
    assert(device !== null || assigned[id] === 0, 'ring assigns no partition to a removed device')
  }
  return assigned
}

/** Spreads the partitions' handoff walks over the ring: the top bits of md5 of the partition's decimal number. */
function handoffStart(partition: number, partPower: number): number {
  if (partPower === 0) return 0
  return createHash('md5').update(String(partition)).digest().readUInt32BE(0) >>> (32 - partPower)
}
