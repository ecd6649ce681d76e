import type { ExpiredItem } from '../common/storage-node.ts'
import type { Device } from './device.ts'
import { SPACES } from './engine/keys.ts'
import type { RegisterId } from './engine/memtable.ts'
import { registerItem } from './local-items.ts'

/** Objects of the device whose X-Delete-At has passed, oldest first: from the memtables and the expiry keys below. */
export async function findExpired(
  device: Device,
  options: { readonly beforeSeconds: number; readonly limit: number },
): Promise<readonly ExpiredItem[]> {
  const due = new Map<string, { readonly id: RegisterId; readonly deleteAt: number }>()
  await collectStored(device, options, due)
  collectFresh(device, options.beforeSeconds, due)
  const sorted = [...due.values()].sort((a, b) => a.deleteAt - b.deleteAt).slice(0, options.limit)
  const items: ExpiredItem[] = []
  for (const { id, deleteAt } of sorted) {
    const shard = device.shards.get(device.shardNumberOf(id.hash))
    const info = shard === undefined ? null : await registerItem(shard, id)
    if (info !== null) items.push({ name: info.name, policy: id.policy, deleteAt })
  }
  return items
}

type Due = Map<string, { readonly id: RegisterId; readonly deleteAt: number }>

async function collectStored(
  device: Device,
  options: { readonly beforeSeconds: number; readonly limit: number },
  due: Due,
): Promise<void> {
  const end = Buffer.alloc(7)
  end[0] = SPACES.expiry
  end.writeUIntBE(Math.max(0, Math.floor(options.beforeSeconds)), 1, 6)
  const iterator = device.store.iterate({ gte: Buffer.from([SPACES.expiry]), lt: end })
  try {
    while (due.size < options.limit) {
      const part = await iterator.next(256)
      if (part.length === 0) return
      for (const [key] of part) addStored(device, Buffer.from(key), due)
    }
  } finally {
    await iterator.close()
  }
}

/** A key counts only if the register still expires then: a newer record may not have been flushed. */
function addStored(device: Device, key: Buffer, due: Due): void {
  const deleteAt = key.readUIntBE(1, 6)
  const id: RegisterId = {
    kind: key[7]!,
    policy: key.readUInt16BE(8),
    placement: key.readUInt32BE(10),
    hash: key.toString('latin1', 14, 30),
  }
  const shard = device.shards.get(device.shardNumberOf(id.hash))
  const entry = shard?.index.entry(id)
  if (entry?.deleteAt === deleteAt) due.set(`${id.policy} ${id.hash}`, { id, deleteAt })
}

function collectFresh(device: Device, beforeSeconds: number, due: Due): void {
  for (const shard of device.shards.values()) {
    for (const memtable of [shard.index.active, shard.index.flushing]) {
      for (const { id, entry } of memtable?.entries.values() ?? []) {
        const { deleteAt } = entry
        if (deleteAt === 0 || deleteAt >= beforeSeconds) continue
        if (shard.index.entry(id)?.deleteAt === deleteAt) {
          due.set(`${id.policy} ${id.hash}`, { id, deleteAt })
        }
      }
    }
  }
}
