import type { ListEntry, ListRow } from '../../common/storage-node.ts'
import type { Policies } from '../policies.ts'
import type { ListingType } from './accept.ts'
import { isoTime } from './http-date.ts'

/** The body of a listing, in the form asked for; empty text where there is nothing to say. */
export function renderContainer(
  name: string,
  entries: readonly ListEntry[],
  type: ListingType,
): string {
  if (type === 'text/plain') return renderNames(entries)
  if (type === 'application/json') return JSON.stringify(entries.map(objectJson))
  return `${XML_HEAD}<container name="${attribute(name)}">${entries.map(objectXml).join('')}</container>`
}

/** The same for an account. */
export function renderAccount(
  name: string,
  entries: readonly ListEntry[],
  form: { readonly type: ListingType; readonly policies: Policies },
): string {
  if (form.type === 'text/plain') return renderNames(entries)
  const containers = entries.map((entry) => containerJson(entry, form.policies))
  if (form.type === 'application/json') return JSON.stringify(containers)
  return `${XML_HEAD}<account name="${attribute(name)}">\n${containers.map(containerXml).join('')}</account>`
}

const XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

type JsonEntry = Readonly<Record<string, string | number>>

function renderNames(entries: readonly ListEntry[]): string {
  let text = ''
  for (const entry of entries) text += `${isSubdir(entry) ? entry.subdir : entry.name}\n`
  return text
}

function isSubdir(entry: ListEntry): entry is { readonly subdir: string } {
  return 'subdir' in entry
}

function objectJson(entry: ListEntry): JsonEntry {
  if (isSubdir(entry)) return { subdir: entry.subdir }
  return {
    name: entry.name,
    hash: entry.etag,
    bytes: entry.bytes,
    content_type: entry.contentType,
    last_modified: modifiedOf(entry),
  }
}

function objectXml(entry: ListEntry): string {
  if (isSubdir(entry)) {
    return `<subdir name="${attribute(entry.subdir)}"><name>${content(entry.subdir)}</name></subdir>`
  }
  return `<object>${fields(objectJson(entry))}</object>`
}

function containerJson(entry: ListEntry, policies: Policies): JsonEntry {
  if (isSubdir(entry)) return { subdir: entry.subdir }
  const policy = policies.byIndex(entry.policy)
  return {
    name: entry.name,
    count: entry.count,
    bytes: entry.bytes,
    last_modified: modifiedOf(entry),
    ...(policy === undefined ? {} : { storage_policy: policy.name }),
  }
}

function containerXml(entry: JsonEntry): string {
  if (entry.subdir !== undefined) {
    return `<subdir name="${attribute(String(entry.subdir))}" />\n`
  }
  return `<container>${fields(entry)}</container>\n`
}

function modifiedOf(row: ListRow): string {
  return isoTime(Math.max(row.stamp.ticks, row.metaStamp.ticks))
}

function fields(entry: JsonEntry): string {
  let text = ''
  for (const name in entry) text += `<${name}>${content(String(entry[name]))}</${name}>`
  return text
}

function content(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function attribute(text: string): string {
  return content(text).replaceAll('"', '&quot;').replaceAll('\n', '&#10;')
}
