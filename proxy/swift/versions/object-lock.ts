/**
 * Object lock: how long a version is kept whatever anybody wants (S3's retention and legal hold), and what a bucket gives to
 * new versions. Pure. A version's lock stands in its own metadata, where no client writes, and is asked for wherever
 * a version could be changed or removed, by either API.
 */
import type { ItemInfo } from '../../../common/storage-node.ts'

/** Of a version: `MODE MILLISECONDS`; empty: none any more. */
export const RETENTION = 'x-object-sysmeta-s3-retention'
/** Of a version: `ON` or `OFF`. */
export const LEGAL_HOLD = 'x-object-sysmeta-s3-legal-hold'
/** Of a container, as JSON: it is there from when versions may be locked, for good. */
export const OBJECT_LOCK = 'x-container-sysmeta-s3-object-lock'
/** Of the container of a lockable bucket's parts: clients change nothing there. */
export const SEALED = 'x-container-sysmeta-s3-sealed'

export const RETENTION_MODES = ['GOVERNANCE', 'COMPLIANCE'] as const
export type RetentionMode = (typeof RETENTION_MODES)[number]

export interface Retention {
  readonly mode: RetentionMode
  /** Milliseconds since 1970. */
  readonly untilMs: number
}

export interface DefaultRetention {
  readonly mode: RetentionMode
  readonly unit: 'Days' | 'Years'
  readonly count: number
}

export interface ObjectLock {
  /** What new versions get that come without a retention of their own. */
  readonly default?: DefaultRetention
}

const DAY_MS = 86_400_000

export function isRetentionMode(text: string | undefined): text is RetentionMode {
  return RETENTION_MODES.some((mode) => mode === text)
}

export function encodeRetention({ mode, untilMs }: Retention): string {
  return `${mode} ${untilMs}`
}

/** Undefined where there never was one, or none any more. */
export function retentionOf({ meta }: Pick<ItemInfo, 'meta'>): Retention | undefined {
  const text = meta.headers[RETENTION]
  if (!text) return undefined
  const [mode, until] = text.split(' ')
  return isRetentionMode(mode) ? { mode, untilMs: Number(until) } : undefined
}

/** Whether the version is kept: by a legal hold, or by a retention that has not ended. */
export function isLocked(
  info: Pick<ItemInfo, 'meta'>,
  by: { readonly nowMs: number; readonly bypassesGovernance: boolean },
): boolean {
  if (info.meta.headers[LEGAL_HOLD] === 'ON') return true
  const retention = retentionOf(info)
  if (retention === undefined || retention.untilMs <= by.nowMs) return false
  return retention.mode === 'COMPLIANCE' || !by.bypassesGovernance
}

/** Whether a retention may be replaced (undefined: taken away): longer always, anything else only in governance mode. */
export function mayRetain(
  change: { readonly old: Retention | undefined; readonly next: Retention | undefined },
  by: { readonly nowMs: number; readonly bypassesGovernance: boolean },
): boolean {
  const { old, next } = change
  if (old === undefined || old.untilMs <= by.nowMs) return true
  if (next !== undefined && next.mode === old.mode && next.untilMs >= old.untilMs) return true
  return old.mode === 'GOVERNANCE' && by.bypassesGovernance
}

/** The retention that a version made now gets. */
export function defaultRetention(
  { mode, unit, count }: DefaultRetention,
  nowMs: number,
): Retention {
  if (unit === 'Days') return { mode, untilMs: nowMs + count * DAY_MS }
  const until = new Date(nowMs)
  until.setUTCFullYear(until.getUTCFullYear() + count)
  return { mode, untilMs: until.getTime() }
}

export function encodeObjectLock(lock: ObjectLock): string {
  return JSON.stringify({ format: 1, ...lock })
}

/** What encodeObjectLock made; undefined for a container whose versions cannot be locked. */
export function objectLockOf(headers: Readonly<Record<string, string>>): ObjectLock | undefined {
  const text = headers[OBJECT_LOCK]
  return text === undefined ? undefined : (JSON.parse(text) as ObjectLock)
}
