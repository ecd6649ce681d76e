/** What changed since the last flush of the index: registers, and rows in order. */
import type { Entry } from './entry.ts'
import { PlacedIds } from './placed-ids.ts'
import type { StoredRow } from './row.ts'
import { SortedMap } from './sorted-map.ts'

/** The parts of an item that its index key is made of. */
export interface RegisterId {
  /** Index into ITEM_KINDS. */
  readonly kind: number
  readonly policy: number
  readonly placement: number
  readonly hash: string
}

/** A list as rows refer to it: an account or a container. */
export interface ListId {
  readonly hash: string
  readonly placement: number
  /** Full name. */
  readonly name: string
}

export interface EntrySlot {
  readonly id: RegisterId
  entry: Entry
  /** What the index below holds: null if nothing. */
  before: Entry | null
}

export interface RowSlot {
  /** Null: forgotten, after a reclaim. */
  row: StoredRow | null
  /** What the index below holds: null if nothing. */
  before: StoredRow | null
}

export interface ListSlot {
  readonly list: ListId
  readonly rows: SortedMap<RowSlot>
}

export class Memtable {
  readonly entries = new Map<string, EntrySlot>()
  /** The registers by their placement. */
  readonly placed = new PlacedIds(this.entries)
  /** By hash of the list. */
  readonly lists = new Map<string, ListSlot>()
  /** How often a flush of it has begun. */
  flushes = 0
  #rowCount = 0

  get size(): number {
    return this.entries.size + this.#rowCount
  }

  row(listHash: string, name: string): RowSlot | undefined {
    return this.lists.get(listHash)?.rows.get(name)
  }

  /** Of a name that has no row here yet. */
  addRow(list: ListId, name: string, slot: RowSlot): void {
    let listSlot = this.lists.get(list.hash)
    if (listSlot === undefined) {
      listSlot = { list, rows: new SortedMap() }
      this.lists.set(list.hash, listSlot)
    }
    listSlot.rows.add(name, slot)
    this.#rowCount++
  }
}

/** The map key of a register: a name exists once in each policy. */
export function registerKey(id: { readonly policy: number; readonly hash: string }): string {
  return id.policy === 0 ? id.hash : `${String.fromCharCode(id.policy)}${id.hash}`
}
