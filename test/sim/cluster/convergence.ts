/**
 * After the peace: every proxy can read and list, all of them give the same answers, listings and objects agree, and
 * all replicas hold the same.
 */
import { hash } from 'node:crypto'
import { itemKey, objectName } from '../../../common/item.ts'
import { inAnyEpoch } from '../../../common/ring/ring-set.ts'
import type { ItemRead } from '../../../common/storage-node.ts'
import { wholeBody } from '../../support/engine-rig.ts'
import { ABSENT, versionOf } from '../checker/history.ts'
import { HASHING, type SimCluster } from './sim-cluster.ts'
import { DEVICE } from './sim-host.ts'
import { pathOf, type Workload } from './workload.ts'

export interface Divergence {
  readonly key: string
  readonly what: string
}

/** Reads that repair end before this. */
const REPAIR_MS = 30_000
const FORGOTTEN = 'a deletion, or nothing'
const DAY_MS = 24 * 3600 * 1000
/** The longest pause of a replicator, and its pass. */
const MEND_MS = 150_000

export async function checkConvergence(
  cluster: SimCluster,
  workload: Workload,
): Promise<Divergence[]> {
  const found: Divergence[] = []
  const seen = new Map<string, string>()
  for (const proxy of cluster.proxies) {
    const who = `last@${proxy.running!.process.name}`
    const { states, rows } = await workload.readEverything(who, proxy.running!)
    for (const [key, state] of states) {
      const before = seen.get(key) ?? state
      if (state !== before) {
        found.push({ key, what: `${who} reads ${state}, others read ${before}` })
      }
      seen.set(key, state)
      const row = rows.get(key)
      if (row !== versionOf(state)) {
        found.push({ key, what: `${who} lists ${row ?? ABSENT} and reads ${state}` })
      }
    }
  }
  await cluster.time.sleep(REPAIR_MS)
  // Reading finds damage that nobody had found before, and it is mended.
  const differing: string[] = []
  for (const key of workload.keys) {
    if ((await compareReplicas(cluster, key)).length > 0) differing.push(key)
  }
  if (differing.length > 0) await cluster.time.sleep(MEND_MS)
  for (const key of differing) found.push(...(await compareReplicas(cluster, key)))
  return found
}

/** Every primary must hold the same record of the object, and the same bytes. */
async function compareReplicas(cluster: SimCluster, key: string): Promise<Divergence[]> {
  const { account, container, object } = pathOf(key)
  const item = itemKey(HASHING, 'object', objectName(account, container, object))
  const texts = new Map<string, string[]>()
  // Replicas forget a deletion one after the other.
  const nothing = cluster.reclaimAgeMs < DAY_MS ? FORGOTTEN : null
  for (const id of cluster.hostsOf('object', item.placement)) {
    const node = cluster.nodeOf(id)
    if (node === null) continue
    const read = await node.read(DEVICE, inAnyEpoch(item)).catch((error: unknown) => error)
    const text = (isDeleted(read) ? nothing : null) ?? (await describe(read))
    texts.set(text, [...(texts.get(text) ?? []), `node${id}`])
  }
  if (texts.size <= 1) return []
  const what = [...texts].map(([text, nodes]) => `${nodes.join(' and ')}: ${text}`).join('; ')
  return [{ key, what: `replicas differ: ${what}` }]
}

function isDeleted(read: unknown): boolean {
  return read === null || (!(read instanceof Error) && (read as ItemRead).info.deleted)
}

async function describe(read: unknown): Promise<string> {
  if (read instanceof Error) return String(read)
  if (read === null) return 'nothing'
  const { info, body } = read as ItemRead
  const { ballot, writeId, deleted, bytes, meta } = info
  const what = deleted ? 'tombstone' : `${bytes} bytes ${meta.etag}`
  const bytesRead = body === null ? 'none' : hash('md5', await wholeBody(body))
  return `${what} ${ballot.ticks}.${ballot.proposer} ${writeId}, body ${bytesRead}`
}
