import type { Unconfirmed } from '../common/storage-node.ts'
import type { Device } from './device.ts'
import { registerItem } from './local-items.ts'

/** Rows and items of the device that have been in doubt since then or longer (monotonic milliseconds). */
export async function findUnconfirmed(
  device: Device,
  options: { readonly beforeMs: number; readonly limit: number },
): Promise<readonly Unconfirmed[]> {
  const { beforeMs, limit } = options
  const found: Unconfirmed[] = []
  for (const shard of device.shards.values()) {
    for (const { list, name, sinceMs } of shard.index.unconfirmedRows.values()) {
      if (found.length >= limit) return found
      const row = sinceMs <= beforeMs ? shard.index.row(list.hash, name) : null
      if (row === null) continue
      found.push({ kind: 'row', list: list.name, row })
    }
    for (const { id, sinceMs, refused } of [...shard.index.unconfirmedEntries.values()]) {
      if (found.length >= limit) return found
      const item = sinceMs <= beforeMs ? await registerItem(shard, id) : null
      if (item !== null) found.push({ kind: 'item', info: item, ...(refused && { refused }) })
    }
  }
  return found
}
