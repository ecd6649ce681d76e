import type { IncomingHttpHeaders } from 'node:http'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { etagList } from '../../swift/condition-headers.ts'
import { findObject } from '../../swift/found-object.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import type { S3Call } from '../s3-call.ts'
import { notImplemented, S3Error } from '../s3-error.ts'
import { s3Etag } from './object-traits.ts'

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
): Promise<IncomingHttpHeaders> {
  const noneMatch = call.header('if-none-match')
  const match = call.header('if-match')
  if (noneMatch !== undefined && match !== undefined)
    throw notImplemented('If-Match beside If-None-Match')
  if (noneMatch !== undefined) {
    if (noneMatch.trim() !== '*') throw notImplemented('If-None-Match with an ETag')
    return { 'if-none-match': '*' }
  }
  if (match === undefined) return {}
  const current = await headObjectAt(call, place)
  if (current === null) throw new S3Error('NoSuchKey', undefined, { Key: place.object })
  const etags = etagList(match)
  if (!etags.includes('*') && !etags.includes(s3Etag(current))) throw preconditionFailed('If-Match')
  return { 'if-match': etags.includes('*') ? '*' : `"${current.meta.etag ?? ''}"` }
}

export function preconditionFailed(header: string): S3Error {
  return new S3Error('PreconditionFailed', undefined, { Condition: header })
}
