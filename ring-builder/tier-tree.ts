import type { RingDevice } from '../common/ring/ring.ts'

/** Failure domains from wide to narrow, as a tier tree has them. */
export const TIER_LEVELS = ['cluster', 'region', 'zone', 'node', 'device'] as const
export const DEVICE_LEVEL = 4

/** One failure domain: the cluster, a region, a zone, a node (an address) or a device. */
export interface Tier {
  /** Position in `TierTree.tiers`; parents come before their children. */
  readonly index: number
  /** 0 cluster, 1 region, 2 zone, 3 node, 4 device. */
  readonly level: number
  readonly parent: number
  readonly children: readonly number[]
  /** As reports name it: `r1`, `r1z2`, `r1z2-10.0.0.1`, `r1z2-10.0.0.1/sdb1`. */
  readonly name: string
  /** Device id at the device level, -1 above. */
  readonly deviceId: number
  /** Devices in the tier. */
  readonly deviceCount: number
}

/** The devices of a ring as a tree of failure domains, as flat arrays: rebalancing walks it for every replica. */
export interface TierTree {
  readonly tiers: readonly Tier[]
  /** By level 0..4 and device id: the tier's index, or -1 for a device that is not in the tree. */
  readonly tierOf: readonly Int32Array[]
}

interface GrowingTier {
  readonly index: number
  readonly level: number
  readonly parent: number
  readonly children: number[]
  readonly name: string
  readonly deviceId: number
  deviceCount: number
}

/** The tree of those of the devices that `include` accepts, siblings in the order of region, zone, address and id. */
export function buildTierTree(
  devices: readonly (RingDevice | null)[],
  include: (device: RingDevice) => boolean = () => true,
): TierTree {
  const tiers: GrowingTier[] = []
  const byKey = new Map<string, GrowingTier>()
  const tierOf = TIER_LEVELS.map(() => new Int32Array(devices.length).fill(-1))
  const present = devices.filter(
    (device): device is RingDevice => device !== null && include(device),
  )
  for (const device of present.sort(byPlace)) {
    let parent = -1
    for (const [level, name] of tierNames(device).entries()) {
      const key = level === DEVICE_LEVEL ? `${name} ${device.id}` : name
      let tier = byKey.get(key)
      if (tier === undefined) {
        const deviceId = level === DEVICE_LEVEL ? device.id : -1
        tier = { index: tiers.length, level, parent, children: [], name, deviceId, deviceCount: 0 }
        tiers.push(tier)
        byKey.set(key, tier)
        if (parent >= 0) tiers[parent]!.children.push(tier.index)
      }
      tier.deviceCount++
      tierOf[level]![device.id] = tier.index
      parent = tier.index
    }
  }
  return { tiers, tierOf }
}

/** Names of the tiers that hold the device, from the cluster (empty) to the device. */
function tierNames(device: RingDevice): readonly string[] {
  const { region, zone, ip } = device
  const node = `r${region}z${zone}-${ip}`
  return ['', `r${region}`, `r${region}z${zone}`, node, `${node}/${device.device}`]
}

function byPlace(a: RingDevice, b: RingDevice): number {
  if (a.region !== b.region) return a.region - b.region
  if (a.zone !== b.zone) return a.zone - b.zone
  if (a.ip !== b.ip) return a.ip < b.ip ? -1 : 1
  return a.id - b.id
}
