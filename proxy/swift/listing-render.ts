import type { ListEntry, ListRow } from '../../common/storage-node.ts'
import type { Policies } from '../policies.ts'
import { escapePath } from '../wire-text.ts'
import type { ListingType } from './accept.ts'
import { isoTime } from './http-date.ts'
import { type Listed, listedTraits } from './listed-traits.ts'

/** The body of a listing, in the form asked for; empty text where there is nothing to say. */
export function renderContainer(
  of: { readonly account: string; readonly container: string },
  entries: readonly ListEntry[],
  type: ListingType,
): string {
  if (type === 'text/plain') return renderNames(entries)
  if (type === 'application/json') {
    const account = escapePath(of.account)
    return JSON.stringify(entries.map((entry) => objectJson(entry, account, of.container)))
  }
  return `${XML_HEAD}<container name="${attribute(of.container)}">${entries.map(objectXml).join('')}</container>`
}

/** The same for an account. */
export function renderAccount(
  name: string,
  entries: readonly ListEntry[],
  form: { readonly type: ListingType; readonly policies: Policies },
): string {
  if (form.type === 'text/plain') return renderNames(entries)
  const { policies } = form
  const policyOf = (row: ListRow) => policies.byIndex(row.policy)?.name
  if (form.type === 'application/json') {
    return JSON.stringify(entries.map((entry) => containerJson(entry, policyOf)))
  }
  const rows = entries.map((entry) => containerXml(entry, policyOf)).join('')
  return `${XML_HEAD}<account name="${attribute(name)}">\n${rows}</account>`
}

const XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

type PolicyOf = (row: ListRow) => string | undefined

function renderNames(entries: readonly ListEntry[]): string {
  let text = ''
  for (const entry of entries) text += `${isSubdir(entry) ? entry.subdir : entry.name}\n`
  return text
}

function isSubdir(entry: ListEntry): entry is { readonly subdir: string } {
  return 'subdir' in entry
}

type JsonEntry = Readonly<Record<string, string | number | boolean>>

// A page has up to 10,000 rows. JSON.stringify of all of them at once is faster than texts put together; XML is the
// other way round.

function objectJson(entry: ListEntry, account: string, container: string): JsonEntry {
  if (isSubdir(entry)) return { subdir: entry.subdir }
  const { version_id } = listedTraits(entry).listed
  const row = rowJson(entry, account)
  if (version_id === undefined) return row
  const path = `/v1/${account}/${escapePath(`${container}/${entry.name}`)}?version-id=${version_id}`
  return { ...row, version_symlink: true, symlink_path: path }
}

/** A row of a container; `account` is escaped. */
export function rowJson(row: ListRow, account: string): JsonEntry {
  const { bytes, contentType, listed } = listedTraits(row)
  return {
    name: row.name,
    hash: row.etag,
    bytes,
    content_type: contentType,
    last_modified: modifiedOf(row),
    ...(listed.slo_etag === undefined ? {} : { slo_etag: `"${listed.slo_etag}"` }),
    ...linkJson(listed, account),
  }
}

/** Where a link leads, and what a static one holds to. */
function linkJson(listed: Listed, account: string): JsonEntry {
  const { symlink_target, symlink_account, symlink_etag } = listed
  if (symlink_target === undefined) return {}
  const path = `/v1/${symlink_account ?? account}/${symlink_target}`
  if (symlink_etag === undefined) return { symlink_path: path }
  return {
    symlink_path: path,
    symlink_etag,
    symlink_bytes: Number(listed.symlink_bytes),
  }
}

function objectXml(entry: ListEntry): string {
  if (isSubdir(entry)) {
    return `<subdir name="${attribute(entry.subdir)}"><name>${content(entry.subdir)}</name></subdir>`
  }
  const { bytes, contentType } = listedTraits(entry)
  return `<object><name>${content(entry.name)}</name><hash>${entry.etag}</hash><bytes>${bytes}</bytes><content_type>${content(contentType)}</content_type><last_modified>${modifiedOf(entry)}</last_modified></object>`
}

function containerJson(entry: ListEntry, policyOf: PolicyOf): JsonEntry {
  if (isSubdir(entry)) return { subdir: entry.subdir }
  const policy = policyOf(entry)
  return {
    name: entry.name,
    count: entry.count,
    bytes: entry.bytes,
    last_modified: modifiedOf(entry),
    ...(policy === undefined ? {} : { storage_policy: policy }),
  }
}

function containerXml(entry: ListEntry, policyOf: PolicyOf): string {
  if (isSubdir(entry)) return `<subdir name="${attribute(entry.subdir)}" />\n`
  const policy = policyOf(entry)
  const policyField =
    policy === undefined ? '' : `<storage_policy>${content(policy)}</storage_policy>`
  return `<container><name>${content(entry.name)}</name><count>${entry.count}</count><bytes>${entry.bytes}</bytes><last_modified>${modifiedOf(entry)}</last_modified>${policyField}</container>\n`
}

function modifiedOf(row: ListRow): string {
  const { stamp, metaStamp } = row
  const isChanged = stamp.ticks !== metaStamp.ticks
  return isoTime(isChanged ? Math.max(stamp.ticks, metaStamp.ticks) : writtenTicks(row))
}

/** An object whose bytes were moved was written before; a version's name is as old as it is. */
function writtenTicks(row: ListRow): number {
  const { version_id: version, version_ticks: ticks } = listedTraits(row).listed
  return ticks === undefined || version !== undefined ? row.stamp.ticks : Number(ticks)
}

const MARKUP = /[&<>]/

function content(text: string): string {
  if (!MARKUP.test(text)) return text
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function attribute(text: string): string {
  return content(text).replaceAll('"', '&quot;').replaceAll('\n', '&#10;')
}
