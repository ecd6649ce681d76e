/** What it means for partitions that devices are away, and that rings change. */
import { setImmediate as turn } from 'node:timers/promises'
import { deviceLabel, type Placement } from '../../common/ring/placement.ts'
import type { Ring } from '../../common/ring/ring.ts'

export interface PartitionCounts {
  readonly degraded: number
  readonly refusing: number
  readonly moving: number
}

/** A ring of a million partitions is counted without holding up requests. */
const PARTITIONS_A_TURN = 8_192

/** `away`: labels of the devices that do not serve. */
export async function partitionCounts(
  placement: Placement,
  away: ReadonlySet<string>,
): Promise<PartitionCounts> {
  const { ring, previous } = placement
  const counts = { degraded: 0, refusing: 0, moving: 0 }
  if (away.size === 0 && previous === null) return counts
  for (let partition = 0; partition < ring.partitionCount; partition++) {
    if (partition % PARTITIONS_A_TURN === PARTITIONS_A_TURN - 1) await turn()
    const primaries = ring.primaries(partition).map(deviceLabel)
    const there = primaries.filter((label) => !away.has(label)).length
    if (there < primaries.length) counts.degraded++
    if (there < Math.floor(primaries.length / 2) + 1) counts.refusing++
    if (previous !== null && isMoving(previous, partition, primaries)) counts.moving++
  }
  return counts
}

function isMoving(previous: Ring, partition: number, primaries: readonly string[]): boolean {
  const before = new Set(previous.primaries(partition).map(deviceLabel))
  return primaries.some((label) => !before.has(label))
}

const countsOfRing = new WeakMap<Ring, ReadonlyMap<string, number>>()

/** Replicas of partitions by the label of the device that is to hold them, over all rings. */
export function placedCounts(placements: readonly Placement[]): ReadonlyMap<string, number> {
  const total = new Map<string, number>()
  for (const { ring } of placements) {
    let counts = countsOfRing.get(ring)
    if (counts === undefined) {
      counts = countRing(ring)
      countsOfRing.set(ring, counts)
    }
    for (const [label, count] of counts) total.set(label, (total.get(label) ?? 0) + count)
  }
  return total
}

function countRing(ring: Ring): ReadonlyMap<string, number> {
  const byId = new Map<number, number>()
  for (let partition = 0; partition < ring.partitionCount; partition++) {
    for (const { id } of ring.primaries(partition)) byId.set(id, (byId.get(id) ?? 0) + 1)
  }
  return new Map([...byId].map(([id, count]) => [deviceLabel(ring.devices[id]!), count]))
}
