import { createHash } from 'node:crypto'

/** A stream of numbers that its seed determines: the same seed gives the same ring, on every machine. */
export class SeededRandom {
  #a: number
  #b: number
  #c: number
  #counter: number

  constructor(seed: string) {
    const digest = createHash('sha256').update(seed).digest()
    this.#a = digest.readInt32LE(0)
    this.#b = digest.readInt32LE(4)
    this.#c = digest.readInt32LE(8)
    this.#counter = digest.readInt32LE(12) | 1
  }

  /** A whole number in [0, 2^32): sfc32, Chris Doty-Humphrey's PractRand, which passes its own tests. */
  next(): number {
    const result = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0
    return result >>> 0
  }

  /** A whole number in [0, limit); the bias of at most limit / 2^32 does not matter to placement. */
  below(limit: number): number {
    return Math.floor((this.next() / 2 ** 32) * limit)
  }

  /** Fisher and Yates, in place. */
  shuffle(items: Uint32Array | Int32Array | number[]): void {
    for (let last = items.length - 1; last > 0; last--) {
      const other = this.below(last + 1)
      const kept = items[last]!
      items[last] = items[other]!
      items[other] = kept
    }
  }
}
