/** The versions of one name, as they lie beside its container: the newest first. */
import type { ItemInfo, ListRow } from '../../../common/storage-node.ts'
import type { Exchange } from '../../exchange.ts'
import { listedTraits } from '../listed-traits.ts'
import type { ObjectPlace } from '../object-access.ts'
import { DELETE_MARKER_TYPE } from './find-version.ts'
import {
  compareVersionIds,
  parseVersionName,
  type VersionId,
  versionsContainerOf,
  versionsPrefixOf,
} from './version-names.ts'

/** Of a version that S3 calls `null`: it was written while the container kept no versions. */
export const NULL_MARK = 'x-object-sysmeta-version-null'

/** A version as its row tells it. */
export interface ListedVersion {
  readonly id: VersionId
  readonly row: ListRow
  readonly isMarker: boolean
  /** One of several may be left by a write that came to nothing: the newest counts. */
  readonly isNull: boolean
}

const FIRST_ROWS = 20
const PAGE_ROWS = 1000

/** What a row of a versions container stands for; null for what is no version. */
export function listedVersion(row: ListRow): (ListedVersion & { readonly object: string }) | null {
  const parsed = parseVersionName(row.name)
  if (parsed === null) return null
  const { contentType, listed } = listedTraits(row)
  return {
    ...parsed,
    row,
    isMarker: contentType === DELETE_MARKER_TYPE,
    isNull: listed.version_null !== undefined,
  }
}

export function isNullVersion({ meta }: ItemInfo): boolean {
  return meta.headers[NULL_MARK] !== undefined
}

/** All versions of the name, page by page. */
export async function* versionsOfName(
  exchange: Exchange,
  { account, container, object }: ObjectPlace,
): AsyncGenerator<ListedVersion> {
  const prefix = versionsPrefixOf(object)
  let marker: string | undefined
  for (let limit = FIRST_ROWS; ; limit = PAGE_ROWS) {
    const page = await exchange.proxy.backend.listContainer(
      account,
      versionsContainerOf(container),
      { limit, prefix, ...(marker === undefined ? {} : { marker }) },
    )
    for (const row of page?.entries ?? []) {
      if ('subdir' in row) continue
      marker = row.name
      const version = listedVersion(row)
      if (version !== null) yield version
    }
    if (page === null || page.entries.length < limit) return
  }
}

/** The newest version of the name besides that one; null if there is none. */
export async function newestVersion(
  exchange: Exchange,
  place: ObjectPlace,
  except?: VersionId,
): Promise<ListedVersion | null> {
  for await (const version of versionsOfName(exchange, place)) {
    if (except === undefined || compareVersionIds(version.id, except) !== 0) return version
  }
  return null
}

/** The null versions that are not current any more, the newest first. */
export async function* nullVersions(
  exchange: Exchange,
  place: ObjectPlace,
): AsyncGenerator<ListedVersion> {
  for await (const version of versionsOfName(exchange, place)) if (version.isNull) yield version
}
