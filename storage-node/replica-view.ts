/**
 * What a device holds, as replication looks at it: registers of a partition in the order of their keys, and rows of a
 * listing with the deleted ones. All of it from the index; records are read when they are to be sent.
 */
import { ITEM_KINDS, type ItemKey } from '../common/item.ts'
import { compareStamps } from '../common/stamp.ts'
import type { HeldItem, ItemPlace, ListRow, RowDigest, RowRange } from '../common/storage-node.ts'
import type { Device } from './device.ts'
import { DigestSum } from './engine/digest.ts'
import type { Entry } from './engine/entry.ts'
import { byteText, entryKey, fromByteText, listKey, SPACES } from './engine/keys.ts'
import { type RegisterId, registerKey } from './engine/memtable.ts'
import { isHeld, registerIdOfKey } from './engine/partition-digests.ts'
import type { PlacementRange } from './engine/placed-ids.ts'
import { RECORD_TYPES } from './engine/record.ts'
import { decodeRow, type StoredRow } from './engine/row.ts'
import type { Shard } from './engine/shard.ts'
import { digestOfRows, toggleRow } from './engine/totals.ts'

/** A register that the device holds. */
export interface FoundItem {
  readonly id: RegisterId
  readonly held: HeldItem
  readonly bytes: number
}

const SCAN_PAGE = 500

/**
 * The registers of this thread's shards in the range, in pages. Every register that was there at the beginning is
 * found, as it is when its page is made.
 */
export async function* itemsOf(
  device: Device,
  range: PlacementRange,
): AsyncGenerator<readonly FoundItem[]> {
  const iterator = device.store.iterate({
    gte: keyOf(range, range.from),
    lt: keyOf(range, range.to),
  })
  const fresh = freshIds(device, range)
  try {
    for (;;) {
      const page = await iterator.next(SCAN_PAGE)
      if (page.length === 0) break
      const ids = page.map(([key]) =>
        registerIdOfKey(Buffer.from(key.buffer, key.byteOffset, key.length)),
      )
      for (const id of ids) fresh.delete(id.hash)
      yield foundOf(device, ids)
    }
  } finally {
    await iterator.close()
  }
  const rest = [...fresh.values()]
  for (let at = 0; at < rest.length; at += SCAN_PAGE) {
    yield foundOf(device, rest.slice(at, at + SCAN_PAGE))
  }
}

function keyOf({ kind, policy }: PlacementRange, placement: number): Buffer {
  const isEnd = placement >= 2 ** 32
  const at = { kind, policy: isEnd ? policy + 1 : policy, placement: isEnd ? 0 : placement }
  return entryKey(SPACES.entry, { ...at, hash: '' }).fill(0, 8)
}

/** Those that may not be in the store yet. */
function freshIds(device: Device, range: PlacementRange): Map<string, RegisterId> {
  const ids = new Map<string, RegisterId>()
  for (const { index } of device.shards.values()) {
    for (const memtable of [index.flushing, index.active]) {
      for (const id of memtable?.placed.in(range) ?? []) ids.set(id.hash, id)
    }
  }
  return ids
}

function foundOf(device: Device, ids: readonly RegisterId[]): readonly FoundItem[] {
  return ids.flatMap((id) => {
    const shard = device.shards.get(device.shardNumberOf(id.hash))
    const entry = shard?.index.entry(id) ?? null
    if (shard === undefined || !isHeld(entry)) return []
    return { id, held: heldOf(shard, id, entry), bytes: entry.place.bytes + entry.dataBytes }
  })
}

function heldOf(shard: Shard, id: RegisterId, entry: Entry): HeldItem {
  const { ballot, writeId, type } = entry
  const deleted = type === RECORD_TYPES.tombstone
  if (id.kind === ITEM_KINDS.indexOf('object')) return { ballot, writeId, deleted }
  const rows = String(digestOfRows(shard.index.totalsNow(id.hash)))
  return { ballot, writeId, deleted, rows }
}

/** What the device holds of registers that a replica has, in their order. */
export function heldItems(
  device: Device,
  of: { readonly kind: number; readonly policy: number },
  items: readonly ItemPlace[],
): readonly (HeldItem | null)[] {
  return items.map(({ hash, placement }) => {
    const id = { ...of, hash, placement }
    const shard = device.shards.get(device.shardNumberOf(hash))
    const entry = shard?.index.entry(id) ?? null
    if (shard === undefined || !isHeld(entry)) return null
    const isDamaged = device.damagedItems.has(registerKey(id))
    return { ...heldOf(shard, id, entry), ...(isDamaged && { damaged: true as const }) }
  })
}

/** The rows of a list in byte order of their names, deleted ones included, in pages; each page as it is when made. */
export async function* rowsOf(
  shard: Shard,
  store: Device['store'],
  listHash: string,
  range: RowRange = { after: '' },
): AsyncGenerator<readonly StoredRow[]> {
  const after = byteText(range.after)
  const upTo = range.upTo === undefined ? null : byteText(range.upTo)
  const bounds = (space: number) => ({
    gt: listKey(space, listHash, after),
    // No name has a byte of 0xff: it is UTF-8.
    ...(upTo === null
      ? { lt: listKey(space, listHash, '\xff') }
      : { lte: listKey(space, listHash, upTo) }),
  })
  const live = new RowCursor(store.iterate(bounds(SPACES.row)))
  const dead = new RowCursor(store.iterate(bounds(SPACES.deletedRow)))
  const fresh = freshNames(shard, listHash, after, upTo)
  try {
    let page: StoredRow[] = []
    for (let next = 0; ; ) {
      const [a, b] = [await live.peek(), await dead.peek()]
      const names = [a?.name, b?.name, fresh[next]].filter((name) => name !== undefined)
      if (names.length === 0) break
      const name = names.reduce((least, other) => (other < least ? other : least))
      const stored = a?.name === name ? a : b?.name === name ? b : null
      if (a?.name === name) live.skip()
      if (b?.name === name) dead.skip()
      if (fresh[next] === name) next++
      const row = currentRow(shard, listHash, name, stored?.value ?? null)
      if (row !== null && !row.gone) page.push(row)
      if (page.length < SCAN_PAGE) continue
      yield page
      page = []
    }
    if (page.length > 0) yield page
  } finally {
    await live.close()
    await dead.close()
  }
}

/** The row as a memtable has it, or as the store had it. */
function currentRow(
  shard: Shard,
  listHash: string,
  name: string,
  value: Uint8Array | null,
): StoredRow | null {
  const { active, flushing } = shard.index
  const slot = active.row(listHash, name) ?? flushing?.row(listHash, name)
  if (slot !== undefined) return slot.row
  // Flushed while the walk was under way.
  if (value === null) return shard.index.storedRow(listHash, name)
  return decodeRow(fromByteText(name), value) ?? shard.index.damaged('a row')
}

function freshNames(
  shard: Shard,
  listHash: string,
  after: string,
  upTo: string | null,
): readonly string[] {
  const names = new Set<string>()
  for (const memtable of [shard.index.flushing, shard.index.active]) {
    for (const [name] of memtable?.lists.get(listHash)?.rows.entries() ?? []) {
      if (name > after && (upTo === null || name <= upTo)) names.add(name)
    }
  }
  return [...names].sort((a, b) => (a < b ? -1 : 1))
}

/** Rows of one space, read a few hundred at a time. */
class RowCursor {
  readonly #iterator: ReturnType<Device['store']['iterate']>
  #page: readonly (readonly [Uint8Array, Uint8Array])[] = []
  #at = 0
  #ended = false

  constructor(iterator: ReturnType<Device['store']['iterate']>) {
    this.#iterator = iterator
  }

  async peek(): Promise<{ readonly name: string; readonly value: Uint8Array } | null> {
    if (this.#at === this.#page.length && !this.#ended) {
      this.#page = await this.#iterator.next(SCAN_PAGE)
      this.#at = 0
      this.#ended = this.#page.length === 0
    }
    const entry = this.#page[this.#at]
    if (entry === undefined) return null
    const [key, value] = entry
    return {
      name: Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1', 17),
      value,
    }
  }

  skip(): void {
    this.#at++
  }

  close(): Promise<void> {
    return this.#iterator.close()
  }
}

/** The digest of a stretch of a listing. */
export async function rowDigest(
  shard: Shard,
  store: Device['store'],
  list: ItemKey,
  range: RowRange,
): Promise<RowDigest> {
  const sum = new DigestSum()
  let rows = 0
  for await (const page of rowsOf(shard, store, list.hash, range)) {
    for (const row of page) toggleRow(sum, row)
    rows += page.length
  }
  return { rows, digest: String(sum) }
}

/** The row as the interface shows it. */
export function listRowOf(row: StoredRow): ListRow {
  const { segmentId: _, recordBytes: __, gone: ___, ...shown } = row
  return shown
}

/** Whether the other side lacks the item or has an older record of it. */
export function isBehind(held: HeldItem | null, mine: HeldItem): boolean {
  return held === null || compareStamps(held.ballot, mine.ballot) < 0
}
