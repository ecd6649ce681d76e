/** What every replica holds of one name at the end, for people who want to know why. */
import { type ItemKey, itemKey, objectName } from '../../../common/item.ts'
import { inAnyEpoch } from '../../../common/ring/ring-set.ts'
import { formatTimestamp, type Stamp } from '../../../common/stamp.ts'
import { registerKey } from '../../../storage-node/engine/memtable.ts'
import { registerIdOf } from '../../../storage-node/engine/register.ts'
import { HASHING, type SimCluster } from './sim-cluster.ts'
import { DEVICE } from './sim-host.ts'
import { pathOf } from './workload.ts'

/** Lines about the object's record and its row, by node. */
export async function autopsy(cluster: SimCluster, key: string): Promise<string[]> {
  const { account, container, object } = pathOf(key)
  const item = itemKey(HASHING, 'object', objectName(account, container, object))
  const list = itemKey(HASHING, 'container', `/${account}/${container}`)
  const lines: string[] = []
  for (const id of cluster.hostsOf('object', item.placement)) {
    const copy = { head: true, copy: true }
    const info = await cluster
      .nodeOf(id)
      ?.read(DEVICE, inAnyEpoch(item), copy)
      .then(
        (read) => read?.info,
        (error) => String(error),
      )
    const text =
      info === undefined
        ? 'nothing'
        : typeof info === 'string'
          ? info
          : `${info.deleted ? 'tombstone' : info.meta.contentType} stamp ${show(info.stamp)} ballot ${show(info.ballot)}`
    lines.push(`record at node${id}: ${text} ${isInDoubt(cluster, id, item) ? 'in doubt' : ''}`)
  }
  for (const id of cluster.hostsOf('container', list.placement)) {
    const shards = cluster.hosts[id]!.running?.node.devices.get(DEVICE)?.shards.values() ?? []
    for (const shard of shards) {
      const row = shard.index.row(list.hash, Buffer.from(object).toString('latin1'))
      if (row === null) continue
      const inDoubt = shard.index.unconfirmedRows.get(list.hash, row.name) !== undefined
      const what = row.deleted ? 'deleted' : row.contentType
      const state = row.confirmed ? 'confirmed' : inDoubt ? 'in doubt' : 'unconfirmed, forgotten'
      lines.push(
        `row at node${id}: ${what} stamp ${show(row.stamp)} ballot ${show(row.ballot)} ${state}`,
      )
    }
  }
  return lines
}

function isInDoubt(cluster: SimCluster, id: number, item: ItemKey): boolean {
  const shards = [...(cluster.hosts[id]!.running?.node.devices.get(DEVICE)?.shards.values() ?? [])]
  const key = registerKey(registerIdOf(item))
  return shards.some((shard) => shard.index.unconfirmedEntries.has(key))
}

function show({ ticks, proposer }: Stamp): string {
  return `${formatTimestamp(ticks)}.${proposer}`
}
