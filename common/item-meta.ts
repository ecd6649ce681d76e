/** What a write makes of the metadata that is there: the same rules on a storage node and in a proxy that decides for all. */
import type { ConditionSubject } from './condition.ts'
import type { ItemKey } from './item.ts'
import type { ItemInfo, ItemMeta } from './storage-node.ts'

/** Headers that a POST on an object leaves as they are: what the system keeps there, not the user. */
const KEPT_BY_POST = /^x-(object|container|account)-sysmeta-|^x-static-large-object$/

/** The metadata after a POST (or a PUT on an existing account or container). */
export function mergeMeta(
  write: { readonly item: Pick<ItemKey, 'kind'>; readonly meta: ItemMeta },
  old: ItemMeta,
): ItemMeta {
  return write.item.kind === 'object' ? replaceMeta(write.meta, old) : addMeta(write.meta, old)
}

function replaceMeta(update: ItemMeta, old: ItemMeta): ItemMeta {
  const kept = Object.entries(old.headers).filter(([name]) => KEPT_BY_POST.test(name))
  const contentType = update.contentType ?? old.contentType
  return {
    ...(old.etag !== undefined && { etag: old.etag }),
    ...(contentType !== undefined && { contentType }),
    headers: { ...Object.fromEntries(kept), ...update.headers },
  }
}

function addMeta(update: ItemMeta, old: ItemMeta): ItemMeta {
  const merged = { ...old.headers, ...update.headers }
  const headers = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== ''))
  return { ...old, headers }
}

/** The X-Delete-At in seconds since 1970; 0 if there is none that makes sense. */
export function deleteAtOf(headers: Readonly<Record<string, string>>): number {
  const seconds = Number(headers['x-delete-at'])
  return Number.isSafeInteger(seconds) && seconds > 0 ? Math.min(seconds, 2 ** 47) : 0
}

/** What conditions are judged against. */
export function subjectOf(info: ItemInfo): ConditionSubject {
  const deleteAt = deleteAtOf(info.meta.headers)
  const ticks = Math.max(info.stamp.ticks, info.metaStamp.ticks)
  const { writeId } = info
  return { etag: info.meta.etag ?? '', ticks, writeId, ...(deleteAt > 0 && { deleteAt }) }
}
