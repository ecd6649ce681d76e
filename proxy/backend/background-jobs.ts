import type { Log } from '../../common/log.ts'

export interface BackgroundJobsOptions {
  readonly log: Log
  /** Jobs at once. */
  readonly concurrencyMax?: number
  /** Jobs that wait; one more is dropped and counted. */
  readonly waitingMax?: number
}

const DEFAULTS = { concurrencyMax: 8, waitingMax: 2_000 }

/**
 * Work that no answer waits for: copies on handoffs, repair of replicas that lag. Bounded: what does not fit is
 * dropped, because all of it is found again later (by a read, a listing, or the updater).
 */
export class BackgroundJobs {
  readonly #log: Log
  readonly #concurrencyMax: number
  readonly #waitingMax: number
  readonly #waiting: { readonly name: string; readonly run: () => Promise<unknown> }[] = []
  readonly #running = new Set<Promise<void>>()
  #closed = false
  #dropped = 0
  #failed = 0

  constructor(options: BackgroundJobsOptions) {
    this.#log = options.log
    this.#concurrencyMax = options.concurrencyMax ?? DEFAULTS.concurrencyMax
    this.#waitingMax = options.waitingMax ?? DEFAULTS.waitingMax
  }

  /** Jobs that did not fit in the queue so far. */
  get dropped(): number {
    return this.#dropped
  }

  get failed(): number {
    return this.#failed
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Runs the job when there is room; its failure is logged. */
  add(name: string, run: () => Promise<unknown>): void {
    if (this.#closed) return
    if (this.#waiting.length >= this.#waitingMax) {
      this.#dropped++
      return
    }
    this.#waiting.push({ name, run })
    this.#startNext()
  }

  /** Drops what waits and resolves when what runs has ended; idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    this.#waiting.length = 0
    await Promise.all(this.#running)
  }

  #startNext(): void {
    if (this.#closed || this.#running.size >= this.#concurrencyMax) return
    const job = this.#waiting.shift()
    if (job === undefined) return
    const done = this.#run(job.name, job.run).then(() => {
      this.#running.delete(done)
      this.#startNext()
    })
    this.#running.add(done)
  }

  async #run(name: string, run: () => Promise<unknown>): Promise<void> {
    try {
      await run()
    } catch (error) {
      this.#failed++
      this.#log.warn('background job failed', { job: name, error })
    }
  }
}
