import type { PlainBody } from '../exchange.ts'
import { bodyMemory } from './body-memory.ts'

const NOTHING = Buffer.alloc(0)

/** A body of at most INLINE_BYTES_MAX bytes. */
export class ShortBody implements PlainBody {
  #left: number
  /** What has come, in its place; null: nothing yet, or nobody wants it any more. */
  #memory: Buffer | null = null
  #isWanted = true
  #failure: Error | null = null
  #awaited: { resolve(body: Buffer): void; reject(error: Error): void } | null = null

  constructor(bytes: number) {
    this.#left = bytes
  }

  get complete(): boolean {
    return this.#left === 0
  }

  get isAwaited(): boolean {
    return this.#awaited !== null
  }

  /** Copies what belongs to the body; returns how many bytes from `start` on that were. */
  take(bytes: Buffer, start: number): number {
    const used = Math.min(this.#left, bytes.length - start)
    if (used === 0) return 0
    if (this.#isWanted) this.#copy(bytes, start, used)
    this.#left -= used
    if (this.#left === 0 && this.#awaited !== null) {
      this.#awaited.resolve(this.#whole())
      this.#awaited = null
    }
    return used
  }

  receive(): Buffer | Promise<Buffer> {
    if (this.#left === 0) return this.#whole()
    if (this.#failure !== null) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      this.#awaited = { resolve, reject }
    })
  }

  /** The rest will not come. */
  fail(error: Error): void {
    if (this.#left === 0) return
    this.#failure ??= error
    this.#awaited?.reject(this.#failure)
    this.#awaited = null
  }

  /** What has come is forgotten, and what comes, too. */
  discard(): void {
    this.#memory = null
    this.#isWanted = false
  }

  #copy(bytes: Buffer, start: number, used: number): void {
    // One that comes in pieces may take its time: it would hold a slab with many others.
    this.#memory ??= used === this.#left ? bodyMemory(used) : Buffer.allocUnsafeSlow(this.#left)
    bytes.copy(this.#memory, this.#memory.length - this.#left, start, start + used)
  }

  #whole(): Buffer {
    const memory = this.#memory ?? NOTHING
    this.#memory = null
    return memory
  }
}
