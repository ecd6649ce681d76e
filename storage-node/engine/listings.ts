/** The rows of a shard's accounts and containers, and their pages. */
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import type { KeyValue } from '../../common/key-value.ts'
import { compareStamps, type Stamp } from '../../common/stamp.ts'
import type {
  ListPage,
  ListQuery,
  ListRow,
  ListTotals,
  RowOutcome,
  TotalsQuery,
} from '../../common/storage-node.ts'
import type { Admission } from './admission.ts'
import { byteText } from './keys.ts'
import { listPage } from './listing.ts'
import { type ListId, registerKey } from './memtable.ts'
import type { NewestState } from './newest-state.ts'
import type { Pending } from './pending.ts'
import { encodeRecord, RECORD_FLAGS, RECORD_TYPES, type RecordHead } from './record.ts'
import { isLive, registerIdOf } from './register.ts'
import { isStorable, rowMeta, storedRow } from './row.ts'
import { answerTotals } from './row-changes.ts'
import type { ShardIndex } from './shard-index.ts'
import type { ShardParts } from './shard-parts.ts'

export interface ListingsOptions extends ShardParts {
  readonly kv: KeyValue
}

/** Containers whose settings' epoch is kept; beyond it the oldest is read again. */
const SETTINGS_MAX = 10_000

export class Listings {
  readonly #options: ListingsOptions
  readonly #index: ShardIndex
  readonly #pending: Pending
  readonly #newest: NewestState
  readonly #admission: Admission
  /** Epochs of containers' settings, by hash, with the ballot of the record that they were read from. */
  readonly #settings = new Map<string, Pick<RecordHead, 'ballot' | 'metaStamp'>>()

  constructor(options: ListingsOptions) {
    this.#options = options
    this.#index = options.index
    this.#pending = options.pending
    this.#newest = options.newest
    this.#admission = options.admission
  }

  /** Inserts or deletes a row, made under these settings of its container. */
  putRow(list: ItemKey, row: ListRow, settings?: Stamp): Promise<RowOutcome> {
    const refusal =
      this.#admission.stale(list) ??
      this.#admission.unknown(registerIdOf(list)) ??
      this.#admission.overload() ??
      refusalOf(row)
    if (refusal !== null) return refusal
    if (!this.#takesRow(list, row)) return Promise.resolve({ status: 'not-found' })
    if (settings !== undefined) {
      const current = this.#settingsOf(list)
      if (current === null) return this.#loadSettings(list, () => this.putRow(list, row, settings))
      if (compareStamps(settings, current) < 0) return Promise.resolve({ status: 'stale-settings' })
    }
    const name = byteText(row.name)
    const key = list.hash + name
    const order = this.#newest.rowOrder(list, name, row.ballot)
    if (order < 0) return Promise.resolve({ status: 'superseded' })
    if (order === 0) return this.#rowAgain(list, key, row)
    return this.commitRow(list, key, row)
  }

  /**
   * Whether the list is there and not younger than the row: a row that was on its way while its container was deleted
   * and made again belongs to the old one. Rows that say "deleted" do no harm.
   */
  #takesRow(list: ItemKey, row: ListRow): boolean {
    const id = registerIdOf(list)
    if (!this.#newest.isLive(id)) return false
    if (row.deleted || list.kind !== 'container') return true
    const made = this.#newest.madeAt(id)
    return made === undefined || compareStamps(row.metaStamp, made) >= 0
  }

  /** The epoch of the list's settings; null if it is not in memory, or about to change. */
  #settingsOf(list: ItemKey): Stamp | null {
    const id = registerIdOf(list)
    if (this.#pending.entry(registerKey(id)) !== undefined) return null
    const known = this.#settings.get(list.hash)
    const entry = this.#index.entry(id)
    if (known === undefined || entry === null) return null
    return compareStamps(known.ballot, entry.ballot) === 0 ? known.metaStamp : null
  }

  /**
   * Reads the settings' epoch, then goes on. A change on its way is waited for: a row judged by what is there before it
   * would be a row of a container that is gone when the row is durable.
   */
  async #loadSettings(list: ItemKey, goOn: () => Promise<RowOutcome>): Promise<RowOutcome> {
    await this.#pending.settled(registerKey(registerIdOf(list)))
    const record = await this.#options.reads.readPlace(list, { body: false })
    if (record === null) return { status: 'not-found' }
    const { ballot, metaStamp } = record.head
    this.#settings.delete(list.hash)
    if (this.#settings.size >= SETTINGS_MAX) {
      const [oldest] = this.#settings.keys()
      this.#settings.delete(oldest!)
    }
    this.#settings.set(list.hash, { ballot, metaStamp })
    return goOn()
  }

  /** The same row once more: done if it is stored, else the caller has to wait for the first attempt. */
  #rowAgain(list: ItemKey, key: string, row: ListRow): Promise<RowOutcome> {
    if (this.#pending.row(key) === undefined) {
      if (row.confirmed) this.#index.confirmRow(list, byteText(row.name), row.ballot)
      return Promise.resolve({ status: 'done' })
    }
    return this.commitRow(list, key, row)
  }

  /**
   * Takes in rows that another replica has, whether the list is there yet or not: its register comes the same way, and
   * until then they are in doubt. A list that was given away takes none: it is to be empty. Resolves when they are
   * durable.
   */
  async putRows(list: ItemKey, rows: readonly ListRow[]): Promise<void> {
    const refusal = this.#admission.overload()
    if (refusal !== null) return refusal
    const id = registerIdOf(list)
    if (this.#newest.isGone(id)) return
    const isStray = !this.#newest.isHeld(id)
    await Promise.all(
      rows.map((row) => {
        const name = byteText(row.name)
        if (!isStorable(row) || this.#newest.rowOrder(list, name, row.ballot) <= 0) return undefined
        return this.commitRow(list, list.hash + name, isStray ? { ...row, confirmed: false } : row)
      }),
    )
  }

  /** Commits a row whatever is there; `key` is the list's hash with the row's name, `flags` further ones of the record. */
  commitRow(list: ItemKey, key: string, row: ListRow, flags = 0): Promise<RowOutcome> {
    const record = encodeRecord({
      type: RECORD_TYPES.listRow,
      flags:
        (row.deleted ? RECORD_FLAGS.deleted : 0) |
        (row.confirmed ? RECORD_FLAGS.confirmed : 0) |
        flags,
      kind: registerIdOf(list).kind,
      policy: row.policy,
      hash: list.hash,
      placement: list.placement,
      stamp: row.stamp,
      metaStamp: row.metaStamp,
      ballot: row.ballot,
      writeId: '0'.repeat(16),
      dataBytes: 0,
      meta: rowMeta(list.name, row),
      data: null,
    })
    this.#pending.setRow(list.hash, key, row)
    this.#options.ballots.saw(row.ballot)
    return this.#options.journal.append(record, {
      apply: (place) => {
        const stored = storedRow(row, {
          segmentId: place.segmentId,
          recordBytes: place.bytes,
          gone: (flags & RECORD_FLAGS.gone) !== 0,
          confirmed: row.confirmed,
        })
        const isContainer = list.kind === 'container'
        this.#index.applyRow(listIdOf(list), stored, { isContainer })
        return { status: 'done' }
      },
      end: () => this.#pending.clearRow(list.hash, key, row),
    })
  }

  /** The row is known to hold at its quorum. */
  confirmRow(list: ItemKey, name: string, ballot: Stamp): void {
    this.#index.confirmRow(listIdOf(list), byteText(name), ballot)
  }

  /** A page of a listing; null if the account or container is not there. */
  async list(list: ItemKey, query: ListQuery): Promise<ListPage | null> {
    this.#admission.assertNotStale(list)
    this.#admission.assertKnown(list)
    const read = await this.#options.reads.read(list, { body: false })
    if (read === null || read.info.deleted) return null
    const memtables = [this.#index.active, this.#index.flushing]
      .map((memtable) => memtable?.lists.get(list.hash)?.rows)
      .filter((rows) => rows !== undefined)
    const { kv } = this.#options
    const damaged = (what: string) => this.#index.damaged(what)
    const entries = await listPage({ kv, listHash: list.hash, memtables, damaged }, query)
    return { info: read.info, entries }
  }

  /** Totals to be compared with those of replicas; null if the list is not there, or too much has changed since. */
  totals(list: ItemKey, query: TotalsQuery): ListTotals | null {
    this.#admission.assertNotStale(list)
    this.#admission.assertKnown(list)
    // Lists never expire, whatever time it is.
    if (!isLive(this.#index.entry(registerIdOf(list)), 0)) return null
    return answerTotals(list.hash, query, {
      changes: this.#index.changes,
      totals: this.#index.totals(list.hash),
      row: (name) => this.#index.row(list.hash, name),
    })
  }
}

/** What the index could not hold must not reach the log: it would stop every later flush. */
function refusalOf(row: ListRow): Promise<never> | null {
  if (isStorable(row)) return null
  const message = 'a number or text of the row is out of bounds'
  return Promise.reject(new ServiceError('BadRow', message, { status: 400 }))
}

function listIdOf({ hash, name, placement }: ItemKey): ListId {
  return { hash, name, placement }
}
