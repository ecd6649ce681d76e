/** Containers whose names are the store's own, in the listings of accounts. */
import type { ListEntry, ListQuery } from '../../../common/storage-node.ts'
import type { Backend } from '../../backend/backend.ts'
import { classContainer } from '../../storage-class/placed-record.ts'
import { RESERVED_END, versionsContainerOf } from './version-names.ts'

/** The query without what clients are not to see: reserved names come before all others. */
export function withoutReserved(query: ListQuery): ListQuery {
  const { reverse, marker, endMarker } = query
  if (reverse === true) {
    return { ...query, endMarker: laterOf(endMarker, RESERVED_END) }
  }
  return { ...query, marker: laterOf(marker, RESERVED_END) }
}

/** The containers of a page with the bytes of their objects that lie beside them: versions, and what is in other policies. */
export async function withHiddenBytes(
  backend: Backend,
  of: { readonly account: string; readonly policies: readonly number[] },
  entries: readonly ListEntry[],
): Promise<readonly ListEntry[]> {
  const names = entries.flatMap((entry) => ('subdir' in entry ? [] : [entry.name]))
  if (names.length === 0) return entries
  const bytes = new Map<string, number>()
  const versions = versionsContainerOf('')
  const classes = of.policies.map((policy) => classContainer('', policy))
  const prefixes = [versions, ...classes.flatMap((prefix) => [prefix, prefix + versions])]
  for (const prefix of prefixes) await addBytes(bytes, backend, { ...of, names, prefix })
  if (bytes.size === 0) return entries
  return entries.map((entry) => {
    const more = 'subdir' in entry ? undefined : bytes.get(entry.name)
    return 'subdir' in entry || more === undefined ? entry : { ...entry, bytes: entry.bytes + more }
  })
}

const PAGE_ROWS = 1000

/** Those of the containers whose names are the prefix and one of the names. */
async function addBytes(
  bytes: Map<string, number>,
  backend: Backend,
  of: { readonly account: string; readonly names: readonly string[]; readonly prefix: string },
): Promise<void> {
  const { account, names, prefix } = of
  const wanted = new Set(names)
  const ordered = [names[0]!, names.at(-1)!].sort((a, b) =>
    Buffer.compare(Buffer.from(a), Buffer.from(b)),
  )
  const last = prefix + ordered[1]!
  // A marker is exclusive; nothing lies between a name and the same with a NUL behind it.
  const endMarker = `${last}\0`
  let marker: string | undefined
  for (;;) {
    const page = await backend.listAccount(account, {
      limit: PAGE_ROWS,
      prefix,
      endMarker,
      ...(marker === undefined ? {} : { marker }),
    })
    for (const entry of page?.entries ?? []) {
      if ('subdir' in entry) continue
      marker = entry.name
      const name = entry.name.slice(prefix.length)
      if (wanted.has(name)) bytes.set(name, (bytes.get(name) ?? 0) + entry.bytes)
    }
    if (page === null || page.entries.length < PAGE_ROWS) return
  }
}

function laterOf(a: string | undefined, b: string): string {
  if (a === undefined) return b
  return Buffer.compare(Buffer.from(a), Buffer.from(b)) > 0 ? a : b
}
