const SLAB_BYTES = 256 * 1024

/**
 * Memory for many short pieces: one allocation for each costs more than to fill it. A slab is never cut twice in the same
 * place, and lives as long as any piece of it: only for what is soon let go.
 */
export class Slab {
  #memory = Buffer.alloc(0)
  #used = 0

  /** So many bytes, at most those of a slab, with whatever is in them. */
  take(bytes: number): Buffer {
    if (this.#used + bytes > this.#memory.length) {
      this.#memory = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#used = 0
    }
    const start = this.#used
    this.#used += bytes
    return this.#memory.subarray(start, this.#used)
  }
}
