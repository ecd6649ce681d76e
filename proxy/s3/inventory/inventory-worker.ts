/**
 * Writes the reports of buckets that have inventory configurations: when one was set, and after every midnight (UTC). Runs in every proxy;
 * a book like that of lifecycles says whose turn a bucket is, and is told every thousand lines that somebody is still at it.
 */
import { DueBook, type DuePage } from '../../upkeep/due-book.ts'
import { DuePass } from '../../upkeep/due-pass.ts'
import { dayPauses } from '../lifecycle/day-pauses.ts'
import { DAY_MS } from '../lifecycle/lifecycle-steps.ts'
import type { OwnCalls } from '../lifecycle/own-call.ts'
import { type InventoryRule, inventoriesOf, isDue } from './inventory-rule.ts'
import { writeReport } from './write-report.ts'

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
  readonly #pass: DuePass
  readonly #dayMs: number

  constructor(calls: OwnCalls) {
    const { proxy, settings } = calls
    const { clock, log, random } = proxy
    this.#calls = calls
    this.#dayMs = settings.lifecycleDayMs
    this.#book = inventoryBook(proxy)
    this.#pass = new DuePass({
      name: 'inventory',
      ...{ clock, log, random },
      book: this.#book,
      pauses: dayPauses(this.#dayMs),
      work: async (page) => {
        await this.#round(page)
        return true
      },
      failed: (of, error) => log.warn('inventories not written', { ...of, error }),
    })
  }

  start(): void {
    this.#pass.start()
  }

  /** Leaves the report that is being written: the next one who has the bucket begins it anew. */
  async stop(): Promise<void> {
    await this.#pass.stop()
  }

  async #round(taken: DuePage): Promise<void> {
    const { account, bucket, startedMs } = taken
    const { proxy } = this.#calls
    const info = await proxy.backend.readContainer(account, bucket)
    const rules = info === null ? [] : inventoriesOf(info)
    if (info === null || rules.length === 0) {
      await this.#book.close(taken)
      return
    }
    let page: DuePage | null = taken
    const mayGoOn = async (): Promise<boolean> => {
      if (page !== null && !this.#pass.isOver) page = await this.#book.keep(page, page)
      return page !== null && !this.#pass.isOver
    }
    let isWhole = true
    for (const rule of rules.filter((known) => isDue(known, startedMs))) {
      const round = { source: { account, bucket, info }, startedMs, mayGoOn }
      isWhole = (await this.#report(rule, round)) && isWhole
      if (page === null) return
    }
    const nowMs = proxy.clock.nowMs()
    if (this.#pass.isOver) await this.#book.leave(page, page, nowMs)
    else if (isWhole) await this.#book.finish(page, this.#nextMs(startedMs, nowMs))
    else await this.#book.leave(page, page, nowMs + Math.min(RETRY_MS, this.#dayMs / 10))
  }

  /** False: it is to be tried again. */
  async #report(rule: InventoryRule, round: Parameters<typeof writeReport>[2]): Promise<boolean> {
    const { log } = this.#calls.proxy
    const { account, bucket } = round.source
    const of = { account, bucket, inventory: rule.id }
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
