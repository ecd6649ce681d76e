import type { IncomingHttpHeaders } from 'node:http'
import type { Soon } from '../../../common/soon.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { etagList } from '../../swift/condition-headers.ts'
import { findObject } from '../../swift/found-object.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
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
export function writeCondition(
  call: S3Call,
  place: ObjectPlace,
  options: { readonly version?: string | undefined } = {},
): Soon<IncomingHttpHeaders> {
  const noneMatch = call.header('if-none-match')
  const match = call.header('if-match')
  if (noneMatch === undefined && match === undefined) return NO_CONDITION
  return conditionOf(call, place, { noneMatch, match, version: options.version })
}

const NO_CONDITION: IncomingHttpHeaders = {}

async function conditionOf(
  call: S3Call,
  place: ObjectPlace,
  wanted: {
    readonly noneMatch: string | undefined
    readonly match: string | undefined
    readonly version: string | undefined
  },
): Promise<IncomingHttpHeaders> {
  const { noneMatch, match, version } = wanted
  const unlike = noneMatch === undefined ? {} : await noneMatchCondition(call, place, noneMatch)
  const like = await matchCondition(call, place, {
    match: match === undefined ? undefined : etagList(match),
    version,
  })
  return { ...unlike, ...like }
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

/** The ETag of a multipart object is looked at here and now, that of any other again at the moment of writing. */
async function noneMatchCondition(
  call: S3Call,
  place: ObjectPlace,
  noneMatch: string,
): Promise<IncomingHttpHeaders> {
  const etags = etagList(noneMatch)
  if (etags.includes('*')) return { 'if-none-match': '*' }
  const current = await headObjectAt(call, place)
  if (current !== null && etags.includes(s3Etag(current))) throw preconditionFailed('If-None-Match')
  return { 'if-none-match': etags.map((etag) => `"${etag}"`).join(', ') }
}

export function preconditionFailed(header: string): S3Error {
  return new S3Error('PreconditionFailed', undefined, { Condition: header })
}
