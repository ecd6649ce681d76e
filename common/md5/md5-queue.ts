/**
 * MD5s for all who are at work at the same moment. What is asked for in one turn of the event loop is digested together at
 * its end, up to eight messages side by side (md5-kernel.ts); what comes alone is OpenSSL's.
 */
import { createHash, hash } from 'node:crypto'
import type { Soon } from '../soon.ts'
import { Md5Lanes, type Md5Piece } from './md5-lanes.ts'
import { Md5Message } from './md5-message.ts'

/** What is shorter is not worth a turn. */
const TOGETHER_BYTES_MIN = 512

/** Digested before others have their turn: some 0.2 ms. */
const TURN_BYTES = 512 * 1024

/** A message that comes in pieces, one after the other; each stays as it is until `update` has resolved. */
export interface Md5Stream {
  update(bytes: Uint8Array): Soon<void>
  /** In hex. Once. */
  digest(): Soon<string>
  /** Lets go of it; idempotent, and nothing after `digest`. */
  close(): void
}

interface Waiting extends Md5Piece {
  /** Digests it without the lanes: of a message that is all there. */
  readonly alone?: () => void
}

export class Md5Queue {
  readonly #later: (run: () => void) => void
  readonly #waiting: Waiting[] = []
  /** Made when it is needed. */
  #lanes: Md5Lanes | null = null
  #isPlanned = false
  #streams = 0

  /** `later` is to run what it is given when all has been looked at that has arrived: setImmediate. */
  constructor(later: (run: () => void) => void) {
    this.#later = later
  }

  /** In hex. The bytes stay as they are until then. */
  digest(bytes: Uint8Array): Soon<string> {
    if (bytes.length < TOGETHER_BYTES_MIN) return hash('md5', bytes, 'hex')
    return new Promise((resolve) => {
      const message = new Md5Message()
      const done = () => resolve(message.hex())
      const alone = () => resolve(hash('md5', bytes, 'hex'))
      this.#add({ message, bytes, isLast: true, done, alone })
    })
  }

  /** Who comes when nobody else is there is at its end sooner with OpenSSL, and cannot change over later. */
  open(): Md5Stream {
    this.#streams++
    let isOpen = true
    const close = () => {
      if (isOpen) this.#streams--
      isOpen = false
    }
    return this.#streams === 1 ? nativeStream(close) : this.#laneStream(close)
  }

  #laneStream(close: () => void): Md5Stream {
    const message = new Md5Message()
    const add = (bytes: Uint8Array, isLast: boolean) =>
      new Promise<void>((done) => this.#add({ message, bytes, isLast, done }))
    return {
      update: (bytes) => add(bytes, false),
      async digest() {
        await add(NOTHING, true)
        close()
        return message.hex()
      },
      close,
    }
  }

  #add(piece: Waiting): void {
    this.#waiting.push(piece)
    this.#plan()
  }

  #plan(): void {
    if (this.#isPlanned) return
    this.#isPlanned = true
    this.#later(() => {
      this.#isPlanned = false
      this.#run()
    })
  }

  #run(): void {
    const [first] = this.#waiting
    const isAlone = this.#waiting.length === 1 && this.#lanes?.isIdle !== false
    if (isAlone && first?.alone !== undefined) {
      this.#waiting.pop()
      first.alone()
      return
    }
    this.#lanes ??= new Md5Lanes()
    if (this.#lanes.run(this.#waiting, TURN_BYTES)) this.#plan()
  }
}

const NOTHING = new Uint8Array(0)

function nativeStream(close: () => void): Md5Stream {
  const md5 = createHash('md5')
  return {
    update: (bytes) => void md5.update(bytes),
    digest() {
      close()
      return md5.digest('hex')
    },
    close,
  }
}
