/** Time as the logic sees it; the simulation has its own. */
export interface Clock {
  /** Wall-clock milliseconds since 1970, with a fraction; may jump. */
  nowMs(): number
  /** Milliseconds that never go back, for durations. */
  monotonicMs(): number
  /** Runs `action` once after `delayMs`; the returned function cancels. Does not keep the process alive. */
  after(delayMs: number, action: () => void): () => void
}

/** Whole milliseconds are all that Date.now() has: less than this is no drift. */
const DRIFT_MIN_MS = 2
/** A wall clock that was set is followed within this time: looking at it each time would cost twice the rest. */
const DRIFT_CHECK_MS = 10

/**
 * Wall-clock milliseconds with a fraction. The monotonic clock has the fraction but does not follow the wall clock when
 * it is set: the drift is added, on top of what was followed before, so that one near the limit is not followed and
 * dropped in turns, which would make the time jump back and forth.
 */
export function wallClock(read: {
  /** Of the wall clock, in whole milliseconds. */
  readonly wallMs: () => number
  /** Since `originMs`, with a fraction. */
  readonly monotonicMs: () => number
  readonly originMs: number
}): () => number {
  let driftMs = 0
  let checkedMs = Number.NEGATIVE_INFINITY
  return () => {
    const sinceMs = read.monotonicMs()
    if (sinceMs - checkedMs >= DRIFT_CHECK_MS) {
      checkedMs = sinceMs
      const drift = read.wallMs() - (read.originMs + sinceMs + driftMs)
      if (Math.abs(drift) > DRIFT_MIN_MS) driftMs += drift
    }
    return read.originMs + sinceMs + driftMs
  }
}

const nowMs = wallClock({
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  originMs: performance.timeOrigin,
})

/** The machine's clock: one of the few places that read it. */
export const systemClock: Clock = {
  nowMs,
  monotonicMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
