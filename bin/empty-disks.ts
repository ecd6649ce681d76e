/** Which empty disks stand for one that was lost: they learn from their replicas before they vote. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { RingDevice } from '../common/ring/ring.ts'

/** A device of this process, by its name in the ring. */
export interface OwnDisk {
  readonly name: string
  readonly path: string
}

/** Of a ring, and the one before it while partitions move. */
interface PlacedDevices {
  readonly ring: { readonly devices: readonly (RingDevice | null)[] }
  readonly previous: { readonly devices: readonly (RingDevice | null)[] } | null
}

/**
 * The names of own devices that rings place something on: should the disk of one be empty, others may hold what it held.
 * Rings come to know a disk only when it is open already, but for the first start of a cluster.
 */
export function placedNames(
  { placements }: { readonly placements: readonly PlacedDevices[] },
  ownName: (device: RingDevice) => string | null,
): ReadonlySet<string> {
  const names = new Set<string>()
  for (const { ring, previous } of placements) {
    for (const device of [...ring.devices, ...(previous?.devices ?? [])]) {
      const name = device === null ? null : ownName(device)
      if (name !== null) names.add(name)
    }
  }
  return names
}

/** Whether nothing was ever stored on any of the disks: there is nobody to learn from. */
export function areAllEmpty(disks: readonly OwnDisk[]): boolean {
  return !disks.some(({ path }) => existsSync(join(path, 'FORMAT')))
}
