/** The bytes that a query is about, as they are unpacked. */
import { ServiceError } from '../../../common/errors.ts'
import type { ItemRead } from '../../../common/storage-node.ts'
import { bunzip } from '../../layers/bulk/bunzip.ts'
import { gunzip } from '../../layers/bulk/gunzip.ts'
import { isReader } from '../../swift/object-body.ts'
import type { ReadRange } from '../../threads/thread-work.ts'
import { firstRecord, recordsOf, spanOf } from './scan-range.ts'
import type { SelectSource } from './select-answer.ts'
import { SelectError } from './select-error.ts'
import type { SelectRequest } from './select-request.ts'

/** An object that is read for a query. */
export class ObjectSource implements SelectSource {
  readonly #read: ItemRead
  readonly #request: SelectRequest
  #scanned = 0

  constructor(read: ItemRead, request: SelectRequest) {
    this.#read = read
    this.#request = request
  }

  get scanned(): number {
    return this.#scanned
  }

  unpacked(): AsyncIterable<Uint8Array> | ReadRange {
    const { compression, input, range } = this.#request
    if (input.format === 'parquet') return ({ start, end }) => this.#stream({ start, end })
    if (range !== null) return this.#inRange(range)
    if (compression === 'NONE') return this.#stream({ start: 0 })
    const unpack = compression === 'GZIP' ? gunzip : bunzip
    return refusing(unpack(this.#stream({ start: 0, recycles: false })))
  }

  async *#inRange(range: NonNullable<SelectRequest['range']>): AsyncGenerator<Uint8Array> {
    const { input } = this.#request
    const span = spanOf(range, this.#read.info.bytes)
    const delimiter = Buffer.from(input.format === 'csv' ? input.recordDelimiter : '\n')
    const read = (start: number) => this.#stream({ start })
    const hasHeader = input.format === 'csv' && input.header !== 'NONE'
    if (hasHeader && (span === null || span.start > 0)) yield* firstRecord(read(0), delimiter)
    if (span !== null) yield* recordsOf(read, span, delimiter)
  }

  /** Pieces are used again for the next ones, if nobody holds them longer than until then. */
  async *#stream(of: {
    readonly start: number
    readonly end?: number
    readonly recycles?: false
  }): AsyncGenerator<Uint8Array> {
    const { body, info } = this.#read
    const { start, end = info.bytes, recycles = true } = of
    if (start >= end) return
    if (!isReader(body)) {
      const piece = body?.subarray(start, end) ?? new Uint8Array()
      this.#scanned += piece.length
      yield piece
      return
    }
    for await (const piece of body.stream(start, end)) {
      this.#scanned += piece.length
      yield piece
      if (recycles) body.recycle?.(piece)
    }
  }
}

/** What cannot be unpacked is the object's fault; the store's own failures are not. */
async function* refusing(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces
  } catch (error) {
    const isOwn = error instanceof ServiceError && error.status !== 400
    if (isOwn || !(error instanceof Error)) throw error
    const { code } = error as NodeJS.ErrnoException
    throw new SelectError(code === 'Z_BUF_ERROR' ? 'TruncatedInput' : 'InvalidCompressionFormat')
  }
}
