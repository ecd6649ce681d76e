/** The part of an object that a scan range is about: records that begin in it, whole. */
import type { ScanRange } from './select-request.ts'

/** Where records may begin: from `start`, up to and with `last`. Null: nowhere. */
export interface RecordSpan {
  readonly start: number
  readonly last: number
}

/** The span of the range in an object of so many bytes. */
export function spanOf({ start, end }: ScanRange, bytes: number): RecordSpan | null {
  // An end alone is counted from the object's end.
  const from = start ?? Math.max(0, bytes - (end ?? 0))
  const last = start === undefined ? bytes - 1 : Math.min(end ?? bytes - 1, bytes - 1)
  return from > last ? null : { start: from, last }
}

/** Reads bytes from there on. */
export type ReadFrom = (start: number) => AsyncIterable<Uint8Array>

/** Records that begin in the span: what is read before is looked through for where the first one begins. */
export async function* recordsOf(
  read: ReadFrom,
  span: RecordSpan,
  delimiter: Uint8Array,
): AsyncGenerator<Uint8Array> {
  const from = Math.max(0, span.start - delimiter.length)
  const head = new DelimiterSearch(delimiter, span.start)
  const tail = new DelimiterSearch(delimiter, span.last + 1)
  let isOpen = span.start === 0
  let at = from
  for await (const piece of read(from)) {
    let begin = 0
    if (!isOpen) {
      const end = head.endIn(piece, at)
      if (end === null) {
        if (tail.endIn(piece, at) !== null) return
        at += piece.length
        continue
      }
      // The first record begins behind all that may be wanted.
      if (end > span.last) return
      isOpen = true
      begin = end - at
    }
    const end = tail.endIn(piece, at)
    yield piece.subarray(begin, end === null ? undefined : end - at)
    if (end !== null) return
    at += piece.length
  }
}

/** The object's first record, with its delimiter. */
export async function* firstRecord(
  pieces: AsyncIterable<Uint8Array>,
  delimiter: Uint8Array,
): AsyncGenerator<Uint8Array> {
  const search = new DelimiterSearch(delimiter, 0)
  let at = 0
  for await (const piece of pieces) {
    const end = search.endIn(piece, at)
    yield piece.subarray(0, end === null ? undefined : end - at)
    if (end !== null) return
    at += piece.length
  }
}

/** Looks for the first delimiter that ends at a place or behind it, in pieces. */
class DelimiterSearch {
  readonly #delimiter: Buffer
  readonly #from: number
  /** The end of what came before, too short for a delimiter. */
  #before = Buffer.alloc(0)

  constructor(delimiter: Uint8Array, from: number) {
    this.#delimiter = Buffer.from(delimiter)
    this.#from = from
  }

  /** Where it ends, for a piece that stands there; null: not in this one. */
  endIn(piece: Uint8Array, at: number): number | null {
    const { length } = this.#delimiter
    const whole = Buffer.concat([this.#before, piece])
    const start = at - this.#before.length
    const begin = Math.max(0, this.#from - length - start)
    const found = begin > whole.length ? -1 : whole.indexOf(this.#delimiter, begin)
    this.#before = Buffer.from(whole.subarray(Math.max(0, whole.length - length + 1)))
    return found < 0 ? null : start + found + length
  }
}
