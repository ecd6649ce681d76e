/**
 * What a book says is due, done in the background: again and again, one bucket after the other, each of which is taken first. Runs
 * in every proxy; that one fails does not keep the others waiting.
 */
import { type PassStatus, PeriodicPass } from '../backend/periodic-pass.ts'
import type { ProxyContext } from '../proxy-context.ts'
import type { DueBook, DuePage } from './due-book.ts'

/** When a book is looked into. */
export interface DuePauses {
  /** After a pass that found something. */
  readonly busyMs: number
  /** The longest one. */
  readonly idleMs: number
  /** Before the first pass, at most. */
  readonly startMs: number
}

export interface DuePassOptions extends Pick<ProxyContext, 'clock' | 'log' | 'random'> {
  readonly name: string
  readonly book: DueBook
  readonly pauses: DuePauses
  /** Does what is due of a bucket that was taken; false: there was nothing. */
  readonly work: (page: DuePage) => Promise<boolean>
  /** Tells the log that a bucket has failed; the others are gone on with. */
  readonly failed: (of: Pick<DuePage, 'account' | 'bucket'>, error: unknown) => void
}

export class DuePass {
  readonly #options: DuePassOptions
  readonly #pass: PeriodicPass
  #isOver = false

  constructor(options: DuePassOptions) {
    const { name, clock, log, pauses } = options
    const { busyMs, idleMs } = pauses
    this.#options = options
    this.#pass = new PeriodicPass({ name, clock, log, busyMs, idleMs, run: () => this.pass() })
  }

  get status(): PassStatus {
    return this.#pass.status
  }

  /** The process ends: no more is begun. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Proxies begin at different times. */
  start(): void {
    const { random, pauses } = this.#options
    this.#pass.start(random.below(pauses.startMs))
  }

  /** Resolves when what is under way has ended; it is told by `isOver`. */
  async stop(): Promise<void> {
    this.#isOver = true
    await this.#pass.stop()
  }

  /** Each bucket that is due; true if there was any. Rejects with the first failure, after all others. */
  async pass(): Promise<boolean> {
    const { book, work, failed } = this.#options
    let found = false
    let failure: { readonly error: unknown } | null = null
    for await (const { account, bucket } of book.due()) {
      if (this.#isOver) break
      try {
        const page = await book.take(account, bucket)
        if (page !== null) found = (await work(page)) || found
      } catch (error) {
        failed({ account, bucket }, error)
        failure ??= { error }
      }
    }
    if (failure !== null) throw failure.error
    return found
  }
}
