import { formatTimestamp } from '../../common/stamp.ts'
import type { BodyReader, ItemInfo, ItemRead } from '../../common/storage-node.ts'
import type { ObjectPath } from '../backend/backend.ts'
import type { Exchange } from '../exchange.ts'
import { type Reply, type ReplyBody, type ReplyStream, statusReply } from '../reply.ts'
import { conditionOf, conditionSubject, judgeForRead, unquoteEtag } from './condition-headers.ts'
import { isExpired } from './expiry.ts'
import { lastModified, parseHttpDate } from './http-date.ts'
import { isInternalHeader, titleCase } from './metadata.ts'
import { accessObject } from './object-access.ts'
import { isTrue } from './query.ts'
import {
  type ByteRange,
  contentRange,
  type MultipartPlan,
  planMultipart,
  rangesOf,
} from './range.ts'

/** GET and HEAD of an object: conditions first, then ranges. Answers at once where the object is in memory. */
export function readObject(exchange: Exchange): Reply | Promise<Reply> {
  const access = accessObject(exchange, { acl: 'read' })
  return access instanceof Promise
    ? access.then((place) => readAt(exchange, place))
    : readAt(exchange, access)
}

function readAt(exchange: Exchange, place: ObjectPath): Reply | Promise<Reply> {
  const read = findObject(exchange, place, { head: exchange.method === 'HEAD' })
  return read instanceof Promise
    ? read.then((found) => replyTo(exchange, found))
    : replyTo(exchange, read)
}

function replyTo(exchange: Exchange, read: ItemRead | null): Reply | Promise<Reply> {
  return read === null ? notFoundReply(exchange) : readReply(exchange, read)
}

function readReply(exchange: Exchange, read: ItemRead): Reply | Promise<Reply> {
  const { info } = read
  const condition = conditionOf(exchange)
  if (condition !== undefined) {
    const outcome = judgeForRead(condition, conditionSubject(info))
    if (outcome !== 'holds') {
      const reply = conditionReply(outcome === 'not-modified' ? 304 : 412, info)
      return closeBody(read).then(() => reply)
    }
  }
  if (exchange.method === 'HEAD') {
    return {
      status: 200,
      headers: objectReplyHeaders(info),
      body: null,
      announcedBytes: info.bytes,
    }
  }
  const ranges = rangeApplies(exchange, info)
    ? rangesOf(exchange.header('range'), info.bytes)
    : null
  if (ranges === null) {
    const body = pieceOf(read, { start: 0, end: info.bytes })
    return { status: 200, headers: objectReplyHeaders(info), body }
  }
  return rangesReply(exchange, read, ranges)
}

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

/** Frees what a read holds, when its body is not wanted after all. */
export async function closeBody(read: ItemRead): Promise<void> {
  if (isReader(read.body)) await read.body.close()
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

/** The bytes of a range: a part of what is in memory, or a stream. */
export function pieceOf(read: ItemRead, range: ByteRange): ReplyBody {
  const { body } = read
  if (!isReader(body)) return body === null ? null : body.subarray(range.start, range.end)
  return {
    bytes: range.end - range.start,
    pieces: () => body.stream(range.start, range.end),
    recycle: (piece) => body.recycle?.(piece),
    close: () => body.close(),
  }
}

function isReader(body: ItemRead['body']): body is BodyReader {
  return body !== null && 'stream' in body
}

/** `If-Match: *` wants an object whatever it is: without one, Swift answers 412. */
function notFoundReply(exchange: Exchange): Reply {
  const match = exchange.header('if-match')
  return statusReply(match?.includes('*') === true ? 412 : 404)
}

function conditionReply(status: 304 | 412, info: ItemInfo): Reply {
  return { status, headers: objectReplyHeaders(info), body: null }
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
  read: ItemRead,
  ranges: readonly ByteRange[],
): Promise<Reply> {
  const { info } = read
  const headers = objectReplyHeaders(info)
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
