import type { Clock } from '../common/clock.ts'

/** Slows background work down to so many bytes a second, without bursts longer than a quarter of a second. */
export class Throttle {
  readonly #clock: Clock
  readonly #bytesPerMs: number
  #freeAtMs = 0

  constructor(clock: Clock, options: { readonly bytesPerSecond: number }) {
    this.#clock = clock
    this.#bytesPerMs = options.bytesPerSecond / 1000
  }

  /** Resolves when the bytes may be moved; at once as long as the budget lasts. */
  async take(bytes: number): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs - BURST_MS) + bytes / this.#bytesPerMs
    const waitMs = this.#freeAtMs - nowMs
    if (waitMs <= 0) return
    await new Promise<void>((resolve) => this.#clock.after(waitMs, resolve))
  }
}

const BURST_MS = 250
