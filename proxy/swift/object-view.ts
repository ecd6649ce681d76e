/**
 * What a reader is shown of the object that was found: itself, or what it stands for. A large object's parts are put
 * together behind the same interface as a stored body, so that conditions, ranges and copies know nothing of them.
 */
import { type Exchange, refusal } from '../exchange.ts'
import { escapePath } from '../wire-text.ts'
import { markJudged, segmentsOf } from './bucket-policy.ts'
import {
  type FoundObject,
  findObject,
  NULL_VERSION,
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
export function isPlain({ read, version }: FoundObject): boolean {
  const { headers } = read.info.meta
  return (
    version === undefined &&
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
  if (link === null)
    return versionView(exchange, await viewLarge(exchange, found, options), options)
  if (options.isAsked && exchange.query.get('symlink') === 'get') {
    return versionView(exchange, { ...found, headers: shownLink(link) }, options)
  }
  await closeBody(found.read)
  const from = { link, account: found.place.account }
  const end = await followLink(exchange, from, { head: options.head, dynamic: true })
  const view = await viewLarge(exchange, end, options)
  const { path } = exchange
  // Within one container it is the target's version that is seen, else the link's own.
  const isNear = end.path.account === path?.account && end.path.container === path.container
  const { version } = isNear ? end : found
  const headers = [...view.headers, 'Content-Location', end.location]
  return versionView(
    exchange,
    version === undefined ? { ...view, headers } : { ...view, headers, version },
    options,
  )
}

/** With the id of what is shown, in a container that keeps versions. */
function versionView(exchange: Exchange, view: ObjectView, options: ViewOptions): ObjectView {
  const { version } = view
  if (version === undefined || !options.isAsked) return view
  const headers = [...view.headers, 'X-Object-Version-Id', version]
  if (version !== NULL_VERSION && !headers.includes('Content-Location')) {
    headers.push('Content-Location', versionLocation(exchange, version))
  }
  return { ...view, headers }
}

/** The version's own place, as the container's readers know it. */
function versionLocation(exchange: Exchange, version: string): string {
  const { account, container, object } = exchange.path!
  return `/v1/${escapePath(`${account}/${container}/${object}`)}?version-id=${version}`
}

async function viewLarge(
  exchange: Exchange,
  { place, read, version }: FoundObject,
  options: ViewOptions,
): Promise<ObjectView> {
  const found = version === undefined ? { place, read } : { place, read, version }
  const { headers } = read.info.meta
  const asksForManifest = options.isAsked && exchange.query.get('multipart-manifest') === 'get'
  if (headers[STATIC_LARGE_OBJECT] !== undefined) {
    if (asksForManifest) return manifestView(exchange, found)
    // Whoever may see the whole may see its parts: they were asked for when it was put together.
    const { account, container } = place
    markJudged(exchange, segmentsOf({ account, container, object: undefined }))
    return staticView(exchange, found, { ...options, openSegment })
  }
  if (headers[OBJECT_MANIFEST] !== undefined && !asksForManifest) {
    return dynamicView(exchange, found, { ...options, openSegment })
  }
  return { ...found, headers: [] }
}

export const openSegment: OpenSegment = async (exchange, path, { head, depth }) => {
  const place = await accessObject(exchange, { acl: 'read', method: 'GET', path })
  const found = await findObject(exchange, place, { head })
  if (found === null) throw refusal(404)
  if (isPlain(found)) return { ...found, headers: [] }
  return viewObject(exchange, found, { head, depth, isAsked: false })
}
