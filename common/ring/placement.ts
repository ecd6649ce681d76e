/** Where the registers of one ring belong, also while the ring changes. */
import type { ItemKind } from '../item.ts'
import type { Ring, RingDevice } from './ring.ts'

/** A ring with what it places. */
export interface Placement {
  readonly kind: ItemKind
  /** Storage policy of objects; 0 of accounts and containers. */
  readonly policy: number
  readonly ring: Ring
  /**
   * The ring before, as long as partitions are on their way: until every device of both placements holds the same,
   * quorums hold in both.
   */
  readonly previous: Ring | null
  /** By partition: the epoch at which its last move began. Absent: none has moved yet. */
  readonly movedAt?: Uint32Array
}

/** Names a device wherever it stands in a ring. */
export function deviceLabel(device: Pick<RingDevice, 'ip' | 'port' | 'device'>): string {
  return `${device.ip}:${device.port}/${device.device}`
}

/** A partition's devices by what becomes of them. */
export interface PlacedSides {
  /** In both rings; all of them where there is only one. */
  readonly staying: readonly RingDevice[]
  /** Only in the ring before. */
  readonly leaving: readonly RingDevice[]
  /** Only in the new ring. */
  readonly arriving: readonly RingDevice[]
}

/** Sorts the devices of a partition. */
export function placedSides({ ring, previous }: Placement, partition: number): PlacedSides {
  const after = ring.primaries(partition)
  if (previous === null) return { staying: after, leaving: [], arriving: [] }
  const before = previous.primaries(partition)
  const labelsAfter = new Set(after.map(deviceLabel))
  const labelsBefore = new Set(before.map(deviceLabel))
  return {
    staying: after.filter((device) => labelsBefore.has(deviceLabel(device))),
    leaving: before.filter((device) => !labelsAfter.has(deviceLabel(device))),
    arriving: after.filter((device) => !labelsBefore.has(deviceLabel(device))),
  }
}

/**
 * The devices that are to hold a partition: its primaries, and while the ring changes those of the ring before. Each
 * once; those that hold everything first, those that are being filled last.
 */
export function placedDevices(placement: Placement, partition: number): readonly RingDevice[] {
  const { staying, leaving, arriving } = placedSides(placement, partition)
  return leaving.length + arriving.length === 0 ? staying : [...staying, ...leaving, ...arriving]
}

/**
 * How many of a partition's devices make a quorum: so many that, whichever they are, a majority of the old placement is
 * among them and one of the new. Without a move that is a majority; with one of three replicas on its way 3 of 4.
 */
export function quorumOf(sides: {
  readonly staying: number
  readonly leaving: number
  readonly arriving: number
}): number {
  const { staying, leaving, arriving } = sides
  const majorityOf = (count: number) => Math.floor(count / 2) + 1
  // All of the others may be among those that answer.
  return Math.max(
    arriving + majorityOf(staying + leaving),
    leaving + majorityOf(staying + arriving),
  )
}
