/**
 * One shard of a device: a log, its index, and the registers and listings that they hold. It belongs to one thread;
 * every decision is taken between two turns of the event loop, so it needs no locks.
 *
 * A change goes through its parts in this order: who may come in at all (admission.ts), what the newest state says to it
 * (newest-state.ts; registers.ts, ballot-promises.ts, listings.ts and releases.ts decide), the log (shard-journal.ts),
 * and, when it is durable there, the index in memory (shard-index.ts), which is flushed now and then (index-flusher.ts).
 */
import type { Clock } from '../../common/clock.ts'
import type { Disk } from '../../common/disk.ts'
import type { ItemKey } from '../../common/item.ts'
import type { KeyValue } from '../../common/key-value.ts'
import type { Stamp } from '../../common/stamp.ts'
import type {
  ItemInfo,
  ItemWrite,
  ListPage,
  ListQuery,
  ListRow,
  ListTotals,
  PrepareOutcome,
  RowOutcome,
  TotalsQuery,
  WriteOutcome,
} from '../../common/storage-node.ts'
import type { Learning } from '../learning.ts'
import type { RingGuard } from '../ring-guard.ts'
import { Admission } from './admission.ts'
import { BallotClock } from './ballot-clock.ts'
import { BallotPromises } from './ballot-promises.ts'
import type { BlobStore } from './blob-store.ts'
import { IndexFlusher } from './index-flusher.ts'
import { Listings } from './listings.ts'
import type { ListId, RegisterId } from './memtable.ts'
import { NewestState } from './newest-state.ts'
import { Pending } from './pending.ts'
import type { CachedRead } from './read-cache.ts'
import type { Cut, LogPosition, Place, RecordHead } from './record.ts'
import { type ReadRecord, RecordReader } from './record-reader.ts'
import { type BodyPlace, registerIdOf } from './register.ts'
import { RegisterReads, type ShardRead } from './register-reads.ts'
import { Registers } from './registers.ts'
import { Releases } from './releases.ts'
import type { SegmentFiles } from './segment-files.ts'
import type { CommitWatch, SegmentLog } from './segment-log.ts'
import type { ShardIndex } from './shard-index.ts'
import { ShardJournal } from './shard-journal.ts'
import type { ReportProblem } from './shard-problem.ts'

export interface ShardOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly kv: KeyValue
  readonly blobs: BlobStore
  readonly files: SegmentFiles
  readonly index: ShardIndex
  readonly directory: string
  readonly deviceUuid: string
  readonly shard: number
  readonly segmentBytesMax: number
  /** Of the segments found at the start. */
  readonly segmentIds: readonly number[]
  /** The first segment id that was never used. */
  readonly nextSegmentId: number
  /** What the index below holds: every record before it. */
  readonly checkpoint: LogPosition
  readonly newCuts: readonly Cut[]
  readonly cuts: ReadonlyMap<number, Cut>
  /** Segments that were about to be removed. */
  readonly retiring: ReadonlySet<number>
  /** Number of the last batch that the index took. */
  readonly lastBatch: number
  /** What it has to learn before it votes; null if nothing. */
  readonly learning: Learning | null
  /** Refuses what comes by rings that are too old; absent: nothing. */
  readonly guard?: RingGuard | undefined
  /** Told of each batch; absent: nobody. */
  readonly commits?: CommitWatch | undefined
  /** Told of damage and failures, for the device's state and the log. */
  readonly report: ReportProblem
}

export class Shard {
  readonly index: ShardIndex
  readonly #files: SegmentFiles
  readonly #journal: ShardJournal
  readonly #flusher: IndexFlusher
  readonly #admission: Admission
  readonly #ballots: BallotClock
  readonly #reader: RecordReader
  readonly #reads: RegisterReads
  readonly #registers: Registers
  readonly #promises: BallotPromises
  readonly #listings: Listings
  readonly #releases: Releases

  constructor(options: ShardOptions) {
    const { clock, index, files } = options
    this.index = index
    this.#files = files
    const pending = new Pending()
    const journal = new ShardJournal({
      ...options,
      pending,
      use: index.use,
      onLogged: (bytes) => this.#flusher.noteLogged(bytes),
    })
    const reader = new RecordReader({
      files,
      clock,
      seedOf: (segmentId) => journal.seedOf(segmentId),
    })
    const admission = new Admission({ ...options, log: journal.log })
    const parts = {
      ...options,
      pending,
      journal,
      reader,
      admission,
      newest: new NewestState({ index, pending, clock }),
      ballots: new BallotClock(clock),
      reads: new RegisterReads({ ...options, reader, admission }),
    }
    this.#journal = journal
    this.#reader = reader
    this.#admission = admission
    this.#ballots = parts.ballots
    this.#reads = parts.reads
    this.#flusher = new IndexFlusher(parts)
    this.#registers = new Registers(parts)
    this.#promises = new BallotPromises(parts)
    this.#listings = new Listings(parts)
    this.#releases = new Releases({
      ...parts,
      registers: this.#registers,
      listings: this.#listings,
    })
  }

  get log(): SegmentLog {
    return this.#journal.log
  }

  /** Every record before it is in the index. */
  get appliedUpTo(): LogPosition {
    return this.#journal.appliedUpTo
  }

  /** What time it is at least (ballot-clock.ts). */
  get surelyNowMs(): number {
    return this.#ballots.surelyNowMs
  }

  /** What time it may be. */
  get perhapsNowMs(): number {
    return this.#ballots.perhapsNowMs
  }

  get segmentIds(): ReadonlySet<number> {
    return this.#journal.segmentIds
  }

  get cuts(): ReadonlyMap<number, Cut> {
    return this.#journal.cuts
  }

  /** Segments about to be removed: the index may have forgotten what they hold. */
  get retiring(): ReadonlySet<number> {
    return this.#journal.retiring
  }

  seedOf(segmentId: number): bigint {
    return this.#journal.seedOf(segmentId)
  }

  /** Makes the outcome of recovery durable; nothing may be served before. */
  async begin(): Promise<void> {
    await this.#journal.begin()
    if (this.index.active.size > 0) this.#flusher.schedule()
  }

  // --- registers ---------------------------------------------------------------------------------------------------

  /** Commits a change of a register; the body, if any, is in hand or in a finished blob. */
  write(write: ItemWrite, body: BodyPlace): Promise<WriteOutcome> {
    return this.#registers.write(write, body)
  }

  /** Promises, durably, to accept nothing below the ballot, and says what was accepted last. */
  prepare(item: ItemKey, ballot: Stamp): Promise<PrepareOutcome> {
    return this.#promises.prepare(item, ballot)
  }

  /** The current record, tombstones included; null if nothing is known. `copy`: for a replica, whatever was lost here. */
  async read(
    item: ItemKey,
    options: { readonly body: boolean; readonly copy?: boolean },
  ): Promise<ShardRead | null> {
    this.#admission.assertNotStale(item)
    if (options.copy !== true) this.#admission.assertKnown(item)
    return this.#reads.read(item, options)
  }

  /** The object, if it is small and was read lately. */
  cached(item: ItemKey): CachedRead | undefined {
    return this.#reads.cached(item)
  }

  stats(item: ItemKey): NonNullable<ItemInfo['stats']> {
    return this.#reads.stats(item)
  }

  /** Reports what could not be read; returns the error. */
  noteDamage(error: unknown, item?: RegisterId): unknown {
    return this.#reads.noteDamage(error, item)
  }

  /** The register's row is known to hold at its quorum. */
  confirmItem(item: ItemKey, ballot: Stamp): void {
    this.index.confirmEntry(registerIdOf(item), ballot)
  }

  /** What it has to learn from replicas before it votes; null if it remembers everything. */
  get learning(): Learning | null {
    return this.#admission.learning
  }

  /** Everything was learned, or there is nothing to learn: it votes as soon as nothing stands against it. */
  endLearning(options: { readonly areAllHeard: boolean }): Promise<void> {
    return this.#admission.endLearning(options)
  }

  // --- listings ----------------------------------------------------------------------------------------------------

  /** Inserts or deletes a row, made under these settings of its container. */
  putRow(list: ItemKey, row: ListRow, settings?: Stamp): Promise<RowOutcome> {
    return this.#listings.putRow(list, row, settings)
  }

  /** Takes in rows that another replica has. Resolves when they are durable. */
  putRows(list: ItemKey, rows: readonly ListRow[]): Promise<void> {
    return this.#listings.putRows(list, rows)
  }

  /** The row is known to hold at its quorum. */
  confirmRow(list: ItemKey, name: string, ballot: Stamp): void {
    this.#listings.confirmRow(list, name, ballot)
  }

  /** A page of a listing; null if the account or container is not there. */
  list(list: ItemKey, query: ListQuery): Promise<ListPage | null> {
    return this.#listings.list(list, query)
  }

  /** Totals to be compared with those of replicas; null if the list is not there, or too much has changed since. */
  async totals(list: ItemKey, query: TotalsQuery): Promise<ListTotals | null> {
    return this.#listings.totals(list, query)
  }

  /** Lists whose totals changed; the caller reports them to their accounts. */
  takeChangedLists(limit: number): readonly ListId[] {
    return this.#flusher.takeChangedLists(limit)
  }

  // --- giving away -------------------------------------------------------------------------------------------------

  /** Gives a register away that others hold with this ballot; false if it holds another by now. */
  release(id: RegisterId, ballot: Stamp): Promise<boolean> {
    return this.#releases.release(id, ballot)
  }

  /** The same for a row. */
  releaseRow(list: ItemKey, name: string, ballot: Stamp): Promise<boolean> {
    return this.#releases.releaseRow(list, name, ballot)
  }

  // --- the log and the index ---------------------------------------------------------------------------------------

  /** Copies a live record to the head of the log, unless it is not current any more when its turn comes. */
  moveRecord(
    old: { readonly head: RecordHead; readonly meta: string; readonly bytes: Buffer },
    options: { readonly isCurrent: () => boolean; readonly apply: (place: Place) => void },
  ): Promise<void> {
    return this.#journal.moveRecord(old, options)
  }

  /** Reads a record at a place, whatever the index says. */
  readAt(place: Place): ReadRecord | Promise<ReadRecord> {
    return this.#reader.read(place, { body: true })
  }

  /** The segment is about to be removed; the next flush makes that durable. */
  retire(segmentId: number): void {
    this.#journal.retire(segmentId)
  }

  /** The segment holds nothing alive and no checkpoint needs it: remove its file. */
  removeSegment(segmentId: number): Promise<void> {
    return this.#journal.removeSegment(segmentId)
  }

  /** Moves what changed into the store below and the checkpoint behind it. */
  flush(): Promise<void> {
    return this.#flusher.flush()
  }

  /** Segments before this one are not needed by a restart. */
  get checkpointSegmentId(): number {
    return this.#flusher.checkpointSegmentId
  }

  /** Resolves when everything that was on its way to the log is durable and visible, or never will be. */
  fence(): Promise<void> {
    return this.#journal.fence()
  }

  /** Ends what is in flight, flushes (unless the index is to be made anew), seals. Idempotent. */
  async close(options: { readonly withoutFlush?: boolean } = {}): Promise<void> {
    if (this.#admission.isClosing) return
    this.#admission.close()
    this.#flusher.close()
    await this.log.drain()
    await this.#flusher.end({ withoutFlush: options.withoutFlush === true })
    await this.log.close()
    await this.#files.close()
  }
}
