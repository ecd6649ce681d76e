import { deviceLabel, type Placement } from '../../common/ring/placement.ts'
import type { RingDevice } from '../../common/ring/ring.ts'
import type { StorageNode } from '../../common/storage-node.ts'
import type { LocalNode } from '../local-node.ts'
import type { OwnDevice } from './partition-sync.ts'
import type { DeviceAddress } from './record-transfer.ts'

export interface DeviceAddressesOptions {
  readonly node: LocalNode
  /** The rings as they are now; empty as long as none are known. */
  readonly placements: () => readonly Placement[]
  /** The name here of a device of the rings; null if it is another node's. */
  readonly ownName: (device: RingDevice) => string | null
  /** How rings would name a device of this node that is in none of them; null: nobody knows. */
  readonly labelOf: (name: string) => string | null
  /** The storage node of a device of the rings. */
  readonly nodeOf: (device: RingDevice) => StorageNode
}

/** How the devices of the rings are reached from this node. */
export class DeviceAddresses {
  readonly #options: DeviceAddressesOptions
  /** Of own devices, as rings have named them. */
  readonly #labels = new Map<string, string>()

  constructor(options: DeviceAddressesOptions) {
    this.#options = options
  }

  /** A device of this node; null for one that is in no ring, and was in none that is remembered. */
  own(name: string): OwnDevice | null {
    const { node, placements, ownName } = this.#options
    const device = node.devices.get(name)
    if (device === undefined) return null
    for (const { ring, previous } of placements()) {
      for (const found of [...ring.devices, ...(previous?.devices ?? [])]) {
        if (found === null || ownName(found) !== name) continue
        const label = deviceLabel(found)
        this.#labels.set(name, label)
        return { device, address: { node, device: name, label } }
      }
    }
    // The rings have done without it since: it gives away what it still holds.
    const label = this.#labels.get(name) ?? this.#options.labelOf(name)
    return label === null ? null : { device, address: { node, device: name, label } }
  }

  of(device: RingDevice): DeviceAddress {
    const { node, nodeOf, ownName } = this.#options
    const name = ownName(device)
    const label = deviceLabel(device)
    if (name !== null) return { node, device: name, label }
    return { node: nodeOf(device), device: device.device, label }
  }
}
