import type { ItemInfo, ItemMeta } from '../../../common/storage-node.ts'
import { LISTED } from '../../backend/rows.ts'
import { formatListed, parseListed } from '../listed-traits.ts'
import { VERSION_LINK } from './find-version.ts'
import { formatVersionId, type VersionId } from './version-names.ts'

/** The metadata of the name's record: what its version looks like in listings and to conditions. */
export function linkMeta(
  version: ItemInfo,
  of: { readonly id: VersionId; readonly deleteAt: string | undefined },
): ItemMeta {
  const { etag = '', contentType = '', headers } = version.meta
  const id = formatVersionId(of.id)
  const listed = parseListed(headers[LISTED] ?? '')
  return {
    etag,
    contentType,
    headers: {
      [VERSION_LINK]: id,
      [LISTED]: formatListed({
        ...listed,
        bytes: listed.bytes ?? String(version.bytes),
        version_id: id,
        version_ticks: String(version.stamp.ticks),
      }),
      ...(of.deleteAt === undefined ? {} : { 'x-delete-at': of.deleteAt }),
    },
  }
}
