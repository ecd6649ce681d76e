import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { Random } from '../../common/random.ts'
import type { BodyReader } from '../../common/storage-node.ts'

/** A reader that nobody used for this long is closed: its proxy is gone. */
const IDLE_MS_MAX = 10 * 60_000
/** Readers open at once; one more is refused with `Busy`. */
const READERS_MAX = 4_096

interface Held {
  readonly reader: BodyReader
  usedMs: number
  streams: number
}

/**
 * Bodies that remote proxies have open, by a random name: what a GET found stays readable until it is closed, even if
 * the object is replaced meanwhile.
 */
export class BodyReaders {
  readonly #clock: Clock
  readonly #random: Random
  readonly #held = new Map<string, Held>()

  constructor(options: { readonly clock: Clock; readonly random: Random }) {
    this.#clock = options.clock
    this.#random = options.random
  }

  get count(): number {
    return this.#held.size
  }

  /** Keeps the reader and names it. Throws `Busy` (and closes it) when too many are open. */
  async keep(reader: BodyReader): Promise<string> {
    await this.#closeIdle()
    if (this.#held.size >= READERS_MAX) {
      await reader.close()
      throw new ServiceError('Busy', 'too many bodies are open', {
        status: 503,
        retryAfterSeconds: 1,
      })
    }
    const name = Buffer.from(this.#random.bytes(16)).toString('hex')
    this.#held.set(name, { reader, usedMs: this.#clock.monotonicMs(), streams: 0 })
    return name
  }

  /** The bytes [start, end) of a kept reader. Throws `UnknownReader` 404. */
  async *stream(name: string, start: number, end: number): AsyncIterable<Uint8Array> {
    const held = this.#held.get(name)
    if (held === undefined) {
      throw new ServiceError('UnknownReader', 'the body is not open any more', { status: 404 })
    }
    held.streams++
    try {
      yield* held.reader.stream(start, end)
    } finally {
      held.streams--
      held.usedMs = this.#clock.monotonicMs()
    }
  }

  /** Closes one; nothing happens if it is not there. */
  async close(name: string): Promise<void> {
    const held = this.#held.get(name)
    this.#held.delete(name)
    await held?.reader.close()
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#held.keys()].map((name) => this.close(name)))
  }

  /** Least recently kept first; those at the front are looked at, which is enough to end all of them in time. */
  async #closeIdle(): Promise<void> {
    const beforeMs = this.#clock.monotonicMs() - IDLE_MS_MAX
    let looks = 8
    for (const [name, held] of this.#held) {
      if (looks-- === 0) return
      if (held.streams === 0 && held.usedMs < beforeMs) await this.close(name)
    }
  }
}
