import type { Random } from '../../common/random.ts'

const POOL_BYTES = 4096
const ID_BYTES = 8

/** Draws write ids (16 hex digits) from randomness fetched 512 ids at a time: one system call less for each write. */
export class WriteIds {
  readonly #random: Random
  #pool: Buffer = Buffer.alloc(0)
  #offset = 0

  constructor(random: Random) {
    this.#random = random
  }

  next(): string {
    if (this.#offset === this.#pool.length) {
      this.#pool = Buffer.from(this.#random.bytes(POOL_BYTES))
      this.#offset = 0
    }
    this.#offset += ID_BYTES
    return this.#pool.toString('hex', this.#offset - ID_BYTES, this.#offset)
  }
}
