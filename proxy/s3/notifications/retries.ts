/** When an event is tried again, and when it is given up. Pure. */
import type { EventFate } from './event-counts.ts'
import type { Delivery } from './topic.ts'

export interface Attempts {
  readonly count: number
  readonly nextMs: number
}

const FIRST_MS = 1_000
const LONGEST_MS = 5 * 60_000

/** After one more failure. */
export function afterFailure(
  tried: Attempts | undefined,
  { retrySleepMs }: Pick<Delivery, 'retrySleepMs'>,
  nowMs: number,
): Attempts {
  const count = (tried?.count ?? 0) + 1
  const sleepMs = retrySleepMs ?? Math.min(LONGEST_MS, FIRST_MS * 2 ** (count - 1))
  return { count, nextMs: nowMs + sleepMs }
}

/** Null: it is tried (again). `count` is how often it was tried in vain. */
export function isGivenUp(
  {
    endpoint,
    retriesMax,
    timeToLiveMs,
  }: Pick<Delivery, 'endpoint' | 'retriesMax' | 'timeToLiveMs'>,
  { count, ageMs }: { readonly count: number; readonly ageMs: number },
): EventFate | null {
  if (endpoint === null) return 'dropped-no-endpoint'
  if (ageMs > timeToLiveMs) return 'dropped-too-old'
  return count > retriesMax ? 'dropped-too-many-tries' : null
}
