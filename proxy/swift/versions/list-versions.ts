import type { ItemInfo, ListPage, ListQuery } from '../../../common/storage-node.ts'
import { type Exchange, refusal } from '../../exchange.ts'
import { acceptsJson } from '../accept.ts'
import { rowJson } from '../listing-render.ts'
import { linkedId, mergeVersions, type VersionEntry, versionsQuery } from './version-listing.ts'
import { versionsContainerOf } from './version-names.ts'

/** `GET ?versions` of a container: JSON, whatever is asked for; 406 if that will not do. Null without a container. */
export async function listVersions(
  exchange: Exchange,
  of: { readonly account: string; readonly container: string; readonly query: ListQuery },
): Promise<{ readonly info: ItemInfo; readonly body: string } | null> {
  if (!acceptsJson(exchange)) throw refusal(406)
  const { backend } = exchange.proxy
  const { account, container, query } = of
  const versionMarker = exchange.query.get('version_marker') || undefined
  const below = versionsQuery(query, versionMarker)
  const current = await backend.listContainer(account, container, query)
  if (current === null) return null
  const versions = await backend.listContainer(account, versionsContainerOf(container), below)
  const { marker } = query
  const within =
    versionMarker === undefined || marker === undefined
      ? null
      : {
          name: marker,
          linked: await linkedNow(exchange, of, marker),
          hasBegun: versionMarker !== 'null' && query.reverse !== true,
        }
  const pages = { current: current.entries, versions: versions?.entries ?? [] }
  const entries = mergeVersions(pages, query, within)
  return {
    info: current.info,
    body: JSON.stringify(entries.map((entry) => entryJson(entry, account))),
  }
}

/** The version that the name points to. */
async function linkedNow(
  exchange: Exchange,
  { account, container }: { readonly account: string; readonly container: string },
  name: string,
): Promise<string | undefined> {
  const page: ListPage | null = await exchange.proxy.backend.listContainer(account, container, {
    limit: 1,
    prefix: name,
  })
  const row = page?.entries[0]
  return row === undefined || 'subdir' in row || row.name !== name ? undefined : linkedId(row)
}

function entryJson(entry: VersionEntry, account: string) {
  if ('subdir' in entry) return entry
  const { row, version, isLatest } = entry
  return { ...rowJson(row, account), version_id: version, is_latest: isLatest }
}
