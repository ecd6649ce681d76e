/** What a bucket's rules make of its versions and uploads at a time: pure. */
import type { TagSet } from '../tagging/tag-set.ts'
import type { LifecycleRule } from './lifecycle-rule.ts'

/** A day that is no other one: what is due is due at its end, midnight UTC. */
export const DAY_MS = 86_400_000

/** What is known of a version when it is judged. */
export interface VersionFacts {
  readonly key: string
  readonly bytes: number
  /** Null: nobody has looked yet; then any tags may be there. */
  readonly tags: TagSet | null
  readonly isMarker: boolean
  /** Null: it is in none that it could leave, as what stands for other objects is. */
  readonly storageClass: string | null
  readonly writtenMs: number
  /** When the next newer version was written; null: this one is current. */
  readonly supersededMs: number | null
  /** Versions of the name, without markers, that are newer than this one and not current. */
  readonly newerNoncurrent: number
  /** There is no other version of the name. */
  readonly isAlone: boolean
}

/**
 * `expire`: as by a DELETE of the name; `drop`: a version that is not current any more goes for good; `drop-marker`: a
 * current delete marker with nothing under it does.
 */
export const STEPS = ['expire', 'drop', 'drop-marker'] as const
export type LifecycleStep = (typeof STEPS)[number]

export interface LifecycleTime {
  readonly nowMs: number
  /** DAY_MS, or shorter for tests. */
  readonly dayMs: number
}

/** The step that is due; null: none. */
export function stepFor(
  rules: readonly LifecycleRule[],
  version: VersionFacts,
  time: LifecycleTime,
): LifecycleStep | null {
  const applies = (rule: LifecycleRule) => rule.isEnabled && isMeant(rule, version)
  if (version.supersededMs !== null) {
    return rules.some((rule) => applies(rule) && isPast(rule, version, time)) ? 'drop' : null
  }
  if (!rules.some((rule) => applies(rule) && isOver(rule, version, time))) return null
  return version.isMarker ? 'drop-marker' : 'expire'
}

/** When and by which rule a current version goes; null: never. */
export function expirationOf(
  rules: readonly LifecycleRule[],
  version: Pick<VersionFacts, 'key' | 'bytes' | 'tags' | 'writtenMs'>,
): { readonly atMs: number; readonly ruleId: string } | null {
  let first: { readonly atMs: number; readonly ruleId: string } | null = null
  for (const rule of rules) {
    const { expiration } = rule
    if (!rule.isEnabled || expiration === undefined || 'dropsMarkers' in expiration) continue
    if (!isMeant(rule, { ...version, isMarker: false })) continue
    const atMs =
      'days' in expiration
        ? dueAfter(version.writtenMs, expiration.days, DAY_MS)
        : expiration.dateMs
    if (first === null || atMs < first.atMs) first = { atMs, ruleId: rule.id }
  }
  return first
}

/** When and by which rule an upload is aborted that nobody completes; null: never. */
export function abortionOf(
  rules: readonly LifecycleRule[],
  upload: { readonly key: string; readonly initiatedMs: number },
  dayMs: number,
): { readonly atMs: number; readonly ruleId: string } | null {
  let first: { readonly atMs: number; readonly ruleId: string } | null = null
  for (const { id, isEnabled, prefix = '', abortDays } of rules) {
    if (!isEnabled || abortDays === undefined || !upload.key.startsWith(prefix)) continue
    const atMs = dueAfter(upload.initiatedMs, abortDays, dayMs)
    if (first === null || atMs < first.atMs) first = { atMs, ruleId: id }
  }
  return first
}

/** The end of the day that is so many days later, as S3 has it; days of another length are not rounded. */
export function dueAfter(fromMs: number, days: number, dayMs: number): number {
  const dueMs = fromMs + days * dayMs
  return dayMs === DAY_MS ? Math.ceil(dueMs / DAY_MS) * DAY_MS : dueMs
}

/** Whether the rule is about the version. Markers have neither size nor tags. */
export function isMeant(
  { prefix = '', tags, bytesAbove, bytesBelow }: LifecycleRule,
  version: Pick<VersionFacts, 'key' | 'bytes' | 'tags' | 'isMarker'>,
): boolean {
  if (!version.key.startsWith(prefix)) return false
  const isNarrow = tags.length > 0 || bytesAbove !== undefined || bytesBelow !== undefined
  if (version.isMarker) return !isNarrow
  if (bytesAbove !== undefined && version.bytes <= bytesAbove) return false
  if (bytesBelow !== undefined && version.bytes >= bytesBelow) return false
  const known = version.tags
  if (known === null) return true
  return tags.every(({ key, value }) => known.some((tag) => tag.key === key && tag.value === value))
}

/** Of a current version. */
function isOver(
  { expiration }: LifecycleRule,
  { isMarker, isAlone, writtenMs }: VersionFacts,
  { nowMs, dayMs }: LifecycleTime,
): boolean {
  if (expiration === undefined || (isMarker && !isAlone)) return false
  if ('dropsMarkers' in expiration) return isMarker && expiration.dropsMarkers
  const dueMs =
    'days' in expiration ? dueAfter(writtenMs, expiration.days, dayMs) : expiration.dateMs
  return dueMs <= nowMs
}

/** Of one that is not current any more. */
function isPast(
  { noncurrent }: LifecycleRule,
  { supersededMs, newerNoncurrent }: VersionFacts,
  { nowMs, dayMs }: LifecycleTime,
): boolean {
  if (noncurrent === undefined || newerNoncurrent < (noncurrent.keeps ?? 0)) return false
  return dueAfter(supersededMs!, noncurrent.days, dayMs) <= nowMs
}
