/** The work of bunzip.ts: runs the library over blocking reads and writes. */
import { createRequire } from 'node:module'
import type { ThreadJob } from '../../threads/thread-message.ts'
import { type ThreadPieces, workThrough } from '../../threads/thread-pieces.ts'

/** The part of seek-bzip that is used; it comes without types. */
interface BunzipLibrary {
  /** Throws for what is damaged. `multistream`: several files in a row are one. */
  decode(input: Input, output: Output, multistream: boolean): void
}

const Bunzip = createRequire(import.meta.url)('seek-bzip') as BunzipLibrary
const OUTPUT_BYTES = 256 * 1024

/** Unpacks what comes. */
export function run(job: ThreadJob<null>): void {
  workThrough(job, (pieces) => {
    const output = new Output(pieces)
    Bunzip.decode(new Input(pieces), output, true)
    output.flush()
  })
}

class Input {
  readonly #pieces: ThreadPieces
  #piece: Buffer | null = Buffer.alloc(0)
  #at = 0

  constructor(pieces: ThreadPieces) {
    this.#pieces = pieces
  }

  readByte(): number {
    if (this.eof()) throw new Error('Unexpected input EOF')
    return this.#piece![this.#at++]!
  }

  read(target: Uint8Array, offset: number, length: number): number {
    for (let i = 0; i < length; i++) target[offset + i] = this.readByte()
    return length
  }

  eof(): boolean {
    while (this.#piece !== null && this.#at >= this.#piece.length) {
      this.#piece = this.#pieces.next()
      this.#at = 0
    }
    return this.#piece === null
  }
}

class Output {
  readonly #pieces: ThreadPieces
  readonly #buffer = new Uint8Array(OUTPUT_BYTES)
  #at = 0

  constructor(pieces: ThreadPieces) {
    this.#pieces = pieces
  }

  writeByte(byte: number): void {
    this.#buffer[this.#at++] = byte
    if (this.#at === OUTPUT_BYTES) this.flush()
  }

  flush(): void {
    if (this.#at === 0) return
    this.#pieces.send(this.#buffer.slice(0, this.#at))
    this.#at = 0
  }
}
