/**
 * What a reader is shown of the object that was found: itself, or what it stands for. A large object's parts are put
 * together behind the same interface as a stored body, so that conditions, ranges and copies know nothing of them.
 */
import { type Exchange, refusal } from '../exchange.ts'
import { escapePath } from '../wire-text.ts'
import type { AccessQuestion } from './access.ts'
import { segmentsOf } from './bucket-policy.ts'
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
import { accessObject, type ObjectPlace } from './object-access.ts'
import { closeBody } from './object-body.ts'
import { containerOfVersions } from './versions/version-names.ts'

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

/** The object as it lies there. Written out: V8 gives what a spread begins a shape that no other object has. */
export function plainView({ place, read, version }: FoundObject): ObjectView {
  return version === undefined
    ? { place, read, headers: NO_HEADERS }
    : { place, read, version, headers: NO_HEADERS }
}

const NO_HEADERS: readonly string[] = Object.freeze([])

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
    return asksForManifest
      ? manifestView(exchange, found)
      : staticView(exchange, found, { ...options, openSegment: segmentsOfWhole(place) })
  }
  if (headers[OBJECT_MANIFEST] !== undefined && !asksForManifest) {
    return dynamicView(exchange, found, { ...options, openSegment })
  }
  return plainView(found)
}

export const openSegment: OpenSegment = (exchange, path, options) =>
  openAt(exchange, { acl: 'read', method: 'GET', path }, options)

/**
 * Whoever may see the whole may see those of its parts that lie where S3 keeps them for its bucket: who put it together was
 * asked about each. No others: links and lists could lead there past the bucket's policy.
 */
function segmentsOfWhole(whole: ObjectPlace): OpenSegment {
  const { account } = whole
  const bucket = containerOfVersions(whole.container) ?? whole.container
  const { container } = segmentsOf({ account, container: bucket, object: undefined })
  return (exchange, path, options) => {
    const isPart = path.account === account && path.container === container
    return openAt(exchange, { acl: 'read', method: 'GET', path, isPart }, options)
  }
}

async function openAt(
  exchange: Exchange,
  question: AccessQuestion,
  { head, depth }: Pick<ViewOptions, 'head' | 'depth'>,
): Promise<ObjectView> {
  const place = await accessObject(exchange, question)
  const found = await findObject(exchange, place, { head })
  if (found === null) throw refusal(404)
  if (isPlain(found)) return plainView(found)
  return viewObject(exchange, found, { head, depth, isAsked: false })
}
