/**
 * `GET ?versions`: what is current in a container and the versions that lie beside it, as one listing: names in order, of each
 * name the null version first and then the newest. Pure; the two listings come in as pages.
 */
import type { ListEntry, ListQuery, ListRow } from '../../../common/storage-node.ts'
import { badRequest } from '../../exchange.ts'
import { listedTraits } from '../listed-traits.ts'
import { DELETE_MARKER_TYPE } from './find-version.ts'
import {
  formatVersionId,
  parseVersionId,
  parseVersionName,
  RESERVED,
  versionName,
  versionsPrefixOf,
} from './version-names.ts'

/** A line of the listing. */
export type VersionEntry =
  | { readonly subdir: string }
  | { readonly row: ListRow; readonly version: string; readonly isLatest: boolean }

/** Behind every version's digits. */
const BEHIND_DIGITS = ':'

/** How the versions container is listed for the same page. 400 for a delimiter or marker that makes no sense there. */
export function versionsQuery(query: ListQuery, versionMarker: string | undefined): ListQuery {
  const { limit, reverse, marker, endMarker, prefix, delimiter } = query
  if (delimiter !== undefined && /[0-9.\0]/.test(delimiter)) {
    throw badRequest('invalid delimiter param')
  }
  if (marker === undefined && versionMarker !== undefined) {
    throw badRequest('version_marker param requires marker')
  }
  const from = marker === undefined ? undefined : markerOf(marker, versionMarker, reverse === true)
  return {
    limit,
    ...(reverse === true ? { reverse } : {}),
    ...(delimiter === undefined ? {} : { delimiter }),
    ...(from === undefined ? {} : { marker: from }),
    ...(endMarker === undefined ? {} : { endMarker: RESERVED + endMarker }),
    prefix: RESERVED + (prefix ?? ''),
  }
}

/** A marker is exclusive, with all versions of its name, unless it names one of them. */
function markerOf(marker: string, version: string | undefined, isReverse: boolean): string {
  const own = versionsPrefixOf(marker)
  if (version === undefined) return isReverse ? own : own + BEHIND_DIGITS
  if (version === 'null') return isReverse ? own + BEHIND_DIGITS : own
  const id = parseVersionId(version)
  if (id === null) throw badRequest('invalid version_marker param')
  return versionName(marker, id)
}

/** The id of the version that a row of the container stands for; undefined for a null version. */
export function linkedId(row: ListRow): string | undefined {
  return listedTraits(row).listed.version_id
}

/** Where a page begins in the middle of a name's versions. */
export interface PageStart {
  readonly name: string
  readonly linked: string | undefined
  readonly hasBegun: boolean
}

/**
 * The page, at most `limit` entries. `within`: the name in the middle of whose versions the page begins, and what the
 * container points to; `hasBegun` if an earlier page had newer ones, so that none of these is the latest besides that.
 */
export function mergeVersions(
  pages: { readonly current: readonly ListEntry[]; readonly versions: readonly ListEntry[] },
  query: { readonly limit: number; readonly reverse?: boolean },
  within: PageStart | null,
): VersionEntry[] {
  const subdirs = new Set<string>()
  const entries: VersionEntry[] = []
  const linked = new Map<string, string>()
  const decided = new Set<string>()
  if (within !== null) {
    if (within.hasBegun) decided.add(within.name)
    if (within.linked !== undefined) linked.set(within.name, within.linked)
  }
  for (const row of pages.current) {
    if ('subdir' in row) {
      subdirs.add(row.subdir)
      continue
    }
    const id = linkedId(row)
    decided.add(row.name)
    if (id === undefined) entries.push({ row, version: 'null', isLatest: true })
    else linked.set(row.name, id)
  }
  // The newest of a name decides, whichever way the page goes.
  const newest = newestFirst(pages.versions, query.reverse === true)
  const latest = new Set<ListRow>()
  for (const { row, object, version } of newest) {
    if (linked.get(object) === version) latest.add(row)
    else if (isMarkerRow(row) && !decided.has(object)) latest.add(row)
    decided.add(object)
  }
  for (const row of pages.versions) {
    if ('subdir' in row) {
      subdirs.add(row.subdir.slice(RESERVED.length))
      continue
    }
    const parsed = parseVersionName(row.name)
    if (parsed === null) continue
    const version = formatVersionId(parsed.id)
    entries.push({ row: { ...row, name: parsed.object }, version, isLatest: latest.has(row) })
  }
  for (const subdir of subdirs) entries.push({ subdir })
  return sorted(entries, query.reverse === true).slice(0, query.limit)
}

function isMarkerRow(row: ListRow): boolean {
  return listedTraits(row).contentType === DELETE_MARKER_TYPE
}

function newestFirst(versions: readonly ListEntry[], isReverse: boolean) {
  const rows = versions.flatMap((row) => {
    const parsed = 'subdir' in row ? null : parseVersionName(row.name)
    if ('subdir' in row || parsed === null) return []
    return [{ row, object: parsed.object, version: formatVersionId(parsed.id) }]
  })
  return isReverse ? rows.reverse() : rows
}

/** By name in the order of UTF-8 bytes; entries of one name stay in the order that they have. */
function sorted(entries: readonly VersionEntry[], isReverse: boolean): VersionEntry[] {
  const keyed = entries.map((entry) => ({ entry, key: Buffer.from(nameOf(entry)) }))
  keyed.sort((a, b) => (isReverse ? Buffer.compare(b.key, a.key) : Buffer.compare(a.key, b.key)))
  return keyed.map(({ entry }) => entry)
}

function nameOf(entry: VersionEntry): string {
  return 'subdir' in entry ? entry.subdir : entry.row.name
}
