/**
 * The index of one shard: which record is the newest of each register, which rows a listing has, and its totals. Two
 * memtables (one taking changes, one being flushed) before the device's key-value store. All of it is derived from
 * the log: it may be deleted at any time and is rebuilt by replay.
 */

import { ServiceError } from '../../common/errors.ts'
import type { KeyValue } from '../../common/key-value.ts'
import { compareStamps, maxStamp, type Stamp, ZERO_STAMP } from '../../common/stamp.ts'
import type { DigestSum } from './digest.ts'
import { decodeEntry, type Entry } from './entry.ts'
import { byteText, entryKey, fromByteText, listKey, SPACES } from './keys.ts'
import {
  type EntrySlot,
  type ListId,
  Memtable,
  type RegisterId,
  type RowSlot,
  registerKey,
} from './memtable.ts'
import { NamesHeld, type OwnHashes } from './names-held.ts'
import { isHeld, type PartitionDigests, registerIdOfList } from './partition-digests.ts'
import { type Place, RECORD_TYPES } from './record.ts'
import { decodeRow, type StoredRow } from './row.ts'
import { RowChanges } from './row-changes.ts'
import { RowDoubts } from './row-doubts.ts'
import { SegmentUse } from './segment-use.ts'
import { decodeTotals, digestOfRows, emptyTotals, shiftTotals, type Totals } from './totals.ts'

/** A register that is not confirmed, and since when (monotonic milliseconds). */
export interface EntryDoubt {
  readonly id: RegisterId
  readonly ballot: Stamp
  readonly sinceMs: number
  /** A replica that lags takes the record only under a newer ballot. */
  readonly refused?: true
}

/** So many answers of the store below are remembered; then it starts over. */
const LOOKED_UP_MAX = 4096
/** Totals of this many lists are kept in memory besides those that changed. */
const TOTALS_CACHED_MAX = 20_000

export class ShardIndex {
  readonly #kv: KeyValue
  readonly #nowMs: () => number
  active = new Memtable()
  /** The memtable being flushed, or null. */
  flushing: Memtable | null = null
  readonly use = new SegmentUse()
  /** Rows that changed lately. */
  readonly changes = new RowChanges()
  /** Which names need not be looked for, neither here nor in the store below. */
  readonly names: NamesHeld
  readonly #totals = new Map<string, Totals>()
  /**
   * What the store below answered for names that no memtable has. Only a flush changes the store, and while it runs its
   * memtable hides what it changes.
   */
  readonly #entriesBelow = new Map<string, Entry | null>()
  /** The same by list hash + name in byte text. */
  readonly #rowsBelow = new Map<string, StoredRow | null>()
  readonly unconfirmedRows = new RowDoubts()
  readonly unconfirmedEntries = new Map<string, EntryDoubt>()
  /** Containers whose totals changed since they were last taken, by register key. */
  readonly changedLists = new Map<string, ListId>()

  readonly #onDamage: (what: string) => void
  /** Told of every change. */
  readonly #digests: PartitionDigests | undefined

  constructor(
    kv: KeyValue,
    options: {
      readonly nowMs: () => number
      readonly onDamage: (what: string) => void
      readonly digests?: PartitionDigests | undefined
      readonly own: OwnHashes
    },
  ) {
    this.#kv = kv
    this.names = new NamesHeld(kv, options.own)
    this.#digests = options.digests
    this.#nowMs = options.nowMs
    this.#onDamage = options.onDamage
  }

  /** The store below holds something that fails its checksum: it has to be made anew. */
  damaged(what: string): never {
    this.#onDamage(what)
    throw new ServiceError('IndexDamaged', `the index holds ${what} that fails its checksum`)
  }

  /** The register's entry, or null if nothing is known of it. */
  entry(id: RegisterId): Entry | null {
    if (!this.names.mayHaveRegister(id.hash)) return null
    const key = registerKey(id)
    const slot = this.active.entries.get(key) ?? this.flushing?.entries.get(key)
    if (slot === undefined) return this.#lookUpEntry(key, id)
    return slot.entry === NO_ENTRY ? null : slot.entry
  }

  /** From the store below, remembered: a write asks three times for what is not there. */
  #lookUpEntry(key: string, id: RegisterId): Entry | null {
    const known = this.#entriesBelow.get(key)
    if (known !== undefined) return known
    return this.#noteMiss(remember(this.#entriesBelow, key, this.storedEntry(id)))
  }

  #noteMiss<T>(found: T | null): T | null {
    if (found === null && this.flushing === null) this.names.missed(this.active)
    return found
  }

  /** The flush is over: what it wrote is below, and the memtable that hid it may go. */
  endFlush(): void {
    this.#entriesBelow.clear()
    this.#rowsBelow.clear()
    this.flushing = null
    this.#trimTotals()
  }

  /** The entry in the store below. */
  storedEntry(id: RegisterId): Entry | null {
    const value = this.#kv.getSync(entryKey(SPACES.entry, id))
    if (value === undefined) return null
    return decodeEntry(value) ?? this.damaged('an entry')
  }

  /** A row, deleted ones included; `name` in byte text. */
  row(listHash: string, name: string): StoredRow | null {
    if (!this.names.mayHaveRow(listHash, name)) return null
    return this.#rowOf(this.active.row(listHash, name), listHash, name)
  }

  /** The row of the slot that the active memtable has for it; without one, what stands below. */
  #rowOf(slot: RowSlot | undefined, listHash: string, name: string): StoredRow | null {
    const found = slot ?? this.flushing?.row(listHash, name)
    return found === undefined ? this.#storedRow(listHash, name) : found.row
  }

  #storedRow(listHash: string, name: string): StoredRow | null {
    const key = listHash + name
    const known = this.#rowsBelow.get(key)
    if (known !== undefined) return known
    const mayBeDeleted = this.totals(listHash).deletedRows > 0
    const row = this.storedRow(listHash, name, { mayBeDeleted })
    return this.#noteMiss(remember(this.#rowsBelow, key, row))
  }

  /** The row in the store below; `name` in byte text. */
  storedRow(
    listHash: string,
    name: string,
    options: { readonly mayBeDeleted: boolean } = { mayBeDeleted: true },
  ): StoredRow | null {
    const text = fromByteText(name)
    const live = this.#kv.getSync(listKey(SPACES.row, listHash, name))
    if (live !== undefined) return decodeRow(text, live) ?? this.damaged('a row')
    if (!options.mayBeDeleted) return null
    const dead = this.#kv.getSync(listKey(SPACES.deletedRow, listHash, name))
    return dead === undefined ? null : (decodeRow(text, dead) ?? this.damaged('a deleted row'))
  }

  /** Totals with all changes so far; not to be modified. */
  totals(listHash: string): Totals {
    const known = this.#totals.get(listHash)
    if (known !== undefined) return known
    const totals = this.storedTotals(listHash)
    this.#totals.set(listHash, totals)
    return totals
  }

  /** The same for a walk over many lists: what is not in memory is not kept there. */
  totalsNow(listHash: string): Totals {
    return this.#totals.get(listHash) ?? this.storedTotals(listHash)
  }

  /** The totals in the store below, a fresh copy. */
  storedTotals(listHash: string): Totals {
    const value = this.#kv.getSync(listKey(SPACES.stats, listHash))
    if (value === undefined) return emptyTotals()
    return decodeTotals(value) ?? this.damaged('totals')
  }

  /**
   * Takes in a register's record: the highest ballot wins; the same ballot at another place is a copy that compaction
   * made. Returns the entry that it replaced, or null.
   */
  applyEntry(id: RegisterId, next: Entry): Entry | null {
    const slot = this.#entrySlot(id)
    const old = slot.entry
    if (old !== NO_ENTRY) {
      const order = compareStamps(next.ballot, old.ballot)
      if (order < 0 || (order === 0 && !isLater(next.place, old.place))) return null
      this.use.remove(old.place)
    }
    this.use.add(next.place)
    const promised = compareStamps(old.promised, next.ballot) > 0 ? old.promised : ZERO_STAMP
    // The same write under a higher ballot says nothing new of its row; one that was given away, and is back, is in doubt as
    // it would be anywhere else.
    const wasGone = old.type === RECORD_TYPES.gone
    const wasSame = old.writeId === next.writeId && compareStamps(old.stamp, next.stamp) === 0
    const isKnown = wasSame && !wasGone
    const confirmed = next.type === RECORD_TYPES.gone || (isKnown ? old.confirmed : next.confirmed)
    const isAsGiven = promised === next.promised && confirmed === next.confirmed
    slot.entry = isAsGiven ? next : { ...next, promised, confirmed }
    this.#digests?.entryChanged(id, old, slot.entry, () => this.#rowsOf(id))
    if (slot.entry.confirmed) this.unconfirmedEntries.delete(registerKey(id))
    else this.#doubtEntry(id, next.ballot)
    return old === NO_ENTRY ? null : old
  }

  /**
   * Takes in a promise: it stands beside the record until a higher ballot is accepted. Where there is no record the
   * entry is the promise alone, at its place; the same promise at another place is a copy by compaction.
   */
  applyPromise(id: RegisterId, ballot: Stamp, place: Place): void {
    const slot = this.#entrySlot(id)
    const { entry } = slot
    if (entry.type !== RECORD_TYPES.promise) {
      const barrier = maxStamp(entry.promised, entry.ballot)
      if (compareStamps(ballot, barrier) > 0) slot.entry = { ...entry, promised: ballot }
      return
    }
    const order = compareStamps(ballot, entry.promised)
    if (order < 0 || (order === 0 && !isLater(place, entry.place))) return
    if (entry !== NO_ENTRY) this.use.remove(entry.place)
    this.use.add(place)
    slot.entry = { ...NO_ENTRY, place, promised: ballot }
  }

  /** Drops a promise so old that nothing it was made against can still be on its way. */
  forgetPromise(id: RegisterId, ballot: Stamp): void {
    const slot = this.#entrySlot(id)
    const { entry } = slot
    if (compareStamps(entry.promised, ballot) !== 0) return
    if (entry.type !== RECORD_TYPES.promise) {
      slot.entry = { ...entry, promised: ZERO_STAMP }
      return
    }
    if (entry !== NO_ENTRY) this.use.remove(entry.place)
    slot.entry = NO_ENTRY
  }

  #entrySlot(id: RegisterId): EntrySlot {
    const key = registerKey(id)
    if (!this.names.mayHaveRegister(id.hash)) return this.#addSlot(key, id, null)
    const known = this.active.entries.get(key)
    if (known !== undefined) return known
    const before = this.flushing?.entries.get(key)?.entry ?? this.#lookUpEntry(key, id)
    return this.#addSlot(key, id, before)
  }

  #addSlot(key: string, id: RegisterId, before: Entry | null): EntrySlot {
    const slot: EntrySlot = { id, entry: before ?? NO_ENTRY, before }
    this.active.entries.set(key, slot)
    this.names.addRegister(id.hash)
    return slot
  }

  /** Takes in a row: the highest ballot of a name wins. False if a newer one is there. */
  applyRow(list: ListId, row: StoredRow, options: { readonly isContainer: boolean }): boolean {
    const name = byteText(row.name)
    const isNew = !this.names.mayHaveRow(list.hash, name)
    const slot = isNew ? undefined : this.active.row(list.hash, name)
    const before = isNew ? null : this.#rowOf(slot, list.hash, name)
    if (before !== null) {
      const order = compareStamps(row.ballot, before.ballot)
      if (order < 0) return false
      if (order === 0 && before.gone === row.gone) return this.#moveRow(list, name, before, row)
      // Given away, or taken back: the later record holds.
      if (order === 0 && row.segmentId < before.segmentId) return true
      this.use.removeBytes(before.segmentId, before.recordBytes)
    }
    this.use.addBytes(row.segmentId, row.recordBytes)
    shiftTotals(this.totals(list.hash), before, row)
    this.changes.note(list.hash, before, row)
    this.#digests?.rowChanged(list, before, row, (id) => this.entry(id))
    if (slot === undefined) this.#addRow(list, name, { row, before })
    else slot.row = row
    if (row.confirmed) this.unconfirmedRows.delete(list.hash, name)
    else this.#doubtRow(list, name, row.ballot)
    if (options.isContainer) this.changedLists.set(list.hash, list)
    return true
  }

  /** The same row again: a copy by compaction, or a replay. */
  #moveRow(list: ListId, name: string, before: StoredRow, row: StoredRow): boolean {
    if (row.segmentId > before.segmentId) {
      this.use.removeBytes(before.segmentId, before.recordBytes)
      this.use.addBytes(row.segmentId, row.recordBytes)
      this.#setRow(list, name, { ...before, segmentId: row.segmentId }, before)
    }
    return true
  }

  /** `before` is the row as it was until now: what the store below has, if no memtable knows it. */
  #setRow(list: ListId, name: string, row: StoredRow | null, before: StoredRow | null): void {
    const slot = this.active.row(list.hash, name)
    if (slot === undefined) this.#addRow(list, name, { row, before })
    else slot.row = row
  }

  #addRow(list: ListId, name: string, slot: RowSlot): void {
    this.active.addRow(list, name, slot)
    this.names.addRow(list.hash, name)
  }

  #doubtRow(list: ListId, name: string, ballot: Stamp): void {
    this.unconfirmedRows.add({ list, name, ballot, sinceMs: this.#nowMs() })
  }

  /** A record that compaction moves has been in doubt since before. */
  #doubtEntry(id: RegisterId, ballot: Stamp): void {
    const key = registerKey(id)
    const known = this.unconfirmedEntries.get(key)
    if (known !== undefined && compareStamps(known.ballot, ballot) === 0) return
    this.unconfirmedEntries.set(key, { id, ballot, sinceMs: this.#nowMs() })
  }

  /** A replica has refused the register's record as too old: it is to be settled once more, under a newer ballot. */
  doubtAgain(id: RegisterId, ballot: Stamp): void {
    const slot = this.#entrySlot(id)
    if (compareStamps(slot.entry.ballot, ballot) !== 0) return
    slot.entry = { ...slot.entry, confirmed: false }
    this.#doubtEntry(id, ballot)
    const key = registerKey(id)
    this.unconfirmedEntries.set(key, { ...this.unconfirmedEntries.get(key)!, refused: true })
  }

  /** A register that was unconfirmed when it was flushed, found again at the start. */
  doubtStoredEntry(id: RegisterId): void {
    const entry = this.entry(id)
    if (entry !== null && !entry.confirmed) this.#doubtEntry(id, entry.ballot)
  }

  /** Whether the register of a list is here: rows without it are shown by nobody, and are in doubt until it comes. */
  isListHeld(list: ListId): boolean {
    return isHeld(this.entry(registerIdOfList(list)))
  }

  /** After a replay: rows whose list is not here are in doubt, whatever their records say. */
  doubtStrayRows(): void {
    for (const { list, rows } of this.active.lists.values()) {
      if (this.isListHeld(list)) continue
      for (const [name, slot] of rows.entries()) {
        const { row } = slot
        if (row === null || row.gone || !row.confirmed) continue
        slot.row = { ...row, confirmed: false }
        this.#doubtRow(list, name, row.ballot)
      }
    }
  }

  /** The row is known to hold. Nothing happens if it has changed since, or if its list is not here. */
  confirmRow(list: ListId, name: string, ballot: Stamp): void {
    const doubt = this.unconfirmedRows.get(list.hash, name)
    if (doubt === undefined || compareStamps(doubt.ballot, ballot) !== 0) return
    if (!this.isListHeld(list)) return
    this.unconfirmedRows.delete(list.hash, name)
    const slot = this.active.row(list.hash, name)
    const row = this.#rowOf(slot, list.hash, name)
    if (row === null || compareStamps(row.ballot, ballot) !== 0) return
    // In place unless what the store below holds is this very row.
    if (slot !== undefined && slot.before !== row) row.confirmed = true
    else this.#setRow(list, name, { ...row, confirmed: true }, row)
  }

  /** The register's row is known to hold. */
  confirmEntry(id: RegisterId, ballot: Stamp): void {
    const key = registerKey(id)
    const doubt = this.unconfirmedEntries.get(key)
    if (doubt === undefined || compareStamps(doubt.ballot, ballot) !== 0) return
    this.unconfirmedEntries.delete(key)
    const slot = this.#entrySlot(id)
    if (compareStamps(slot.entry.ballot, ballot) !== 0) return
    // In place unless what the store below holds is this very entry.
    if (slot.before !== slot.entry) slot.entry.confirmed = true
    else slot.entry = { ...slot.entry, confirmed: true }
  }

  /** Drops a tombstone whose name has no older record left. */
  forgetEntry(id: RegisterId): void {
    const slot = this.#entrySlot(id)
    if (slot.entry !== NO_ENTRY) this.use.remove(slot.entry.place)
    this.#digests?.entryChanged(id, slot.entry, null, () => this.#rowsOf(id))
    slot.entry = NO_ENTRY
    this.unconfirmedEntries.delete(registerKey(id))
  }

  /** Drops the row of an item deleted long ago, whose name has no older record left. */
  forgetRow(list: ListId, row: StoredRow): void {
    const name = byteText(row.name)
    this.use.removeBytes(row.segmentId, row.recordBytes)
    shiftTotals(this.totals(list.hash), row, null)
    this.#digests?.rowChanged(list, row, null, (id) => this.entry(id))
    this.#setRow(list, name, null, row)
    this.unconfirmedRows.delete(list.hash, name)
  }

  #rowsOf({ hash }: RegisterId): DigestSum {
    return digestOfRows(this.totalsNow(hash))
  }

  /** Forgets totals of lists that have no changes, when there are many. */
  #trimTotals(): void {
    if (this.#totals.size <= TOTALS_CACHED_MAX) return
    for (const hash of this.#totals.keys()) {
      if (!this.active.lists.has(hash) && !this.flushing?.lists.has(hash)) this.#totals.delete(hash)
    }
  }
}

/** Stands in a slot for "nothing known". */
export const NO_ENTRY: Entry = Object.freeze({
  place: { segmentId: 0, offset: 0, bytes: 0 },
  type: RECORD_TYPES.promise,
  flags: 0,
  stamp: ZERO_STAMP,
  ballot: ZERO_STAMP,
  promised: ZERO_STAMP,
  writeId: '0'.repeat(16),
  dataBytes: 0,
  deleteAt: 0,
  blobId: '0'.repeat(16),
  confirmed: true,
})

function remember<T>(cache: Map<string, T>, key: string, value: T): T {
  if (cache.size >= LOOKED_UP_MAX) cache.clear()
  cache.set(key, value)
  return value
}

function isLater(a: Place, b: Place): boolean {
  return a.segmentId === b.segmentId ? a.offset > b.offset : a.segmentId > b.segmentId
}
