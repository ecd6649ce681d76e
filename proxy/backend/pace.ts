import type { Clock } from '../../common/clock.ts'

/** Slows a daemon down to so many steps a second, without bursts longer than a second's worth. */
export class Pace {
  readonly #clock: Clock
  readonly #stepMs: number
  #freeAtMs = 0

  constructor(clock: Clock, options: { readonly perSecond: number }) {
    this.#clock = clock
    this.#stepMs = 1000 / options.perSecond
  }

  /** Resolves when the next step may be taken; at once as long as the budget lasts. */
  async take(): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs - BURST_MS) + this.#stepMs
    const waitMs = this.#freeAtMs - nowMs
    if (waitMs <= 0) return
    await new Promise<void>((resolve) => this.#clock.after(waitMs, resolve))
  }
}

const BURST_MS = 1_000
