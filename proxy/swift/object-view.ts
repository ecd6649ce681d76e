/**
 * What a reader is shown of the object that was found: itself, or what it stands for. A large object's parts are put
 * together behind the same interface as a stored body, so that conditions, ranges and copies know nothing of them.
 */
import type { ItemInfo } from '../../common/storage-node.ts'
import { type Exchange, refusal } from '../exchange.ts'
import {
  type FoundObject,
  findObject,
  type ObjectView,
  type OpenSegment,
  type ViewOptions,
} from './found-object.ts'
import { dynamicView, OBJECT_MANIFEST } from './large/dynamic-object.ts'
import { manifestView, STATIC_LARGE_OBJECT, staticView } from './large/static-object.ts'
import { followLink } from './links/follow-link.ts'
import { LINK_TARGET, shownLink, targetOf } from './links/symlink.ts'
import { accessObject } from './object-access.ts'
import { closeBody } from './object-body.ts'

/** Whether the object is shown as it lies in the store. */
export function isPlain({ meta: { headers } }: ItemInfo): boolean {
  return (
    headers[STATIC_LARGE_OBJECT] === undefined &&
    headers[OBJECT_MANIFEST] === undefined &&
    headers[LINK_TARGET] === undefined
  )
}

/** What the object shows: a link's target, a manifest put together, unless the request asks for themselves. */
export async function viewObject(
  exchange: Exchange,
  found: FoundObject,
  options: ViewOptions,
): Promise<ObjectView> {
  const link = targetOf(found.read.info.meta)
  if (link === null) return viewLarge(exchange, found, options)
  if (options.isAsked && exchange.query.get('symlink') === 'get') {
    return { ...found, headers: shownLink(link) }
  }
  await closeBody(found.read)
  const from = { link, account: found.place.account }
  const end = await followLink(exchange, from, { head: options.head, dynamic: true })
  const view = await viewLarge(exchange, end, options)
  return { ...view, headers: [...view.headers, 'Content-Location', end.location] }
}

async function viewLarge(
  exchange: Exchange,
  { place, read }: FoundObject,
  options: ViewOptions,
): Promise<ObjectView> {
  const found = { place, read }
  const { headers } = read.info.meta
  const asksForManifest = options.isAsked && exchange.query.get('multipart-manifest') === 'get'
  if (headers[STATIC_LARGE_OBJECT] !== undefined) {
    return asksForManifest
      ? manifestView(exchange, found)
      : staticView(exchange, found, { ...options, openSegment })
  }
  if (headers[OBJECT_MANIFEST] !== undefined && !asksForManifest) {
    return dynamicView(exchange, found, { ...options, openSegment })
  }
  return { ...found, headers: [] }
}

export const openSegment: OpenSegment = async (exchange, path, { head, depth }) => {
  const place = await accessObject(exchange, { acl: 'read', method: 'GET', path })
  const read = await findObject(exchange, place, { head })
  if (read === null) throw refusal(404)
  const found = { place, read }
  if (isPlain(read.info)) return { ...found, headers: [] }
  return viewObject(exchange, found, { head, depth, isAsked: false })
}
