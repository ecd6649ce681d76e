import { close, fdatasync, open, unlink, writev } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const openFile = promisify(open)
const closeFile = promisify(close)
const removeFile = promisify(unlink)

const IOVEC_MAX = 1000
const BATCH_BYTES_MAX = 4 * 1024 * 1024
const SEGMENT_BYTES_MAX = 256 * 1024 * 1024

interface Waiting {
  readonly pieces: readonly Uint8Array[]
  readonly done: (error: Error | null) => void
}

/**
 * The least that a durable write can cost: all requests that wait share one writev and one fdatasync of a file that
 * grows. No format, no checksum, no index; what was written is never read. Segments behind the current are removed.
 */
export class GroupLog {
  readonly #folder: string
  readonly #name: string
  #queue: Waiting[] = []
  #running = false
  #fd = -1
  #segment = 0
  #position = 0

  constructor(folder: string, name: string) {
    this.#folder = folder
    this.#name = name
  }

  async start(): Promise<void> {
    this.#fd = await openFile(this.#path(), 'w')
  }

  /** Calls back once the pieces are on the medium. */
  append(pieces: readonly Uint8Array[], done: (error: Error | null) => void): void {
    this.#queue.push({ pieces, done })
    if (!this.#running) this.#commit()
  }

  async close(): Promise<void> {
    if (this.#fd >= 0) await closeFile(this.#fd)
    this.#fd = -1
  }

  #commit(): void {
    if (this.#queue.length === 0) return
    this.#running = true
    const { waiting, pieces, bytes } = this.#takeBatch()
    const finish = (error: Error | null): void => {
      for (const one of waiting) one.done(error)
      this.#running = false
      if (this.#position < SEGMENT_BYTES_MAX) this.#commit()
      else this.#nextSegment()
    }
    writev(this.#fd, pieces, this.#position, (error, written) => {
      if (error || written !== bytes) finish(error ?? new Error('short write'))
      else fdatasync(this.#fd, finish)
    })
    this.#position += bytes
  }

  #takeBatch(): { waiting: Waiting[]; pieces: Uint8Array[]; bytes: number } {
    const waiting: Waiting[] = []
    const pieces: Uint8Array[] = []
    let bytes = 0
    for (const one of this.#queue) {
      if (
        waiting.length > 0 &&
        (bytes >= BATCH_BYTES_MAX || pieces.length + one.pieces.length > IOVEC_MAX)
      )
        break
      waiting.push(one)
      for (const piece of one.pieces) {
        pieces.push(piece)
        bytes += piece.length
      }
    }
    this.#queue = this.#queue.slice(waiting.length)
    return { waiting, pieces, bytes }
  }

  #nextSegment(): void {
    this.#running = true
    const [oldFd, oldPath] = [this.#fd, this.#path()]
    this.#segment++
    this.#position = 0
    openFile(this.#path(), 'w')
      .then((fd) => {
        this.#fd = fd
        this.#running = false
        this.#commit()
        return closeFile(oldFd).then(() => removeFile(oldPath))
      })
      .catch((error: Error) => {
        for (const one of this.#queue.splice(0)) one.done(error)
      })
  }

  #path(): string {
    return join(this.#folder, `${this.#name}-${this.#segment}.log`)
  }
}
