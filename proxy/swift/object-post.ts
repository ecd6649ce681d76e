import type { Condition } from '../../common/condition.ts'
import type { ItemInfo, ItemMeta } from '../../common/storage-node.ts'
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { type Reply, statusReply, textReply } from '../reply.ts'
import { conditionOf } from './condition-headers.ts'
import {
  checkVersioned,
  findObject,
  NULL_VERSION,
  opensExpired,
  versionAcl,
  versionOf,
} from './found-object.ts'
import { type LinkTarget, targetLocation, targetOf } from './links/symlink.ts'
import { type ObjectPlace, writeInPlace } from './object-access.ts'
import { type Commit, checkContentType, requestObjectHeaders } from './object-write.ts'
import { letPartsGo, replacingParts } from './own-parts.ts'
import { checkNotSealed, checkUnlocked } from './versions/check-lock.ts'
import { isDeleteMarker } from './versions/find-version.ts'
import { deleteOverOld } from './versions/legacy-versions.ts'
import { removeNull, removeVersion } from './versions/remove-version.ts'
import { parseVersionId } from './versions/version-names.ts'
import {
  deleteCurrent,
  deleteSuspended,
  deleteVersion,
  postVersion,
} from './versions/version-writes.ts'

/** POST of an object: its metadata is replaced, its data stays. */
export function postObject(exchange: Exchange): Promise<Reply> {
  return writeInPlace(exchange, { acl: 'write' }, (place) => postAt(exchange, place))
}

async function postAt(exchange: Exchange, place: ObjectPlace): Promise<Reply> {
  checkNotSealed(exchange, place)
  if (exchange.headers['x-symlink-target'] !== undefined) {
    throw badRequest('A PUT request is required to set a symlink target')
  }
  if (versionOf(exchange) !== undefined) {
    throw badRequest('POST to a specific version is not allowed')
  }
  const headers = requestObjectHeaders(exchange)
  const sent = exchange.text('content-type')
  const meta: ItemMeta = sent ? { headers, contentType: checkContentType(sent) } : { headers }
  // The storage node does not know the time: an expired object must not come back to life.
  const found = await findObject(exchange, place, { head: true })
  if (found === null) throw refusal(404)
  checkUnlocked(exchange, found.read.info)
  const condition = unlockedCondition(exchange, place, found.read.info)
  const isVersion = found.place !== place
  const post = {
    meta,
    ...(condition && { condition }),
    ...(opensExpired(exchange) && { openExpired: true as const }),
  }
  const outcome = isVersion
    ? await postVersion(exchange, { place, version: found.place, post })
    : await exchange.proxy.backend.postObject(place, post)
  if (outcome.status === 'not-found') throw refusal(404)
  if (outcome.status !== 'done') throw refusal(412)
  const link = targetOf(outcome.info.meta)
  return link === null ? statusReply(202) : appliedToLink(link, place)
}

/** The link has the new metadata; who meant its target is shown the way. */
function appliedToLink(link: LinkTarget, { account }: ObjectPlace): Reply {
  const message =
    'The requested POST was applied to a symlink. POST directly to the target to apply requested metadata.'
  const etag = link.pin === undefined ? [] : ['X-Symlink-Target-Etag', link.pin.etag]
  return textReply(307, message, ['Location', targetLocation(link, account), ...etag])
}

/**
 * DELETE of an object; one whose time has come is deleted too, but was not there any more: 404. With X-If-Delete-At
 * (the expirer's word) it is deleted only if that is still its time.
 */
export function deleteObject(exchange: Exchange): Promise<Reply> {
  const acl = versionAcl(exchange, 'write')
  return writeInPlace(exchange, { acl }, (place) => deleteAt(exchange, place))
}

async function deleteAt(exchange: Exchange, place: ObjectPlace): Promise<Reply> {
  checkNotSealed(exchange, place)
  const { backend } = exchange.proxy
  const version = versionOf(exchange)
  const { versions } = place
  if (exchange.versionRules !== null && version !== undefined && versions?.kind === 'objects') {
    return removeForGood(exchange, place, version)
  }
  if (version !== undefined && version !== NULL_VERSION) {
    checkVersioned(place)
    return deleteVersion(exchange, place, version)
  }
  const ifDeleteAt = ifDeleteAtOf(exchange)
  const condition = withoutNothing({
    ...conditionOf(exchange),
    ...(ifDeleteAt !== undefined && { ifDeleteAt }),
    ...(exchange.onlyIfWriteId !== undefined && { ifWriteId: exchange.onlyIfWriteId }),
  })
  if (version === undefined && versions?.kind === 'objects') {
    if (versions.enabled) return deleteCurrent(exchange, place, condition)
    if (exchange.versionRules !== null) return deleteSuspended(exchange, place, condition)
  }
  if (versions?.kind === 'legacy') {
    return statusReply((await deleteOverOld(exchange, { place, versions, condition })) ? 204 : 404)
  }
  if (versions?.kind === 'objects' && version === NULL_VERSION) {
    return removePlainNull(exchange, place)
  }
  const isLive =
    ifDeleteAt !== undefined || (await findObject(exchange, place, { head: true })) !== null
  const commit: Commit = (only) =>
    backend.deleteObject(place, only === undefined ? {} : { condition: only })
  const outcome = await (place.mayHaveParts === true
    ? replacingParts(exchange.proxy, place, { condition, commit })
    : commit(condition))
  if (outcome.status === 'not-found' || !isLive) throw refusal(404)
  if (outcome.status !== 'done') throw refusal(412)
  return statusReply(204)
}

/** Undefined for a condition that says nothing. */
function withoutNothing(condition: Condition): Condition | undefined {
  return Object.keys(condition).length === 0 ? undefined : condition
}

/** `DELETE ?version-id=null`: what the name is now, unless that is locked. */
async function removePlainNull(exchange: Exchange, place: ObjectPlace): Promise<Reply> {
  const found = await exchange.proxy.backend.readObject(place, { head: true })
  if (found === null) throw refusal(404)
  checkUnlocked(exchange, found.info)
  const condition = { ...conditionOf(exchange), ifWriteId: found.info.writeId }
  const { status } = await exchange.proxy.backend.deleteObject(place, { condition })
  if (status === 'not-found') throw refusal(404)
  if (status !== 'done') throw refusal(412)
  await letPartsGo(exchange.proxy, place, found.info)
  return statusReply(204)
}

/** The client's condition; where versions may be locked, that nobody has done so since it was looked at. */
function unlockedCondition(
  exchange: Exchange,
  { versions }: ObjectPlace,
  info: ItemInfo,
): Condition | undefined {
  const condition = conditionOf(exchange)
  if (versions?.kind !== 'objects' || versions.lock === undefined) return condition
  return { ...condition, ifWriteId: info.writeId }
}

/** As S3 has it: the version before is current again. */
async function removeForGood(
  exchange: Exchange,
  place: ObjectPlace,
  version: string,
): Promise<Reply> {
  const id = version === NULL_VERSION ? null : parseVersionId(version)
  if (id === null && version !== NULL_VERSION) throw badRequest('Invalid version parameter')
  const removed = await (id === null
    ? removeNull(exchange, place)
    : removeVersion(exchange, place, id))
  const isMarker = removed !== null && isDeleteMarker(removed)
  const headers = ['X-Object-Version-Id', version, ...(isMarker ? [REMOVED_MARKER, 'true'] : [])]
  return statusReply(removed === null ? 404 : 204, headers)
}

/** Of an inner answer: what was removed was a delete marker. */
export const REMOVED_MARKER = 'X-Backend-Removed-Marker'

function ifDeleteAtOf(exchange: Exchange): number | undefined {
  const text = exchange.header('x-if-delete-at')
  if (text === undefined) return undefined
  if (!/^\d{1,10}(\.\d+)?$/.test(text)) throw badRequest('Bad X-If-Delete-At header value')
  return Math.floor(Number(text))
}
