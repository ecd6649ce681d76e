import type { ListEntry, ListPage, ListQuery } from '../../common/storage-node.ts'

type List = (query: ListQuery) => Promise<ListPage | null>

/**
 * Swift's old `path=` listing: the objects right under a folder, and the markers of folders in it (objects named
 * `folder/`), but no subdirs. Written with the ordinary listing: a delimiter rolls a marker up into its subdir, so each
 * subdir is asked whether an object of just that name begins it.
 */
export async function listPath(
  list: List,
  path: string,
  query: ListQuery,
): Promise<ListPage | null> {
  const prefix = path === '' ? '' : `${path.replace(/\/+$/, '')}/`
  const { limit, reverse } = query
  const entries: ListEntry[] = []
  let page: ListPage | null = null
  let marker = query.marker
  do {
    page = await list({
      limit: Math.max(limit, 1),
      delimiter: '/',
      ...(prefix === '' ? {} : { prefix }),
      ...(marker === undefined ? {} : { marker }),
      ...(query.endMarker === undefined ? {} : { endMarker: query.endMarker }),
      ...(reverse === true ? { reverse } : {}),
    })
    if (page === null) return null
    for (const entry of page.entries) {
      marker = 'subdir' in entry ? entry.subdir : entry.name
      if (entries.length >= limit) break
      const row = 'subdir' in entry ? await markerRow(list, entry.subdir) : entry
      if (row !== null && row.name !== prefix) entries.push(row)
    }
  } while (page.entries.length === Math.max(limit, 1) && entries.length < limit)
  return { info: page.info, entries }
}

async function markerRow(list: List, name: string) {
  const page = await list({ limit: 1, prefix: name })
  const first = page?.entries[0]
  return first !== undefined && !('subdir' in first) && first.name === name ? first : null
}
