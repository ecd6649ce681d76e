/** Which storage class a bucket's rules want a version in at a time: pure. */
import { STANDARD } from '../object/storage-class.ts'
import type { LifecycleRule, TransitionMinimum, TransitionRule } from './lifecycle-rule.ts'
import { dueAfter, isMeant, type LifecycleTime, type VersionFacts } from './lifecycle-steps.ts'

export interface MoveSettings {
  /** Their names, the warmest first, without STANDARD: nothing goes back in the list. */
  readonly classes: readonly string[]
  /** Smaller objects stay, unless a rule speaks of sizes. */
  readonly bytesMin: number
  readonly minimum: TransitionMinimum
}

/** By `varies_by_storage_class`, small objects may go there. */
const FOR_SMALL_ONES: ReadonlySet<string> = new Set(['GLACIER', 'DEEP_ARCHIVE'])

/** The coldest class that is due; null: it is where it is to be. */
export function moveFor(
  rules: readonly LifecycleRule[],
  version: VersionFacts,
  time: LifecycleTime,
  settings: MoveSettings,
): string | null {
  const { storageClass } = version
  if (version.isMarker || storageClass === null) return null
  let coldest = rankOf(settings, storageClass)
  for (const rule of rules) {
    if (!rule.isEnabled || !isMeant(rule, version)) continue
    for (const name of dueClasses(rule, version, time)) {
      if (isTooSmall(rule, version, name, settings)) continue
      coldest = Math.max(coldest, rankOf(settings, name))
    }
  }
  return coldest > rankOf(settings, storageClass) ? settings.classes[coldest]! : null
}

/** STANDARD, and what is not in the settings any more, come before all others. */
function rankOf({ classes }: MoveSettings, name: string): number {
  return name === STANDARD ? -1 : classes.indexOf(name)
}

function dueClasses(
  { transitions = [], noncurrentTransitions = [] }: LifecycleRule,
  { writtenMs, supersededMs, newerNoncurrent }: VersionFacts,
  time: LifecycleTime,
): readonly string[] {
  const due =
    supersededMs === null
      ? transitions.filter((one) => dueMsOf(one, writtenMs, time) <= time.nowMs)
      : noncurrentTransitions.filter(
          ({ days, keeps = 0 }) =>
            newerNoncurrent >= keeps && dueAfter(supersededMs, days, time.dayMs) <= time.nowMs,
        )
  return due.map(({ storageClass }) => storageClass)
}

function dueMsOf(transition: TransitionRule, writtenMs: number, { dayMs }: LifecycleTime): number {
  return 'days' in transition ? dueAfter(writtenMs, transition.days, dayMs) : transition.dateMs
}

function isTooSmall(
  { bytesAbove, bytesBelow }: LifecycleRule,
  { bytes }: VersionFacts,
  name: string,
  { bytesMin, minimum }: MoveSettings,
): boolean {
  if (bytesAbove !== undefined || bytesBelow !== undefined || bytes >= bytesMin) return false
  return minimum === 'all_storage_classes_128K' || !FOR_SMALL_ONES.has(name)
}
