import type { IncomingHttpHeaders } from 'node:http'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { etagList } from '../../swift/condition-headers.ts'
import { findObject } from '../../swift/found-object.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import type { S3Call } from '../s3-call.ts'
import { notImplemented, S3Error } from '../s3-error.ts'
import { lookForVersion } from './find-for-s3.ts'
import { s3Etag } from './object-traits.ts'
import { keepsVersions } from './version-id.ts'

/** The live object as it is now, without its body. */
export async function headObjectAt(call: S3Call, place: ObjectPlace): Promise<ItemInfo | null> {
  const found = await findObject(call.exchange, place, { head: true })
  return found?.read.info ?? null
}

/**
 * The condition of a write in the store's terms. `If-None-Match: *` is taken as it is; for `If-Match` the object is looked
 * at, for its S3 ETag may be another than that of what is stored: the store then judges by that, at the moment of writing.
 */
export async function writeCondition(
  call: S3Call,
  place: ObjectPlace,
  options: { readonly version?: string | undefined } = {},
): Promise<IncomingHttpHeaders> {
  const noneMatch = call.header('if-none-match')
  const match = call.header('if-match')
  if (noneMatch !== undefined && match !== undefined)
    throw notImplemented('If-Match beside If-None-Match')
  if (noneMatch !== undefined) {
    if (noneMatch.trim() !== '*') throw notImplemented('If-None-Match with an ETag')
    return { 'if-none-match': '*' }
  }
  return matchCondition(call, place, {
    match: match === undefined ? undefined : etagList(match),
    version: options.version,
  })
}

/**
 * That the object is one of those ETags' (`*`: any). A version that is named by its id never changes, so that it is judged
 * here and now.
 */
export async function matchCondition(
  call: S3Call,
  place: ObjectPlace,
  wanted: {
    readonly match: readonly string[] | undefined
    readonly version: string | undefined
  },
): Promise<IncomingHttpHeaders> {
  const { match, version } = wanted
  if (match === undefined) return {}
  const found =
    version === undefined
      ? await findObject(call.exchange, place, { head: true })
      : await lookForVersion(call, place, { version, head: true })
  if (found === null) throw new S3Error('NoSuchKey', undefined, { Key: place.object })
  const { info } = found.read
  const isAny = match.includes('*')
  if (!isAny && !match.includes(s3Etag(info))) throw preconditionFailed('If-Match')
  if (version !== undefined && keepsVersions(place)) return {}
  return { 'if-match': isAny ? '*' : `"${info.meta.etag ?? ''}"` }
}

export function preconditionFailed(header: string): S3Error {
  return new S3Error('PreconditionFailed', undefined, { Condition: header })
}
