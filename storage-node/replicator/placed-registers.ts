/** Questions to placements by register and by device: pure. */
import { ITEM_KINDS } from '../../common/item.ts'
import { deviceLabel, type Placement, placedDevices } from '../../common/ring/placement.ts'
import type { DigestQuery } from '../../common/storage-node.ts'
import type { RegisterId } from '../engine/memtable.ts'
import type { LearnedRing } from '../learning.ts'

/** The placement of the register's ring; undefined if no ring is known for it. */
export function placementOfRegister(
  placements: readonly Placement[],
  id: RegisterId,
): Placement | undefined {
  return placements.find(({ kind, policy }) => kind === ITEM_KINDS[id.kind] && policy === id.policy)
}

/** Whether the device with this label is to hold the register. */
export function placesRegister(
  placements: readonly Placement[],
  id: RegisterId,
  label: string,
): boolean {
  const placement = placementOfRegister(placements, id)
  if (placement === undefined) return false
  return isPlaced(placement, placement.ring.partitionOf(id.placement), label)
}

/** Whether the device with this label is to hold the partition. */
export function isPlaced(placement: Placement, partition: number, label: string): boolean {
  return placedDevices(placement, partition).some((device) => deviceLabel(device) === label)
}

/** Whether the ring has this device and no other: one that it does without has something to give away. */
export function isAlone({ ring, previous }: Placement, label: string): boolean {
  if (previous !== null) return false
  return ring.devices.every((device) => device === null || deviceLabel(device) === label)
}

/** The ring as what is learned and agreed of it is noted. */
export function learnedRing({ kind, policy, ring }: Placement): LearnedRing {
  return { kind: ITEM_KINDS.indexOf(kind), policy, partPower: ring.partPower }
}

/** What digests of the ring's partitions are asked for by. */
export function queryOf({
  kind,
  policy,
  ring,
}: Placement): Pick<DigestQuery, 'kind' | 'policy' | 'partPower'> {
  return { kind, policy, partPower: ring.partPower }
}

/** The registers of the ring, without the range of placements. */
export function rangeOf({ kind, policy }: Placement): {
  readonly kind: number
  readonly policy: number
} {
  return { kind: ITEM_KINDS.indexOf(kind), policy }
}
