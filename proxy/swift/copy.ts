import { createHash } from 'node:crypto'
import type { Condition } from '../../common/condition.ts'
import type { ItemInfo, ItemRead } from '../../common/storage-node.ts'
import type { ObjectWriter } from '../backend/backend.ts'
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { isStream, type Reply, type ReplyStream, statusReply } from '../reply.ts'
import { escapePath, unescapeUrl } from '../wire-text.ts'
import { conditionOf, conditionSubject, judgeForRead } from './condition-headers.ts'
import { lastModified } from './http-date.ts'
import { checkObjectMeta, isInternalHeader, titleCase } from './metadata.ts'
import { accessObject } from './object-access.ts'
import { closeBody, findObject, objectReplyHeaders, pieceOf } from './object-read.ts'
import {
  checkCondition,
  checkObjectName,
  contentTypeFor,
  createdReply,
  etagWantedBy,
  metaWith,
  type ObjectDraft,
  requestObjectHeaders,
  storedInfo,
  storeWhole,
} from './object-write.ts'
import type { SwiftPath } from './path.ts'
import { isTrue } from './query.ts'
import { checkQuotas } from './quotas.ts'
import { type ByteRange, rangesOf } from './range.ts'

interface Copy {
  readonly source: SwiftPath
  readonly target: SwiftPath
}

/** PUT with X-Copy-From: the request's object is the target. */
export function copyInto(exchange: Exchange): Promise<Reply> {
  const target = exchange.path!
  const account = accountHeader(exchange, 'x-copy-from-account') ?? target.account
  const source = pathHeader(exchange, 'X-Copy-From')
  return copyObject(exchange, { source: { account, ...source }, target })
}

/** COPY: the request's object is the source, Destination names the target. */
export function copyFrom(exchange: Exchange): Promise<Reply> {
  const source = exchange.path!
  if (!exchange.header('destination')) throw refusal(412, 'Destination header required')
  const account = accountHeader(exchange, 'destination-account') ?? source.account
  const target = { account, ...pathHeader(exchange, 'Destination') }
  // From here on the answer is about the target: its container's CORS rules count.
  exchange.path = target
  return copyObject(exchange, { source, target })
}

async function copyObject(exchange: Exchange, copy: Copy): Promise<Reply> {
  const { headers } = exchange
  if (Number(headers['content-length'] ?? 0) > 0 || headers['transfer-encoding'] !== undefined) {
    throw badRequest('Copy requests require a zero byte body')
  }
  const { source, target } = copy
  const from = await accessObject(exchange, { acl: 'read', method: 'GET', path: source })
  const read = await findObject(exchange, from, { newest: true })
  if (read === null) throw refusal(404)
  try {
    const unmet = sourceConditionReply(exchange, read.info)
    if (unmet !== null) return unmet
    const place = await accessObject(exchange, { acl: 'write', method: 'PUT', path: target })
    checkObjectName(exchange, place.object)
    const draft: ObjectDraft = {
      place,
      contentType: contentTypeFor(exchange, place.object, read.info.meta.contentType),
      headers: mergedHeaders(exchange, read.info),
      condition: targetCondition(exchange),
      etagWanted: undefined,
    }
    await checkCondition(exchange, draft)
    const stored = await storeCopy(exchange, draft, read)
    return createdReply(stored, copiedHeaders(source, read.info, draft))
  } finally {
    await closeBody(read)
  }
}

/** The source's metadata under the request's own; only the latter with X-Fresh-Metadata. */
function mergedHeaders(exchange: Exchange, source: ItemInfo): Record<string, string> {
  const own = requestObjectHeaders(exchange)
  const fresh = isTrue(exchange.header('x-fresh-metadata'))
  const merged: Record<string, string> = {}
  for (const [name, value] of Object.entries(source.meta.headers)) {
    if (!fresh || isInternalHeader(name)) merged[name] = value
  }
  Object.assign(merged, own)
  checkObjectMeta(merged, exchange.proxy.limits)
  return merged
}

/** A part of the source is a body of its own; the whole of it is verified by its checksums and keeps its ETag. */
async function storeCopy(
  exchange: Exchange,
  draft: ObjectDraft,
  read: ItemRead,
): Promise<ItemInfo> {
  const range = rangeOfSource(exchange, read.info)
  await checkQuotas(exchange, draft.place, range.end - range.start)
  const isWhole = range.start === 0 && range.end === read.info.bytes
  const body = pieceOf(read, range)
  const wanted = isWhole ? read.info.meta.etag : etagWantedBy(exchange)
  const copy: ObjectDraft = { ...draft, etagWanted: wanted }
  if (isStream(body)) return storeStreamed(exchange, copy, body)
  // The bytes may be shared with whoever read them; the store keeps its own.
  return storeWhole(exchange, copy, Buffer.from(body ?? ''))
}

async function storeStreamed(
  exchange: Exchange,
  draft: ObjectDraft,
  body: ReplyStream,
): Promise<ItemInfo> {
  const { backend } = exchange.proxy
  let writer: ObjectWriter | null = null
  try {
    const open = await backend.openObject(draft.place)
    writer = open
    const md5 = createHash('md5')
    let bytes = 0
    for await (const piece of body.pieces()) {
      const writing = open.write(piece)
      md5.update(piece)
      bytes += piece.byteLength
      await writing
    }
    if (bytes !== body.bytes) throw new Error(`the source ended after ${bytes} of ${body.bytes}`)
    const meta = metaWith(draft, md5.digest('hex'))
    return storedInfo(await open.commit(meta, draft.condition))
  } catch (error) {
    await writer?.abort()
    throw error
  }
}

function rangeOfSource(exchange: Exchange, info: ItemInfo): ByteRange {
  const ranges = rangesOf(exchange.header('range'), info.bytes)
  if (ranges === null) return { start: 0, end: info.bytes }
  const [only] = ranges
  if (only === undefined) throw refusal(416)
  if (ranges.length > 1) throw badRequest('A copy takes one range at most')
  return only
}

/** If-… headers of a copy are about its source; only `If-None-Match: *` is about the target. */
function sourceConditionReply(exchange: Exchange, info: ItemInfo): Reply | null {
  const condition = conditionOf(exchange)
  if (condition === undefined) return null
  const { ifNoneMatch, ...rest } = condition
  const aboutSource: Condition =
    ifNoneMatch === undefined || ifNoneMatch.includes('*') ? rest : condition
  const outcome = judgeForRead(aboutSource, conditionSubject(info))
  if (outcome === 'holds') return null
  const status = outcome === 'not-modified' ? 304 : 412
  return status === 412
    ? statusReply(412)
    : { status, headers: objectReplyHeaders(info), body: null }
}

function targetCondition(exchange: Exchange): Condition | undefined {
  const noneMatch = exchange.headers['if-none-match']
  return noneMatch?.includes('*') === true ? { ifNoneMatch: ['*'] } : undefined
}

function copiedHeaders(source: SwiftPath, info: ItemInfo, draft: ObjectDraft): string[] {
  const out = [
    'X-Copied-From-Account',
    escapePath(source.account),
    'X-Copied-From',
    escapePath(`${source.container}/${source.object}`),
    'X-Copied-From-Last-Modified',
    lastModified(info.metaStamp.ticks),
  ]
  for (const [name, value] of Object.entries(draft.headers)) {
    const shown = name.startsWith('x-object-meta-') || name === 'x-delete-at'
    if (shown) out.push(titleCase(name), value)
  }
  return out
}

/** `container/object`, escaped, with or without a slash in front; 412 for anything else. */
function pathHeader(exchange: Exchange, name: string): { container: string; object: string } {
  const text = unescapeUrl(exchange.header(name.toLowerCase()) ?? '')
  if (text === null || text.includes('\0')) {
    throw refusal(412, `Invalid UTF8 or contains NULL: ${name}`)
  }
  const path = text.startsWith('/') ? text.slice(1) : text
  const slash = path.indexOf('/')
  if (slash < 1 || slash === path.length - 1) {
    throw refusal(412, `${name} header must be of the form <container name>/<object name>`)
  }
  return { container: path.slice(0, slash), object: path.slice(slash + 1) }
}

function accountHeader(exchange: Exchange, name: string): string | undefined {
  const value = exchange.header(name)
  if (value === undefined) return undefined
  const account = unescapeUrl(value)
  if (account === null || account.includes('\0'))
    throw refusal(412, 'Invalid UTF8 or contains NULL')
  if (account === '') throw refusal(412, 'Account name cannot be empty')
  if (account.includes('/')) throw refusal(412, 'Account name cannot contain slashes')
  return account
}
