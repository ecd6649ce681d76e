/**
 * The log of one shard: append-only segments and the group commit.
 *
 * Whoever wants to write appends to a queue. The committer takes the whole queue, gives each record its place and writes
 * all of them with one durable write; then everybody who waited is told. While that runs the next queue forms, so there
 * is no timer and no added latency when idle. At most one batch is ever not known to be durable.
 *
 * A failed write or sync is never retried: what it left behind is unknown, and the page cache may lie (Rebello et al.,
 * ATC '20). The segment ends at its last durable byte, everybody who waited gets the error, and the next batch begins
 * a new segment with a CUT record that says so.
 */
import assert from 'node:assert'
import type { Clock } from '../../common/clock.ts'
import type { Disk, DiskFile } from '../../common/disk.ts'
import { ZERO_STAMP } from '../../common/stamp.ts'
import { deviceError } from './device-error.ts'
import {
  type Cut,
  type EncodedRecord,
  encodeRecord,
  type LogPosition,
  type Place,
  placeRecord,
  RECORD_TYPES,
  type RecordType,
} from './record.ts'
import type { SegmentFiles } from './segment-files.ts'
import {
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  segmentName,
  segmentSeed,
} from './segment-header.ts'

/** Told when the record is durable, with its place, or why it is not. Called in the order of the log. */
export type Committed = (error: Error | null, place: Place | null) => void

export interface SegmentLogOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly files: SegmentFiles
  readonly directory: string
  readonly deviceUuid: string
  readonly shard: number
  readonly segmentBytesMax: number
  /** The first segment id that was never used. */
  readonly nextSegmentId: number
  /** Where earlier segments were found to end; written as CUT records before anything else. */
  readonly cuts: readonly Cut[]
  /** Told where a segment ends that could not be written further. */
  readonly onCut: (cut: Cut) => void
  /** Told when a batch is on its way to the disk, and when it is not any more; absent: nobody. */
  readonly commits?: CommitWatch | undefined
}

/** Who wants to know when a log is writing. */
export interface CommitWatch {
  began(): void
  /** The batch is durable, or failed, and whoever waited was told. What is appended now goes with the next. */
  ended(): void
}

/** Bytes and records of one batch; the queue may hold more. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024
const BATCH_RECORDS_MAX = 500

interface Waiting {
  readonly record: EncodedRecord
  readonly committed: Committed
}

export class SegmentLog {
  readonly #options: SegmentLogOptions
  #queue: Waiting[] = []
  #running: Promise<void> | null = null
  #active: { readonly file: DiskFile; readonly id: number; readonly seed: bigint } | null = null
  #nextSegmentId: number
  #pendingCuts: Cut[]
  /** Everything before it is durable. */
  #durable: LogPosition
  #offset = 0
  #closed = false
  #failure: Error | null = null

  constructor(options: SegmentLogOptions) {
    this.#options = options
    this.#nextSegmentId = options.nextSegmentId
    this.#pendingCuts = [...options.cuts]
    this.#durable = { segmentId: 0, offset: 0 }
  }

  /** Everything of the log before this position is durable. */
  get durable(): LogPosition {
    return this.#durable
  }

  /** The segment that is written to, or null. */
  get activeSegmentId(): number | null {
    return this.#active?.id ?? null
  }

  /** The last failure of a write or sync that no later batch has overcome, or null. */
  get failure(): Error | null {
    return this.#failure
  }

  get queuedRecords(): number {
    return this.#queue.length
  }

  /** Queues the record. `committed` is called once, never before this returns. */
  append(record: EncodedRecord, committed: Committed): void {
    assert(!this.#closed, 'no append after close')
    this.#queue.push({ record, committed })
    if (this.#running === null) this.#running = this.#run()
  }

  /** Writes the CUT records of recovery, if there are any; they must be durable before anything is served. */
  async begin(): Promise<void> {
    if (this.#pendingCuts.length === 0) return
    await this.#ensureSegment(0)
  }

  /** Appends a MARK, a witness that everything before it was durable. */
  mark(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.append(noteRecord(RECORD_TYPES.mark, ''), (error) => (error ? reject(error) : resolve()))
    })
  }

  /** Ends the active segment in good order; the next append begins a new one. */
  async seal(): Promise<void> {
    await this.drain()
    if (this.#active === null) return
    try {
      await this.#sealActive()
    } finally {
      this.#leaveSegment()
    }
  }

  /** Commits what is queued, seals, frees. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return
    await this.drain()
    this.#closed = true
    try {
      // A segment that failed must be known to end where it does: the page cache may show more than there is.
      if (this.#active === null && this.#pendingCuts.length > 0) await this.#beginSegment()
      await this.seal()
    } catch {
      // The log is whole without: the next start finds the ends by scanning.
    }
  }

  /** Resolves when nothing is queued or being written. */
  async drain(): Promise<void> {
    while (this.#running !== null) await this.#running
  }

  async #run(): Promise<void> {
    // One turn of the event loop, so that requests that arrived together commit together.
    await Promise.resolve()
    const { commits } = this.#options
    while (this.#queue.length > 0) {
      commits?.began()
      await this.#commitBatch(this.#takeBatch())
      commits?.ended()
    }
    this.#running = null
  }

  #takeBatch(): Waiting[] {
    let bytes = 0
    let count = 0
    while (count < this.#queue.length && count < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX) {
      bytes += this.#queue[count]!.record.bytes
      count++
    }
    if (count === this.#queue.length) {
      const batch = this.#queue
      this.#queue = []
      return batch
    }
    return this.#queue.splice(0, count)
  }

  async #commitBatch(batch: readonly Waiting[]): Promise<void> {
    let places: readonly Place[]
    try {
      places = await this.#writeBatch(batch)
      this.#failure = null
    } catch (cause) {
      this.#fail(batch, cause)
      return
    }
    for (let i = 0; i < batch.length; i++) batch[i]!.committed(null, places[i]!)
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<readonly Place[]> {
    let bytes = 0
    for (const { record } of batch) bytes += record.bytes
    await this.#ensureSegment(bytes)
    const places: Place[] = []
    await this.#writeDurably(
      batch.map(({ record }) => record),
      places,
    )
    return places
  }

  /** Places the records in the active segment and writes them, durably: it is a log. */
  async #writeDurably(records: readonly EncodedRecord[], places: Place[]): Promise<void> {
    const active = this.#active
    assert(active !== null, 'a segment is open')
    const buffers: Uint8Array[] = []
    let offset = this.#offset
    for (const record of records) {
      placeRecord(record, { seed: active.seed | BigInt(offset), durableUpTo: this.#durable })
      buffers.push(record.head)
      if (record.data !== null) buffers.push(record.data)
      places.push({ segmentId: active.id, offset, bytes: record.bytes })
      offset += record.bytes
    }
    await active.file.write(buffers, this.#offset)
    this.#offset = offset
    this.#durable = { segmentId: active.id, offset }
  }

  async #ensureSegment(bytes: number): Promise<void> {
    if (this.#active !== null) {
      if (this.#offset + bytes <= this.#options.segmentBytesMax) return
      if (this.#offset === SEGMENT_HEADER_BYTES) return
      await this.#sealActive()
      this.#leaveSegment()
    }
    await this.#beginSegment()
  }

  async #beginSegment(): Promise<void> {
    const { disk, clock, directory, deviceUuid, shard, files } = this.#options
    const id = this.#nextSegmentId++
    const name = segmentName(shard, id)
    const file = await disk.open(`${directory}/${name}`, 'log')
    try {
      const createdMs = clock.nowMs()
      const header = { deviceUuid, shard, segmentId: id, generation: 0, createdMs }
      await file.write([encodeSegmentHeader(header)], 0)
      await disk.syncDirectory(directory)
    } catch (error) {
      // Nothing refers to it: the header alone can go.
      await file.close()
      await disk.remove(`${directory}/${name}`).catch(() => {})
      throw error
    }
    this.#active = { file, id, seed: segmentSeed(deviceUuid, shard, id) }
    this.#offset = SEGMENT_HEADER_BYTES
    files.adopt(id, file)
    await this.#writeCuts()
  }

  async #writeCuts(): Promise<void> {
    const cuts = this.#pendingCuts
    if (cuts.length === 0) return
    const records = cuts.map((cut) => noteRecord(RECORD_TYPES.cut, JSON.stringify(cut)))
    await this.#writeDurably(records, [])
    this.#pendingCuts = []
  }

  async #sealActive(): Promise<void> {
    await this.#writeDurably([noteRecord(RECORD_TYPES.seal, '')], [])
  }

  #leaveSegment(): void {
    const active = this.#active
    this.#active = null
    if (active !== null) void this.#options.files.release(active.id)
  }

  /** The active segment ends at its last durable byte; everybody waiting fails. */
  #fail(batch: readonly Waiting[], cause: unknown): void {
    const error = deviceError(cause)
    this.#failure = error
    if (this.#active !== null) {
      const cut: Cut = { segmentId: this.#active.id, offset: this.#offset, holes: [] }
      this.#pendingCuts.push(cut)
      this.#options.onCut(cut)
      this.#leaveSegment()
    }
    const queued = this.#queue
    this.#queue = []
    for (const { committed } of batch) committed(error, null)
    for (const { committed } of queued) committed(error, null)
  }
}

/** A record of the log itself. */
function noteRecord(type: RecordType, meta: string): EncodedRecord {
  return encodeRecord({
    type,
    flags: 0,
    kind: 0,
    policy: 0,
    hash: '\0'.repeat(16),
    placement: 0,
    stamp: ZERO_STAMP,
    metaStamp: ZERO_STAMP,
    ballot: ZERO_STAMP,
    writeId: '0'.repeat(16),
    dataBytes: 0,
    meta,
    data: null,
  })
}
