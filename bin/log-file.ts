import { closeSync, createWriteStream, openSync, type WriteStream } from 'node:fs'

/** Characters that may wait for a slow disk; beyond it lines are dropped and counted: no request waits for its log. */
const WAITING_CHARS_MAX = 8 * 1024 * 1024

/** Appends lines to a file without waiting for it. */
export class LogFile {
  readonly #path: string
  readonly #onError: (error: Error) => void
  #stream: WriteStream
  #dropped = 0

  /** Throws Node's system error if the file cannot be opened; later errors go to `onError`. */
  constructor(path: string, onError: (error: Error) => void) {
    this.#path = path
    this.#onError = onError
    closeSync(openSync(path, 'a', 0o640))
    this.#stream = this.#open()
  }

  /** Takes whole lines, each ended by a newline. */
  write(lines: string): void {
    if (this.#stream.writableLength > WAITING_CHARS_MAX) {
      this.#dropped++
      return
    }
    if (this.#dropped > 0) {
      this.#stream.write(
        `{"level":"warn","event":"log lines dropped","batches":${this.#dropped}}\n`,
      )
      this.#dropped = 0
    }
    this.#stream.write(lines)
  }

  /** Goes on in a new file of the same path, after the old one was moved away (SIGHUP from logrotate). */
  reopen(): void {
    this.#stream.end()
    this.#stream = this.#open()
  }

  /** Writes what waits, then closes; idempotent. */
  async close(): Promise<void> {
    if (this.#stream.closed) return
    await new Promise<void>((resolve) => {
      this.#stream.once('close', resolve)
      this.#stream.end()
    })
  }

  #open(): WriteStream {
    const stream = createWriteStream(this.#path, { flags: 'a', mode: 0o640 })
    stream.on('error', this.#onError)
    return stream
  }
}
