/** The thread of bunzip.ts: runs the library over blocking reads and writes. */
import { createRequire } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { type BunzipData, type FromBunzip, WORD } from './bunzip-message.ts'

/** The part of seek-bzip that is used; it comes without types. */
interface BunzipLibrary {
  /** Throws for what is damaged. `multistream`: several files in a row are one. */
  decode(input: Input, output: Output, multistream: boolean): void
}

const Bunzip = createRequire(import.meta.url)('seek-bzip') as BunzipLibrary
const OUTPUT_BYTES = 256 * 1024
/** Pieces that may be on their way at once. */
const UNTAKEN_MAX = 2

const { input, words } = workerData as BunzipData
const bytes = new Uint8Array(input)
const tell = (message: FromBunzip) => parentPort!.postMessage(message)

class Input {
  #at = 0
  #end = 0
  #isOver = false

  readByte(): number {
    if (this.eof()) throw new Error('Unexpected input EOF')
    return bytes[this.#at++]!
  }

  read(target: Uint8Array, offset: number, length: number): number {
    for (let i = 0; i < length; i++) target[offset + i] = this.readByte()
    return length
  }

  eof(): boolean {
    if (this.#at < this.#end) return false
    if (!this.#isOver) this.#fill()
    return this.#isOver
  }

  #fill(): void {
    Atomics.store(words, WORD.inputBytes, 0)
    tell({ kind: 'want' })
    Atomics.wait(words, WORD.inputBytes, 0)
    const length = Atomics.load(words, WORD.inputBytes)
    this.#at = 0
    this.#end = Math.max(length, 0)
    this.#isOver = length < 0
  }
}

class Output {
  readonly #buffer = new Uint8Array(OUTPUT_BYTES)
  #at = 0
  #sent = 0

  writeByte(byte: number): void {
    this.#buffer[this.#at++] = byte
    if (this.#at === OUTPUT_BYTES) this.flush()
  }

  flush(): void {
    if (this.#at === 0) return
    tell({ kind: 'data', bytes: this.#buffer.slice(0, this.#at) })
    this.#at = 0
    this.#sent++
    for (;;) {
      const taken = Atomics.load(words, WORD.taken)
      if (this.#sent - taken < UNTAKEN_MAX) return
      Atomics.wait(words, WORD.taken, taken)
    }
  }
}

try {
  const output = new Output()
  Bunzip.decode(new Input(), output, true)
  output.flush()
  tell({ kind: 'end' })
} catch (error) {
  tell({ kind: 'failed', why: (error as Error).message })
}
