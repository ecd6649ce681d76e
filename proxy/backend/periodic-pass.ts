import type { Clock } from '../../common/clock.ts'
import type { Log } from '../../common/log.ts'

export interface PeriodicPassOptions {
  readonly name: string
  readonly clock: Clock
  readonly log: Log
  /** One pass; resolves to whether it found anything to do. */
  readonly run: () => Promise<boolean>
  /** What is known and not done yet. */
  readonly waiting?: () => number
  /** Pause after a pass that found something. */
  readonly busyMs: number
  /** Longest pause, reached by doubling while there is nothing to do. */
  readonly idleMs: number
}

/** What a daemon has done since the start. */
export interface PassStatus {
  readonly name: string
  readonly passes: number
  /** Of these, those that ended with an error. */
  readonly failures: number
  /** How long the last one took. */
  readonly passMs: number
  /** When the last one ended, in milliseconds since 1970; 0: none has. */
  readonly passedAtMs: number
  /** Known to it and not done, as of that. */
  readonly waiting: number
}

/** A pass may take this share of the time: pauses are at least four times as long as the pass before. */
const PAUSE_TO_WORK = 4

/** Runs a daemon's pass again and again, more slowly when there is nothing to do or when it takes long. */
export class PeriodicPass {
  readonly #options: PeriodicPassOptions
  #pauseMs: number
  #cancel: (() => void) | null = null
  #running: Promise<void> = Promise.resolve()
  #started = false
  #status: PassStatus

  constructor(options: PeriodicPassOptions) {
    this.#options = options
    this.#pauseMs = options.busyMs
    const { name } = options
    this.#status = { name, passes: 0, failures: 0, passMs: 0, passedAtMs: 0, waiting: 0 }
  }

  get status(): PassStatus {
    return this.#status
  }

  /** Starts after `delayMs`; nothing happens if it is running. */
  start(delayMs = 0): void {
    if (this.#started) return
    this.#started = true
    this.#schedule(delayMs)
  }

  /** Runs no more passes and resolves when the one under way has ended; idempotent. */
  async stop(): Promise<void> {
    this.#started = false
    this.#cancel?.()
    await this.#running
  }

  #schedule(delayMs: number): void {
    this.#cancel = this.#options.clock.after(delayMs, () => {
      this.#running = this.#pass()
    })
  }

  async #pass(): Promise<void> {
    const { name, clock, log, busyMs, idleMs } = this.#options
    const startedMs = clock.monotonicMs()
    let found = false
    try {
      found = await this.once()
    } catch (error) {
      log.warn('pass failed', { pass: name, error })
    }
    const tookMs = clock.monotonicMs() - startedMs
    this.#pauseMs = found ? busyMs : Math.min(idleMs, this.#pauseMs * 2)
    if (this.#started) this.#schedule(Math.max(this.#pauseMs, tookMs * PAUSE_TO_WORK))
  }

  /** A pass now, by whoever asks; rejects when it fails. */
  async once(): Promise<boolean> {
    const { name, clock, run, waiting } = this.#options
    const startedMs = clock.monotonicMs()
    let isFailure = true
    try {
      const found = await run()
      isFailure = false
      return found
    } finally {
      const { passes, failures } = this.#status
      this.#status = {
        name,
        passes: passes + 1,
        failures: failures + (isFailure ? 1 : 0),
        passMs: clock.monotonicMs() - startedMs,
        passedAtMs: clock.nowMs(),
        waiting: waiting?.() ?? 0,
      }
    }
  }
}
