/**
 * The rows that changed last, so that totals of replicas can be compared although each has another moment. A shard
 * remembers some changes of all its lists, in memory only.
 *
 *   totals now ── minus the changes since ──> totals as of then ── plus rows that others hold ──> comparable totals
 */
import { compareStamps } from '../../common/stamp.ts'
import type { CountedRow, ListTotals, TotalsQuery } from '../../common/storage-node.ts'
import { byteText } from './keys.ts'
import { copyOfTotals, shiftTotals, type Totals, type TotalsRow, toListStats } from './totals.ts'

const REMEMBERED_MAX = 1024

interface RowChange {
  readonly listHash: string
  readonly before: TotalsRow | null
  readonly after: TotalsRow
}

export class RowChanges {
  readonly #ring: RowChange[] = []
  #count = 0

  /** A row of the list took the place of `before`. */
  note(listHash: string, before: TotalsRow | null, after: TotalsRow): void {
    this.#ring[this.#count % REMEMBERED_MAX] = { listHash, before, after }
    this.#count++
  }

  get count(): number {
    return this.#count
  }

  /** The list's newest rows of all names that changed lately. */
  recent(listHash: string): readonly CountedRow[] {
    const newest = new Map<string, CountedRow>()
    for (const { after } of this.#since(listHash, this.#count - this.#ring.length)) {
      if (!after.gone && !newest.has(after.name)) newest.set(after.name, countedRow(after))
    }
    return [...newest.values()]
  }

  /** Takes the changes since then out of the totals; the rows of then by name. Null if some are forgotten. */
  undo(
    listHash: string,
    asOf: number,
    totals: Totals,
  ): ReadonlyMap<string, TotalsRow | null> | null {
    if (asOf > this.#count || asOf < this.#count - this.#ring.length) return null
    const then = new Map<string, TotalsRow | null>()
    for (const { before, after } of this.#since(listHash, asOf)) {
      shiftTotals(totals, after, before)
      then.set(after.name, before)
    }
    return then
  }

  /** The latest first. */
  *#since(listHash: string, asOf: number): Generator<RowChange> {
    for (let at = this.#count - 1; at >= asOf; at--) {
      const change = this.#ring[at % REMEMBERED_MAX]!
      if (change.listHash === listHash) yield change
    }
  }
}

/** What the totals of a list are made from. */
export interface TotalsSource {
  readonly changes: RowChanges
  /** As they are now. */
  readonly totals: Totals
  /** The row of the name in byte text, as it is now. */
  readonly row: (name: string) => TotalsRow | null
}

/** Totals of a list that is here, as they are asked for; null if the changes asked for are forgotten. */
export function answerTotals(
  listHash: string,
  { asOf, rows }: TotalsQuery,
  { changes, totals: now, row }: TotalsSource,
): ListTotals | null {
  const totals = copyOfTotals(now)
  const then = changes.undo(listHash, asOf ?? changes.count, totals)
  if (then === null) return null
  for (const other of rows) {
    const own = then.has(other.name) ? then.get(other.name)! : row(byteText(other.name))
    if (own === null || compareStamps(other.ballot, own.ballot) > 0) shiftTotals(totals, own, other)
  }
  const recent = changes.recent(listHash)
  return { stats: toListStats(totals), changes: changes.count, recent }
}

function countedRow({ name, ballot, deleted, policy, count, bytes }: CountedRow): CountedRow {
  return { name, ballot, deleted, policy, count, bytes }
}
