/** What a listing holds, by storage policy: kept with the rows, changed by differences. */
import type { ListStats, PolicyStats } from '../../common/storage-node.ts'
import { decodeCheckedJson, encodeCheckedJson } from './checked-json.ts'
import type { StoredRow } from './row.ts'

export interface Totals {
  /** Live rows by policy index. */
  readonly byPolicy: Map<number, PolicyStats>
  /** Rows of deleted items that are still kept. */
  deletedRows: number
}

export function emptyTotals(): Totals {
  return { byPolicy: new Map(), deletedRows: 0 }
}

export function copyTotals(totals: Totals): Totals {
  return { byPolicy: new Map(totals.byPolicy), deletedRows: totals.deletedRows }
}

/** Replaces what `before` contributes by what `after` does. */
export function shiftTotals(
  totals: Totals,
  before: StoredRow | null,
  after: StoredRow | null,
): void {
  if (before !== null) addRow(totals, before, -1)
  if (after !== null) addRow(totals, after, 1)
}

function addRow(totals: Totals, row: StoredRow, sign: 1 | -1): void {
  if (row.deleted) {
    totals.deletedRows += sign
    return
  }
  const old = totals.byPolicy.get(row.policy) ?? { rows: 0, objects: 0, bytes: 0 }
  const next = {
    rows: old.rows + sign,
    objects: old.objects + sign * row.count,
    bytes: old.bytes + sign * row.bytes,
  }
  if (next.rows === 0) totals.byPolicy.delete(row.policy)
  else totals.byPolicy.set(row.policy, next)
}

export function liveRows(totals: Totals): number {
  let rows = 0
  for (const stats of totals.byPolicy.values()) rows += stats.rows
  return rows
}

export function toListStats(totals: Totals): ListStats {
  const sum = { rows: 0, objects: 0, bytes: 0 }
  for (const stats of totals.byPolicy.values()) {
    sum.rows += stats.rows
    sum.objects += stats.objects
    sum.bytes += stats.bytes
  }
  return { ...sum, byPolicy: Object.fromEntries(totals.byPolicy) }
}

export function encodeTotals(totals: Totals): Buffer {
  return encodeCheckedJson({ d: totals.deletedRows, p: [...totals.byPolicy] })
}

/** Null if the value is damaged. */
export function decodeTotals(value: Uint8Array): Totals | null {
  const stored = decodeCheckedJson(value) as { d: number; p: [number, PolicyStats][] } | null
  return stored && { byPolicy: new Map(stored.p), deletedRows: stored.d }
}
