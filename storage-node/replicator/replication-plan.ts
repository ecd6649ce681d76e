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
  /** In the order in which they are looked at. */
  readonly partitions: readonly number[]
}

/**
 * Sorts the partitions that the device holds by where they belong. Each of a peer's partners begins with other partitions,
 * those of which it is the first of them: a new disk is filled by all of them at once, and when one comes to where another
 * began, most is there.
 */
export function planReplication(
  placement: Placement,
  self: string,
  held: readonly number[],
): ReplicationPlan {
  const byPeer = new Map<string, { readonly peer: RingDevice; readonly byRank: number[][] }>()
  const handoffs: number[] = []
  for (const partition of held) {
    const devices = placedDevices(placement, partition)
    if (devices.length === 0) continue
    const rank = devices.findIndex((device) => deviceLabel(device) === self)
    if (rank < 0) {
      handoffs.push(partition)
      continue
    }
    for (const [index, peer] of devices.entries()) {
      if (index === rank) continue
      const label = deviceLabel(peer)
      const plan = byPeer.get(label) ?? { peer, byRank: [] }
      byPeer.set(label, plan)
      const rankAmongPartners = index < rank ? rank - 1 : rank
      plan.byRank[rankAmongPartners] ??= []
      plan.byRank[rankAmongPartners].push(partition)
    }
  }
  const plans = [...byPeer].map(
    // A rank that it never has is a hole.
    ([label, { peer, byRank }]) => [label, { peer, partitions: byRank.flat() }] as const,
  )
  return { byPeer: new Map(plans), handoffs }
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
