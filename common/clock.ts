/** Time as the logic sees it; the simulation has its own. */
export interface Clock {
  /** Wall-clock milliseconds since 1970, with a fraction; may jump. */
  nowMs(): number
  /** Milliseconds that never go back, for durations. */
  monotonicMs(): number
  /** Runs `action` once after `delayMs`; the returned function cancels. Does not keep the process alive. */
  after(delayMs: number, action: () => void): () => void
}

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

const ORIGIN_MS = performance.timeOrigin
/** A wall clock that was set is followed within this time: looking at it each time would cost twice the rest. */
const DRIFT_CHECK_MS = 10
let driftMs = 0
let driftAtMs = Number.NEGATIVE_INFINITY

/** performance.now() has the fraction but does not follow the wall clock when it is set: add the drift. */
function nowMs(): number {
  const sinceOriginMs = performance.now()
  if (sinceOriginMs - driftAtMs >= DRIFT_CHECK_MS) {
    driftAtMs = sinceOriginMs
    const drift = Date.now() - (ORIGIN_MS + sinceOriginMs)
    // Date.now() has whole milliseconds only.
    driftMs = Math.abs(drift) > 2 ? drift : 0
  }
  return ORIGIN_MS + sinceOriginMs + driftMs
}
