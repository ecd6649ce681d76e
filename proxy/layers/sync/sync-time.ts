import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'

/** When an object that another cluster pushed was written there. */
export const SYNC_TIME = 'x-object-sysmeta-sync-timestamp'

/** The ticks of a timestamp such as `1772366400.12345`; null for what is none. */
export function parseTimestamp(text: string): number | null {
  const match = /^(\d{1,10})(?:\.(\d{1,5}))?(?:_[0-9a-f]{1,16})?$/.exec(text)
  if (match === null) return null
  return Number(match[1]) * TICKS_PER_SECOND + Number((match[2] ?? '').padEnd(5, '0'))
}

/**
 * When an object was last changed, wherever that was: what was pushed here keeps the time of its source, so that two
 * clusters that push to each other agree on what is newer and come to rest.
 */
export function changedAt(info: ItemInfo): number {
  const pushed = parseTimestamp(info.meta.headers[SYNC_TIME] ?? '')
  const isUnchanged = info.metaStamp.ticks === info.stamp.ticks
  return pushed !== null && isUnchanged ? pushed : info.metaStamp.ticks
}
