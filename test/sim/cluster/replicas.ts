/**
 * What all storage nodes hold, compared by the digests that the replicators compare: in peace every primary of a
 * partition must come to hold the same registers and rows, deleted ones included, and nobody else anything of it.
 */
import { placedDevices } from '../../../common/ring/placement.ts'
import type { PartitionDigest } from '../../../common/storage-node.ts'
import type { SimCluster } from './sim-cluster.ts'
import { DEVICE } from './sim-host.ts'
import { hostIndexOf } from './sim-rings.ts'

/** After the peace; a replicator may rest long after a pass that had nothing to do. */
const CONVERGE_MS_MAX = 900_000
const LOOK_MS = 20_000

/** Waits until all replicas hold the same; what still differs, one line for each partition. */
export async function untilReplicated(
  cluster: SimCluster,
  patienceMs: number,
): Promise<readonly string[]> {
  const endMs = cluster.time.nowMs + Math.min(CONVERGE_MS_MAX, patienceMs)
  for (;;) {
    const differences = await compareReplicas(cluster)
    if (differences.length === 0 || cluster.time.nowMs > endMs) return differences
    await cluster.time.sleep(LOOK_MS)
  }
}

async function compareReplicas(cluster: SimCluster): Promise<readonly string[]> {
  const differences: string[] = []
  if (cluster.keeper.isMoving) differences.push(`not moved: ${cluster.keeper.statusText}`)
  for (const host of cluster.placedHosts) {
    if (host.isLearning) differences.push(`${host.machine} has not learned what it lost`)
  }
  for (const placement of cluster.rings.current().placements) {
    const { kind, policy, ring } = placement
    const held = new Map<number, Map<number, PartitionDigest>>()
    for (const { id } of cluster.members) {
      const node = cluster.nodeOf(id)
      if (node === null) return [`node${id} is down`]
      const query = { kind, policy, partPower: ring.partPower }
      const digests = await node.digests(DEVICE, query).catch((error: unknown) => String(error))
      if (typeof digests === 'string') return [`node${id}: ${digests}`]
      held.set(id, new Map(digests.map((digest) => [digest.partition, digest])))
    }
    for (let partition = 0; partition < 2 ** ring.partPower; partition++) {
      const placed = new Set(placedDevices(placement, partition).map(hostIndexOf))
      const texts = [...held].flatMap(([id, digests]) => {
        const text = describe(digests.get(partition))
        return placed.has(id) || text !== NOTHING ? [[id, placed.has(id), text] as const] : []
      })
      const isSame = texts.every(([, isPlaced, text]) => isPlaced && text === texts[0]![2])
      if (isSame) continue
      const who = texts.map(([id, isPlaced, text]) => `node${id}${isPlaced ? '' : '!'} ${text}`)
      differences.push(`${kind}s of partition ${partition}: ${who.join(', ')}`)
    }
  }
  return differences
}

const NOTHING = 'nothing'

function describe(digest: PartitionDigest | undefined): string {
  if (digest === undefined) return NOTHING
  const leaves = digest.leaves.map((leaf) => (/^0+$/.test(leaf) ? '' : leaf))
  return `${digest.items} ${leaves.join('.')}`
}
