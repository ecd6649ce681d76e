/** What a listing holds, by storage policy: kept with the rows, changed by differences. */
import type { CountedRow, ListStats, PolicyStats } from '../../common/storage-node.ts'
import { decodeCheckedJson, encodeCheckedJson } from './checked-json.ts'
import { DigestSum } from './digest.ts'
import { byteText } from './keys.ts'

/** Changed in place: it changes with every row. */
type Tally = { -readonly [Key in keyof PolicyStats]: PolicyStats[Key] }

export interface Totals {
  /** Live rows by policy index. */
  readonly byPolicy: Map<number, Tally>
  /** Rows of deleted items that are still kept. */
  deletedRows: number
  /** Of the live rows' names and ballots, for comparing replicas. */
  readonly liveDigest: DigestSum
  /** The same of the deleted rows. */
  readonly deletedDigest: DigestSum
}

/** A row as totals look at it. */
export type TotalsRow = CountedRow & { readonly gone?: boolean }

export function emptyTotals(): Totals {
  return {
    byPolicy: new Map(),
    deletedRows: 0,
    liveDigest: new DigestSum(),
    deletedDigest: new DigestSum(),
  }
}

/** Totals that may be changed without changing the given ones. */
export function copyOfTotals(totals: Totals): Totals {
  return {
    byPolicy: new Map(copies(totals)),
    deletedRows: totals.deletedRows,
    liveDigest: totals.liveDigest.copy(),
    deletedDigest: totals.deletedDigest.copy(),
  }
}

/** Replaces what `before` contributes by what `after` does. */
export function shiftTotals(
  totals: Totals,
  before: TotalsRow | null,
  after: TotalsRow | null,
): void {
  if (before !== null) addRow(totals, before, -1)
  if (after !== null) addRow(totals, after, 1)
}

function addRow(totals: Totals, row: TotalsRow, sign: 1 | -1): void {
  toggleRow(row.deleted ? totals.deletedDigest : totals.liveDigest, row)
  if (row.deleted) {
    totals.deletedRows += sign
    return
  }
  let stats = totals.byPolicy.get(row.policy)
  if (stats === undefined) {
    stats = { rows: 0, objects: 0, bytes: 0 }
    totals.byPolicy.set(row.policy, stats)
  }
  stats.rows += sign
  stats.objects += sign * row.count
  stats.bytes += sign * row.bytes
  if (stats.rows === 0) totals.byPolicy.delete(row.policy)
}

/** Adds a row to a digest, or takes it out. */
export function toggleRow(digest: DigestSum, row: TotalsRow): void {
  if (row.gone) return
  digest.toggle(byteText(row.name), row.ballot, row.deleted ? 'd' : '')
}

/** The digest of all rows, live and deleted. */
export function digestOfRows(totals: Totals): DigestSum {
  const digest = totals.liveDigest.copy()
  digest.add(totals.deletedDigest)
  return digest
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
  const byPolicy = Object.fromEntries(copies(totals))
  return { ...sum, byPolicy, digest: String(totals.liveDigest) }
}

function* copies(totals: Totals): Generator<[number, Tally]> {
  for (const [policy, tally] of totals.byPolicy) yield [policy, { ...tally }]
}

export function encodeTotals(totals: Totals): Buffer {
  const { liveDigest, deletedDigest } = totals
  return encodeCheckedJson({
    d: totals.deletedRows,
    p: [...totals.byPolicy],
    h: [liveDigest.low, liveDigest.high, deletedDigest.low, deletedDigest.high],
  })
}

interface StoredTotals {
  readonly d: number
  readonly p: [number, Tally][]
  readonly h: readonly [number, number, number, number]
}

/** Null if the value is damaged. */
export function decodeTotals(value: Uint8Array): Totals | null {
  const stored = decodeCheckedJson(value) as StoredTotals | null
  if (stored === null || stored.h === undefined) return null
  const totals = { ...emptyTotals(), byPolicy: new Map(stored.p), deletedRows: stored.d }
  totals.liveDigest.add({ low: stored.h[0], high: stored.h[1] })
  totals.deletedDigest.add({ low: stored.h[2], high: stored.h[3] })
  return totals
}
