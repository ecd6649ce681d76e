/**
 * Looks through the buckets that have lifecycle rules, each once after every midnight (UTC) and when its rules were set. Runs in every
 * proxy; the book says whose turn a bucket is.
 */
import type { Registry } from 'prom-client'
import { Pace } from '../../backend/pace.ts'
import type { DueBook, DuePage } from '../../upkeep/due-book.ts'
import { DuePass } from '../../upkeep/due-pass.ts'
import { BucketSweep, type SweepContext } from './bucket-sweep.ts'
import { dayPauses } from './day-pauses.ts'
import { lifecycleBook } from './lifecycle-book.ts'
import { lifecycleOf } from './lifecycle-headers.ts'
import { LifecycleMetrics } from './lifecycle-metrics.ts'
import { DAY_MS } from './lifecycle-steps.ts'
import type { OwnCalls } from './own-call.ts'

/** Of each proxy. */
const STEPS_PER_SECOND = 100
/** A sweep in which something failed is begun again so many times a day. */
const RETRIES_A_DAY = 24
/** Sweeps in a day that is shorter than a day. */
const SWEEPS_A_SHORT_DAY = 5

export class LifecycleWorker {
  readonly #calls: OwnCalls
  readonly #book: DueBook
  readonly #metrics: LifecycleMetrics
  readonly #pass: DuePass
  readonly #context: SweepContext
  readonly #dayMs: number

  constructor(calls: OwnCalls, options: { readonly metrics: Registry }) {
    const { proxy, settings } = calls
    const { clock, log, random } = proxy
    this.#calls = calls
    this.#dayMs = settings.lifecycleDayMs
    this.#book = lifecycleBook(proxy)
    this.#pass = new DuePass({
      name: 'lifecycle',
      ...{ clock, log, random },
      book: this.#book,
      pauses: dayPauses(this.#dayMs),
      work: (page) => this.#sweep(page),
      failed: (of, error) => log.warn('bucket not looked through', { ...of, error }),
    })
    this.#metrics = new LifecycleMetrics(options.metrics, () => this.#pass.status)
    this.#context = {
      calls,
      book: this.#book,
      metrics: this.#metrics,
      pace: new Pace(clock, { perSecond: STEPS_PER_SECOND }),
      dayMs: this.#dayMs,
      isOver: () => this.#pass.isOver,
    }
  }

  start(): void {
    this.#pass.start()
  }

  /** Ends at the next name. */
  async stop(): Promise<void> {
    await this.#pass.stop()
  }

  /** A slice of the bucket; false if it has no rules any more. */
  async #sweep(page: DuePage): Promise<boolean> {
    const { account, bucket } = page
    const info = await this.#calls.proxy.backend.readContainer(account, bucket)
    const lifecycle = info === null ? null : lifecycleOf(info)
    if (lifecycle === null) {
      await this.#book.close(page)
      return false
    }
    const sweep = new BucketSweep(this.#context, page, lifecycle)
    const end = await sweep.run()
    if (end === 'lost') return true
    const nowMs = this.#calls.proxy.clock.nowMs()
    if (end === 'more') await this.#book.leave(sweep.page, sweep.page, nowMs)
    else {
      this.#metrics.buckets++
      await this.#book.finish(sweep.page, this.#nextMs(page.startedMs, sweep.hasFailed))
    }
    return true
  }

  /** When a bucket is due again that was begun then. */
  #nextMs(startedMs: number, hasFailed: boolean): number {
    const nowMs = this.#calls.proxy.clock.nowMs()
    if (this.#dayMs < DAY_MS) return nowMs + this.#dayMs / SWEEPS_A_SHORT_DAY
    const midnightMs = Math.ceil((startedMs + 1) / DAY_MS) * DAY_MS
    return hasFailed ? Math.min(midnightMs, nowMs + DAY_MS / RETRIES_A_DAY) : midnightMs
  }
}
