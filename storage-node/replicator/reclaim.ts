/**
 * Forgets deletions, all replicas together: a tombstone, or a deleted row, that is older than the reclaim age and was seen
 * at every device of its partition is given up (a record of type gone hides what lies before it in the log; compaction
 * removes both). Who finds that a peer has given it up does the same instead of sending it back.
 */
import { type Stamp, TICKS_PER_SECOND } from '../../common/stamp.ts'
import type { RegisterId } from '../engine/memtable.ts'
import type { PlacementRange } from '../engine/placed-ids.ts'
import type { StoredRow } from '../engine/row.ts'
import type { Shard } from '../engine/shard.ts'
import { registerItem } from '../local-items.ts'
import { type FoundItem, itemsOf, rowsOf } from '../replica-view.ts'
import type { OwnDevice, SyncCounters } from './partition-sync.ts'
import { itemKeyOf } from './record-transfer.ts'

/** A place in the log. `isForLong`: known to all for so long that all of them know that it is. */
export interface SharedPlace {
  readonly shard: number
  /** Of a row only the segment is known. */
  readonly place: { readonly segmentId: number; readonly offset?: number }
  readonly isForLong: boolean
}

export interface ReclaimContext {
  readonly reclaimAgeMs: number
  /** Whether every other device of the partition has known what lies at this place of the shard's log. */
  readonly isShared: (id: RegisterId, of: SharedPlace) => boolean
  readonly signal: AbortSignal
  readonly counters: SyncCounters
}

/** Forgets what may be forgotten of a range. */
export async function reclaimRange(
  own: OwnDevice,
  range: PlacementRange,
  context: ReclaimContext,
): Promise<void> {
  for await (const page of itemsOf(own.device, range)) {
    for (const found of page) {
      if (context.signal.aborted) return
      if (found.held.rows !== undefined) await reclaimRows(own, found.id, context)
      if (found.held.deleted) await reclaimItem(own, found, context, { isForLong: true })
    }
  }
}

/** True if the tombstone is given up now. Not `isForLong`: a peer has given it up already. */
export async function reclaimItem(
  own: OwnDevice,
  { id, held }: FoundItem,
  context: ReclaimContext,
  { isForLong }: { readonly isForLong: boolean },
): Promise<boolean> {
  const { shard, number } = shardOf(own, id)
  const entry = shard.index.entry(id)
  if (!held.deleted || entry === null || !entry.confirmed) return false
  if (!isOld(shard, held.ballot, context)) return false
  if (!context.isShared(id, { shard: number, place: entry.place, isForLong })) return false
  if (held.rows !== undefined && held.rows !== NO_ROWS) {
    if (!(await reclaimRows(own, id, context))) return false
  }
  if (!(await shard.release(id, held.ballot))) return false
  context.counters.reclaimed++
  return true
}

/** True if the list has no rows left. */
async function reclaimRows(
  own: OwnDevice,
  id: RegisterId,
  context: ReclaimContext,
): Promise<boolean> {
  const { shard } = shardOf(own, id)
  if (shard.index.totalsNow(id.hash).deletedRows === 0) return false
  let isEmpty = true
  let list: Awaited<ReturnType<typeof registerItem>> = null
  for await (const page of rowsOf(shard, own.device.store, id.hash)) {
    for (const row of page) {
      if (context.signal.aborted) return false
      if (!isReclaimableRow(own, id, row, context, { isForLong: true })) {
        isEmpty = false
        continue
      }
      list ??= await registerItem(shard, id)
      if (list === null) return false
      if (await shard.releaseRow(itemKeyOf(id, list.name), row.name, row.ballot)) {
        context.counters.reclaimed++
      } else isEmpty = false
    }
  }
  return isEmpty
}

/** Whether every replica has known that the row is deleted, long enough ago. */
export function isReclaimableRow(
  own: OwnDevice,
  list: RegisterId,
  row: StoredRow,
  context: ReclaimContext,
  { isForLong }: { readonly isForLong: boolean },
): boolean {
  const { shard, number } = shardOf(own, list)
  if (!row.deleted || !row.confirmed || !isOld(shard, row.ballot, context)) return false
  return context.isShared(list, {
    shard: number,
    place: { segmentId: row.segmentId },
    isForLong,
  })
}

const NO_ROWS = '0'.repeat(16)

function isOld(shard: Shard, ballot: Stamp, { reclaimAgeMs }: ReclaimContext): boolean {
  return shard.surelyNowMs - ballot.ticks / (TICKS_PER_SECOND / 1000) > reclaimAgeMs
}

function shardOf(own: OwnDevice, { hash }: RegisterId): { shard: Shard; number: number } {
  const number = own.device.shardNumberOf(hash)
  return { shard: own.device.shards.get(number)!, number }
}
