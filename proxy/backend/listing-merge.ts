/**
 * Merging the pages that several replicas gave for one range of names: pure.
 *
 * A version of a row that W replicas hold is current: an acknowledged newer one would be on one of them. A name that W
 * replicas do not have is not there. All others are doubtful: the object's own replicas decide.
 */

import { compareStamps } from '../../common/stamp.ts'
import type { ListEntry, ListQuery, ListRow } from '../../common/storage-node.ts'

/** A merged entry and whether it may be shown as it is. */
export interface MergedEntry {
  readonly entry: ListEntry
  /** True when too few replicas agree, or the row is not confirmed: ask the object. */
  readonly doubtful: boolean
  /** True when some replica has another version or none. */
  readonly uneven: boolean
}

export interface MergedPage {
  /** In order; nothing beyond `horizon`. */
  readonly entries: readonly MergedEntry[]
  /** The name up to which all pages speak; null when they reach the end of the listing. */
  readonly horizon: string | null
}

/** Merges pages asked for with `query` from replicas that answered, of which `majority` are a quorum. */
export function mergePages(
  pages: readonly (readonly ListEntry[])[],
  query: Pick<ListQuery, 'limit' | 'reverse'>,
  majority: number,
): MergedPage {
  const order = query.reverse ? (a: string, b: string) => compareNames(b, a) : compareNames
  const horizon = horizonOf(pages, query.limit, order)
  const byName = new Map<string, ListEntry[]>()
  for (const page of pages) {
    for (const entry of page) {
      const name = entryName(entry)
      if (horizon !== null && order(name, horizon) > 0) continue
      const key = 'subdir' in entry ? `d${name}` : `r${name}`
      const versions = byName.get(key)
      if (versions === undefined) byName.set(key, [entry])
      else versions.push(entry)
    }
  }
  const entries: MergedEntry[] = []
  for (const versions of byName.values()) {
    const merged = mergeVersions(versions, pages.length, majority)
    if (merged !== null) entries.push(merged)
  }
  if (pages.length > 1) entries.sort((a, b) => order(entryName(a.entry), entryName(b.entry)))
  return { entries, horizon }
}

/** Orders names as their UTF-8 bytes: by code point, which UTF-16 gets wrong beyond the basic plane. */
export function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let index = 0; index < length; index++) {
    const x = a.charCodeAt(index)
    const y = b.charCodeAt(index)
    if (x !== y) return codePointRank(x) - codePointRank(y)
  }
  return a.length - b.length
}

export function entryName(entry: ListEntry): string {
  return 'subdir' in entry ? entry.subdir : entry.name
}

/** Surrogates stand for code points above all others, so U+E000 to U+FFFF go below them. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000
}

function horizonOf(
  pages: readonly (readonly ListEntry[])[],
  limit: number,
  order: (a: string, b: string) => number,
): string | null {
  let horizon: string | null = null
  for (const page of pages) {
    const last = page.at(-1)
    if (last === undefined || page.length < limit) continue
    const name = entryName(last)
    if (horizon === null || order(name, horizon) < 0) horizon = name
  }
  return horizon
}

function mergeVersions(
  versions: readonly ListEntry[],
  answered: number,
  majority: number,
): MergedEntry | null {
  let best: ListEntry = versions[0]!
  let votes = 0
  for (const version of versions) {
    const same = versions.filter((other) => isSameVersion(version, other))
    if (same.length <= votes) continue
    votes = same.length
    best = same.find((entry) => !('subdir' in entry) && entry.confirmed) ?? version
  }
  const absent = answered - versions.length
  if (votes < majority && absent >= majority) return null
  return {
    entry: best,
    doubtful: votes < majority || !('subdir' in best || best.confirmed),
    uneven: votes < answered,
  }
}

function isSameVersion(a: ListEntry, b: ListEntry): boolean {
  if ('subdir' in a || 'subdir' in b) return 'subdir' in a && 'subdir' in b
  return compareStamps(a.ballot, b.ballot) === 0
}

/** The rows among the entries. */
export function isRow(entry: ListEntry): entry is ListRow {
  return !('subdir' in entry)
}
