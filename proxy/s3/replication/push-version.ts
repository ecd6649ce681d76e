/** Brings one version, delete markers and tags among them, to the bucket elsewhere, and keeps with it that it is there. */
import { hash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { sseOf } from '../../encryption/sse-record.ts'
import { isStream } from '../../reply.ts'
import { S3_REPLICATION } from '../../swift/foreign-meta.ts'
import { type FoundObject, NULL_VERSION } from '../../swift/found-object.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { closeBody, pieceOf } from '../../swift/object-body.ts'
import type { ByteRange } from '../../swift/range.ts'
import { isDeleteMarker } from '../../swift/versions/find-version.ts'
import { retentionOf } from '../../swift/versions/object-lock.ts'
import {
  formatVersionId,
  parseVersionId,
  type VersionId,
} from '../../swift/versions/version-names.ts'
import { nullId } from '../../swift/versions/version-writes.ts'
import { toWire } from '../../wire-text.ts'
import {
  type Checksum,
  checksumHeader,
  checksumTag,
  DEFAULT_CHECKSUM,
} from '../checksum/checksum-algorithm.ts'
import { lockHeaders } from '../lock/lock-headers.ts'
import { lookForVersion } from '../object/find-for-s3.ts'
import { objectReplyHeaders } from '../object/object-headers.ts'
import { checksumOfObject, S3_ETAG } from '../object/object-traits.ts'
import { openObject } from '../object/view-for-s3.ts'
import type { S3Call } from '../s3-call.ts'
import { taggingElement, tagsOfObject } from '../tagging/tag-set.ts'
import { parseXml } from '../xml/xml-in.ts'
import { renderS3Xml } from '../xml/xml-out.ts'
import { IS_HERE, SOURCE_VERSION } from './replica-request.ts'
import type { MarkKind } from './replication-marks.ts'
import { factsOf, type Replication, type ReplicationRule, ruleFor } from './replication-rule.ts'
import { finalStatus, idThere } from './replication-status.ts'
import { type SourcePart, sourceParts } from './source-parts.ts'
import type { TargetAnswer, TargetClient, TargetRequest } from './target-client.ts'

export interface PushContext {
  /** One of the process's own, for the version's name. */
  readonly call: S3Call
  readonly place: ObjectPlace
  readonly replication: Replication
  readonly client: TargetClient
  readonly signal: AbortSignal
}

/** `stays`: no rule is about it, it is there already, or it is gone. */
export type PushOutcome = 'done' | 'stays'

type Headers = Readonly<Record<string, string>>

const ROUNDS_MAX = 8
/** Of what an answer says of the version, and not of what it was made of. */
const NOT_SENT = ['last-modified', 'etag', 'accept-ranges']

/** Throws what went wrong: it is to be tried again. `version` is an id, also where S3 says `null` of it, or `null`. */
export async function pushVersion(
  context: PushContext,
  version: string,
  kind: MarkKind,
): Promise<PushOutcome> {
  const { call, place, replication, client } = context
  const found = await lookForVersion(call, place, { version, head: true })
  if (found === null) return 'stays'
  const { info } = found.read
  const id = version === NULL_VERSION ? nullId(info) : parseVersionId(version)
  if (id === null) return 'stays'
  const isMarker = isDeleteMarker(info)
  // What was marked when it was written is new, whatever the clocks say.
  const ticks = kind === 'existing' ? id.ticks : Number.MAX_SAFE_INTEGER
  const facts = factsOf(info, { key: call.key, isMarker, ticks })
  const rule = ruleFor(replication, facts)
  if (rule === null) return 'stays'
  const final = finalStatus(info)
  // A scan that was asked for is another attempt.
  const isRetried = kind === 'existing' && final === 'FAILED'
  if (final !== undefined && !isRetried) {
    const there = idThere(info)
    if (kind !== 'tags' || there === undefined) return 'stays'
    await pushTags(context, info, there)
    return 'done'
  }
  const known = client.keepsIds && !isMarker ? await isThere(context, id) : false
  const made = known ? formatVersionId(id) : await push(context, { found, version, id, rule })
  await keepStatus(context, version, `COMPLETED ${made}`)
  return 'done'
}

/** Keeps with the version what its replication has come to. */
export async function keepStatus(
  { call, place }: Pick<PushContext, 'call' | 'place'>,
  version: string,
  status: string,
): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const found = await lookForVersion(call, place, { version, head: true })
    if (found === null) return
    const { info } = found.read
    const headers = { ...info.meta.headers, [S3_REPLICATION]: status }
    const outcome = await call.exchange.proxy.backend.postObject(found.place, {
      meta: { headers },
      condition: { ifWriteId: info.writeId },
    })
    if (outcome.status !== 'precondition-failed') return
  }
  throw new Error('others change the version all the time')
}

/** An earlier attempt has come through, whose answer was lost. */
async function isThere({ call, client, signal }: PushContext, id: VersionId): Promise<boolean> {
  const headers = { [SOURCE_VERSION]: formatVersionId(id), [IS_HERE]: 'true' }
  const { status } = await client.send({ method: 'PUT', key: call.key, headers }, signal)
  return status === 200
}

interface Pushed {
  readonly found: FoundObject
  readonly version: string
  readonly id: VersionId
  readonly rule: ReplicationRule
}

/** The id that it has there. */
async function push(context: PushContext, pushed: Pushed): Promise<string> {
  const { client } = context
  const replica: Headers = client.keepsIds ? { [SOURCE_VERSION]: formatVersionId(pushed.id) } : {}
  if (isDeleteMarker(pushed.found.read.info)) {
    const answer = await send(context, { method: 'DELETE', headers: replica })
    return answer.headers['x-amz-version-id'] ?? ''
  }
  return pushObject(context, pushed, replica)
}

async function pushObject(
  context: PushContext,
  { version, rule }: Pushed,
  replica: Headers,
): Promise<string> {
  const { call, place } = context
  const wanted = { version, head: true, customer: undefined }
  const view = await openObject(call, { ...place, judge: null }, wanted)
  const { info } = view.read
  const head = headOf(context, info, rule)
  const parts = await sourceParts(call, view)
  const source = { version, writeId: info.writeId }
  if (parts !== null) return pushParts(context, { source, parts, head, replica, info })
  const isWhole = view.isLarge !== true && info.meta.headers[S3_ETAG] === undefined
  const headers = {
    ...head,
    ...replica,
    ...checksumHeaders(checksumOfObject(info)),
    ...(isWhole && md5Header(info.meta.etag)),
  }
  const answer = await sendRange(context, source, {
    range: { start: 0, end: info.bytes },
    request: { method: 'PUT', headers },
  })
  return answer.headers['x-amz-version-id'] ?? ''
}

/** What is said of an object that is made. */
function headOf({ call }: PushContext, info: ItemInfo, { kmsKey }: ReplicationRule): Headers {
  const headers: Record<string, string> = {}
  const shown = objectReplyHeaders(info)
  for (let at = 0; at < shown.length; at += 2) {
    const name = shown[at]!.toLowerCase()
    if (!NOT_SENT.includes(name)) headers[name] = toWire(shown[at + 1]!)
  }
  const tags = tagsOfObject(info).map(({ key, value }) => [key, value].map(encodeURIComponent))
  if (tags.length > 0) headers['x-amz-tagging'] = tags.map((tag) => tag.join('=')).join('&')
  const isOver = (retentionOf(info)?.untilMs ?? 0) <= call.exchange.proxy.clock.nowMs()
  const lock = lockHeaders(info)
  for (let at = 0; at < lock.length; at += 2) {
    const isHold = lock[at] === 'x-amz-object-lock-legal-hold'
    if (isHold || !isOver) headers[lock[at]!] = lock[at + 1]!
  }
  const sse = sseOf(info.meta)
  if (sse === undefined) return headers
  headers['x-amz-server-side-encryption'] = sse.mode
  if (sse.mode !== 'AES256') headers['x-amz-server-side-encryption-aws-kms-key-id'] = kmsKey!
  return headers
}

async function pushParts(
  context: PushContext,
  of: {
    readonly source: Source
    readonly parts: readonly SourcePart[]
    readonly head: Headers
    readonly replica: Headers
    readonly info: ItemInfo
  },
): Promise<string> {
  const { source, parts, head, replica, info } = of
  const checksum = checksumOfParts(parts, checksumOfObject(info))
  const begun = await send(context, {
    method: 'POST',
    query: 'uploads',
    headers: { ...head, ...algorithmHeaders(checksum) },
  })
  const root = parseXml(Buffer.from(begun.body), 'InitiateMultipartUploadResult')
  const uploadId = encodeURIComponent(root.textOf('UploadId') ?? '')
  try {
    const Part = []
    for (const [index, part] of parts.entries()) {
      const own = checksum === undefined ? undefined : part.checksum
      const request: Omit<TargetRequest, 'key'> = {
        method: 'PUT',
        query: `partNumber=${index + 1}&uploadId=${uploadId}`,
        headers: { ...md5Header(part.md5), ...checksumHeaders(own) },
      }
      const { headers } = await sendRange(context, source, { range: part.range, request })
      const tag = own && { [checksumTag(own.algorithm)]: own.value }
      Part.push({ PartNumber: index + 1, ETag: headers.etag ?? '', ...tag })
    }
    const answer = await send(context, {
      method: 'POST',
      query: `uploadId=${uploadId}`,
      headers: { ...replica, 'content-type': 'application/xml' },
      body: Buffer.from(renderS3Xml('CompleteMultipartUpload', { Part })),
    })
    if (answer.body.includes('<Error>')) throw new Error(`CompleteMultipartUpload: ${answer.body}`)
    return answer.headers['x-amz-version-id'] ?? ''
  } catch (error) {
    await send(context, { method: 'DELETE', query: `uploadId=${uploadId}` }).catch(() => {})
    throw error
  }
}

/** That of the whole, if all parts have one to go with it; what every store makes by itself needs no word. */
function checksumOfParts(
  parts: readonly SourcePart[],
  whole: Checksum | undefined,
): Checksum | undefined {
  if (whole === undefined || whole.algorithm === DEFAULT_CHECKSUM) return undefined
  return parts.every(({ checksum }) => checksum?.algorithm === whole.algorithm) ? whole : undefined
}

function algorithmHeaders(checksum: Checksum | undefined): Headers {
  if (checksum === undefined) return {}
  const { algorithm, type } = checksum
  return { 'x-amz-checksum-algorithm': algorithm, 'x-amz-checksum-type': type }
}

function checksumHeaders(checksum: Checksum | undefined): Headers {
  if (checksum === undefined || checksum.value.includes('-')) return {}
  return { [checksumHeader(checksum.algorithm)]: checksum.value }
}

function md5Header(hex: string | undefined): Headers {
  if (hex === undefined || !/^[0-9a-f]{32}$/.test(hex)) return {}
  return { 'content-md5': Buffer.from(hex, 'hex').toString('base64') }
}

async function pushTags(context: PushContext, info: ItemInfo, there: string): Promise<void> {
  const tags = tagsOfObject(info)
  const query = `tagging${there === '' ? '' : `&versionId=${encodeURIComponent(there)}`}`
  if (tags.length === 0) {
    await send(context, { method: 'DELETE', query })
    return
  }
  const body = Buffer.from(renderS3Xml('Tagging', taggingElement(tags)))
  const headers = { 'content-type': 'application/xml', ...md5Header(hash('md5', body, 'hex')) }
  await send(context, { method: 'PUT', query, headers, body })
}

/** The record whose bytes are sent. */
interface Source {
  readonly version: string
  readonly writeId: string
}

async function sendRange(
  context: PushContext,
  { version, writeId }: Source,
  of: { readonly range: ByteRange; readonly request: Omit<TargetRequest, 'key'> },
): Promise<TargetAnswer> {
  const { call, place } = context
  const { range, request } = of
  const wanted = { version, head: false, customer: undefined }
  const view = await openObject(call, { ...place, judge: null }, wanted)
  let stream: Readable | undefined
  try {
    if (view.read.info.writeId !== writeId) throw new Error('the version was changed meanwhile')
    if (view.segments !== undefined) await view.segments.prepare(range)
    const piece = pieceOf(view.read, range)
    if (isStream(piece)) stream = Readable.from(piece.pieces(), { objectMode: false })
    const body = stream ?? Buffer.from((piece ?? '') as Uint8Array)
    const headers = { ...request.headers, 'content-length': String(range.end - range.start) }
    return await send(context, { ...request, headers, body })
  } finally {
    stream?.destroy()
    await closeBody(view.read)
  }
}

async function send(
  { call, client, signal }: PushContext,
  request: Omit<TargetRequest, 'key'>,
): Promise<TargetAnswer> {
  const answer = await client.send({ ...request, key: call.key }, signal)
  if (answer.status >= 200 && answer.status < 300) return answer
  const code = /<Code>(\w+)<\/Code>/.exec(answer.body)?.[1] ?? ''
  throw new Error(`${request.method} was answered ${answer.status} ${code}`)
}
