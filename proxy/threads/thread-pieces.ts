/** The side of the thread: bytes are read and written like a file's, and the thread waits where there are none, or nobody takes them. */
import {
  type FromThread,
  type ThreadJob,
  UNTAKEN_MAX,
  type WantedRange,
  WORD,
} from './thread-message.ts'

/** Does the work of a job, and says how it ended: behind all that it has sent. */
export function workThrough<Data>(
  job: ThreadJob<Data>,
  work: (pieces: ThreadPieces, data: Data) => void,
): void {
  let last: FromThread = { kind: 'end' }
  try {
    work(new ThreadPieces(job), job.data)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    last = { kind: 'failed', code, message }
  }
  job.port.postMessage(last)
  job.port.close()
}

/** The bytes of a job. */
export class ThreadPieces {
  readonly #job: ThreadJob<unknown>
  #sent = 0

  constructor(job: ThreadJob<unknown>) {
    this.#job = job
  }

  /** The next bytes, which are the caller's own; null: there are no more. */
  next(range?: WantedRange): Buffer | null {
    const { words, input } = this.#job
    Atomics.store(words, WORD.inputBytes, 0)
    this.#tell({ kind: 'want', ...(range !== undefined && { range }) })
    Atomics.wait(words, WORD.inputBytes, 0)
    const length = Atomics.load(words, WORD.inputBytes)
    return length < 0 ? null : Buffer.from(new Uint8Array(input, 0, length))
  }

  /** The bytes there, fewer where all ends; only of what can be read anywhere. */
  read(range: WantedRange): Buffer {
    const pieces: Buffer[] = []
    let missing = range.end - range.start
    let piece = this.next(range)
    while (piece !== null) {
      pieces.push(piece)
      missing -= piece.length
      piece = missing > 0 ? this.next() : null
    }
    return Buffer.concat(pieces)
  }

  /** Returns when there is room for another. */
  send(bytes: Uint8Array): void {
    const { words } = this.#job
    this.#tell({ kind: 'data', bytes })
    this.#sent++
    for (;;) {
      const taken = Atomics.load(words, WORD.taken)
      if (this.#sent - taken < UNTAKEN_MAX) return
      Atomics.wait(words, WORD.taken, taken)
    }
  }

  #tell(message: FromThread): void {
    this.#job.port.postMessage(message)
  }
}
