/**
 * What a device holds of each partition, as digests: a small hash tree by placement, two levels deep. A partition's
 * digest is the sum of those of its 16 leaves, and a leaf is itself a partition of a ring with 16 times as many.
 *
 * Derived state of derived state: nothing of it is stored. A kind and policy that somebody asks for is scanned once,
 * from the index, and from then on every change of the index changes its leaf, in memory; what nobody asks for costs
 * nothing. While a scan runs, changes are taken in at once: the scan sees the store as it was when it began.
 */

import { ITEM_KINDS } from '../../common/item.ts'
import type { KeyValue } from '../../common/key-value.ts'
import { DigestSum } from './digest.ts'
import { decodeEntry, type Entry } from './entry.ts'
import { afterPrefix, SPACES } from './keys.ts'
import type { ListId, RegisterId } from './memtable.ts'
import { RECORD_TYPES } from './record.ts'
import type { StoredRow } from './row.ts'
import type { ShardIndex } from './shard-index.ts'
import { digestOfRows, toggleRow } from './totals.ts'

/** Levels of bits below the partition: 16 leaves. */
const LEAF_BITS = 4
export const LEAVES = 1 << LEAF_BITS
const SCAN_PAGE = 1000

export interface LeafDigests {
  readonly partition: number
  /** Registers, tombstones included. */
  readonly items: number
  /** One for each leaf, in order of placement. */
  readonly leaves: readonly DigestSum[]
}

interface Leaf {
  readonly sum: DigestSum
  items: number
}

interface Table {
  readonly partPower: number
  /** By leaf number: the top partPower + 4 bits of the placement. Empty ones are absent. */
  readonly leaves: Map<number, Leaf>
  /** During the scan: what changed of a list's rows since it began. */
  rowChanges: Map<string, DigestSum> | null
  ready: Promise<void>
}

export class PartitionDigests {
  readonly #tables = new Map<number, Table>()

  /**
   * A register's entry is replaced; null stands for none. The rows of a list count with its register: a scan does not
   * find those whose register is not here.
   */
  entryChanged(
    id: RegisterId,
    before: Entry | null,
    after: Entry | null,
    rowsOf: () => DigestSum,
  ): void {
    const table = this.#tables.get(tableKey(id.kind, id.policy))
    if (table === undefined) return
    const leaf = leafOf(table, id.placement)
    if (isList(id.kind) && isHeld(before) !== isHeld(after)) leaf.sum.add(rowsOf())
    if (isHeld(before)) {
      leaf.sum.toggle(id.hash, before.ballot, before.writeId)
      leaf.items--
    }
    if (isHeld(after)) {
      leaf.sum.toggle(id.hash, after.ballot, after.writeId)
      leaf.items++
    }
  }

  /** A row of a list is replaced. */
  rowChanged(
    list: ListId,
    before: StoredRow | null,
    after: StoredRow | null,
    entryOf: (id: RegisterId) => Entry | null,
  ): void {
    const kind = kindOfList(list)
    const table = this.#tables.get(tableKey(kind, 0))
    if (table === undefined) return
    const change = new DigestSum()
    if (before !== null) toggleRow(change, before)
    if (after !== null) toggleRow(change, after)
    const { hash, placement } = list
    if (isHeld(entryOf({ kind, policy: 0, placement, hash }))) {
      leafOf(table, placement).sum.add(change)
    }
    if (table.rowChanges === null) return
    const known = table.rowChanges.get(list.hash)
    if (known === undefined) table.rowChanges.set(list.hash, change)
    else known.add(change)
  }

  /**
   * Digests of the partitions that hold anything, all of them or those named. The first call for a kind and policy, or
   * with another part power, scans the index.
   */
  async read(
    of: { readonly kind: number; readonly policy: number; readonly partPower: number },
    source: DigestSource,
    partitions?: readonly number[],
  ): Promise<readonly LeafDigests[]> {
    const key = tableKey(of.kind, of.policy)
    let table = this.#tables.get(key)
    if (table?.partPower !== of.partPower) {
      table = { partPower: of.partPower, leaves: new Map(), rowChanges: new Map(), ready: NOW }
      this.#tables.set(key, table)
      table.ready = scan(table, of, source).catch((error: unknown) => {
        this.#tables.delete(key)
        throw error
      })
    }
    await table.ready
    return partitions === undefined
      ? allOf(table)
      : partitions.flatMap((partition) => digestsOf(table, partition) ?? [])
  }
}

/** Many partitions' digests as one. */
export function foldDigests(digests: readonly LeafDigests[]): {
  readonly partition: number
  readonly items: number
  readonly leaves: readonly string[]
} {
  const sum = new DigestSum()
  let items = 0
  for (const digest of digests) {
    items += digest.items
    for (const leaf of digest.leaves) sum.add(leaf)
  }
  return { partition: -1, items, leaves: [String(sum)] }
}

/** Where a scan reads. */
export interface DigestSource {
  readonly kv: KeyValue
  /** Of the shards of this thread. */
  readonly indexes: () => Iterable<ShardIndex>
  /** The index of the shard that a hash belongs to; undefined if another thread has it. */
  readonly indexOf: (hash: string) => ShardIndex | undefined
}

const NOW = Promise.resolve()

function tableKey(kind: number, policy: number): number {
  return kind * 0x10000 + policy
}

function isList(kind: number): boolean {
  return kind < ITEM_KINDS.indexOf('object')
}

function kindOfList(list: ListId): number {
  return ITEM_KINDS.indexOf(list.name.includes('/', 1) ? 'container' : 'account')
}

/** Whether the entry is a record that a replica must have: neither a bare promise nor what was given away. */
export function isHeld(entry: Entry | null): entry is Entry {
  if (entry === null) return false
  return entry.type !== RECORD_TYPES.promise && entry.type !== RECORD_TYPES.gone
}

function leafOf(table: Table, placement: number): Leaf {
  const number = leafNumber(table.partPower, placement)
  let leaf = table.leaves.get(number)
  if (leaf === undefined) {
    leaf = { sum: new DigestSum(), items: 0 }
    table.leaves.set(number, leaf)
  }
  return leaf
}

/** The leaf's number; below 2^36, hence no shifts. */
function leafNumber(partPower: number, placement: number): number {
  return Math.floor(placement / 2 ** (32 - partPower - LEAF_BITS))
}

/** Adds what the index held when the scan began. */
async function scan(
  table: Table,
  of: { readonly kind: number; readonly policy: number },
  { kv, indexes, indexOf }: DigestSource,
): Promise<void> {
  const prefix = Buffer.from([SPACES.entry, of.kind, of.policy >> 8, of.policy & 0xff])
  // Both in this turn: what the memtables hide in the store, and the store as it is now.
  const iterator = kv.iterate({ gte: prefix, lt: afterPrefix(prefix) })
  const overlay = overlayOf(indexes(), of)
  const take = (id: RegisterId, entry: Entry | null) => {
    if (!isHeld(entry)) return
    const leaf = leafOf(table, id.placement)
    leaf.sum.toggle(id.hash, entry.ballot, entry.writeId)
    leaf.items++
    if (isList(id.kind)) addRows(table, leaf, id.hash, indexOf(id.hash))
  }
  try {
    for (const { id, entry } of overlay.values()) take(id, entry)
    for (;;) {
      const page = await iterator.next(SCAN_PAGE)
      if (page.length === 0) break
      for (const [key, value] of page) {
        const id = registerIdOfKey(Buffer.from(key.buffer, key.byteOffset, key.length))
        const index = indexOf(id.hash)
        if (index === undefined || overlay.has(id.hash)) continue
        take(id, decodeEntry(value) ?? index.damaged('an entry'))
      }
    }
  } finally {
    table.rowChanges = null
    await iterator.close()
  }
}

/** Adds a list's rows as they were when the scan began: as they are now, without what has changed since. */
function addRows(table: Table, leaf: Leaf, hash: string, index: ShardIndex | undefined): void {
  if (index === undefined) return
  leaf.sum.add(digestOfRows(index.totalsNow(hash)))
  const since = table.rowChanges?.get(hash)
  if (since !== undefined) leaf.sum.add(since)
}

/** Registers of the kind and policy whose newest entry is in a memtable, by hash. */
function overlayOf(
  indexes: Iterable<ShardIndex>,
  of: { readonly kind: number; readonly policy: number },
): Map<string, { readonly id: RegisterId; readonly entry: Entry | null }> {
  const overlay = new Map<string, { readonly id: RegisterId; readonly entry: Entry | null }>()
  for (const index of indexes) {
    for (const memtable of [index.flushing, index.active]) {
      for (const { id } of memtable?.entries.values() ?? []) {
        if (id.kind !== of.kind || id.policy !== of.policy) continue
        overlay.set(id.hash, { id, entry: index.entry(id) })
      }
    }
  }
  return overlay
}

export function registerIdOfKey(key: Buffer): RegisterId {
  return {
    kind: key[1]!,
    policy: key.readUInt16BE(2),
    placement: key.readUInt32BE(4),
    hash: key.toString('latin1', 8, 24),
  }
}

function allOf(table: Table): readonly LeafDigests[] {
  const partitions = new Set<number>()
  for (const leaf of table.leaves.keys()) partitions.add(Math.floor(leaf / LEAVES))
  return [...partitions].flatMap((partition) => digestsOf(table, partition) ?? [])
}

/** Null if the partition is empty. */
function digestsOf(table: Table, partition: number): LeafDigests | null {
  let items = 0
  let isEmpty = true
  const leaves = Array.from({ length: LEAVES }, (_, leaf) => {
    const found = table.leaves.get(partition * LEAVES + leaf)
    if (found === undefined) return new DigestSum()
    items += found.items
    if (found.items > 0 || found.sum.low !== 0 || found.sum.high !== 0) isEmpty = false
    return found.sum.copy()
  })
  return isEmpty ? null : { partition, items, leaves }
}
