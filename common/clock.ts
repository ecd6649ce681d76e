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
  nowMs: () => performance.timeOrigin + performance.now() + wallDriftMs(),
  monotonicMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** performance.now() has the fraction but does not follow the wall clock when it is set: add the whole-millisecond drift. */
function wallDriftMs(): number {
  const drift = Date.now() - (performance.timeOrigin + performance.now())
  return Math.abs(drift) > 2 ? drift : 0
}
