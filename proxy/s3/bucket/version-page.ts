/**
 * A page of a bucket's versions, put together of two listings: what is current, and the versions that lie beside it. Both
 * are in the order of names; of one name a plain object comes first, for it is current, and then the newest version.
 */
import type { ListRow } from '../../../common/storage-node.ts'
import { NULL_VERSION } from '../../swift/found-object.ts'
import { listedTraits } from '../../swift/listed-traits.ts'
import { listedVersion } from '../../swift/versions/name-versions.ts'
import {
  formatVersionId,
  parseVersionId,
  RESERVED,
  versionName,
  versionsContainerOf,
  versionsPrefixOf,
} from '../../swift/versions/version-names.ts'
import type { S3Call } from '../s3-call.ts'
import { RowStream } from './row-stream.ts'

/** A line of the listing. */
export interface VersionLine {
  readonly key: string
  /** `null`, or an id. */
  readonly version: string
  readonly row: ListRow
  readonly isLatest: boolean
  readonly isMarker: boolean
}

export interface VersionPage {
  readonly lines: readonly VersionLine[]
  readonly prefixes: readonly string[]
  /** Where the next page begins; undefined at the end. */
  readonly next: { readonly key: string; readonly version: string | undefined } | undefined
}

export interface VersionQuery {
  readonly prefix: string
  readonly delimiter: string
  readonly limit: number
  /** Empty: from the beginning. */
  readonly keyMarker: string
  /** Empty: behind all versions of the key. */
  readonly versionMarker: string
}

/** Behind the digits of any version. */
const BEHIND_DIGITS = ':'
/** Behind all names that have what stands before it in common. */
const BEHIND_PREFIX = '\u{10ffff}'

export async function listVersionPage(
  call: S3Call,
  at: { readonly account: string; readonly container: string },
  query: VersionQuery,
): Promise<VersionPage> {
  const lines: VersionLine[] = []
  const prefixes: string[] = []
  let next: VersionPage['next']
  let last: VersionPage['next']
  if (query.limit === 0) return { lines, prefixes, next }
  for await (const entry of entriesOf(call, at, query)) {
    if (lines.length + prefixes.length === query.limit) {
      next = last
      break
    }
    if ('prefix' in entry) {
      prefixes.push(entry.prefix)
      last = { key: entry.prefix, version: undefined }
    } else {
      lines.push(entry)
      last = { key: entry.key, version: entry.version }
    }
  }
  return { lines, prefixes, next }
}

async function* entriesOf(
  call: S3Call,
  at: { readonly account: string; readonly container: string },
  query: VersionQuery,
): AsyncGenerator<VersionLine | { readonly prefix: string }> {
  const { backend } = call.exchange.proxy
  const { account, container } = at
  const { prefix, delimiter, keyMarker, versionMarker, limit } = query
  const rowsMax = limit + 1
  const current = new RowStream(backend, { account, container }, { prefix, rowsMax })
  const beside = { account, container: versionsContainerOf(container) }
  const versions = new RowStream(backend, beside, { prefix: RESERVED + prefix, rowsMax })
  const within = versionMarker === '' ? undefined : { key: keyMarker, version: versionMarker }
  if (keyMarker !== '') {
    current.skipTo(keyMarker)
    versions.skipTo(startOf(keyMarker, versionMarker))
  }
  // What the key that the page begins with points to is behind the marker already.
  const linked = within === undefined ? undefined : await linkedAt(call, at, within.key)
  const passed = passedPrefix(keyMarker, query)
  for (;;) {
    const key = firstOf(await current.head(), await versions.head())
    if (key === null) return
    const common = commonPrefix(key, prefix, delimiter)
    if (common !== null) {
      if (common !== passed) yield { prefix: common }
      await current.dropWhile((name) => name.startsWith(common), common + BEHIND_PREFIX)
      const inside = RESERVED + common
      await versions.dropWhile((name) => name.startsWith(inside), inside + BEHIND_PREFIX)
      continue
    }
    const isWithin = within !== undefined && within.key === key
    const group = { key, current, versions, linked: isWithin ? linked : undefined, isWithin }
    const lines = linesOf(group)
    yield* isWithin && versionMarker === NULL_VERSION ? behindNull(lines) : lines
  }
}

/** The lines of one name. Both streams are behind it afterwards. */
async function* linesOf(group: {
  readonly key: string
  readonly current: RowStream
  readonly versions: RowStream
  readonly linked: string | undefined
  readonly isWithin: boolean
}): AsyncGenerator<VersionLine> {
  const { key, current, versions, isWithin } = group
  const own = await current.head()
  let { linked } = group
  let hasNull = false
  let isFirst = !isWithin
  if (own !== null && own.name === key) {
    current.take()
    linked = listedTraits(own).listed.version_id
    if (linked === undefined) {
      hasNull = true
      isFirst = false
      yield { key, version: NULL_VERSION, row: own, isLatest: true, isMarker: false }
    }
  }
  for (let row = await versions.head(); row !== null; row = await versions.head()) {
    const version = listedVersion(row)
    if (version !== null && version.object !== key) return
    versions.take()
    if (version === null) continue
    const { id, isMarker, isNull } = version
    // What a write that came to nothing has left behind the null version is nobody's.
    if (isNull && hasNull) continue
    hasNull ||= isNull
    const name = formatVersionId(id)
    const isLatest = linked === undefined ? isFirst && isMarker : linked === name
    isFirst = false
    yield { key, version: isNull ? NULL_VERSION : name, row, isLatest, isMarker }
  }
}

/** What comes after the null version; everything if that is not there (any more). */
async function* behindNull(lines: AsyncGenerator<VersionLine>): AsyncGenerator<VersionLine> {
  const before: VersionLine[] = []
  let isBehind = false
  for await (const line of lines) {
    if (isBehind) yield line
    else if (line.version === NULL_VERSION) isBehind = true
    else before.push(line)
  }
  if (!isBehind) yield* before
}

/** The name in the versions container behind which a page begins. */
function startOf(key: string, version: string): string {
  const prefix = versionsPrefixOf(key)
  if (version === '') return prefix + BEHIND_DIGITS
  const id = parseVersionId(version)
  return id === null ? prefix : versionName(key, id)
}

async function linkedAt(
  call: S3Call,
  { account, container }: { readonly account: string; readonly container: string },
  key: string,
): Promise<string | undefined> {
  const { backend } = call.exchange.proxy
  const page = await backend.listContainer(account, container, { limit: 1, prefix: key })
  const row = page?.entries[0]
  if (row === undefined || 'subdir' in row || row.name !== key) return undefined
  return listedTraits(row).listed.version_id
}

function firstOf(own: ListRow | null, row: ListRow | null): string | null {
  const version = row === null ? null : objectOf(row)
  if (own === null || version === null) return own?.name ?? version
  return Buffer.compare(Buffer.from(own.name), Buffer.from(version)) <= 0 ? own.name : version
}

/** The object that a row of the versions container is of; names that are none are passed over by their own. */
function objectOf({ name }: ListRow): string {
  const end = name.lastIndexOf(RESERVED)
  return end > 0 ? name.slice(1, end) : name.slice(1)
}

/** The prefix that the page before has ended with. */
function passedPrefix(keyMarker: string, { prefix, delimiter }: VersionQuery): string | null {
  return keyMarker === '' ? null : commonPrefix(keyMarker, prefix, delimiter)
}

function commonPrefix(key: string, prefix: string, delimiter: string): string | null {
  if (delimiter === '') return null
  const at = key.indexOf(delimiter, prefix.length)
  return at < 0 ? null : key.slice(0, at + delimiter.length)
}
