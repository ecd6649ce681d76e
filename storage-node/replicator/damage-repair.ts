import { deviceLabel, type Placement, placedSides } from '../../common/ring/placement.ts'
import type { DeviceAddresses } from './device-addresses.ts'
import type { OwnDevice, SyncContext } from './partition-sync.ts'
import { placementOfRegister } from './placed-registers.ts'
import { repairRecord } from './record-repair.ts'

/** Damaged records repaired in one pass. */
const REPAIRS_MAX = 500

/** Fetches damaged records of a device from replicas; the number of those that are left. */
export async function repairDamage(
  own: OwnDevice,
  options: {
    readonly placements: () => readonly Placement[]
    readonly addresses: DeviceAddresses
    readonly sync: SyncContext
  },
): Promise<number> {
  const { placements, addresses, sync } = options
  const { damagedItems } = own.device
  let left = REPAIRS_MAX
  for (const [key, id] of damagedItems) {
    if (left-- === 0 || sync.signal.aborted) break
    const placement = placementOfRegister(placements(), id)
    if (placement === undefined) continue
    const { staying, leaving, arriving } = placedSides(
      placement,
      placement.ring.partitionOf(id.placement),
    )
    const peers = [...staying, ...leaving, ...arriving]
      .map((device) => addresses.of(device))
      .filter(({ label }) => label !== own.address.label)
    // What devices lack that are being filled says nothing; a quorum of a move has a majority of those before.
    const voters = new Set([...staying, ...leaving].map(deviceLabel))
    if (!(await repairRecord(own, peers, id, { ...sync, voters }))) continue
    damagedItems.delete(key)
  }
  return damagedItems.size
}
