import { directoryUnavailable } from './identity-driver.ts'

/** Lets a few works run at once and some wait for it. */
export class Turns {
  readonly #runningMax: number
  readonly #waitingMax: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(limits: { readonly runningMax: number; readonly waitingMax: number }) {
    this.#runningMax = limits.runningMax
    this.#waitingMax = limits.waitingMax
  }

  /** Throws 503 `DirectoryUnavailable` if too many wait. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#runningMax) this.#running++
    else await this.#turn()
    try {
      return await work()
    } finally {
      // The turn is handed over, not given back, so that a newcomer cannot slip in between.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }

  async #turn(): Promise<void> {
    if (this.#waiting.length >= this.#waitingMax) {
      throw directoryUnavailable('too many requests to the directory')
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}
