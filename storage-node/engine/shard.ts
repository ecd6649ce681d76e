/**
 * One shard of a device: a log, its index, and the registers and listings that they hold. It belongs to one thread;
 * every decision is taken between two turns of the event loop, so it needs no locks.
 *
 * A write decides against the newest state known - on disk or on its way there (pending.ts) -, is appended to the log,
 * and becomes visible and acknowledged only after its batch was synced.
 */
import assert from 'node:assert'
import type { Clock } from '../../common/clock.ts'
import type { Disk } from '../../common/disk.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import { mergeMeta, subjectOf } from '../../common/item-meta.ts'
import type { KeyValue } from '../../common/key-value.ts'
import {
  compareStamps,
  maxStamp,
  STAMP_AHEAD_MAX_MS,
  type Stamp,
  TICKS_PER_SECOND,
  ZERO_STAMP,
} from '../../common/stamp.ts'
import type {
  AcceptedRecord,
  ItemInfo,
  ItemWrite,
  ListPage,
  ListQuery,
  ListRow,
  PrepareOutcome,
  RowOutcome,
  WriteOutcome,
} from '../../common/storage-node.ts'
import type { Learning } from '../learning.ts'
import type { RingGuard } from '../ring-guard.ts'
import type { BlobStore } from './blob-store.ts'
import { type Entry, NO_BLOB } from './entry.ts'
import { flushIndex } from './index-flush.ts'
import { byteText } from './keys.ts'
import { listPage } from './listing.ts'
import { type ListId, Memtable, type RegisterId, registerKey } from './memtable.ts'
import { isGone, isHeld, isList } from './partition-digests.ts'
import { Pending } from './pending.ts'
import { type CachedRead, ReadCache } from './read-cache.ts'
import {
  type Cut,
  encodeRecord,
  type LogPosition,
  type Place,
  RECORD_FLAGS,
  RECORD_TYPES,
  type RecordDraft,
  type RecordHead,
  reencodeRecord,
} from './record.ts'
import { type ReadRecord, RecordReader } from './record-reader.ts'
import {
  type BodyPlace,
  conditionHolds,
  draftOf,
  entryOfDraft,
  goneDraft,
  goneEntry,
  infoOfNew,
  infoOfRecord,
  isLive,
  type NewRecord,
  needsOnlyExistence,
  registerIdOf,
} from './register.ts'
import { isStorable, rowMeta, rowOfRecord, storedRow } from './row.ts'
import type { SegmentFiles } from './segment-files.ts'
import { segmentSeed } from './segment-header.ts'
import { SegmentLog } from './segment-log.ts'
import type { ShardIndex } from './shard-index.ts'
import { liveRows, toListStats } from './totals.ts'

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
  /** Number of the last batch that the index took. */
  readonly lastBatch: number
  /** What it has to learn before it votes; null if nothing. */
  readonly learning: Learning | null
  /** Refuses what comes by rings that are too old; absent: nothing. */
  readonly guard?: RingGuard | undefined
  /** Told of damage and failures, for the device's state and the log. */
  readonly report: (problem: ShardProblem) => void
}

export interface ShardProblem {
  /**
   * `damage`: stored bytes fail their checksum; `index`: the index does; `flush`: the index took no changes, which is
   * tried again; `device`: another call of the disk failed.
   */
  readonly kind: 'damage' | 'index' | 'flush' | 'device'
  readonly message: string
  readonly cause?: unknown
  /** The register whose record is damaged, if it is known. */
  readonly item?: RegisterId | undefined
}

/** What a shard read: the record's info, its body if inline, or the blob that holds it. */
export interface ShardRead {
  readonly info: ItemInfo
  /** The inline body, or null if there is none or it was not wanted. */
  readonly data: Buffer | null
  /** The blob with the body; NO_BLOB if it is inline. */
  readonly blobId: string
}

/** The index is flushed when so much has changed, or so long after the first change. */
const FLUSH_ENTRIES = 30_000
const FLUSH_LOG_BYTES = 64 * 1024 * 1024
const FLUSH_AFTER_MS = 5_000
/** Beyond it the index cannot follow: writes are refused. */
const MEMTABLE_MAX = 400_000
const QUEUE_MAX = 20_000
const READ_ATTEMPTS = 3
/** Of each shard. */
const READ_CACHE_BYTES = 32 * 1024 * 1024
/** Containers whose settings' epoch is kept; beyond it the oldest is read again. */
const SETTINGS_MAX = 10_000

export class Shard {
  readonly #options: ShardOptions
  readonly #log: SegmentLog
  readonly #index: ShardIndex
  readonly #pending = new Pending()
  readonly #cache = new ReadCache({ bytesMax: READ_CACHE_BYTES })
  /** Epochs of containers' settings, by hash, with the ballot of the record that they were read from. */
  readonly #settings = new Map<string, Pick<RecordHead, 'ballot' | 'metaStamp'>>()
  readonly #reader: RecordReader
  readonly #segmentIds: Set<number>
  readonly #cuts: Map<number, Cut>
  /** Every record before it is in a memtable or below. */
  #applied: LogPosition
  #loggedBytes = 0
  #lastBatch: number
  #flush: Promise<void> | null = null
  #cancelTimer: (() => void) | null = null
  /** Taken since the last flush, and before it: the account has the latter by now. */
  #recentLists: ListId[] = []
  #takenLists: readonly ListId[] = []
  #closing = false
  #learning: Learning | null
  /** Of the ballots taken in since the start. */
  #newestTicks = 0
  #flushPosition: LogPosition
  #checkpoint: LogPosition

  constructor(options: ShardOptions) {
    this.#options = options
    this.#index = options.index
    this.#learning = options.learning
    this.#segmentIds = new Set(options.segmentIds)
    this.#cuts = new Map(options.cuts)
    this.#lastBatch = options.lastBatch
    this.#applied = { segmentId: options.nextSegmentId, offset: 0 }
    this.#flushPosition = options.checkpoint
    this.#checkpoint = options.checkpoint
    // The checkpoint will move beyond their records: the index has to keep them.
    for (const segmentId of options.cuts.keys()) this.#index.use.touch(segmentId)
    this.#log = new SegmentLog({
      ...options,
      cuts: options.newCuts,
      onCut: (cut) => {
        this.#cuts.set(cut.segmentId, cut)
        this.#index.use.touch(cut.segmentId)
      },
    })
    this.#reader = new RecordReader({
      files: options.files,
      clock: options.clock,
      seedOf: (segmentId) => this.seedOf(segmentId),
    })
  }

  get index(): ShardIndex {
    return this.#index
  }

  get log(): SegmentLog {
    return this.#log
  }

  /** Every record before it is in the index. */
  get appliedUpTo(): LogPosition {
    return this.#applied
  }

  /**
   * What time it is at least, whatever the clock of this machine says: no later than the newest ballot of a proxy. What
   * forgets by age goes by it. In the beginning of a process it is long ago.
   */
  get surelyNowMs(): number {
    return Math.min(this.#options.clock.nowMs(), this.#newestTicks / TICKS_PER_MS)
  }

  /** What time it may be: no earlier than the newest ballot. */
  get perhapsNowMs(): number {
    return Math.max(this.#options.clock.nowMs(), this.#newestTicks / TICKS_PER_MS)
  }

  #sawBallot({ ticks }: Stamp): void {
    if (ticks > this.#newestTicks) this.#newestTicks = ticks
  }

  get segmentIds(): ReadonlySet<number> {
    return this.#segmentIds
  }

  get cuts(): ReadonlyMap<number, Cut> {
    return this.#cuts
  }

  readonly #seeds = new Map<number, bigint>()

  seedOf(segmentId: number): bigint {
    let seed = this.#seeds.get(segmentId)
    if (seed === undefined) {
      seed = segmentSeed(this.#options.deviceUuid, this.#options.shard, segmentId)
      this.#seeds.set(segmentId, seed)
    }
    return seed
  }

  /** Makes the outcome of recovery durable; nothing may be served before. */
  async begin(): Promise<void> {
    await this.#log.begin()
    this.#noteActive()
    if (this.#index.active.size > 0) this.#scheduleFlush()
  }

  // --- registers ---------------------------------------------------------------------------------------------------

  /** Commits a change of a register; the body, if any, is in hand or in a finished blob. */
  write(write: ItemWrite, body: BodyPlace): Promise<WriteOutcome> {
    const id = registerIdOf(write.item)
    const isCopy = write.copy === true || write.rewrite === true
    const refusal =
      (isCopy ? null : this.#unknown(id)) ??
      this.#overload() ??
      this.#tooFarAhead(write.ballot) ??
      this.#superseded(id, write, body)
    if (refusal !== null) return refusal
    if (write.record !== undefined) return this.#accept(write, write.record, id, body)
    return this.#isSimple(write, id)
      ? this.#commitSimple(write, id, body)
      : this.#commitAfterRead(write, id, body)
  }

  /** A write that needs nothing of the old record but whether it is live. */
  #isSimple(write: ItemWrite, id: RegisterId): boolean {
    if (write.action === 'post') return false
    if (write.condition !== undefined && !needsOnlyExistence(write.condition)) return false
    if (write.action === 'delete' || write.item.kind === 'object') return true
    return !this.#isLiveNow(id)
  }

  #commitSimple(write: ItemWrite, id: RegisterId, body: BodyPlace): Promise<WriteOutcome> {
    const existed = this.#isLiveNow(id)
    const { condition } = write
    if (condition !== undefined) {
      const subject = existed ? { etag: '*', ticks: 0 } : null
      if (!conditionHolds(condition, subject)) return this.#refused(write, id)
    }
    if (write.action === 'delete') return this.#commitDelete(write, id, existed)
    return this.#commit(write.item, id, newRecord(write, write.stamp, write.meta, body), existed)
  }

  #commitDelete(write: ItemWrite, id: RegisterId, existed: boolean): Promise<WriteOutcome> {
    if (this.#hasRows(write.item)) return Promise.resolve({ status: 'not-empty' })
    const record = { ...newRecord(write, write.stamp, { headers: {} }, NO_BODY), deleted: true }
    const done = this.#commit(write.item, id, record, existed)
    return existed ? done : done.then(() => ({ status: 'not-found' }))
  }

  #hasRows({ hash, kind }: ItemKey): boolean {
    return kind !== 'object' && this.#hasLiveRows(hash)
  }

  #hasLiveRows(hash: string): boolean {
    return liveRows(this.#index.totals(hash)) > 0 || this.#pending.hasLiveRows(hash)
  }

  /** The refusal of a condition, with what is there for the answer. */
  async #refused(write: ItemWrite, id: RegisterId): Promise<WriteOutcome> {
    await this.#pending.settled(registerKey(id))
    const current = await this.#read(write.item, { body: false })
    const isLiveItem = current !== null && this.#isLiveNow(id)
    return { status: 'precondition-failed', current: isLiveItem ? current.info : null }
  }

  /** A write that depends on the old record: read it, then commit if nothing has changed meanwhile. */
  async #commitAfterRead(write: ItemWrite, id: RegisterId, body: BodyPlace): Promise<WriteOutcome> {
    const key = registerKey(id)
    for (;;) {
      await this.#pending.settled(key)
      const superseded = this.#superseded(id, write, body)
      if (superseded !== null) return superseded
      const before = this.#index.entry(id)
      const wantsBody = write.action === 'post' && before?.type === RECORD_TYPES.putInline
      const old = isLive(before, this.#nowSeconds())
        ? await this.#readPlace(write.item, { body: wantsBody })
        : null
      const isUnchanged = isSameRecord(this.#index.entry(id), before)
      if (this.#pending.entry(key) === undefined && isUnchanged) {
        // A promise may have been made while the record was read.
        return this.#superseded(id, write, body) ?? this.#commitOver(write, id, body, old)
      }
    }
  }

  // --- the two phases of CASPaxos ----------------------------------------------------------------------------------

  /** Promises, durably, to accept nothing below the ballot, and says what was accepted last. */
  async prepare(item: ItemKey, ballot: Stamp): Promise<PrepareOutcome> {
    const id = registerIdOf(item)
    const refusal =
      this.#stale(item) ?? this.#unknown(id) ?? this.#overload() ?? this.#tooFarAhead(ballot)
    if (refusal !== null) return refusal
    const barrier = this.#barrier(id)
    if (compareStamps(ballot, barrier) < 0) return { status: 'superseded', ballot: barrier }
    await this.#commitPromise(item, id, ballot)
    // Everything that was on its way before the promise is durable and visible by now.
    const read = await this.#read(item, { body: false })
    if (read === null) return { status: 'promised', current: null }
    const { stats: _, ...current } = read.info
    if (compareStamps(current.ballot, ballot) > 0) {
      return { status: 'superseded', ballot: current.ballot }
    }
    return { status: 'promised', current }
  }

  /** The highest ballot that is accepted or promised, durable or on its way there. */
  #barrier(id: RegisterId): Stamp {
    const key = registerKey(id)
    const entry = this.#index.entry(id)
    const accepted = maxStamp(
      this.#pending.entry(key)?.ballot ?? ZERO_STAMP,
      entry?.ballot ?? ZERO_STAMP,
    )
    return maxStamp(accepted, this.#promised(key, entry))
  }

  #promised(key: string, entry: Entry | null): Stamp {
    const durable = entry?.promised ?? ZERO_STAMP
    const pending = this.#pending.promise(key)
    return pending === undefined ? durable : maxStamp(pending, durable)
  }

  #commitPromise(item: ItemKey, id: RegisterId, ballot: Stamp): Promise<void> {
    const key = registerKey(id)
    const record = encodeRecord(promiseDraft(item, ballot))
    this.#sawBallot(ballot)
    this.#pending.setPromise(key, ballot)
    return new Promise((resolve, reject) => {
      this.#log.append(record, (error, place) => {
        try {
          if (place === null) throw this.#reportFailure(error)
          this.#logged(place)
          this.#index.applyPromise(id, ballot, place)
          resolve()
        } catch (failure) {
          reject(failure)
        } finally {
          this.#pending.clearPromise(key, ballot)
        }
      })
    })
  }

  /** Takes a whole record as it is. */
  #accept(
    write: ItemWrite,
    record: AcceptedRecord,
    id: RegisterId,
    body: BodyPlace,
  ): Promise<WriteOutcome> {
    const needsBody = !record.deleted && record.bytes > 0 && body.kind === 'none'
    return needsBody
      ? this.#acceptKeepingBody(write, record, id)
      : this.#commitAccept(write, record, id, record.deleted ? NO_BODY : body)
  }

  #commitAccept(
    write: ItemWrite,
    record: AcceptedRecord,
    id: RegisterId,
    body: BodyPlace,
  ): Promise<WriteOutcome> {
    const { item, stamp, ballot, writeId, meta } = write
    const { metaStamp, deleted, dependent } = record
    if (deleted && this.#hasRows(item)) return Promise.resolve({ status: 'not-empty' })
    const existed = this.#isLiveNow(id)
    const accepted = { stamp, metaStamp, ballot, writeId, deleted, dependent, meta, body }
    return this.#commit(item, id, accepted, existed)
  }

  /** The body that is here under the same stamp stays; only the record around it is written again. */
  async #acceptKeepingBody(
    write: ItemWrite,
    record: AcceptedRecord,
    id: RegisterId,
  ): Promise<WriteOutcome> {
    const key = registerKey(id)
    for (;;) {
      await this.#pending.settled(key)
      const superseded = this.#superseded(id, write, NO_BODY)
      if (superseded !== null) return superseded
      const before = this.#index.entry(id)
      if (before === null || !hasBodyOf(before, write, record)) return { status: 'body-missing' }
      const wantsBody = before.type === RECORD_TYPES.putInline
      const old = await this.#readPlace(write.item, { body: wantsBody })
      const isUnchanged =
        this.#pending.entry(key) === undefined && isSameRecord(this.#index.entry(id), before)
      if (old !== null && isUnchanged) {
        const late = this.#superseded(id, write, NO_BODY)
        return late ?? this.#commitAccept(write, record, id, this.#bodyOf(old))
      }
    }
  }

  // --- a lost memory ----------------------------------------------------------------------------------------------

  /** What it has to learn from replicas before it votes; null if it remembers everything. */
  get learning(): Learning | null {
    return this.#learning
  }

  /** Everything was learned, or there is nothing to learn: it votes as soon as nothing stands against it. */
  async endLearning(options: { readonly areAllHeard: boolean }): Promise<void> {
    if ((await this.#learning?.end(options)) === true) this.#learning = null
  }

  #isUnknown(id: RegisterId): boolean {
    return this.#learning !== null && !this.#learning.knows(id)
  }

  /** A promise keeps no copy from who does not vote: its proposer is gone, and nobody counts the copy. */
  #isPastPromises(id: RegisterId, { copy }: ItemWrite): boolean {
    return copy === true && this.#isUnknown(id) && this.#learning?.isQuiet === true
  }

  #unknown(id: RegisterId): Promise<never> | null {
    return this.#isUnknown(id) ? Promise.reject(this.#learning!.refusal()) : null
  }

  #assertNotStale(item: ItemKey): void {
    const refusal = this.#options.guard?.refusalOf(item) ?? null
    if (refusal !== null) throw refusal
  }

  #assertKnown(item: ItemKey): void {
    if (this.#learning !== null && this.#isUnknown(registerIdOf(item))) {
      throw this.#learning.refusal()
    }
  }

  /** The furthest ballot that was found to be near enough so far: the clock is asked only beyond it. */
  #ticksNearEnough = 0

  #tooFarAhead({ ticks }: Stamp): Promise<never> | null {
    if (ticks <= this.#ticksNearEnough) return null
    this.#ticksNearEnough = (this.#options.clock.nowMs() + STAMP_AHEAD_MAX_MS) * TICKS_PER_MS
    if (ticks <= this.#ticksNearEnough) return null
    const message = 'the stamp is too far ahead of the clock of this node'
    return Promise.reject(new ServiceError('StampAhead', message, { status: 503 }))
  }

  #commitOver(
    write: ItemWrite,
    id: RegisterId,
    body: BodyPlace,
    old: ReadRecord | null,
  ): Promise<WriteOutcome> {
    const info = old === null ? null : infoOfRecord(old.head, old.meta)
    const { condition } = write
    if (condition !== undefined && !conditionHolds(condition, info && subjectOf(info))) {
      return Promise.resolve({ status: 'precondition-failed', current: info })
    }
    if (write.action === 'delete') return this.#commitDelete(write, id, info !== null)
    if (info === null || old === null) {
      if (write.action === 'post') return Promise.resolve({ status: 'not-found' })
      return this.#commit(write.item, id, newRecord(write, write.stamp, write.meta, body), false)
    }
    if (write.action === 'put' && write.item.kind === 'object') {
      return this.#commit(write.item, id, newRecord(write, write.stamp, write.meta, body), true)
    }
    const meta = mergeMeta(write, info.meta)
    const record = newRecord(write, info.stamp, meta, this.#bodyOf(old))
    return this.#commit(write.item, id, record, true)
  }

  /** The body of a record that gets new metadata: a POST writes a whole new record. */
  #bodyOf(old: ReadRecord): BodyPlace {
    const { head, data } = old
    if (head.type !== RECORD_TYPES.putBlob) return { kind: 'inline', data }
    const { b } = JSON.parse(old.meta) as { readonly b: string }
    return { kind: 'blob', blobId: b, bytes: head.dataBytes }
  }

  #commit(
    item: ItemKey,
    id: RegisterId,
    record: NewRecord,
    existed: boolean,
  ): Promise<WriteOutcome> {
    const draft = draftOf(item, record)
    const encoded = encodeRecord(draft)
    const key = registerKey(id)
    const { ballot, writeId, deleted } = record
    this.#sawBallot(ballot)
    this.#pending.setEntry(key, { ballot, writeId, live: !deleted, stamp: record.stamp })
    return new Promise((resolve, reject) => {
      this.#log.append(encoded, (error, place) => {
        try {
          if (place === null) throw this.#reportFailure(error)
          this.#logged(place)
          const entry = entryOfDraft(draft, record, place)
          this.#cache.delete(key)
          this.#replaced(this.#index.applyEntry(id, entry), record.body)
          resolve({ status: 'done', info: infoOfNew(item, record), existed })
        } catch (failure) {
          // Also when the index turns out to be damaged: the log must go on.
          reject(failure)
        } finally {
          this.#pending.clearEntry(key, ballot)
        }
      })
    })
  }

  /** A blob whose record was replaced has no owner any more. */
  #replaced(old: Entry | null, body: BodyPlace): void {
    if (old === null || old.blobId === NO_BLOB) return
    if (body.kind === 'blob' && body.blobId === old.blobId) return
    this.#removeBlob(old.blobId)
  }

  #removeBlob(blobId: string): void {
    this.#options.blobs.remove(blobId).catch((cause: unknown) => {
      // It becomes an orphan, which the scrubber finds.
      this.#options.report({ kind: 'device', message: `blob ${blobId} stays`, cause })
    })
  }

  /** The outcome if something at least as new is there already: the same write again, or a newer one. */
  #superseded(id: RegisterId, write: ItemWrite, body: BodyPlace): Promise<WriteOutcome> | null {
    const stale = this.#stale(write.item)
    if (stale !== null) return stale
    const pending = this.#pending.entry(registerKey(id))
    const entry = this.#index.entry(id)
    const newest = maxStamp(pending?.ballot ?? ZERO_STAMP, entry?.ballot ?? ZERO_STAMP)
    const promised = this.#isPastPromises(id, write)
      ? ZERO_STAMP
      : this.#promised(registerKey(id), entry)
    const barrier = maxStamp(newest, promised)
    const order = compareStamps(write.ballot, barrier)
    if (order > 0 || (pending === undefined && mayRepeat(write, entry))) return null
    if (order === 0 && compareStamps(newest, barrier) === 0) {
      if (pending?.writeId === write.writeId) return this.#joinPending(write, id, body)
      if (pending === undefined && entry?.writeId === write.writeId) {
        return this.#again(write, id, body)
      }
      return Promise.resolve({ status: 'superseded', ballot: barrier })
    }
    // Equal to a promise: its proposer may now have it accepted.
    if (order === 0) return null
    return Promise.resolve({ status: 'superseded', ballot: barrier })
  }

  async #joinPending(write: ItemWrite, id: RegisterId, body: BodyPlace): Promise<WriteOutcome> {
    await this.#pending.settled(registerKey(id))
    if (this.#index.entry(id)?.writeId === write.writeId) return this.#again(write, id, body)
    throw new ServiceError('DeviceFailed', 'the first attempt failed', { status: 503 })
  }

  /** The same write once more: it is done already, and the blob that came along is one too many. */
  async #again(write: ItemWrite, id: RegisterId, body: BodyPlace): Promise<WriteOutcome> {
    if (body.kind === 'blob' && body.blobId !== this.#index.entry(id)?.blobId) {
      this.#removeBlob(body.blobId)
    }
    const read = await this.#read(write.item, { body: false })
    assert(read !== null, `the register ${registerKey(id)} has a record`)
    return { status: 'done', info: read.info, existed: true }
  }

  /** As the next write will find it: with what is on its way. */
  #isLiveNow(id: RegisterId): boolean {
    const pending = this.#pending.entry(registerKey(id))
    return pending?.live ?? isLive(this.#index.entry(id), this.#nowSeconds())
  }

  /** The current record, tombstones included; null if nothing is known. `copy`: for a replica, whatever was lost here. */
  async read(
    item: ItemKey,
    options: { readonly body: boolean; readonly copy?: boolean },
  ): Promise<ShardRead | null> {
    this.#assertNotStale(item)
    if (options.copy !== true) this.#assertKnown(item)
    return this.#read(item, options)
  }

  async #read(item: ItemKey, options: { readonly body: boolean }): Promise<ShardRead | null> {
    const cached = this.cached(item)
    if (cached !== undefined) {
      return { info: cached.info, data: options.body ? cached.data : null, blobId: NO_BLOB }
    }
    const record = await this.#readPlace(item, options)
    if (record === null) return null
    const info = infoOfRecord(record.head, record.meta)
    if (item.name !== '' && info.name !== item.name) throw collision(item, info)
    const isBlob = record.head.type === RECORD_TYPES.putBlob
    const data = options.body && !isBlob && !info.deleted ? record.data : null
    if (data !== null && item.kind === 'object') this.#keep(item, info, data)
    return {
      info: item.kind === 'object' ? info : { ...info, stats: this.stats(item) },
      data,
      blobId: isBlob ? blobIdOf(record) : NO_BLOB,
    }
  }

  /** The object, if it is small and was read lately. */
  cached(item: ItemKey): CachedRead | undefined {
    if (this.#learning !== null) return undefined
    const cached = this.#cache.get(registerKey(item))
    return cached?.info.name === item.name ? cached : undefined
  }

  /** Unless it was replaced while it was being read. */
  #keep(item: ItemKey, info: ItemInfo, data: Buffer): void {
    const entry = this.#index.entry(registerIdOf(item))
    if (!isHeld(entry) || compareStamps(entry.ballot, info.ballot) !== 0) return
    this.#cache.set(registerKey(item), { info, data })
  }

  stats(item: ItemKey): NonNullable<ItemInfo['stats']> {
    return toListStats(this.#index.totals(item.hash))
  }

  /** Reads where the index points; once more if compaction moved the record meanwhile. */
  async #readPlace(item: ItemKey, options: { readonly body: boolean }): Promise<ReadRecord | null> {
    const id = registerIdOf(item)
    for (let attempt = 1; ; attempt++) {
      const entry = this.#index.entry(id)
      if (!isHeld(entry)) return null
      try {
        const read = this.#reader.read(entry.place, options)
        const record = read instanceof Promise ? await read : read
        if (record.head.hash === item.hash) return record
        throw new ServiceError('CorruptData', `the index leads ${item.name} astray`)
      } catch (error) {
        const now = this.#index.entry(id)?.place
        const isMoved =
          now?.segmentId !== entry.place.segmentId || now.offset !== entry.place.offset
        if (!isMoved || attempt === READ_ATTEMPTS) throw this.noteDamage(error, id)
      }
    }
  }

  /** Reports what could not be read; returns the error. */
  noteDamage(error: unknown, item?: RegisterId): unknown {
    const message = error instanceof Error ? error.message : String(error)
    this.#options.report({ kind: 'damage', message, cause: error, item })
    return error
  }

  // --- listings ----------------------------------------------------------------------------------------------------

  /** Inserts or deletes a row, made under these settings of its container. */
  putRow(list: ItemKey, row: ListRow, settings?: Stamp): Promise<RowOutcome> {
    const refusal =
      this.#stale(list) ?? this.#unknown(registerIdOf(list)) ?? this.#overload() ?? refusalOf(row)
    if (refusal !== null) return refusal
    if (!this.#takesRow(list, row)) return Promise.resolve({ status: 'not-found' })
    if (settings !== undefined) {
      const current = this.#settingsOf(list)
      if (current === null) return this.#loadSettings(list, () => this.putRow(list, row, settings))
      if (compareStamps(settings, current) < 0) return Promise.resolve({ status: 'stale-settings' })
    }
    const name = byteText(row.name)
    const key = list.hash + name
    const order = this.#rowOrder(list, name, row.ballot)
    if (order < 0) return Promise.resolve({ status: 'superseded' })
    if (order === 0) return this.#rowAgain(list, key, row)
    return this.#commitRow(list, key, row)
  }

  /**
   * Whether the list is there and not younger than the row: a row that was on its way while its container was deleted
   * and made again belongs to the old one. Rows that say "deleted" do no harm.
   */
  #takesRow(list: ItemKey, row: ListRow): boolean {
    const id = registerIdOf(list)
    if (!this.#isLiveNow(id)) return false
    if (row.deleted || list.kind !== 'container') return true
    const made = this.#pending.entry(registerKey(id))?.stamp ?? this.#index.entry(id)?.stamp
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
    const record = await this.#readPlace(list, { body: false })
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

  /** Below 0 if a newer row is there or on its way, 0 if this very one is. */
  #rowOrder(list: ItemKey, name: string, ballot: Stamp): number {
    const pending = this.#pending.row(list.hash + name)
    const stored = this.#index.row(list.hash, name)
    // What was given away may come back.
    if (stored?.gone === true && pending === undefined) {
      return compareStamps(ballot, stored.ballot) < 0 ? -1 : 1
    }
    const newest = maxStamp(pending ?? ZERO_STAMP, stored?.ballot ?? ZERO_STAMP)
    return compareStamps(ballot, newest)
  }

  /** The same row once more: done if it is stored, else the caller has to wait for the first attempt. */
  #rowAgain(list: ItemKey, key: string, row: ListRow): Promise<RowOutcome> {
    if (this.#pending.row(key) === undefined) {
      if (row.confirmed) this.#index.confirmRow(list, byteText(row.name), row.ballot)
      return Promise.resolve({ status: 'done' })
    }
    return this.#commitRow(list, key, row)
  }

  /**
   * Takes in rows that another replica has, whether the list is there yet or not: its register comes the same way. A
   * list that was given away takes none: nobody would look for them here. Resolves when they are durable.
   */
  async putRows(list: ItemKey, rows: readonly ListRow[]): Promise<void> {
    const refusal = this.#overload()
    if (refusal !== null) return refusal
    if (this.#isGone(registerIdOf(list))) return
    await Promise.all(
      rows.map((row) => {
        const name = byteText(row.name)
        if (!isStorable(row) || this.#rowOrder(list, name, row.ballot) <= 0) return undefined
        return this.#commitRow(list, list.hash + name, row)
      }),
    )
  }

  #isGone(id: RegisterId): boolean {
    const pending = this.#pending.entry(registerKey(id))
    return pending === undefined ? isGone(this.#index.entry(id)) : pending.gone === true
  }

  /**
   * Gives a register away: other devices have the record with this ballot, and this one is not to hold it. False if it
   * holds another by now, or rows that came meanwhile. An older record that is still in the log stays hidden.
   */
  async release(id: RegisterId, ballot: Stamp): Promise<boolean> {
    const key = registerKey(id)
    const entry = this.#index.entry(id)
    if (this.#pending.entry(key) !== undefined || !isHeld(entry)) return false
    if (compareStamps(entry.ballot, ballot) !== 0) return false
    if (isList(id.kind) && this.#hasLiveRows(id.hash)) return false
    const { writeId, stamp } = entry
    this.#pending.setEntry(key, { ballot, writeId, live: false, stamp, gone: true })
    const draft = goneDraft(id, { ballot, stamp, writeId })
    return new Promise((resolve, reject) => {
      this.#log.append(encodeRecord(draft), (error, place) => {
        try {
          if (place === null) throw this.#reportFailure(error)
          this.#logged(place)
          this.#cache.delete(key)
          const gone = goneEntry(entry, place)
          this.#replaced(this.#index.applyEntry(id, gone), NO_BODY)
          resolve(true)
        } catch (failure) {
          reject(failure)
        } finally {
          this.#pending.clearEntry(key, ballot)
        }
      })
    })
  }

  /** The same for a row. */
  async releaseRow(list: ItemKey, name: string, ballot: Stamp): Promise<boolean> {
    const row = this.#index.row(list.hash, byteText(name))
    if (row === null || row.gone || compareStamps(row.ballot, ballot) !== 0) return false
    if (this.#pending.row(list.hash + byteText(name)) !== undefined) return false
    const gone = { ...row, deleted: true, confirmed: true, bytes: 0, count: 0, etag: '' }
    await this.#commitRow(list, list.hash + byteText(name), gone, RECORD_FLAGS.gone)
    return true
  }

  #commitRow(list: ItemKey, key: string, row: ListRow, flags = 0): Promise<RowOutcome> {
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
    this.#sawBallot(row.ballot)
    return new Promise((resolve, reject) => {
      this.#log.append(record, (error, place) => {
        this.#pending.clearRow(list.hash, key, row)
        try {
          if (place === null) throw this.#reportFailure(error)
          this.#logged(place)
          const stored = storedRow(row, {
            segmentId: place.segmentId,
            recordBytes: place.bytes,
            gone: (flags & RECORD_FLAGS.gone) !== 0,
            confirmed: row.confirmed,
          })
          const isContainer = list.kind === 'container'
          this.#index.applyRow(listIdOf(list), stored, { isContainer })
          resolve({ status: 'done' })
        } catch (failure) {
          reject(failure)
        }
      })
    })
  }

  /** The row is known to hold at its quorum. */
  confirmRow(list: ItemKey, name: string, ballot: Stamp): void {
    this.#index.confirmRow(listIdOf(list), byteText(name), ballot)
  }

  /** The register's row is known to hold at its quorum. */
  confirmItem(item: ItemKey, ballot: Stamp): void {
    this.#index.confirmEntry(registerIdOf(item), ballot)
  }

  /** A page of a listing; null if the account or container is not there. */
  async list(list: ItemKey, query: ListQuery): Promise<ListPage | null> {
    this.#assertNotStale(list)
    this.#assertKnown(list)
    const read = await this.#read(list, { body: false })
    if (read === null || read.info.deleted) return null
    const memtables = [this.#index.active, this.#index.flushing]
      .map((memtable) => memtable?.lists.get(list.hash)?.rows)
      .filter((rows) => rows !== undefined)
    const { kv } = this.#options
    const damaged = (what: string) => this.#index.damaged(what)
    const entries = await listPage({ kv, listHash: list.hash, memtables, damaged }, query)
    return { info: read.info, entries }
  }

  /** Lists whose totals changed; the caller reports them to their accounts. */
  takeChangedLists(limit: number): readonly ListId[] {
    const taken: ListId[] = []
    for (const [key, list] of this.#index.changedLists) {
      if (taken.length === limit) break
      taken.push(list)
      this.#index.changedLists.delete(key)
    }
    this.#recentLists.push(...taken)
    return taken
  }

  // --- the log and the index ---------------------------------------------------------------------------------------

  /**
   * Copies a live record to the head of the log; `apply` lets the index follow. Nothing happens if the record is not
   * current any more when its turn comes. A copy must never lie behind the record that replaced it: once that one (a
   * tombstone, say) was reclaimed, a rebuilt index would take the copy for the newest. So what is on its way to the log
   * is let pass, and between the last look and the append there is no turn.
   */
  async moveRecord(
    old: { readonly head: RecordHead; readonly meta: string; readonly bytes: Buffer },
    options: { readonly isCurrent: () => boolean; readonly apply: (place: Place) => void },
  ): Promise<void> {
    const { head, bytes } = old
    while (options.isCurrent() && this.#isReplacedSoon(head, old.meta)) await this.#log.mark()
    if (!options.isCurrent()) return
    const record = reencodeRecord(bytes, head)
    await new Promise<void>((resolve, reject) => {
      this.#log.append(record, (error, place) => {
        try {
          if (place === null) throw error
          this.#logged(place)
          options.apply(place)
          resolve()
        } catch (failure) {
          reject(failure)
        }
      })
    })
  }

  #isReplacedSoon(head: RecordHead, meta: string): boolean {
    if (head.type !== RECORD_TYPES.listRow) {
      return this.#pending.entry(registerKey(head)) !== undefined
    }
    const { row } = rowOfRecord(head, meta, 0)
    return this.#pending.row(head.hash + byteText(row.name)) !== undefined
  }

  /** Reads a record at a place, whatever the index says. */
  readAt(place: Place): ReadRecord | Promise<ReadRecord> {
    return this.#reader.read(place, { body: true })
  }

  /**
   * The segment holds nothing alive and no checkpoint needs it: remove its file. It counts as there until that is
   * durable: a tombstone in a later segment may be all that covers its records.
   */
  async removeSegment(segmentId: number): Promise<void> {
    assert(segmentId !== this.#log.activeSegmentId, 'the active segment stays')
    const { disk, files, directory } = this.#options
    await disk.remove(files.pathOf(segmentId))
    await disk.syncDirectory(directory)
    await files.drop(segmentId)
    this.#segmentIds.delete(segmentId)
    this.#cuts.delete(segmentId)
    this.retiring.delete(segmentId)
    this.#index.use.drop(segmentId)
  }

  /** Segments about to be removed: the index has begun to forget what they hold. */
  readonly retiring = new Set<number>()

  #logged(place: Place): void {
    this.#segmentIds.add(place.segmentId)
    this.#applied = { segmentId: place.segmentId, offset: place.offset + place.bytes }
    this.#loggedBytes += place.bytes
    this.#scheduleFlush()
  }

  #noteActive(): void {
    const active = this.#log.activeSegmentId
    if (active === null) return
    this.#segmentIds.add(active)
    this.#applied = this.#log.durable
  }

  #scheduleFlush(): void {
    if (this.#closing || this.#flush !== null) return
    if (this.#index.active.size >= FLUSH_ENTRIES || this.#loggedBytes >= FLUSH_LOG_BYTES) {
      void this.flush().catch(() => {})
      return
    }
    this.#flushLater()
  }

  #flushLater(): void {
    if (this.#closing) return
    this.#cancelTimer ??= this.#options.clock.after(FLUSH_AFTER_MS, () => {
      this.#cancelTimer = null
      if (!this.#closing) void this.flush().catch(() => {})
    })
  }

  /** Moves what changed into the store below and the checkpoint behind it. */
  flush(): Promise<void> {
    this.#flush ??= this.#flushNow().finally(() => {
      this.#flush = null
      if (this.#index.active.size > 0 || this.#index.flushing !== null) this.#flushLater()
    })
    return this.#flush
  }

  async #flushNow(): Promise<void> {
    const index = this.#index
    this.#cancelTimer?.()
    this.#cancelTimer = null
    // A witness behind the last batch: should it be damaged later, it is known to have been durable.
    if (!this.#closing && index.active.size > 0) await this.#log.mark().catch(() => {})
    if (index.flushing === null) {
      index.flushing = index.active
      index.active = new Memtable()
      this.#flushPosition = this.#applied
      this.#loggedBytes = 0
    }
    const recentLists = [...this.#recentLists]
    try {
      this.#lastBatch = await flushIndex({
        kv: this.#options.kv,
        index,
        shard: this.#options.shard,
        position: this.#flushPosition,
        lastBatch: this.#lastBatch,
        cuts: this.#cuts,
        takenLists: this.#takenLists,
        recentLists,
      })
      this.#takenLists = recentLists
      this.#recentLists = this.#recentLists.slice(recentLists.length)
      this.#checkpoint = this.#flushPosition
      index.endFlush()
    } catch (cause) {
      // The numbers of the batches may have gone on: leave a gap only where one is.
      this.#options.report({ kind: 'flush', message: 'the index cannot be flushed', cause })
      throw cause
    }
  }

  /** Segments before this one are not needed by a restart. */
  get checkpointSegmentId(): number {
    return this.#checkpoint.segmentId
  }

  /** By rings from before the last move of the partition: looked at in the same turn as what it guards. */
  #stale(item: ItemKey): Promise<never> | null {
    const refusal = this.#options.guard?.refusalOf(item) ?? null
    return refusal === null ? null : Promise.reject(refusal)
  }

  /** Resolves when everything that was on its way to the log is durable and visible, or never will be. */
  async fence(): Promise<void> {
    await this.#log.mark().catch(() => {})
  }

  #overload(): Promise<never> | null {
    if (this.#closing) {
      const message = 'the device is being closed'
      return Promise.reject(new ServiceError('DeviceOffline', message, { status: 503 }))
    }
    const isFull = this.#log.queuedRecords >= QUEUE_MAX || this.#index.active.size >= MEMTABLE_MAX
    if (!isFull) return null
    const message = 'too many writes are waiting for the device'
    return Promise.reject(new ServiceError('Busy', message, { status: 503, retryAfterSeconds: 1 }))
  }

  #reportFailure(cause: unknown): unknown {
    this.#options.report({ kind: 'device', message: 'a batch could not be written', cause })
    return cause
  }

  #nowSeconds(): number {
    return this.#options.clock.nowMs() / 1000
  }

  /** Once for a flush under way or one that failed, once for what came since. */
  async #flushAll(): Promise<void> {
    await this.flush().catch(() => {})
    if (this.#index.active.size > 0) await this.flush().catch(() => {})
  }

  /** Ends what is in flight, flushes (unless the index is to be made anew), seals. Idempotent. */
  async close(options: { readonly withoutFlush?: boolean } = {}): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    await this.#log.drain()
    if (options.withoutFlush === true) await this.#flush?.catch(() => {})
    else await this.#flushAll()
    this.#cancelTimer?.()
    await this.#log.close()
    await this.#options.files.close()
  }
}

const NO_BODY: BodyPlace = { kind: 'none' }
const TICKS_PER_MS = TICKS_PER_SECOND / 1000

function promiseDraft(item: ItemKey, ballot: Stamp): RecordDraft {
  const { kind, policy, placement, hash } = registerIdOf(item)
  return {
    type: RECORD_TYPES.promise,
    flags: 0,
    kind,
    policy,
    hash,
    placement,
    stamp: ZERO_STAMP,
    metaStamp: ZERO_STAMP,
    ballot,
    writeId: '0'.repeat(16),
    dataBytes: 0,
    meta: '',
    data: null,
  }
}

/**
 * Whether the register holds the record that it held. Under one ballot it may have been given away, or written again
 * after damage with its body in another blob: then the body that was found before is no more.
 */
function isSameRecord(now: Entry | null, before: Entry | null): boolean {
  if (now === null || before === null) return now === before
  return (
    compareStamps(now.ballot, before.ballot) === 0 &&
    now.type === before.type &&
    now.blobId === before.blobId
  )
}

/** Stamps are unique: what was put under the same one is the same body. */
function hasBodyOf(entry: Entry, write: ItemWrite, record: AcceptedRecord): boolean {
  const hasBody = entry.type === RECORD_TYPES.putInline || entry.type === RECORD_TYPES.putBlob
  return (
    hasBody && entry.dataBytes === record.bytes && compareStamps(entry.stamp, write.stamp) === 0
  )
}

/** What was given away may come back under its ballot, and what is damaged is written again: neither is news. */
function mayRepeat(write: ItemWrite, entry: Entry | null): boolean {
  if (entry === null || compareStamps(write.ballot, entry.ballot) !== 0) return false
  return entry.type === RECORD_TYPES.gone || write.rewrite === true
}

/** `stamp` is that of the data: a POST keeps it and moves the metaStamp. */
function newRecord(
  write: ItemWrite,
  stamp: Stamp,
  meta: NewRecord['meta'],
  body: BodyPlace,
): NewRecord {
  const { stamp: metaStamp, ballot, writeId } = write
  return { stamp, metaStamp, ballot, writeId, deleted: false, meta, body }
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

function blobIdOf(record: ReadRecord): string {
  return (JSON.parse(record.meta) as { readonly b: string }).b
}

function collision(item: ItemKey, info: ItemInfo): ServiceError {
  const message = `hash collision: ${item.name} and ${info.name}`
  return new ServiceError('NameCollision', message, { status: 500 })
}
