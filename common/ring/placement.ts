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
}

/** Names a device wherever it stands in a ring. */
export function deviceLabel(device: Pick<RingDevice, 'ip' | 'port' | 'device'>): string {
  return `${device.ip}:${device.port}/${device.device}`
}

/**
 * The devices that are to hold a partition: its primaries, and while the ring changes those of the ring before behind
 * them. Each once.
 */
export function placedDevices(placement: Placement, partition: number): readonly RingDevice[] {
  const { ring, previous } = placement
  const primaries = ring.primaries(partition)
  if (previous === null) return primaries
  const labels = new Set(primaries.map(deviceLabel))
  const leaving = previous.primaries(partition).filter((device) => !labels.has(deviceLabel(device)))
  return leaving.length === 0 ? primaries : [...primaries, ...leaving]
}

/**
 * How many of a partition's devices make a quorum: a majority of the old placement and of the new one, whichever they
 * are. With one replica on its way that is one more than a majority of the replicas, out of one more.
 */
export function quorumOf(replicaCount: number, movingCount: number): number {
  return Math.floor(replicaCount / 2) + 1 + movingCount
}
