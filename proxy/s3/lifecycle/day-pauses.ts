import type { DuePauses } from '../../upkeep/due-pass.ts'
import { DAY_MS } from './lifecycle-steps.ts'

/** How often a book is looked into, where days are days. */
const IDLE_MS = 60_000
const BUSY_MS = 1_000

/** How often a book is looked into whose buckets are due by days of that length. */
export function dayPauses(dayMs: number): DuePauses {
  const isShort = dayMs < DAY_MS
  return {
    busyMs: isShort ? dayMs / 20 : BUSY_MS,
    idleMs: isShort ? dayMs / 10 : IDLE_MS,
    startMs: Math.ceil(Math.min(IDLE_MS, dayMs / 10)),
  }
}
