/**
 * Versions of objects as readers find them. In a container that keeps versions the current object is an empty record that
 * names its version (a version link); a plain one there is the null version, from before or while it was suspended.
 */
import type { ItemInfo, ItemRead } from '../../../common/storage-node.ts'
import { type Exchange, refusal } from '../../exchange.ts'
import type { ObjectPlace } from '../object-access.ts'
import {
  parseVersionId,
  type VersionId,
  versionName,
  versionsContainerOf,
} from './version-names.ts'

/** The id of the version that the object is now. */
export const VERSION_LINK = 'x-object-sysmeta-version-link'
/** What a deletion leaves as a version. Clients cannot set `swift_…` parameters. */
export const DELETE_MARKER_TYPE = 'application/x-deleted;swift_versions_deleted=1'

/** The id that a version link names; null for a plain object. */
export function linkedVersion({ meta }: ItemInfo): VersionId | null {
  const id = meta.headers[VERSION_LINK]
  return id === undefined ? null : parseVersionId(id)
}

export function isDeleteMarker({ meta }: ItemInfo): boolean {
  return meta.contentType === DELETE_MARKER_TYPE
}

/** Where the version lies; null if the container has no versions container. */
export async function versionPlace(
  exchange: Exchange,
  place: ObjectPlace,
  id: VersionId,
): Promise<ObjectPlace | null> {
  const container = versionsContainerOf(place.container)
  const info = await exchange.proxy.backend.cachedContainer(place.account, container)
  if (info === null) return null
  return {
    account: place.account,
    container,
    object: versionName(place.object, id),
    policy: info.policy,
    settings: info.metaStamp,
    versions: undefined,
  }
}

/** The same for a write: 500 in Swift's words without a versions container. */
export async function placeForVersion(
  exchange: Exchange,
  place: ObjectPlace,
  id: VersionId,
): Promise<ObjectPlace> {
  const found = await versionPlace(exchange, place, id)
  if (found !== null) return found
  throw refusal(
    500,
    'The versions container does not exist. You may want to re-enable object versioning.',
  )
}

/** The version as it lies in the store; null if there is none of the id. */
export async function readVersion(
  exchange: Exchange,
  place: ObjectPlace,
  options: { readonly id: VersionId; readonly head: boolean },
): Promise<{ readonly place: ObjectPlace; readonly read: ItemRead } | null> {
  const where = await versionPlace(exchange, place, options.id)
  if (where === null) return null
  const read = await exchange.proxy.backend.readObject(where, { head: options.head })
  return read === null ? null : { place: where, read }
}
