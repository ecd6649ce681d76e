import type { ItemRead } from '../../common/storage-node.ts'
import type { ObjectPath } from '../backend/backend.ts'
import type { Exchange } from '../exchange.ts'
import { isExpired } from './expiry.ts'
import type { SegmentedBody } from './large/segmented-body.ts'
import { closeBody } from './object-body.ts'
import type { SwiftPath } from './path.ts'
import { isTrue } from './query.ts'
import type { ByteRange } from './range.ts'

/** An object as it lies in the store, and where. */
export interface FoundObject {
  readonly place: ObjectPath
  readonly read: ItemRead
}

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

/** The live object, expired ones left out; null if there is none. */
export function findObject(
  exchange: Exchange,
  place: ObjectPath,
  options: { readonly head?: boolean; readonly newest?: boolean },
): ItemRead | null | Promise<ItemRead | null> {
  const { backend } = exchange.proxy
  const newest = options.newest ?? isTrue(exchange.header('x-newest'))
  const read = backend.readObject(place, { head: options.head ?? false, newest })
  return read instanceof Promise
    ? read.then((found) => unlessGone(exchange, found))
    : unlessGone(exchange, read)
}

function unlessGone(
  exchange: Exchange,
  read: ItemRead | null,
): ItemRead | null | Promise<ItemRead | null> {
  if (read === null || !isGone(exchange, read)) return read
  return closeBody(read).then(() => null)
}

/** Whether the object's time has come, for this client. */
function isGone(exchange: Exchange, read: ItemRead): boolean {
  const { clock, settings } = exchange.proxy
  if (!isExpired(read.info, clock)) return false
  return !(settings.allowOpenExpired && isTrue(exchange.header('x-open-expired')))
}
