import { type Clock, systemClock } from '../../common/clock.ts'

/** The machine's clock, moved ahead by a test. */
export class MovedClock implements Clock {
  #aheadMs = 0

  move(ms: number): void {
    this.#aheadMs += ms
  }

  nowMs(): number {
    return systemClock.nowMs() + this.#aheadMs
  }

  monotonicMs(): number {
    return systemClock.monotonicMs()
  }

  after(delayMs: number, action: () => void): () => void {
    return systemClock.after(delayMs, action)
  }
}
