/** Bytes of a full-sized buffer: what bodies are written in. */
export const BUFFER_BYTES = 1024 * 1024
/** Bytes of the buffers handed out when too many full-sized ones are out. */
export const SMALL_BUFFER_BYTES = 64 * 1024

/**
 * Buffers for bodies on their way in. Up to `fullMax` of 1 MiB are out at once; then 64 KiB ones are made, so that
 * thousands of slow uploads cost megabytes and not gigabytes. `keepMax` are kept for the next upload.
 */
export class BufferPool {
  readonly #free: Buffer[] = []
  readonly #fullMax: number
  readonly #keepMax: number
  #out = 0

  constructor(options: { readonly fullMax?: number; readonly keepMax?: number } = {}) {
    this.#fullMax = options.fullMax ?? 128
    this.#keepMax = options.keepMax ?? 16
  }

  /** Full-sized buffers that are out. */
  get out(): number {
    return this.#out
  }

  take(): Buffer {
    if (this.#out >= this.#fullMax) return Buffer.allocUnsafeSlow(SMALL_BUFFER_BYTES)
    this.#out++
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
  }

  /** Gives back what take() gave; nobody may hold on to it. */
  give(buffer: Buffer): void {
    if (buffer.length !== BUFFER_BYTES) return
    this.#out--
    if (this.#free.length < this.#keepMax) this.#free.push(buffer)
  }
}
