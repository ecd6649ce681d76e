/**
 * Does a listing show what it must? For each name, a listing may show what one of these writes left: any that began
 * before the listing ended, unless an acknowledged write came wholly between it and the listing. So
 *
 *   lost    an acknowledged PUT is not shown, and no DELETE explains it
 *   stale   a version is shown that an acknowledged write had replaced before
 *   ghost   a row is shown that nobody wrote, or whose write was refused, or that an acknowledged DELETE had removed
 *
 * Rows are asked for one by one: a listing is not a snapshot of several names.
 */
import type { Operation } from './history.ts'

export interface ListingViolation {
  readonly kind: 'lost' | 'stale' | 'ghost'
  readonly key: string
  readonly listing: Operation
  readonly shown: number | string | null
}

export interface ListedContainer {
  /** Its name in the operations' keys. */
  readonly container: string
  /** Of the objects in it: the key of a row's name. */
  readonly keyOf: (name: string) => string
  /** Names that were written to. */
  readonly names: readonly string[]
}

/** Judges every listing of the container against the writes of its objects. */
export function checkListings(
  operations: readonly Operation[],
  { container, keyOf, names }: ListedContainer,
): ListingViolation[] {
  const writes = new Map<string, Operation[]>()
  for (const operation of operations) {
    if (!isDataWrite(operation)) continue
    const known = writes.get(operation.key)
    if (known === undefined) writes.set(operation.key, [operation])
    else known.push(operation)
  }
  const violations: ListingViolation[] = []
  for (const listing of operations) {
    if (listing.kind !== 'list' || listing.key !== container || listing.rows === undefined) continue
    for (const name of new Set([...names, ...listing.rows.keys()])) {
      const key = keyOf(name)
      const shown = listing.rows.get(name) ?? null
      const kind = judgeRow(writes.get(key) ?? [], listing, shown)
      if (kind !== null) violations.push({ kind, key, listing, shown })
    }
  }
  return violations
}

/** What is wrong with what the listing shows of one name; null if nothing is. */
function judgeRow(
  writes: readonly Operation[],
  listing: Operation,
  shown: number | string | null,
): ListingViolation['kind'] | null {
  const candidates = writes.filter((write) => isCandidate(write, writes, listing))
  if (shown === null) {
    const mayBeAbsent =
      candidates.some(({ kind }) => isRemoval(kind)) ||
      !writes.some((write) => write.outcome === 'ok' && write.end < listing.begin)
    return mayBeAbsent ? null : 'lost'
  }
  if (candidates.some(({ id, kind }) => id === shown && !isRemoval(kind))) return null
  const written = writes.find(({ id, kind }) => id === shown && !isRemoval(kind))
  if (written === undefined || written.begin > listing.end) return 'ghost'
  return candidates.some(({ kind }) => !isRemoval(kind)) ? 'stale' : 'ghost'
}

/** Whether the write may be the last one that the listing sees. */
function isCandidate(write: Operation, writes: readonly Operation[], listing: Operation): boolean {
  if (write.begin > listing.end) return false
  return !writes.some(
    (other) => other.outcome === 'ok' && other.begin > write.end && other.end < listing.begin,
  )
}

/** Changes what a row shows, or may. */
function isDataWrite({ kind, outcome }: Operation): boolean {
  return kind !== 'get' && kind !== 'list' && kind !== 'post' && outcome !== 'refused'
}

function isRemoval(kind: Operation['kind']): boolean {
  return kind === 'delete' || kind === 'remove'
}
