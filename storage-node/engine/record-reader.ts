/** Reads one record at its place and verifies it. */
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import {
  decodeData,
  decodeHead,
  decodeMeta,
  lengthsAgree,
  type Place,
  type RecordHead,
} from './record.ts'
import type { SegmentFiles } from './segment-files.ts'

/** Of a record whose body is not wanted, this much is read at first: head and, nearly always, all metadata. */
const HEAD_READ_BYTES = 4096
/** Blocking reads are used as long as they take no longer than this on average: the page cache answers in 3 us. */
const SYNC_READ_MAX_MS = 0.2
/** After slow reads, this many are asynchronous before a blocking one is tried again. */
const ASYNC_READS = 64
const AVERAGE_WEIGHT = 0.05

export interface ReadRecord {
  readonly head: RecordHead
  /** JSON text. */
  readonly meta: string
  /** The inline body; empty if there is none or it was not wanted. */
  readonly data: Buffer
  /** The whole record as read, if the body was wanted. */
  readonly bytes: Buffer
}

export class RecordReader {
  readonly #files: SegmentFiles
  readonly #seedOf: (segmentId: number) => bigint
  readonly #clock: Clock
  #averageMs = 0
  #asyncLeft = 0

  constructor(options: {
    readonly files: SegmentFiles
    readonly seedOf: (segmentId: number) => bigint
    readonly clock: Clock
  }) {
    this.#files = options.files
    this.#seedOf = options.seedOf
    this.#clock = options.clock
  }

  /** Throws CorruptData if what lies there is not a valid record. At once (no promise) if the page cache answers fast. */
  read(place: Place, options: { readonly body: boolean }): ReadRecord | Promise<ReadRecord> {
    const length = options.body ? place.bytes : Math.min(place.bytes, HEAD_READ_BYTES)
    const bytes = Buffer.allocUnsafeSlow(length)
    if (!this.#tryReadSync(place, bytes)) return this.#readAsync(place, bytes, options)
    const record = this.#decode(place, bytes, options.body)
    return (
      record ?? this.#readAsync(place, Buffer.allocUnsafeSlow(place.bytes), { body: options.body })
    )
  }

  async #readAsync(
    place: Place,
    bytes: Buffer,
    options: { readonly body: boolean },
  ): Promise<ReadRecord> {
    let record: ReadRecord | null = null
    try {
      await this.#files.read(place.segmentId, bytes, place.offset)
      record = this.#decode(place, bytes, options.body)
      if (record === null && bytes.length < place.bytes) {
        return await this.#readAsync(place, Buffer.allocUnsafeSlow(place.bytes), options)
      }
    } catch (cause) {
      if (cause instanceof ServiceError) throw cause
      throw this.#damage(place, cause)
    }
    if (record === null) throw this.#damage(place)
    return record
  }

  #tryReadSync(place: Place, bytes: Buffer): boolean {
    if (this.#asyncLeft > 0) {
      this.#asyncLeft--
      return false
    }
    const startMs = this.#clock.monotonicMs()
    try {
      if (this.#files.tryReadSync(place.segmentId, bytes, place.offset) === false) return false
    } catch {
      return false // The asynchronous read says what is wrong.
    }
    this.#averageMs += (this.#clock.monotonicMs() - startMs - this.#averageMs) * AVERAGE_WEIGHT
    if (this.#averageMs > SYNC_READ_MAX_MS) {
      this.#asyncLeft = ASYNC_READS
      this.#averageMs = 0
    }
    return true
  }

  /** Null if the bytes are no valid record, or too few to tell. */
  #decode(place: Place, bytes: Buffer, withBody: boolean): ReadRecord | null {
    const seed = this.#seedOf(place.segmentId) | BigInt(place.offset)
    const head = decodeHead(bytes, seed)
    if (head === null || !lengthsAgree(head) || head.recordBytes !== place.bytes) return null
    const meta = decodeMeta(bytes, head, seed)
    if (meta === null) return null
    if (!withBody) return { head, meta, data: NO_DATA, bytes }
    const data = decodeData(bytes, head, seed)
    return data === null ? null : { head, meta, data, bytes }
  }

  #damage(place: Place, cause?: unknown): ServiceError {
    const where = `${this.#files.pathOf(place.segmentId)} at ${place.offset}`
    return new ServiceError('CorruptData', `no valid record in ${where}`, { status: 500, cause })
  }
}

const NO_DATA = Buffer.alloc(0)
