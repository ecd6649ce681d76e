/** From what the index knows of a register or list back to its key and record. */
import type { ItemKey } from '../common/item.ts'
import type { ItemInfo } from '../common/storage-node.ts'
import type { ListId, RegisterId } from './engine/memtable.ts'
import { isHeld } from './engine/partition-digests.ts'
import { isSamePlace } from './engine/record.ts'
import { infoOfRecord } from './engine/register.ts'
import type { Shard } from './engine/shard.ts'

/** The key of a list: an account's name has no second slash. */
export function listItem(list: ListId): ItemKey {
  const kind = list.name.includes('/', 1) ? 'container' : 'account'
  return { kind, name: list.name, hash: list.hash, placement: list.placement, policy: 0 }
}

/**
 * The current record of a register that is known only by its key; null if there is none, or if it cannot be read: that
 * is reported as damage, and must not stop those who walk over many registers.
 */
export async function registerItem(shard: Shard, id: RegisterId): Promise<ItemInfo | null> {
  for (;;) {
    const entry = shard.index.entry(id)
    if (!isHeld(entry)) return null
    try {
      const { head, meta } = await shard.readAt(entry.place)
      return infoOfRecord(head, meta)
    } catch (error) {
      const now = shard.index.entry(id)?.place
      if (now === undefined || !isSamePlace(now, entry.place)) continue
      shard.noteDamage(error, id)
      return null
    }
  }
}
