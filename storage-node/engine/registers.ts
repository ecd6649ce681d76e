/**
 * The registers of a shard: one for each object, container and account. A write decides against the newest state known
 * - on disk or on its way there -, is appended to the log, and becomes visible and acknowledged only after its batch was
 * synced.
 */
import assert from 'node:assert'
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import { mergeMeta, subjectOf } from '../../common/item-meta.ts'
import { compareStamps, maxStamp, type Stamp, ZERO_STAMP } from '../../common/stamp.ts'
import type { AcceptedRecord, ItemWrite, WriteOutcome } from '../../common/storage-node.ts'
import type { Admission } from './admission.ts'
import type { BlobStore } from './blob-store.ts'
import { type Entry, NO_BLOB } from './entry.ts'
import { type RegisterId, registerKey } from './memtable.ts'
import type { KnownRegister, NewestState } from './newest-state.ts'
import type { Pending } from './pending.ts'
import { encodeRecord, RECORD_TYPES } from './record.ts'
import type { ReadRecord } from './record-reader.ts'
import {
  type BodyPlace,
  blobIdOf,
  conditionHolds,
  draftOf,
  entryOfDraft,
  infoOfNew,
  infoOfRecord,
  isLive,
  type NewRecord,
  NO_BODY,
  needsOnlyExistence,
  registerIdOf,
} from './register.ts'
import type { RegisterReads } from './register-reads.ts'
import type { ShardIndex } from './shard-index.ts'
import type { ShardParts } from './shard-parts.ts'
import type { ReportProblem } from './shard-problem.ts'

export interface RegistersOptions extends ShardParts {
  readonly clock: Clock
  readonly blobs: BlobStore
  readonly report: ReportProblem
}

export class Registers {
  readonly #options: RegistersOptions
  readonly #index: ShardIndex
  readonly #pending: Pending
  readonly #newest: NewestState
  readonly #admission: Admission
  readonly #reads: RegisterReads

  constructor(options: RegistersOptions) {
    this.#options = options
    this.#index = options.index
    this.#pending = options.pending
    this.#newest = options.newest
    this.#admission = options.admission
    this.#reads = options.reads
  }

  /** Commits a change of a register; the body, if any, is in hand or in a finished blob. */
  write(write: ItemWrite, body: BodyPlace): Promise<WriteOutcome> {
    const id = registerIdOf(write.item)
    const known = this.#newest.of(id)
    const isCopy = write.copy === true || write.rewrite === true
    const refusal =
      (isCopy ? null : this.#admission.unknown(id)) ??
      this.#admission.overload() ??
      this.#admission.tooFarAhead(write.ballot) ??
      this.#supersededBy(known, id, write, body)
    if (refusal !== null) return refusal
    if (write.record !== undefined) return this.#accept(write, write.record, id, body)
    const existed = this.#newest.isLiveNow(known)
    return isSimple(write, existed)
      ? this.#commitSimple(write, id, body, existed)
      : this.#commitAfterRead(write, id, body)
  }

  #commitSimple(
    write: ItemWrite,
    id: RegisterId,
    body: BodyPlace,
    existed: boolean,
  ): Promise<WriteOutcome> {
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
    return kind !== 'object' && this.#newest.hasLiveRows(hash)
  }

  /** The refusal of a condition, with what is there for the answer. */
  async #refused(write: ItemWrite, id: RegisterId): Promise<WriteOutcome> {
    await this.#pending.settled(registerKey(id))
    const current = await this.#reads.read(write.item, { body: false })
    const isLiveItem = current !== null && this.#newest.isLive(id)
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
      const nowSeconds = write.openExpired === true ? 0 : this.#options.clock.nowMs() / 1000
      const old = isLive(before, nowSeconds)
        ? await this.#reads.readPlace(write.item, { body: wantsBody })
        : null
      const isUnchanged = isSameRecord(this.#index.entry(id), before)
      if (this.#pending.entry(key) === undefined && isUnchanged) {
        // A promise may have been made while the record was read.
        return this.#superseded(id, write, body) ?? this.#commitOver(write, id, body, old)
      }
    }
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
    const record = newRecord(write, info.stamp, meta, bodyOf(old))
    return this.#commit(write.item, id, record, true)
  }

  /** The second phase of CASPaxos: takes a whole record as it is. */
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
    const existed = this.#newest.isLive(id)
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
      const old = await this.#reads.readPlace(write.item, { body: wantsBody })
      const isUnchanged =
        this.#pending.entry(key) === undefined && isSameRecord(this.#index.entry(id), before)
      if (old !== null && isUnchanged) {
        const late = this.#superseded(id, write, NO_BODY)
        return late ?? this.#commitAccept(write, record, id, bodyOf(old))
      }
    }
  }

  #commit(
    item: ItemKey,
    id: RegisterId,
    record: NewRecord,
    existed: boolean,
  ): Promise<WriteOutcome> {
    const { ballots, journal } = this.#options
    const draft = draftOf(item, record)
    const encoded = encodeRecord(draft)
    const key = registerKey(id)
    const { ballot, writeId, deleted } = record
    ballots.saw(ballot)
    this.#pending.setEntry(key, { ballot, writeId, live: !deleted, stamp: record.stamp })
    return journal.append(encoded, {
      apply: (place) => {
        const entry = entryOfDraft(draft, record, place)
        this.#reads.forget(key)
        this.replaced(this.#index.applyEntry(id, entry), record.body)
        return { status: 'done', info: infoOfNew(item, record), existed }
      },
      end: () => this.#pending.clearEntry(key, ballot),
    })
  }

  /** An entry was replaced by one with this body: a blob that it had has no owner any more. */
  replaced(old: Entry | null, body: BodyPlace): void {
    if (old === null || old.blobId === NO_BLOB) return
    if (body.kind === 'blob' && body.blobId === old.blobId) return
    this.#removeBlob(old.blobId)
  }

  #removeBlob(blobId: string): void {
    const { blobs, report } = this.#options
    blobs.remove(blobId).catch((cause: unknown) => {
      // It becomes an orphan, which the scrubber finds.
      report({ kind: 'device', message: `blob ${blobId} stays`, cause })
    })
  }

  /** The outcome if something at least as new is there already: the same write again, or a newer one. */
  #superseded(id: RegisterId, write: ItemWrite, body: BodyPlace): Promise<WriteOutcome> | null {
    return this.#supersededBy(this.#newest.of(id), id, write, body)
  }

  #supersededBy(
    { pending, entry }: KnownRegister,
    id: RegisterId,
    write: ItemWrite,
    body: BodyPlace,
  ): Promise<WriteOutcome> | null {
    const stale = this.#admission.stale(write.item)
    if (stale !== null) return stale
    const newest = maxStamp(pending?.ballot ?? ZERO_STAMP, entry?.ballot ?? ZERO_STAMP)
    const promised = this.#admission.isPastPromises(id, write)
      ? ZERO_STAMP
      : this.#newest.promised(id, entry)
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
    const read = await this.#reads.read(write.item, { body: false })
    assert(read !== null, `the register ${registerKey(id)} has a record`)
    return { status: 'done', info: read.info, existed: true }
  }
}

/** Whether the write needs nothing of the old record but whether it is live. */
function isSimple(write: ItemWrite, existed: boolean): boolean {
  if (write.action === 'post') return false
  if (write.condition !== undefined && !needsOnlyExistence(write.condition)) return false
  return write.action === 'delete' || write.item.kind === 'object' || !existed
}

/** The body of a record that gets new metadata: a POST writes a whole new record. */
function bodyOf({ head, data, meta }: ReadRecord): BodyPlace {
  if (head.type !== RECORD_TYPES.putBlob) return { kind: 'inline', data }
  return { kind: 'blob', blobId: blobIdOf(meta), bytes: head.dataBytes }
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
