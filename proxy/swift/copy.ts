import type { Condition } from '../../common/condition.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import type { ObjectWriter } from '../backend/backend.ts'
import { LISTED } from '../backend/rows.ts'
import { S3_SSE } from '../encryption/sse-record.ts'
import { errorReply } from '../error-reply.ts'
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { isStream, type Reply, type ReplyStream, statusReply } from '../reply.ts'
import { PLACED } from '../storage-class/placed-record.ts'
import { escapePath } from '../wire-text.ts'
import { type BatchReport, renderReport, reportType, statusLine } from './batch-report.ts'
import { conditionOf, conditionSubject, judgeForRead } from './condition-headers.ts'
import {
  S3_ACL,
  S3_CLASS,
  S3_RENAME_CLAIM,
  S3_RENAMED,
  S3_REPLICATION,
  S3_SHARES_PARTS,
  S3_UPLOAD,
} from './foreign-meta.ts'
import { findObject, findVersion, type ObjectView, versionAcl, versionOf } from './found-object.ts'
import { heartbeatReply, wantsHeartbeat } from './heartbeat.ts'
import { lastModified } from './http-date.ts'
import { checkObjectManifest, OBJECT_MANIFEST } from './large/dynamic-object.ts'
import {
  decodeManifest,
  parseManifest,
  rawManifest,
  type StoredSegment,
} from './large/slo-manifest.ts'
import { manifestReply, storeManifest } from './large/slo-put.ts'
import { manifestOf, SLO_BYTES, SLO_ETAG, STATIC_LARGE_OBJECT } from './large/static-object.ts'
import { LINK_HEADERS, targetOf } from './links/symlink.ts'
import { copiedLink, storeLink, type WantedLink } from './links/symlink-put.ts'
import { checkObjectMeta, isInternalHeader, titleCase } from './metadata.ts'
import { accessObject } from './object-access.ts'
import { closeBody, pieceOf } from './object-body.ts'
import { viewHeaders } from './object-read.ts'
import { viewObject } from './object-view.ts'
import {
  checkCondition,
  checkObjectName,
  commitDraft,
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
import { accountHeader, pathHeader } from './path-header.ts'
import { isTrue } from './query.ts'
import { checkQuotas } from './quotas.ts'
import { type ByteRange, rangesOf } from './range.ts'
import { NULL_MARK } from './versions/name-versions.ts'
import { LEGAL_HOLD, RETENTION } from './versions/object-lock.ts'
import { type Stored, storeObject } from './versions/store-object.ts'

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
  checkObjectManifest(exchange)
  if (!wantsHeartbeat(exchange)) return makeCopy(exchange, copy)
  const type = reportType(exchange) === 'application/json' ? 'application/json' : 'text/plain'
  const work = makeCopy(exchange, copy).then(
    (reply) => copyReport(copy, reply),
    (error: unknown) => copyReport(copy, errorReply(exchange, error)),
  )
  return heartbeatReply(exchange, {
    contentType: type,
    work: work.then((report) => renderReport(type, report)),
  })
}

/** The copy's answer for a client that was answered 202 long ago. */
function copyReport({ source }: Copy, reply: Reply): BatchReport {
  const { status, body, headers } = reply
  const fields: Record<string, string> = {
    'Response Status': statusLine(status),
    'Response Body': typeof body === 'string' ? body : '',
  }
  for (let i = 0; i < headers.length; i += 2) fields[headers[i]!] = headers[i + 1]!
  const path = escapePath(`${source.container}/${source.object}`)
  const errors = status < 300 ? [] : ([[path, statusLine(status)]] as const)
  return { fields, errors, root: 'copy' }
}

async function makeCopy(exchange: Exchange, { source, target }: Copy): Promise<Reply> {
  const view = await openSource(exchange, source)
  try {
    const { info } = view.read
    const unmet = sourceConditionReply(exchange, view)
    if (unmet !== null) return unmet
    const place = await accessObject(exchange, { acl: 'write', method: 'PUT', path: target })
    checkObjectName(exchange, place.object)
    const draft: ObjectDraft = {
      place,
      contentType: contentTypeFor(exchange, place.object, info.meta.contentType),
      headers: mergedHeaders(exchange, info, { source, target }),
      condition: targetCondition(exchange),
      etagWanted: undefined,
    }
    await checkCondition(exchange, draft)
    const copied = copiedHeaders({ source, view, draft })
    if (view.link !== undefined) {
      const linked = await storeLink(exchange, draft, view.link)
      return createdReply(linked.info, [...linked.headers, ...copied])
    }
    if (view.manifest !== undefined) {
      const wanted = parseManifest(rawManifest(view.manifest), `${place.container}/${place.object}`)
      return manifestReply(exchange, await storeManifest(exchange, draft, wanted), copied)
    }
    const stored = await storeCopy(exchange, draft, view)
    return createdReply(stored.info, [...stored.headers, ...copied])
  } finally {
    await closeBody(view.read)
  }
}

/** What is copied: the object as its readers see it, or (`multipart-manifest=get`) its manifest. */
interface SourceView extends ObjectView {
  /** The segments of a static large object that is copied as a manifest. */
  readonly manifest?: readonly StoredSegment[]
  /** The target of a link that is copied as a link (`symlink=get`). */
  readonly link?: WantedLink
}

async function openSource(exchange: Exchange, path: SwiftPath): Promise<SourceView> {
  const acl = versionAcl(exchange, 'read')
  const place = await accessObject(exchange, { acl, method: 'GET', path })
  const version = versionOf(exchange)
  const found = version
    ? await findVersion(exchange, place, { version, head: false })
    : await findObject(exchange, place, { newest: true })
  if (found === null) throw refusal(404)
  const { meta } = found.read.info
  const link = targetOf(meta)
  if (link !== null && exchange.query.get('symlink') === 'get') {
    return { ...found, headers: [], link: copiedLink(exchange, link) }
  }
  if (asksForManifest(exchange) && meta.headers[STATIC_LARGE_OBJECT] !== undefined) {
    return { ...found, headers: [], manifest: decodeManifest(await manifestOf(exchange, found)) }
  }
  return viewObject(exchange, found, { head: false, depth: 0, isAsked: true })
}

function asksForManifest(exchange: Exchange): boolean {
  return exchange.query.get('multipart-manifest') === 'get'
}

/** What says how the source is put together, which its copy is not. */
const NOT_COPIED = new Set([
  ...LINK_HEADERS,
  STATIC_LARGE_OBJECT,
  SLO_ETAG,
  SLO_BYTES,
  LISTED,
  // What binds one version, or is said of it, is not the copy's.
  NULL_MARK,
  RETENTION,
  LEGAL_HOLD,
  S3_ACL,
  S3_SSE,
  S3_CLASS,
  S3_REPLICATION,
  PLACED,
])

/** What is said of the one name: another that has the same parts (as a manifest) would take them along when it goes. */
const NOT_COPIED_ELSEWHERE = new Set([S3_UPLOAD, S3_SHARES_PARTS, S3_RENAME_CLAIM, S3_RENAMED])

/** The source's metadata under the request's own; only the latter with X-Fresh-Metadata. */
function mergedHeaders(exchange: Exchange, source: ItemInfo, copy: Copy): Record<string, string> {
  const isElsewhere = !isItself(copy)
  const own = requestObjectHeaders(exchange)
  const fresh = isTrue(exchange.header('x-fresh-metadata'))
  const merged: Record<string, string> = {}
  for (const [name, value] of Object.entries(source.meta.headers)) {
    if (isElsewhere && NOT_COPIED_ELSEWHERE.has(name)) continue
    if (NOT_COPIED.has(name) || (name === OBJECT_MANIFEST && !asksForManifest(exchange))) continue
    if (!fresh || isInternalHeader(name) || name === OBJECT_MANIFEST) merged[name] = value
  }
  Object.assign(merged, own)
  checkObjectMeta(merged, exchange.proxy.limits)
  return merged
}

function isItself({ source, target }: Copy): boolean {
  const { account, container, object } = source
  return account === target.account && container === target.container && object === target.object
}

/** A part of the source is a body of its own; the whole of it is verified by its checksums and keeps its ETag. */
async function storeCopy(
  exchange: Exchange,
  draft: ObjectDraft,
  view: ObjectView,
): Promise<Stored> {
  const { read } = view
  if (view.part === null) throw refusal(416)
  const range = view.part ?? rangeOfSource(exchange, read.info)
  const { objectBytesMax } = exchange.proxy.limits
  if (range.end - range.start > objectBytesMax) throw refusal(413)
  await view.segments?.prepare(range)
  await checkQuotas(exchange, draft.place, range.end - range.start)
  const isWhole = range.start === 0 && range.end === read.info.bytes
  const body = pieceOf(read, range)
  const known = view.isLarge === true ? undefined : read.info.meta.etag
  const copy: ObjectDraft = { ...draft, etagWanted: isWhole ? known : etagWantedBy(exchange) }
  if (isStream(body)) {
    const store = (to: ObjectDraft) => storeStreamed(exchange, to, body)
    return storeObject(exchange, copy, store, { repeatable: false })
  }
  // The bytes may be shared with whoever read them; the store keeps its own.
  const whole = Buffer.from(body ?? '')
  const store = (to: ObjectDraft) => storeWhole(exchange, to, whole)
  return storeObject(exchange, copy, store, { repeatable: true })
}

async function storeStreamed(
  exchange: Exchange,
  draft: ObjectDraft,
  body: ReplyStream,
): Promise<ItemInfo> {
  const { backend } = exchange.proxy
  const md5 = exchange.proxy.md5.open()
  let writer: ObjectWriter | null = null
  try {
    const open = await backend.openObject(draft.place)
    writer = open
    let bytes = 0
    for await (const piece of body.pieces()) {
      const writing = open.write(piece)
      // Looked at below.
      writing.catch(ignore)
      await md5.update(piece)
      bytes += piece.byteLength
      await writing
    }
    if (bytes !== body.bytes) throw new Error(`the source ended after ${bytes} of ${body.bytes}`)
    const meta = metaWith(draft, await md5.digest())
    return storedInfo(await commitDraft(draft, (condition) => open.commit(meta, condition)))
  } catch (error) {
    await writer?.abort()
    throw error
  } finally {
    md5.close()
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
function sourceConditionReply(exchange: Exchange, view: ObjectView): Reply | null {
  const { info } = view.read
  const condition = conditionOf(exchange)
  if (condition === undefined) return null
  const { ifNoneMatch, ...rest } = condition
  const aboutSource: Condition =
    ifNoneMatch === undefined || ifNoneMatch.includes('*') ? rest : condition
  const outcome = judgeForRead(aboutSource, conditionSubject(info))
  if (outcome === 'holds') return null
  const status = outcome === 'not-modified' ? 304 : 412
  return status === 412 ? statusReply(412) : { status, headers: viewHeaders(view), body: null }
}

function targetCondition(exchange: Exchange): Condition | undefined {
  const noneMatch = exchange.headers['if-none-match']
  return noneMatch?.includes('*') === true ? { ifNoneMatch: ['*'] } : undefined
}

function copiedHeaders(of: {
  readonly source: SwiftPath
  readonly view: ObjectView
  readonly draft: ObjectDraft
}): string[] {
  const { source, view, draft } = of
  const { info } = view.read
  const out = [
    'X-Copied-From-Account',
    escapePath(source.account),
    'X-Copied-From',
    escapePath(`${source.container}/${source.object}`),
    'X-Copied-From-Last-Modified',
    lastModified(info.metaStamp.ticks),
  ]
  if (view.version !== undefined) out.push('X-Copied-From-Version-Id', view.version)
  for (const [name, value] of Object.entries(draft.headers)) {
    const shown = name.startsWith('x-object-meta-') || name === 'x-delete-at'
    if (shown) out.push(titleCase(name), value)
  }
  return out
}

function ignore(): void {}
