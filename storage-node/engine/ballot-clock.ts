import type { Clock } from '../../common/clock.ts'
import { type Stamp, TICKS_PER_SECOND } from '../../common/stamp.ts'

const TICKS_PER_MS = TICKS_PER_SECOND / 1000

/** What time it is by the ballots of proxies, whose clocks and that of this machine need not agree. */
export class BallotClock {
  readonly #clock: Clock
  /** Of the ballots taken in since the start. */
  #newestTicks = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A ballot was taken in. */
  saw({ ticks }: Stamp): void {
    if (ticks > this.#newestTicks) this.#newestTicks = ticks
  }

  /**
   * What time it is at least, whatever the clock of this machine says: no later than the newest ballot of a proxy. What
   * forgets by age goes by it. In the beginning of a process it is long ago.
   */
  get surelyNowMs(): number {
    return Math.min(this.#clock.nowMs(), this.#newestTicks / TICKS_PER_MS)
  }

  /** What time it may be: no earlier than the newest ballot. */
  get perhapsNowMs(): number {
    return Math.max(this.#clock.nowMs(), this.#newestTicks / TICKS_PER_MS)
  }
}
