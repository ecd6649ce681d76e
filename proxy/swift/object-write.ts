import { type Condition, evaluateCondition } from '../../common/condition.ts'
import { INLINE_BYTES_MAX, type ItemInfo, type ItemMeta } from '../../common/storage-node.ts'
import { isLonger, utf8Bytes } from '../../common/utf8.ts'
import type { BackendOutcome } from '../backend/backend.ts'
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { type Reply, statusReply } from '../reply.ts'
import { conditionSubject, unquoteEtag } from './condition-headers.ts'
import { contentTypeOf } from './content-type.ts'
import { deleteAtOf, isExpired } from './expiry.ts'
import { lastModified } from './http-date.ts'
import { objectHeaders } from './metadata.ts'
import { accessObject, isContainerRemade, type ObjectPlace } from './object-access.ts'
import { isTrue } from './query.ts'

/** What is to be stored, the body's own traits (ETag) still to come. */
export interface ObjectDraft {
  readonly place: ObjectPlace
  readonly contentType: string
  readonly headers: Readonly<Record<string, string>>
  readonly condition: Condition | undefined
  /** The MD5 that the client announced; a body with another one is refused with a 422. */
  readonly etagWanted: string | undefined
  /** Of S3's, for where the body is to lie; among the headers as well. */
  readonly storageClass?: string | undefined
  /** Joins the headers when the body has come. */
  readonly added?: () => Readonly<Record<string, string>>
  /** Commits, once the body has come, under the condition that holds by then, in place of `condition`. */
  readonly committing?: (commit: Commit) => Promise<BackendOutcome>
}

/** The last step of a write, when all of its body is there. */
export type Commit = (condition: Condition | undefined) => Promise<BackendOutcome>

/** Commits as the draft says. */
export function commitDraft(draft: ObjectDraft, commit: Commit): Promise<BackendOutcome> {
  return draft.committing === undefined ? commit(draft.condition) : draft.committing(commit)
}

/** Stores a body that is in memory, up to INLINE_BYTES_MAX bytes. */
export async function storeWhole(
  exchange: Exchange,
  draft: ObjectDraft,
  body: Uint8Array,
): Promise<ItemInfo> {
  const { backend, md5 } = exchange.proxy
  const meta = metaWith(draft, await md5.digest(body))
  const { place } = draft
  const putAt = (where: ObjectPlace) =>
    commitDraft(draft, (condition) =>
      backend.putObject(
        where,
        condition === undefined ? { meta, body } : { meta, body, condition },
      ),
    )
  try {
    return storedInfo(await putAt(place))
  } catch (error) {
    // Only the request's own container can be looked up again.
    const isOwn = place.container === exchange.path?.container
    if (!isContainerRemade(error) || !isOwn) throw error
    const now = await accessObject(exchange, { acl: 'write', method: 'PUT' })
    return storedInfo(await putAt(now))
  }
}

/** Stores a body of any length that is in memory. */
export async function storeBody(
  exchange: Exchange,
  draft: ObjectDraft,
  body: Buffer,
): Promise<ItemInfo> {
  if (body.length <= INLINE_BYTES_MAX) return storeWhole(exchange, draft, body)
  const writer = await exchange.proxy.backend.openObject(draft.place)
  try {
    await writer.write(body)
    const meta = metaWith(draft, await exchange.proxy.md5.digest(body))
    return storedInfo(await commitDraft(draft, (condition) => writer.commit(meta, condition)))
  } catch (error) {
    await writer.abort()
    throw error
  }
}

/** Checks the announced ETag and puts the stored metadata together. */
export function metaWith(draft: ObjectDraft, etag: string): ItemMeta {
  if (draft.etagWanted !== undefined && draft.etagWanted !== etag) throw refusal(422)
  const { contentType, headers, added } = draft
  return {
    etag,
    contentType,
    headers: added === undefined ? headers : Object.assign({}, headers, added()),
  }
}

/** What a write came to: the new record, or the refusal that its outcome means. */
export function storedInfo(outcome: BackendOutcome): ItemInfo {
  if (outcome.status === 'done') return outcome.info
  if (outcome.status === 'not-found') throw refusal(404)
  throw refusal(outcome.status === 'not-empty' ? 409 : 412)
}

/**
 * Looks at a conditional write before its body is read: what cannot hold is refused at once (the store judges again
 * when it commits). An object whose time has come does not stand in the way of one that is to be new: it is removed,
 * as the expirer would, for the store does not know the time.
 */
export async function checkCondition(exchange: Exchange, draft: ObjectDraft): Promise<void> {
  const { condition, place } = draft
  if (condition === undefined) return
  const { backend, clock } = exchange.proxy
  const read = await backend.readObject(place, { head: true })
  const info = read?.info ?? null
  if (info !== null && isExpired(info, clock)) {
    const ifDeleteAt = Number(info.meta.headers['x-delete-at'])
    await backend.deleteObject(place, { condition: { ifDeleteAt } })
    return
  }
  const subject = info === null ? null : conditionSubject(info)
  if (evaluateCondition(condition, subject) !== 'holds') throw refusal(412)
}

export function createdReply(info: ItemInfo, headers: readonly string[] = []): Reply {
  return statusReply(201, [
    'Etag',
    info.meta.etag ?? '',
    'Last-Modified',
    lastModified(info.metaStamp.ticks),
    ...headers,
  ])
}

/** The metadata that the request itself brings, expiry included. */
export function requestObjectHeaders(exchange: Exchange): Record<string, string> {
  const headers = objectHeaders(exchange.headers, exchange.proxy.limits)
  const deleteAt = deleteAtOf(exchange)
  if (deleteAt !== undefined) headers['x-delete-at'] = deleteAt
  if (exchange.objectSysmeta !== undefined) Object.assign(headers, exchange.objectSysmeta)
  return headers
}

export function checkObjectName(exchange: Exchange, name: string): void {
  const { objectNameBytesMax } = exchange.proxy.limits
  if (!isLonger(name, objectNameBytesMax)) return
  throw badRequest(`Object name length of ${utf8Bytes(name)} longer than ${objectNameBytesMax}`)
}

/** The Content-Type sent, or what the name suggests. */
export function contentTypeFor(exchange: Exchange, name: string, fallback?: string): string {
  const sent = exchange.headers['content-type']
  if (isTrue(exchange.header('x-detect-content-type'))) return contentTypeOf(name)
  if (!sent) return fallback ?? contentTypeOf(name)
  return checkContentType(exchange.text('content-type')!)
}

/** `swift_…` parameters are the store's own. */
export function checkContentType(contentType: string): string {
  const parameters = contentType.includes(';') ? contentType.split(';').slice(1) : []
  if (parameters.some((parameter) => parameter.trimStart().startsWith('swift_'))) {
    throw badRequest('Invalid Content-Type, swift_* is not a valid parameter name.')
  }
  return contentType
}

export function etagWantedBy(exchange: Exchange): string | undefined {
  const etag = exchange.header('etag')
  return etag === undefined ? undefined : unquoteEtag(etag.trim()).toLowerCase()
}
