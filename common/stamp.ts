import { ServiceError } from './errors.ts'

/**
 * The unique time of a write: 10 microsecond ticks since 1970 (Swift's X-Timestamp resolution) and, so that two
 * proxies never draw the same one, the proposer's id. Compared as a pair.
 */
export interface Stamp {
  /** 10 microsecond ticks since 1970; below 2^53. */
  readonly ticks: number
  /** An unsigned 32-bit number, different for each running proxy. */
  readonly proposer: number
}

export const TICKS_PER_SECOND = 100_000
/** A replica refuses stamps and ballots that are further ahead of its own clock. */
export const STAMP_AHEAD_MAX_MS = 5 * 60_000
export const ZERO_STAMP: Stamp = Object.freeze({ ticks: 0, proposer: 0 })

/** Below 0 if a is older, 0 if they are the same, above 0 if a is newer. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.ticks === b.ticks ? a.proposer - b.proposer : a.ticks - b.ticks
}

export function maxStamp(a: Stamp, b: Stamp): Stamp {
  return compareStamps(a, b) >= 0 ? a : b
}

/** X-Timestamp's form: seconds with five decimals, ten digits before the point. */
export function formatTimestamp(ticks: number): string {
  // Two small integers: V8 writes a number beyond 31 bits by the slow way for doubles.
  const seconds = Math.floor(ticks / TICKS_PER_SECOND)
  const fraction = ticks - seconds * TICKS_PER_SECOND
  return `${String(seconds).padStart(10, '0')}.${String(TICKS_PER_SECOND + fraction).slice(1)}`
}

/** The ticks of an X-Timestamp; throws a 400 for anything else. */
export function parseTimestamp(text: string): number {
  if (!/^\d{1,10}(\.\d{1,9})?$/.test(text)) {
    throw new ServiceError('BadTimestamp', `not a timestamp: ${text}`, { status: 400 })
  }
  return Math.floor(Number(text) * TICKS_PER_SECOND + 0.5)
}

/** Draws stamps that only go forward, above everything seen (a hybrid logical clock). */
export class StampClock {
  readonly proposer: number
  readonly #nowMs: () => number
  #lastTicks = 0

  constructor(options: { readonly nowMs: () => number; readonly proposer: number }) {
    this.#nowMs = options.nowMs
    this.proposer = options.proposer >>> 0
  }

  /** A stamp newer than every stamp drawn or observed before. */
  next(): Stamp {
    const wallTicks = Math.floor(this.#nowMs() * 100)
    this.#lastTicks = wallTicks > this.#lastTicks ? wallTicks : this.#lastTicks + 1
    return { ticks: this.#lastTicks, proposer: this.proposer }
  }

  /** Makes every later stamp newer than this one. */
  observe(stamp: Stamp): void {
    if (stamp.ticks > this.#lastTicks) this.#lastTicks = stamp.ticks
  }
}
