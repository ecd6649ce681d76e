/** The object or version that a request means, as it lies in the store. */
import { type Soon, soon } from '../../../common/soon.ts'
import type { ItemRead } from '../../../common/storage-node.ts'
import { type FoundObject, findObject, NULL_VERSION } from '../../swift/found-object.ts'
import { lastModified } from '../../swift/http-date.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { closeBody } from '../../swift/object-body.ts'
import { isDeleteMarker, readVersion } from '../../swift/versions/find-version.ts'
import { newestVersion, nullVersions } from '../../swift/versions/name-versions.ts'
import { formatVersionId, parseVersionId } from '../../swift/versions/version-names.ts'
import type { S3Place } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { keepsVersions, noSuchVersion, versionOfFound } from './version-id.ts'

export interface Wanted {
  /** As `checkVersion` has let it through; undefined: the current one. */
  readonly version: string | undefined
  readonly head: boolean
}

/** NoSuchKey, NoSuchVersion, or MethodNotAllowed for a delete marker that is named by its id. */
export function findForS3(call: S3Call, place: S3Place, wanted: Wanted): Soon<FoundObject> {
  const { version, head } = wanted
  const finding =
    version === undefined
      ? findObject(call.exchange, place, { head })
      : lookForVersion(call, place, { version, head })
  return soon(finding, (found) => shownToCaller(call, place, { found, version }))
}

function shownToCaller(
  call: S3Call,
  place: S3Place,
  { found, version }: { readonly found: FoundObject | null; readonly version: string | undefined },
): Soon<FoundObject> {
  try {
    // AccessDenied if the object is not the caller's to see.
    place.judge?.(found?.read.info ?? null)
  } catch (error) {
    return closedWith(found?.read, error)
  }
  if (found === null) return notThere(call, place, version)
  if (!isDeleteMarker(found.read.info)) return found
  return closedWith(found.read, markerIsNoObject(found))
}

/** Lets go of what was read, and fails. */
export async function closedWith(read: ItemRead | undefined, error: unknown): Promise<never> {
  if (read !== undefined) await closeBody(read)
  throw error
}

async function notThere(call: S3Call, place: S3Place, version: string | undefined): Promise<never> {
  throw version === undefined ? await noSuchKey(call, place) : noSuchVersion(place.object, version)
}

/** The version of that id, delete markers included; null if there is none. */
export async function lookForVersion(
  call: S3Call,
  place: ObjectPlace,
  wanted: { readonly version: string; readonly head: boolean },
): Promise<FoundObject | null> {
  const { version, head } = wanted
  if (version === NULL_VERSION) return findNull(call, place, head)
  const id = parseVersionId(version)
  const found = id === null ? null : await readVersion(call.exchange, place, { id, head })
  return found === null ? null : { ...found, version }
}

async function findNull(
  call: S3Call,
  place: ObjectPlace,
  head: boolean,
): Promise<FoundObject | null> {
  // The current one may be another, which its reader has brought no key for: it is looked at first.
  const shown = await findObject(call.exchange, place, { head: true })
  if (shown !== null && versionOfFound(shown) === NULL_VERSION) {
    const current = head ? shown : await findObject(call.exchange, place, { head })
    if (current !== null && versionOfFound(current) === NULL_VERSION) return current
    if (current !== null) await closeBody(current.read)
  }
  if (!keepsVersions(place)) return null
  for await (const { id } of nullVersions(call.exchange, place)) {
    const found = await readVersion(call.exchange, place, { id, head })
    if (found !== null) return { ...found, version: formatVersionId(id) }
  }
  return null
}

/** Says whether it is a delete marker that hides older versions. */
async function noSuchKey(call: S3Call, place: ObjectPlace): Promise<S3Error> {
  const newest = keepsVersions(place) ? await newestVersion(call.exchange, place) : null
  const headers =
    newest?.isMarker === true
      ? [
          'x-amz-delete-marker',
          'true',
          'x-amz-version-id',
          newest.isNull ? NULL_VERSION : formatVersionId(newest.id),
        ]
      : ['x-amz-delete-marker', 'false']
  return new S3Error('NoSuchKey', undefined, { Key: place.object }, headers)
}

function markerIsNoObject(found: FoundObject): S3Error {
  const { info } = found.read
  const headers = ['x-amz-delete-marker', 'true', 'x-amz-version-id', versionOfFound(found)]
  headers.push('Last-Modified', lastModified(info.stamp.ticks), 'Allow', 'DELETE')
  const details = { Method: 'GET', ResourceType: 'DeleteMarker' }
  return new S3Error('MethodNotAllowed', undefined, details, headers)
}
