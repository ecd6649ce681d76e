import type { Clock } from '../../common/clock.ts'

/** Time that moves only when it is told to. */
export class SimClock implements Clock {
  #nowMs: number
  #timers: { readonly dueMs: number; readonly action: () => void }[] = []

  constructor(startMs = 1_790_000_000_000) {
    this.#nowMs = startMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, action: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, action }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** Moves on and runs what came due, in order. */
  advance(ms: number): void {
    this.#nowMs += ms
    const due = this.#timers.filter(({ dueMs }) => dueMs <= this.#nowMs)
    this.#timers = this.#timers.filter(({ dueMs }) => dueMs > this.#nowMs)
    for (const { action } of due.sort((a, b) => a.dueMs - b.dueMs)) action()
  }
}
