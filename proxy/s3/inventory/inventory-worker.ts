/**
 * Writes the reports of buckets that have inventory configurations: when one was set, and after every midnight (UTC). Runs in every proxy;
 * a book like that of lifecycles says whose turn a bucket is, and is told every thousand lines that somebody is still at it.
 */
import { PeriodicPass } from '../../backend/periodic-pass.ts'
import { DueBook, type DuePage } from '../../upkeep/due-book.ts'
import { DAY_MS } from '../lifecycle/lifecycle-steps.ts'
import type { OwnCalls } from '../lifecycle/own-call.ts'
import { type InventoryRule, inventoriesOf, isDue } from './inventory-rule.ts'
import { writeReport } from './write-report.ts'

const IDLE_MS = 60_000
const BUSY_MS = 1_000
/** Until what could not be written is tried again. */
const RETRY_MS = 60 * 60 * 1000

/** The book of buckets that have inventory configurations. */
export function inventoryBook({ backend, clock, policies }: OwnCalls['proxy']): DueBook {
  const policy = policies.default.index
  return new DueBook({ backend, clock, policy, container: 'inventory' })
}

export class InventoryWorker {
  readonly #calls: OwnCalls
  readonly #book: DueBook
  readonly #pass: PeriodicPass
  readonly #dayMs: number
  #isOver = false

  constructor(calls: OwnCalls) {
    const { proxy, settings } = calls
    const { clock, log } = proxy
    this.#calls = calls
    this.#dayMs = settings.lifecycleDayMs
    this.#book = inventoryBook(proxy)
    const isShort = this.#dayMs < DAY_MS
    this.#pass = new PeriodicPass({
      name: 'inventory',
      clock,
      log,
      run: () => this.pass(),
      busyMs: isShort ? this.#dayMs / 20 : BUSY_MS,
      idleMs: isShort ? this.#dayMs / 10 : IDLE_MS,
    })
  }

  /** Proxies begin at different times. */
  start(): void {
    const { random } = this.#calls.proxy
    this.#pass.start(random.below(Math.ceil(Math.min(IDLE_MS, this.#dayMs / 10))))
  }

  /** Leaves the report that is being written: the next one who has the bucket begins it anew. */
  async stop(): Promise<void> {
    this.#isOver = true
    await this.#pass.stop()
  }

  /** All buckets that are due; true if there was any. */
  async pass(): Promise<boolean> {
    let found = false
    for await (const { account, bucket } of this.#book.due()) {
      if (this.#isOver) break
      const page = await this.#book.take(account, bucket)
      if (page === null) continue
      found = true
      await this.#round(page)
    }
    return found
  }

  async #round(taken: DuePage): Promise<void> {
    const { account, bucket, startedMs } = taken
    const { proxy } = this.#calls
    const info = await proxy.backend.readContainer(account, bucket)
    const rules = info === null ? [] : inventoriesOf(info)
    if (rules.length === 0) {
      await this.#book.close(taken)
      return
    }
    let page: DuePage | null = taken
    const mayGoOn = async (): Promise<boolean> => {
      if (page !== null && !this.#isOver) page = await this.#book.keep(page, page)
      return page !== null && !this.#isOver
    }
    let isWhole = true
    for (const rule of rules.filter((known) => isDue(known, startedMs))) {
      isWhole = (await this.#report(rule, { account, bucket, startedMs, mayGoOn })) && isWhole
      if (page === null) return
    }
    const nowMs = proxy.clock.nowMs()
    if (this.#isOver) await this.#book.leave(page, page, nowMs)
    else if (isWhole) await this.#book.finish(page, this.#nextMs(startedMs, nowMs))
    else await this.#book.leave(page, page, nowMs + Math.min(RETRY_MS, this.#dayMs / 10))
  }

  /** False: it is to be tried again. */
  async #report(rule: InventoryRule, round: Parameters<typeof writeReport>[2]): Promise<boolean> {
    const { log } = this.#calls.proxy
    const of = { account: round.account, bucket: round.bucket, inventory: rule.id }
    try {
      const end = await writeReport(this.#calls, rule, round)
      if (end === 'refused') log.warn('inventory not taken by its target', of)
      return end !== 'left'
    } catch (error) {
      log.warn('inventory not written', { ...of, error })
      return false
    }
  }

  #nextMs(startedMs: number, nowMs: number): number {
    if (this.#dayMs < DAY_MS) return nowMs + this.#dayMs
    return Math.ceil((startedMs + 1) / DAY_MS) * DAY_MS
  }
}
