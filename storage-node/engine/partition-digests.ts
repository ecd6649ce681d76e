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

interface Partition {
  readonly partition: number
  /** Of all leaves together. */
  readonly sum: DigestSum
  readonly leaves: (DigestSum | undefined)[]
  items: number
}

interface Table {
  readonly partPower: number
  /** Those that hold anything, and perhaps some that did. */
  readonly partitions: Map<number, Partition>
  /** Those that do; null: not known since something came or went. */
  held: readonly number[] | null
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
    const change = new DigestSum()
    if (isList(id.kind) && isHeld(before) !== isHeld(after)) change.add(rowsOf())
    if (isHeld(before)) change.toggle(id.hash, before.ballot, before.writeId)
    if (isHeld(after)) change.toggle(id.hash, after.ballot, after.writeId)
    addChange(table, id.placement, change, Number(isHeld(after)) - Number(isHeld(before)))
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
      addChange(table, placement, change, 0)
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
    of: DigestsOf,
    source: DigestSource,
    partitions?: readonly number[],
  ): Promise<readonly LeafDigests[]> {
    const table = await this.#table(of, source)
    const wanted = partitions ?? table.partitions.keys()
    return Array.from(wanted, (partition) => table.partitions.get(partition)).flatMap((found) =>
      found === undefined || isEmpty(found) ? [] : [leafDigests(found)],
    )
  }

  /** The partitions that hold anything; the same array as long as they are the same. */
  async partitions(of: DigestsOf, source: DigestSource): Promise<readonly number[]> {
    const table = await this.#table(of, source)
    table.held ??= [...table.partitions.values()].flatMap((found) =>
      isEmpty(found) ? [] : [found.partition],
    )
    return table.held
  }

  /** The digests of the named partitions as one: what idle devices compare, so it makes nothing for each of them. */
  async folded(
    of: DigestsOf,
    source: DigestSource,
    partitions: readonly number[],
  ): Promise<{ readonly items: number; readonly digest: string }> {
    const table = await this.#table(of, source)
    const sum = new DigestSum()
    let items = 0
    for (const partition of partitions) {
      const found = table.partitions.get(partition)
      if (found === undefined) continue
      items += found.items
      sum.add(found.sum)
    }
    return { items, digest: String(sum) }
  }

  async #table(of: DigestsOf, source: DigestSource): Promise<Table> {
    const key = tableKey(of.kind, of.policy)
    let table = this.#tables.get(key)
    if (table?.partPower !== of.partPower) {
      table = newTable(of.partPower)
      this.#tables.set(key, table)
      table.ready = scan(table, of, source).catch((error: unknown) => {
        this.#tables.delete(key)
        throw error
      })
    }
    await table.ready
    return table
  }
}

/** A kind and policy, and how finely its ring divides. */
export interface DigestsOf {
  readonly kind: number
  readonly policy: number
  readonly partPower: number
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

function newTable(partPower: number): Table {
  return { partPower, partitions: new Map(), held: null, rowChanges: new Map(), ready: NOW }
}

function tableKey(kind: number, policy: number): number {
  return kind * 0x10000 + policy
}

/** Whether registers of this kind have rows. */
export function isList(kind: number): boolean {
  return kind < ITEM_KINDS.indexOf('object')
}

/** The register that the rows of a list belong to. */
export function registerIdOfList(list: ListId): RegisterId {
  return { kind: kindOfList(list), policy: 0, placement: list.placement, hash: list.hash }
}

function kindOfList(list: ListId): number {
  return ITEM_KINDS.indexOf(list.name.includes('/', 1) ? 'container' : 'account')
}

/** Whether the entry is a record that a replica must have: neither a bare promise nor what was given away. */
export function isHeld(entry: Entry | null): entry is Entry {
  if (entry === null) return false
  return entry.type !== RECORD_TYPES.promise && entry.type !== RECORD_TYPES.gone
}

/** Whether it was given away. */
export function isGone(entry: Entry | null): boolean {
  return entry?.type === RECORD_TYPES.gone
}

function addChange(table: Table, placement: number, change: DigestSum, items: number): void {
  // Below 2^36, hence no shifts.
  const number = Math.floor(placement / 2 ** (32 - table.partPower - LEAF_BITS))
  const partition = Math.floor(number / LEAVES)
  let found = table.partitions.get(partition)
  if (found === undefined) {
    const leaves = Array<DigestSum | undefined>(LEAVES).fill(undefined)
    found = { partition, sum: new DigestSum(), leaves, items: 0 }
    table.partitions.set(partition, found)
  }
  found.sum.add(change)
  found.items += items
  // None before, or none now.
  if (items !== 0 && (found.items === items || found.items === 0)) table.held = null
  const leaf = number % LEAVES
  const known = found.leaves[leaf]
  if (known === undefined) found.leaves[leaf] = change.copy()
  else known.add(change)
}

function isEmpty({ items, leaves }: Partition): boolean {
  return items === 0 && leaves.every((leaf) => leaf === undefined || !hasAny(leaf))
}

function hasAny({ low, high }: DigestSum): boolean {
  return low !== 0 || high !== 0
}

function leafDigests({ partition, items, leaves }: Partition): LeafDigests {
  return { partition, items, leaves: leaves.map((leaf) => leaf?.copy() ?? new DigestSum()) }
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
    const sum = new DigestSum()
    sum.toggle(id.hash, entry.ballot, entry.writeId)
    if (isList(id.kind)) addRows(table, sum, id.hash, indexOf(id.hash))
    addChange(table, id.placement, sum, 1)
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
function addRows(table: Table, sum: DigestSum, hash: string, index: ShardIndex | undefined): void {
  if (index === undefined) return
  sum.add(digestOfRows(index.totalsNow(hash)))
  const since = table.rowChanges?.get(hash)
  if (since !== undefined) sum.add(since)
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
