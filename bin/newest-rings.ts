import type { Random } from '../common/random.ts'
import type { RingDevice } from '../common/ring/ring.ts'
import type { RingSource } from '../common/ring/ring-set.ts'
import type { RemoteNodes } from './remote-nodes.ts'
import type { AskForRings } from './ring-folder.ts'

/** Asks nodes of the present rings, in random order, for newer ones. */
export function askNewestRings(
  rings: Pick<RingSource, 'current'>,
  nodes: RemoteNodes,
  random: Random,
): AskForRings {
  return async (known, { nodesMax }) => {
    const left = [...nodesOf(rings).values()]
    for (let asked = 0; asked < nodesMax && left.length > 0; asked++) {
      const [device] = left.splice(random.below(left.length), 1)
      try {
        const newer = await nodes.of(device!).rings(known)
        if (newer !== null) return newer
      } catch {
        // It is away, or of a version that keeps no rings: another one knows.
      }
    }
    return null
  }
}

function nodesOf(rings: Pick<RingSource, 'current'>): ReadonlyMap<string, RingDevice> {
  const nodes = new Map<string, RingDevice>()
  for (const { ring } of rings.current().placements) {
    for (const device of ring.devices) {
      if (device !== null) nodes.set(`${device.ip} ${device.port}`, device)
    }
  }
  return nodes
}
