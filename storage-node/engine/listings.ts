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
import type { KnownRegister, NewestState } from './newest-state.ts'
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
    const id = registerIdOf(list)
    const refusal =
      this.#admission.stale(list) ??
      this.#admission.unknown(id) ??
      this.#admission.overload() ??
      refusalOf(row)
    if (refusal !== null) return refusal
    const known = this.#newest.of(id)
    if (!this.#takesRow(list, known, row)) return Promise.resolve({ status: 'not-found' })
    if (settings !== undefined) {
      const current = this.#settingsOf(list, known)
      if (current === null) return this.#loadSettings(list, () => this.putRow(list, row, settings))
      if (compareStamps(settings, current) < 0) return Promise.resolve({ status: 'stale-settings' })
    }
    const name = byteText(row.name)
    const order = this.#newest.rowOrder(list, name, row.ballot)
    if (order < 0) return Promise.resolve({ status: 'superseded' })
    if (order === 0) return this.#rowAgain(list, name, row)
    return this.commitRow(list, name, row)
  }

  /**
   * Whether the list is there and not younger than the row: a row that was on its way while its container was deleted
   * and made again belongs to the old one. Rows that say "deleted" do no harm.
   */
  #takesRow(list: ItemKey, known: KnownRegister, row: ListRow): boolean {
    if (!this.#newest.isLiveNow(known)) return false
    if (row.deleted || list.kind !== 'container') return true
    const made = (known.pending ?? known.entry)?.stamp
    return made === undefined || compareStamps(row.metaStamp, made) >= 0
  }

  /** The epoch of the list's settings; null if it is not in memory, or about to change. */
  #settingsOf(list: ItemKey, { pending, entry }: KnownRegister): Stamp | null {
    if (pending !== undefined || entry === null) return null
    const known = this.#settings.get(list.hash)
    if (known === undefined) return null
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
  #rowAgain(list: ItemKey, name: string, row: ListRow): Promise<RowOutcome> {
    if (this.#pending.row(list.hash, name) === undefined) {
      if (row.confirmed) this.#index.confirmRow(list, name, row.ballot)
      return Promise.resolve({ status: 'done' })
    }
    return this.commitRow(list, name, row)
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
        return this.commitRow(list, name, isStray ? { ...row, confirmed: false } : row)
      }),
    )
  }

  /** Commits a row whatever is there; `name` is the row's in byte text, `flags` further ones of the record. */
  commitRow(list: ItemKey, name: string, row: ListRow, flags = 0): Promise<RowOutcome> {
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
    this.#pending.setRow(list.hash, name, row)
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
      end: () => this.#pending.clearRow(list.hash, name, row),
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
