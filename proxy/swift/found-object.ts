import type { ItemRead } from '../../common/storage-node.ts'
import { badRequest, type Exchange } from '../exchange.ts'
import { Refusal } from '../refusal.ts'
import type { AclChoice } from './access.ts'
import { isExpired } from './expiry.ts'
import type { SegmentedBody } from './large/segmented-body.ts'
import type { ObjectPlace } from './object-access.ts'
import { closeBody } from './object-body.ts'
import type { SwiftPath } from './path.ts'
import { isTrue } from './query.ts'
import type { ByteRange } from './range.ts'
import {
  DELETE_MARKER_TYPE,
  isDeleteMarker,
  linkedVersion,
  readVersion,
  VERSION_LINK,
} from './versions/find-version.ts'
import { formatVersionId, parseVersionId } from './versions/version-names.ts'

/** An object as it lies in the store, and where. */
export interface FoundObject {
  readonly place: ObjectPlace
  readonly read: ItemRead
  /** Its id, in a container that keeps versions. */
  readonly version?: string
}

/** The id of what was written without one. */
export const NULL_VERSION = 'null'

export interface ObjectView extends FoundObject {
  /** Answered besides the object's own headers. */
  readonly headers: readonly string[]
  /** Its ETag is not the MD5 of its bytes, and is quoted. */
  readonly isLarge?: true
  /** Of a large object: what is to be prepared before the answer begins. */
  readonly segments?: SegmentedBody
  /** Several ranges at once are not answered: the whole is. */
  readonly oneRange?: true
  /** Of a large object asked for by `part-number`: that part; null if it has no such part. */
  readonly part?: ByteRange | null
}

export interface ViewOptions {
  /** No body wanted. */
  readonly head: boolean
  /** Large objects that this one is a part of. */
  readonly depth: number
  /** What the query says of manifests and parts is about this object, not about one that leads to it. */
  readonly isAsked: boolean
}

/**
 * Opens an object that is a segment of another, as its reader would see it: the reader needs access to it as well. 404 if
 * it is not there, 401 or 403 if it is not the reader's.
 */
export type OpenSegment = (
  exchange: Exchange,
  path: SwiftPath,
  options: Pick<ViewOptions, 'head' | 'depth'>,
) => Promise<ObjectView>

export interface FindOptions {
  readonly head?: boolean
  readonly newest?: boolean
}

/** Versions that may go away one after the other while the current one is looked for. */
const ATTEMPTS_MAX = 4

/** The live object as it is now, expired ones left out; null if there is none. */
export function findObject(
  exchange: Exchange,
  place: ObjectPlace,
  options: FindOptions,
): FoundObject | null | Promise<FoundObject | null> {
  const { backend } = exchange.proxy
  const newest = options.newest ?? isTrue(exchange.header('x-newest'))
  const read = backend.readObject(place, { head: options.head ?? false, newest })
  const found =
    read instanceof Promise
      ? read.then((found) => currentOf(exchange, place, found, options))
      : currentOf(exchange, place, read, options)
  return place.refuseObject === undefined ? found : permitted(place, found)
}

/** The object, if the place's policy lets the request see it. */
async function permitted(
  { refuseObject }: ObjectPlace,
  finding: FoundObject | null | Promise<FoundObject | null>,
): Promise<FoundObject | null> {
  const found = await finding
  if (found === null) return null
  try {
    refuseObject?.(found.read.info)
    return found
  } catch (error) {
    await closeBody(found.read)
    throw error
  }
}

function currentOf(
  exchange: Exchange,
  place: ObjectPlace,
  read: ItemRead | null,
  options: FindOptions,
): FoundObject | null | Promise<FoundObject | null> {
  if (read === null) return null
  if (isGone(exchange, read)) return closeBody(read).then(() => null)
  if (read.info.meta.headers[VERSION_LINK] !== undefined) {
    return findLinked(exchange, { place, read }, options)
  }
  return place.versions?.kind === 'objects'
    ? { place, read, version: NULL_VERSION }
    : { place, read }
}

/** The version that the object is now. One that was deleted meanwhile is not the current one any more. */
async function findLinked(
  exchange: Exchange,
  { place, read }: FoundObject,
  options: FindOptions,
): Promise<FoundObject | null> {
  let current: ItemRead | null = read
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (current === null) return null
    const id = linkedVersion(current.info)
    if (id === null) return { place, read: current, version: NULL_VERSION }
    const found = await readVersion(exchange, place, { id, head: options.head ?? false })
    if (found !== null) return { ...found, version: formatVersionId(id) }
    current = await exchange.proxy.backend.readObject(place, { head: options.head ?? false })
  }
  return null
}

/** The version that the request is about; undefined: the current one. */
export function versionOf(exchange: Exchange): string | undefined {
  return (exchange.url.includes('?') && exchange.query.get('version-id')) || undefined
}

/** Versions by their ids are for the account's owner: a container's ACL is about what is current. */
export function versionAcl(exchange: Exchange, acl: AclChoice): AclChoice {
  const version = versionOf(exchange)
  return version === undefined || version === NULL_VERSION ? acl : 'none'
}

/** A 400 for a version of an object whose container never had any. */
export function checkVersioned({ versions }: ObjectPlace): void {
  if (versions?.kind === 'objects') return
  throw badRequest('version-aware operations require that the container is versioned')
}

/** The version of the id; null if there is none, or it was deleted. `null` is the one without an id. */
export async function findVersion(
  exchange: Exchange,
  place: ObjectPlace,
  options: { readonly version: string; readonly head: boolean },
): Promise<FoundObject | null> {
  const { version, head } = options
  if (version === NULL_VERSION) {
    const found = await findObject(exchange, place, { head })
    if (found === null || found.version === undefined || found.version === NULL_VERSION) {
      return found === null ? null : { ...found, version: NULL_VERSION }
    }
    await closeBody(found.read)
    return null
  }
  checkVersioned(place)
  const id = parseVersionId(version)
  if (id === null) throw badRequest('Invalid version parameter')
  const found = await permitted(place, readVersion(exchange, place, { id, head }))
  if (found === null) return null
  if (!isDeleteMarker(found.read.info)) return { ...found, version }
  await closeBody(found.read)
  const headers = ['X-Object-Version-Id', version, 'Content-Type', DELETE_MARKER_TYPE]
  throw new Refusal(404, '', headers)
}

/** Whether the object's time has come, for this client. */
function isGone(exchange: Exchange, read: ItemRead): boolean {
  const { clock } = exchange.proxy
  if (!isExpired(read.info, clock)) return false
  return !opensExpired(exchange)
}

/** Whether the client asks for an object whose time has come, and may. */
export function opensExpired(exchange: Exchange): boolean {
  const { allowOpenExpired } = exchange.proxy.settings
  return allowOpenExpired && isTrue(exchange.header('x-open-expired'))
}
