/**
 * A body put together from others. Read is only what a range needs; while one part is sent the next is opened and its
 * first piece read, so that a thousand parts stream like one body. In memory are a piece of each of two parts.
 */
import type { BodyReader } from '../../../common/storage-node.ts'
import type { ByteRange } from '../range.ts'

/** A stretch of the whole, which is opened when its turn comes. */
export interface BodyPart {
  readonly bytes: number
  /** Fails with a ServiceError: 409 if it is not any more what the whole was made of. */
  open(): Promise<OpenPart>
}

export type OpenPart = Pick<BodyReader, 'stream' | 'recycle' | 'close'>

/** Bytes [start, end) of a part. */
interface Slice extends ByteRange {
  readonly part: BodyPart
}

export class SegmentedBody implements BodyReader {
  readonly bytes: number
  readonly #parts: readonly BodyPart[]
  /** Opened before anybody streams. */
  #prepared: { readonly at: number; readonly run: PartRun } | null = null
  readonly #running = new Set<PartRun>()
  readonly #owners = new WeakMap<Uint8Array, OpenPart>()

  constructor(parts: readonly BodyPart[]) {
    this.#parts = parts
    this.bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
  }

  /** Opens what the range begins with, so that what is wrong with it is known before the first byte is sent. */
  async prepare(range: ByteRange): Promise<void> {
    const [first] = this.#slices(range.start, range.end)
    if (first === undefined) return
    const run = this.#start(first)
    this.#prepared = { at: range.start, run }
    try {
      await run.first
    } catch (error) {
      await this.close()
      throw error
    }
  }

  async *stream(start: number, end: number): AsyncGenerator<Uint8Array> {
    const slices = this.#slices(start, end)
    let slice = slices.next()
    if (slice.done === true) return
    let run: PartRun | null = this.#takePrepared(start) ?? this.#start(slice.value)
    try {
      while (run !== null) {
        await run.first
        slice = slices.next()
        const next: PartRun | null = slice.done === true ? null : this.#start(slice.value)
        for await (const piece of run.pieces()) {
          if (run.opened?.recycle !== undefined) this.#owners.set(piece, run.opened)
          yield piece
        }
        await this.#end(run)
        run = next
      }
    } finally {
      await this.close()
    }
  }

  recycle(piece: Uint8Array): void {
    this.#owners.get(piece)?.recycle?.(piece)
  }

  async close(): Promise<void> {
    this.#prepared = null
    await Promise.all([...this.#running].map((run) => this.#end(run)))
  }

  *#slices(start: number, end: number): Generator<Slice> {
    let at = 0
    for (const part of this.#parts) {
      const from = Math.max(start - at, 0)
      const to = Math.min(end - at, part.bytes)
      at += part.bytes
      if (from < to) yield { part, start: from, end: to }
      if (at >= end) return
    }
  }

  #takePrepared(start: number): PartRun | null {
    const prepared = this.#prepared
    this.#prepared = null
    return prepared?.at === start ? prepared.run : null
  }

  #start(slice: Slice): PartRun {
    const run = new PartRun(slice)
    this.#running.add(run)
    return run
  }

  async #end(run: PartRun): Promise<void> {
    this.#running.delete(run)
    await run.close()
  }
}

/** One part on its way: opened, and its first piece read, as soon as it is made. */
class PartRun {
  /** Resolves when the first piece is there; rejects if the part cannot be opened or read. */
  readonly first: Promise<void>
  opened: OpenPart | null = null
  readonly #slice: Slice
  #iterator: AsyncIterator<Uint8Array> | null = null
  #next: IteratorResult<Uint8Array> | null = null

  constructor(slice: Slice) {
    this.#slice = slice
    this.first = this.#begin()
    // Whoever waits for it hears of a failure; a part that is not reached is nobody's loss.
    this.first.catch(ignore)
  }

  async #begin(): Promise<void> {
    const { part, start, end } = this.#slice
    this.opened = await part.open()
    this.#iterator = this.opened.stream(start, end)[Symbol.asyncIterator]()
    this.#next = await this.#iterator.next()
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    while (this.#next !== null && this.#next.done !== true) {
      yield this.#next.value
      this.#next = await this.#iterator!.next()
    }
  }

  async close(): Promise<void> {
    await this.first.catch(ignore)
    await this.#iterator?.return?.()
    await this.opened?.close()
  }
}

function ignore(): void {}
