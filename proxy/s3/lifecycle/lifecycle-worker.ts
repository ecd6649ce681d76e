/**
 * Looks through the buckets that have lifecycle rules, each once after every midnight (UTC) and when its rules were set. Runs in every
 * proxy; the book says whose turn a bucket is.
 */
import type { Registry } from 'prom-client'
import { Pace } from '../../backend/pace.ts'
import { PeriodicPass } from '../../backend/periodic-pass.ts'
import type { DueBook } from '../../upkeep/due-book.ts'
import { BucketSweep, type SweepContext } from './bucket-sweep.ts'
import { lifecycleBook } from './lifecycle-book.ts'
import { lifecycleOf } from './lifecycle-headers.ts'
import { LifecycleMetrics } from './lifecycle-metrics.ts'
import { DAY_MS } from './lifecycle-steps.ts'
import type { OwnCalls } from './own-call.ts'

/** Of each proxy. */
const STEPS_PER_SECOND = 100
/** How often the book is looked into, where days are days. */
const IDLE_MS = 60_000
const BUSY_MS = 1_000
/** A sweep in which something failed is begun again so many times a day. */
const RETRIES_A_DAY = 24
/** Sweeps in a day that is shorter than a day. */
const SWEEPS_A_SHORT_DAY = 5

export class LifecycleWorker {
  readonly #calls: OwnCalls
  readonly #book: DueBook
  readonly #metrics: LifecycleMetrics
  readonly #pass: PeriodicPass
  readonly #context: SweepContext
  readonly #dayMs: number
  #isOver = false

  constructor(calls: OwnCalls, options: { readonly metrics: Registry }) {
    const { proxy, settings } = calls
    const { clock, log } = proxy
    this.#calls = calls
    this.#dayMs = settings.lifecycleDayMs
    this.#book = lifecycleBook(proxy)
    const isShort = this.#dayMs < DAY_MS
    this.#pass = new PeriodicPass({
      name: 'lifecycle',
      clock,
      log,
      run: () => this.pass(),
      busyMs: isShort ? this.#dayMs / 20 : BUSY_MS,
      idleMs: isShort ? this.#dayMs / 10 : IDLE_MS,
    })
    this.#metrics = new LifecycleMetrics(options.metrics, () => this.#pass.status)
    this.#context = {
      calls,
      book: this.#book,
      metrics: this.#metrics,
      pace: new Pace(clock, { perSecond: STEPS_PER_SECOND }),
      dayMs: this.#dayMs,
      isOver: () => this.#isOver,
    }
  }

  /** Proxies begin at different times. */
  start(): void {
    const { random } = this.#calls.proxy
    this.#pass.start(random.below(Math.ceil(Math.min(IDLE_MS, this.#dayMs / 10))))
  }

  /** Ends at the next name. */
  async stop(): Promise<void> {
    this.#isOver = true
    await this.#pass.stop()
  }

  /** A slice of each bucket that is due; true if there was any. */
  async pass(): Promise<boolean> {
    let found = false
    const failures: unknown[] = []
    for await (const { account, bucket } of this.#book.due()) {
      if (this.#isOver) break
      try {
        found = (await this.#sweep(account, bucket)) || found
      } catch (error) {
        this.#calls.proxy.log.warn('bucket not looked through', { account, bucket, error })
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
    return found
  }

  /** False if it is not ours. */
  async #sweep(account: string, bucket: string): Promise<boolean> {
    const page = await this.#book.take(account, bucket)
    if (page === null) return false
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
