/** Which partitions a device compares with whom, and which it holds for others: pure. */
import { deviceLabel, type Placement, placedDevices } from '../../common/ring/placement.ts'
import type { RingDevice } from '../../common/ring/ring.ts'
import type { PartitionDigest } from '../../common/storage-node.ts'

export interface ReplicationPlan {
  /** By the peer's label: what both are to hold. */
  readonly byPeer: ReadonlyMap<string, PeerPlan>
  /** Partitions that are not this device's. */
  readonly handoffs: readonly number[]
}

export interface PeerPlan {
  readonly peer: RingDevice
  readonly partitions: readonly number[]
}

/** Sorts the partitions that the device holds by where they belong. */
export function planReplication(
  placement: Placement,
  self: string,
  held: readonly number[],
): ReplicationPlan {
  const byPeer = new Map<string, { readonly peer: RingDevice; partitions: number[] }>()
  const handoffs: number[] = []
  for (const partition of held) {
    const devices = placedDevices(placement, partition)
    if (devices.length === 0) continue
    if (!devices.some((device) => deviceLabel(device) === self)) {
      handoffs.push(partition)
      continue
    }
    for (const peer of devices) {
      const label = deviceLabel(peer)
      if (label === self) continue
      const plan = byPeer.get(label)
      if (plan === undefined) byPeer.set(label, { peer, partitions: [partition] })
      else plan.partitions.push(partition)
    }
  }
  return { byPeer, handoffs }
}

/** The leaves in which the peer holds something else; all that are not empty if it holds nothing. */
export function differingLeaves(
  mine: PartitionDigest,
  theirs: PartitionDigest | undefined,
): readonly number[] {
  return mine.leaves.flatMap((leaf, index) =>
    leaf === (theirs?.leaves[index] ?? NOTHING) ? [] : [index],
  )
}

const NOTHING = '0'.repeat(16)

/** The placements of a leaf of a partition, or of the whole partition. */
export function placementsOf(
  partPower: number,
  partition: number,
  leaf?: number,
): { readonly from: number; readonly to: number } {
  const width = 2 ** (32 - partPower)
  const from = partition * width
  if (leaf === undefined) return { from, to: from + width }
  return { from: from + (leaf * width) / 16, to: from + ((leaf + 1) * width) / 16 }
}
