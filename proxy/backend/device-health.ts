import type { Clock } from '../../common/clock.ts'

export interface ErrorLimit {
  /** Failures in a row after which a device is left alone. */
  readonly count?: number
  /** For how long. */
  readonly forMs?: number
}

const DEFAULTS = { count: 10, forMs: 10_000 } satisfies Required<ErrorLimit>

/**
 * Swift's error limiting: a device that failed several times in a row is not asked for a while, so that its timeouts
 * are not paid by every request. A full device is not unhealthy: it still reads and deletes.
 */
export class DeviceHealth {
  readonly #clock: Clock
  readonly #limit: Required<ErrorLimit>
  #failures = 0
  #limitedUntilMs = 0

  constructor(clock: Clock, limit: ErrorLimit = {}) {
    this.#clock = clock
    this.#limit = { ...DEFAULTS, ...limit }
  }

  /** False while the device is being left alone; the next call after that is its trial. */
  available(): boolean {
    return this.#failures < this.#limit.count || this.#clock.monotonicMs() >= this.#limitedUntilMs
  }

  noteSuccess(): void {
    this.#failures = 0
  }

  noteFailure(): void {
    this.#failures++
    if (this.#failures < this.#limit.count) return
    this.#limitedUntilMs = this.#clock.monotonicMs() + this.#limit.forMs
  }
}
