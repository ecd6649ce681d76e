import { formatTimestamp } from '../../common/stamp.ts'
import type { ItemInfo, ItemRead } from '../../common/storage-node.ts'
import type { Exchange } from '../exchange.ts'
import { type Reply, type ReplyStream, statusReply } from '../reply.ts'
import { conditionOf, conditionSubject, judgeForRead, unquoteEtag } from './condition-headers.ts'
import {
  type FoundObject,
  findObject,
  findVersion,
  type ObjectView,
  versionAcl,
  versionOf,
} from './found-object.ts'
import { lastModified, parseHttpDate } from './http-date.ts'
import { isInternalHeader, titleCase } from './metadata.ts'
import { accessObject, type ObjectPlace } from './object-access.ts'
import { closeBody, isReader, pieceOf } from './object-body.ts'
import { isPlain, plainView, viewObject } from './object-view.ts'
import {
  type ByteRange,
  contentRange,
  type MultipartPlan,
  planMultipart,
  rangesOf,
} from './range.ts'

/** GET and HEAD of an object: conditions first, then ranges. Answers at once where the object is in memory. */
export function readObject(exchange: Exchange): Reply | Promise<Reply> {
  const access = accessObject(exchange, { acl: versionAcl(exchange, 'read') })
  return access instanceof Promise
    ? access.then((place) => readAt(exchange, place))
    : readAt(exchange, access)
}

function readAt(exchange: Exchange, place: ObjectPlace): Reply | Promise<Reply> {
  const head = exchange.method === 'HEAD'
  const version = versionOf(exchange)
  const found = version
    ? findVersion(exchange, place, { version, head })
    : findObject(exchange, place, { head })
  return found instanceof Promise
    ? found.then((object) => replyTo(exchange, object))
    : replyTo(exchange, found)
}

function replyTo(exchange: Exchange, found: FoundObject | null): Reply | Promise<Reply> {
  if (found === null) return notFoundReply(exchange)
  return isPlain(found) ? readReply(exchange, plainView(found)) : showObject(exchange, found)
}

/** An object that stands for something else. */
async function showObject(exchange: Exchange, found: FoundObject): Promise<Reply> {
  const head = exchange.method === 'HEAD'
  return readReply(exchange, await viewObject(exchange, found, { head, depth: 0, isAsked: true }))
}

function readReply(exchange: Exchange, view: ObjectView): Reply | Promise<Reply> {
  const { read } = view
  const { info } = read
  const condition = conditionOf(exchange)
  if (condition !== undefined) {
    const outcome = judgeForRead(condition, conditionSubject(info))
    if (outcome !== 'holds') {
      const status = outcome === 'not-modified' ? 304 : 412
      return closeBody(read).then(() => ({ status, headers: viewHeaders(view), body: null }))
    }
  }
  if (view.part !== undefined) return partReply(exchange, view, view.part)
  if (exchange.method === 'HEAD') {
    return { status: 200, headers: viewHeaders(view), body: null, announcedBytes: info.bytes }
  }
  const ranges = rangesFor(exchange, view)
  if (view.segments === undefined) return bodyReply(exchange, view, ranges)
  const first = ranges === null ? { start: 0, end: info.bytes } : ranges[0]
  const preparing = first === undefined ? Promise.resolve() : view.segments.prepare(first)
  return preparing.then(() => bodyReply(exchange, view, ranges))
}

function rangesFor(exchange: Exchange, view: ObjectView): readonly ByteRange[] | null {
  const { info } = view.read
  if (!rangeApplies(exchange, info)) return null
  const header = exchange.header('range')
  if (view.oneRange === true && header?.includes(',') === true) return null
  return rangesOf(header, info.bytes)
}

/** The whole body, or what was asked of it. */
function bodyReply(
  exchange: Exchange,
  view: ObjectView,
  ranges: readonly ByteRange[] | null,
): Reply | Promise<Reply> {
  if (ranges !== null) return rangesReply(exchange, view, ranges)
  const body = pieceOf(view.read, { start: 0, end: view.read.info.bytes })
  return { status: 200, headers: viewHeaders(view), body }
}

/** One part of a large object, by its number. */
async function partReply(
  exchange: Exchange,
  view: ObjectView,
  part: ByteRange | null,
): Promise<Reply> {
  const { read } = view
  const isHead = exchange.method === 'HEAD'
  const headers = viewHeaders(view)
  if (part === null) {
    await closeBody(read)
    headers.push('Content-Range', `bytes */${read.info.bytes}`)
    return {
      status: 416,
      headers,
      body: isHead ? null : 'The requested part number is not satisfiable',
    }
  }
  headers.push('Content-Range', contentRange(part, read.info.bytes))
  if (isHead) {
    await closeBody(read)
    return { status: 206, headers, body: null, announcedBytes: part.end - part.start }
  }
  await view.segments?.prepare(part)
  return { status: 206, headers, body: pieceOf(read, part) }
}

/** The object's headers as this view shows them. */
export function viewHeaders(view: ObjectView): string[] {
  const out = objectReplyHeaders(view.read.info)
  if (view.isLarge === true) out[ETAG_AT] = `"${out[ETAG_AT]}"`
  out.push(...view.headers)
  return out
}

/** What clients see of an object, Content-Length aside. */
export function objectReplyHeaders(info: ItemInfo): string[] {
  const { meta } = info
  const out = [
    'Content-Type',
    meta.contentType ?? 'application/octet-stream',
    'Etag',
    meta.etag ?? '',
    'Last-Modified',
    lastModified(info.metaStamp.ticks),
    'Accept-Ranges',
    'bytes',
    'X-Timestamp',
    formatTimestamp(info.metaStamp.ticks),
  ]
  for (const name in meta.headers) {
    if (!isInternalHeader(name)) out.push(titleCase(name), meta.headers[name]!)
  }
  return out
}

/** Where the ETag's value stands in what `objectReplyHeaders` gives. */
const ETAG_AT = 3

/** `If-Match: *` wants an object whatever it is: without one, Swift answers 412. */
function notFoundReply(exchange: Exchange): Reply {
  const match = exchange.header('if-match')
  return statusReply(match?.includes('*') === true ? 412 : 404)
}

/** With If-Range, ranges count only while the object is still the one that the client has a part of. */
function rangeApplies(exchange: Exchange, info: ItemInfo): boolean {
  const ifRange = exchange.header('if-range')
  if (ifRange === undefined) return true
  const seconds = parseHttpDate(ifRange)
  if (seconds === undefined) return unquoteEtag(ifRange) === info.meta.etag
  return new Date(seconds * 1000).toUTCString() === lastModified(info.metaStamp.ticks)
}

async function rangesReply(
  exchange: Exchange,
  view: ObjectView,
  ranges: readonly ByteRange[],
): Promise<Reply> {
  const { read } = view
  const { info } = read
  const headers = viewHeaders(view)
  const only = ranges[0]
  if (only === undefined) {
    await closeBody(read)
    const error = statusReply(416, ['Content-Range', `bytes */${info.bytes}`])
    return { ...error, headers: [...error.headers, ...headers.slice(2)] }
  }
  if (ranges.length === 1) {
    headers.push('Content-Range', contentRange(only, info.bytes))
    return { status: 206, headers, body: pieceOf(read, only) }
  }
  const boundary = Buffer.from(exchange.proxy.random.bytes(16)).toString('hex')
  const plan = planMultipart(ranges, { bytes: info.bytes, contentType: headers[1]!, boundary })
  headers[1] = plan.contentType
  return { status: 206, headers, body: multipartStream(read, plan) }
}

function multipartStream(read: ItemRead, plan: MultipartPlan): ReplyStream {
  async function* pieces(): AsyncIterable<Uint8Array> {
    for (const part of plan.parts) {
      yield Buffer.from(part.head)
      const { body } = read
      if (isReader(body)) yield* body.stream(part.range.start, part.range.end)
      else if (body !== null) yield body.subarray(part.range.start, part.range.end)
    }
    yield Buffer.from(plan.tail)
  }
  return { bytes: plan.bytes, pieces, close: () => closeBody(read) }
}
