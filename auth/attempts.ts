import { ServiceError } from '../common/errors.ts'

export interface AttemptsOptions {
  readonly monotonicMs: () => number
  /** Wrong keys a user name may get in a window. */
  readonly failuresMax?: number
  readonly windowMs?: number
  /** Names remembered at once; beyond it the one that failed longest ago is forgotten. */
  readonly namesMax?: number
  /** Keys being checked at once; each takes a thread for about 20 ms. */
  readonly runningMax?: number
  /** Sign-ins that wait for their turn; beyond it a 503. */
  readonly waitingMax?: number
}

const DEFAULTS = {
  failuresMax: 20,
  windowMs: 60_000,
  namesMax: 10_000,
  runningMax: 4,
  waitingMax: 256,
} satisfies Partial<AttemptsOptions>

/** Holds sign-ins back: few at once, so that guessing cannot take the machine, and few wrong ones per name. */
export class Attempts {
  readonly #options: Required<AttemptsOptions>
  readonly #failures = new Map<string, { count: number; readonly sinceMs: number }>()
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(options: AttemptsOptions) {
    this.#options = { ...DEFAULTS, ...options }
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Runs the check of a key in its turn. Throws 503 `Busy` if too many wait, 429 if the name failed too often. */
  async run(name: string, check: () => Promise<boolean>): Promise<boolean> {
    this.#refuseAfterFailures(name)
    await this.#turn()
    try {
      // Again: of many that came at once, the first ones may have been wrong by now.
      this.#refuseAfterFailures(name)
      const matches = await check()
      if (!matches) this.#noteFailure(name)
      return matches
    } finally {
      // The turn is handed over, not given back, so that a newcomer cannot slip in between.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }

  #refuseAfterFailures(name: string): void {
    const { failuresMax, windowMs, monotonicMs } = this.#options
    const failures = this.#failures.get(name)
    if (failures === undefined) return
    const restMs = failures.sinceMs + windowMs - monotonicMs()
    if (restMs <= 0) this.#failures.delete(name)
    else if (failures.count >= failuresMax) {
      throw new ServiceError('TooManyFailures', 'too many wrong keys for this user; wait', {
        status: 429,
        retryAfterSeconds: Math.ceil(restMs / 1000),
      })
    }
  }

  #noteFailure(name: string): void {
    const { namesMax, monotonicMs } = this.#options
    const failures = this.#failures.get(name)
    if (failures !== undefined) {
      failures.count++
      return
    }
    if (this.#failures.size >= namesMax) {
      const [oldest] = this.#failures.keys()
      this.#failures.delete(oldest!)
    }
    this.#failures.set(name, { count: 1, sinceMs: monotonicMs() })
  }

  async #turn(): Promise<void> {
    const { runningMax, waitingMax } = this.#options
    if (this.#running < runningMax) {
      this.#running++
      return
    }
    if (this.#waiting.length >= waitingMax) {
      throw new ServiceError('Busy', 'too many sign-ins at once', {
        status: 503,
        retryAfterSeconds: 1,
      })
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}
