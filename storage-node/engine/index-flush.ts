/**
 * Writes a memtable into the store below and moves the checkpoint. It goes in batches of a few hundred operations, each
 * synced: LevelDB closes a full write-ahead log without syncing it, so that a sync never vouches for earlier
 * batches. Each batch leaves the store consistent - rows and the totals that they change go together - so that replay
 * after a crash in between finds what it can skip.
 *
 * LevelDB skips a damaged block of its write-ahead log and applies what comes after. Hence each batch carries a
 * number; a gap in the numbers means that the index has to be rebuilt.
 */
import { ServiceError } from '../../common/errors.ts'
import type { KeyValue, KeyValueOperation } from '../../common/key-value.ts'
import { decodeCheckedJson, encodeCheckedJson } from './checked-json.ts'
import { encodeEntry } from './entry.ts'
import { afterPrefix, entryKey, expiryKey, listKey, SPACES, shardKey } from './keys.ts'
import { type EntrySlot, type ListId, type RowSlot, registerKey } from './memtable.ts'
import type { Cut, LogPosition } from './record.ts'
import { encodeRow, type StoredRow } from './row.ts'
import { NO_ENTRY, type ShardIndex } from './shard-index.ts'
import { encodeTotals, shiftTotals } from './totals.ts'

const BATCH_OPERATIONS_MAX = 512
/** So many of the last batch numbers are kept, to notice a gap. */
const CHAIN_LENGTH = 64
const EMPTY = Buffer.alloc(0)
/** Of the index's values. One of another layout is made anew from the log; 2: totals hold digests of their rows. */
const LAYOUT = 2

/** What the store says of a shard's last flush. */
export interface Checkpoint {
  readonly position: LogPosition
  /** Number of the last batch. */
  readonly batch: number
  readonly layout: number
}

export interface FlushOptions {
  readonly kv: KeyValue
  readonly index: ShardIndex
  readonly shard: number
  /** Every record before it has been applied to the memtable being flushed; null: no checkpoint yet (a rebuild). */
  readonly position: LogPosition | null
  /** Number of the last batch written. */
  readonly lastBatch: number
  readonly cuts: ReadonlyMap<number, Cut>
  /** Segments about to be removed. */
  readonly retiring: ReadonlySet<number>
  /** Lists whose totals are with their account. */
  readonly takenLists: readonly ListId[]
  /** Lists taken so recently that their account may not have them yet: marked as changed, should we crash now. */
  readonly recentLists: readonly ListId[]
}

/** Flushes `index.flushing`; returns the number of the last batch. A failed flush can be repeated. */
export async function flushIndex(options: FlushOptions): Promise<number> {
  const { index, kv, shard } = options
  const memtable = index.flushing
  if (memtable === null) return options.lastBatch
  // A batch that failed may have happened nevertheless: then totals are shifted by what the store says.
  const isRepeated = memtable.flushes++ > 0
  let batch = options.lastBatch
  const write = async (operations: KeyValueOperation[], applied: () => void): Promise<void> => {
    batch++
    operations.push({ type: 'put', key: shardKey(SPACES.chain, shard, batch), value: EMPTY })
    if (batch > CHAIN_LENGTH) {
      operations.push({ type: 'del', key: shardKey(SPACES.chain, shard, batch - CHAIN_LENGTH) })
    }
    await kv.batch(operations, { sync: true })
    applied()
  }
  for (const slots of slices(memtable.entries.values(), BATCH_OPERATIONS_MAX)) {
    await write(entryOperations(slots, index), () => {
      for (const slot of slots) slot.before = slot.entry === NO_ENTRY ? null : slot.entry
    })
  }
  for (const { list, rows } of memtable.lists.values()) {
    for (const slots of slices(rows.entries(), BATCH_OPERATIONS_MAX)) {
      await write(rowOperations(list, slots, index, { isRepeated }), () => {
        for (const [, slot] of slots) slot.before = slot.row
      })
    }
  }
  const changed = index.use.takeChanged()
  try {
    await write(checkpointOperations(options, batch + 1, changed), () => {})
  } catch (error) {
    for (const segmentId of changed) index.use.touch(segmentId)
    throw error
  }
  return batch
}

function* slices<T>(items: Iterable<T>, count: number): Generator<T[]> {
  let slice: T[] = []
  for (const item of items) {
    slice.push(item)
    if (slice.length === count) {
      yield slice
      slice = []
    }
  }
  if (slice.length > 0) yield slice
}

function entryOperations(slots: readonly EntrySlot[], index: ShardIndex): KeyValueOperation[] {
  const operations: KeyValueOperation[] = []
  for (const { id, entry, before } of slots) {
    const key = entryKey(SPACES.entry, id)
    if (entry === NO_ENTRY) operations.push({ type: 'del', key })
    else operations.push({ type: 'put', key, value: encodeEntry(entry) })
    const wasDue = before?.deleteAt ?? 0
    if (wasDue !== entry.deleteAt) {
      if (wasDue > 0) operations.push({ type: 'del', key: expiryKey(wasDue, id) })
      if (entry.deleteAt > 0) {
        operations.push({ type: 'put', key: expiryKey(entry.deleteAt, id), value: EMPTY })
      }
    }
    const doubtKey = entryKey(SPACES.unconfirmedEntry, id)
    if (index.unconfirmedEntries.has(registerKey(id))) {
      operations.push({ type: 'put', key: doubtKey, value: EMPTY })
    } else if (before !== null && !before.confirmed) {
      operations.push({ type: 'del', key: doubtKey })
    }
  }
  return operations
}

function rowOperations(
  list: ListId,
  slots: readonly (readonly [string, RowSlot])[],
  index: ShardIndex,
  options: { readonly isRepeated: boolean },
): KeyValueOperation[] {
  const operations: KeyValueOperation[] = []
  const totals = index.storedTotals(list.hash)
  for (const [name, { row, before }] of slots) {
    shiftTotals(totals, options.isRepeated ? index.storedRow(list.hash, name) : before, row)
    if (before !== null && before.deleted !== row?.deleted) {
      operations.push({ type: 'del', key: listKey(spaceOf(before), list.hash, name) })
    }
    if (row !== null) {
      const key = listKey(spaceOf(row), list.hash, name)
      operations.push({ type: 'put', key, value: encodeRow(row) })
    }
    const doubtKey = listKey(SPACES.unconfirmedRow, list.hash, name)
    if (index.unconfirmedRows.get(list.hash, name) !== undefined) {
      operations.push({ type: 'put', key: doubtKey, value: encodeListId(list) })
    } else if (before !== null && !before.confirmed) {
      operations.push({ type: 'del', key: doubtKey })
    }
  }
  const value = encodeTotals(totals)
  operations.push({ type: 'put', key: listKey(SPACES.stats, list.hash), value })
  return operations
}

function spaceOf(row: StoredRow): number {
  return row.deleted ? SPACES.deletedRow : SPACES.row
}

function checkpointOperations(
  options: FlushOptions,
  batch: number,
  changedSegments: readonly number[],
): KeyValueOperation[] {
  const { index, shard, position, cuts, retiring, takenLists, recentLists } = options
  const operations: KeyValueOperation[] = []
  for (const segmentId of changedSegments) {
    if (index.use.isDropped(segmentId)) {
      operations.push({ type: 'del', key: shardKey(SPACES.segment, shard, segmentId) })
      continue
    }
    const value = encodeSegmentNote({
      live: index.use.liveBytes(segmentId),
      cut: cuts.get(segmentId),
      ...(retiring.has(segmentId) && { retiring: true }),
    })
    operations.push({ type: 'put', key: shardKey(SPACES.segment, shard, segmentId), value })
  }
  for (const { hash } of takenLists) {
    operations.push({ type: 'del', key: listKey(SPACES.changedList, hash) })
  }
  for (const list of [...recentLists, ...index.changedLists.values()]) {
    const key = listKey(SPACES.changedList, list.hash)
    operations.push({ type: 'put', key, value: encodeListId(list) })
  }
  if (position === null) return operations
  const checkpoint: Checkpoint = { position, batch, layout: LAYOUT }
  const value = encodeCheckedJson(checkpoint)
  operations.push({ type: 'put', key: shardKey(SPACES.checkpoint, shard), value })
  return operations
}

/** A list in a marker's value; its hash is in the key. */
function encodeListId({ name, placement }: ListId): Buffer {
  return encodeCheckedJson({ name, placement })
}

/** Throws IndexDamaged. */
export function decodeListId(hash: string, value: Uint8Array): ListId {
  const list = decodeCheckedJson(value) as Omit<ListId, 'hash'> | null
  if (list === null) throw damaged('the name of a list')
  return { hash, name: list.name, placement: list.placement }
}

function damaged(what: string): ServiceError {
  return new ServiceError('IndexDamaged', `the index holds ${what} that fails its checksum`)
}

/** What the index keeps of a segment: live bytes, where it was cut, and whether it holds what the index has forgotten. */
export interface SegmentNote {
  readonly live: number
  readonly cut?: Cut | undefined
  readonly retiring?: true
}

function encodeSegmentNote(note: SegmentNote): Buffer {
  return encodeCheckedJson(note)
}

/** All entries of a range, a few hundred at a time. */
export async function readRange(
  kv: KeyValue,
  prefix: Buffer,
): Promise<(readonly [Uint8Array, Uint8Array])[]> {
  const found: (readonly [Uint8Array, Uint8Array])[] = []
  const iterator = kv.iterate({ gte: prefix, lt: afterPrefix(prefix) })
  try {
    for (;;) {
      const part = await iterator.next(1000)
      if (part.length === 0) return found
      found.push(...part)
    }
  } finally {
    await iterator.close()
  }
}

/** The shard's checkpoint; null if the store has none, 'damaged' if batches are missing. */
export async function loadCheckpoint(
  kv: KeyValue,
  shard: number,
): Promise<Checkpoint | null | 'damaged'> {
  const value = kv.getSync(shardKey(SPACES.checkpoint, shard))
  const chain = await readRange(kv, shardKey(SPACES.chain, shard))
  const numbers = chain.map(([key]) => Buffer.from(key).readUIntBE(2, 6))
  const last = numbers.at(-1)
  if (value === undefined) return last === undefined ? null : 'damaged'
  const checkpoint = decodeCheckedJson(value) as Checkpoint | null
  if (checkpoint === null || last === undefined || last < checkpoint.batch) return 'damaged'
  if (checkpoint.layout !== LAYOUT) return 'damaged'
  const first = Math.max(1, last - CHAIN_LENGTH + 1)
  const isWhole = numbers.every((number, i) => number === first + i)
  return isWhole ? { ...checkpoint, batch: last } : 'damaged'
}

/** Loads what the shard keeps in memory: use and cuts of segments. Throws IndexDamaged. */
export async function loadSegmentNotes(
  kv: KeyValue,
  shard: number,
): Promise<ReadonlyMap<number, SegmentNote>> {
  const notes = new Map<number, SegmentNote>()
  for (const [key, value] of await readRange(kv, shardKey(SPACES.segment, shard))) {
    const segmentId = Buffer.from(key).readUIntBE(2, 6)
    const note = decodeCheckedJson(value) as SegmentNote | null
    if (note === null) throw damaged('a note of a segment')
    notes.set(segmentId, note)
  }
  return notes
}
