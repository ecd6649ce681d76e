/**
 * Objects are written by the Swift API's own PUT, as a request within the request: so quotas, encryption, versions and
 * whatever else stands around it hold for both APIs. Only what this request says is passed on; no header of the client's
 * reaches it but the three of swift-headers.ts, so that native control headers sent through S3 do nothing.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { ServiceError } from '../../../common/errors.ts'
import { INLINE_BYTES_MAX } from '../../../common/storage-node.ts'
import { type SseSeal, sealingBackend } from '../../encryption/sse-backend.ts'
import { encodeSse, S3_SSE } from '../../encryption/sse-record.ts'
import { type Authority, refusal } from '../../exchange.ts'
import type { ProxyContext } from '../../proxy-context.ts'
import { type Reply, replyHeader } from '../../reply.ts'
import { markJudged } from '../../swift/bucket-policy.ts'
import { S3_CLASS, S3_REPLICATION } from '../../swift/foreign-meta.ts'
import { dropReply, innerExchange } from '../../swift/inner-exchange.ts'
import type { SwiftPath } from '../../swift/path.ts'
import { type Replica, S3_VERSION_RULES } from '../../swift/versions/version-rules.ts'
import { toWire } from '../../wire-text.ts'
import type { S3Body } from '../body/s3-body.ts'
import { segmentsContainer } from '../bucket/bucket-name.ts'
import { REPLICA } from '../replication/replication-status.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import type { ObjectHead } from './object-headers.ts'

/** Bytes of a body in one piece: S3 calls for more parts beyond that. */
export const OBJECT_BYTES_MAX = 5 * 1024 ** 3

/** Bytes that come from somewhere else than the request's body. */
export interface BytesToPut {
  /** Null: nobody knows. */
  readonly bytes: number | null
  pieces(): AsyncIterable<Uint8Array>
  /** Why they did not come to their end. */
  readonly failure?: unknown
}

export interface SwiftPut {
  readonly path: SwiftPath
  readonly head: ObjectHead
  /** The store's own metadata; asked for when the body has come. */
  readonly added: () => Readonly<Record<string, string>>
  readonly condition?: IncomingHttpHeaders
  /** What the request says in Swift's own words, for the object alone. */
  readonly words?: IncomingHttpHeaders
  /** Only in the place of a record of this write id. */
  readonly ifWriteId?: string
  /** In place of the caller's rights. */
  readonly authority?: Authority
  /** Another store's version. */
  readonly replica?: Replica | undefined
  /** How the body is to be enciphered. */
  readonly seal?: SseSeal | null
  /** The body says what the object is made of: it stays in its container's policy, whatever class the parts have. */
  readonly isManifest?: true
}

export interface PutOutcome {
  /** Hex MD5. */
  readonly etag: string
  readonly lastModified: string
  /** For the answer: the id that the object has as a version. */
  readonly versionHeaders: readonly string[]
}

/** Stores the request's body. */
export function putBody(call: S3Call, put: SwiftPut, body: S3Body): Promise<PutOutcome> {
  const { bytes, md5 } = body.plan
  if (bytes === null && call.header('transfer-encoding') === undefined) {
    throw new S3Error('MissingContentLength')
  }
  if (bytes !== null && bytes > OBJECT_BYTES_MAX) {
    throw new S3Error('EntityTooLarge', undefined, {
      ProposedSize: String(bytes),
      MaxSizeAllowed: String(OBJECT_BYTES_MAX),
    })
  }
  const headers = md5 === undefined ? {} : { etag: md5 }
  if (bytes !== null && bytes <= INLINE_BYTES_MAX) {
    const whole = body.whole(INLINE_BYTES_MAX)
    return whole instanceof Promise
      ? whole.then((bytes) => putBytes(call, put, { headers, body: bytes! }))
      : putBytes(call, put, { headers, body: whole! })
  }
  const source = { bytes, pieces: () => body.pieces() }
  return putPieces(call, put, source, headers).catch((error: unknown) => {
    throw body.failure ?? error
  })
}

/** Stores bytes as they come. */
export async function putPieces(
  call: S3Call,
  put: SwiftPut,
  source: BytesToPut,
  headers: IncomingHttpHeaders = {},
): Promise<PutOutcome> {
  const body = Readable.from(source.pieces(), {
    objectMode: false,
    highWaterMark: READ_AHEAD_BYTES,
  })
  // The reader hears of it by `close`, and whoever made the pieces knows why.
  body.on('error', ignore)
  try {
    return await putBytes(call, put, {
      headers: { ...headers, ...lengthHeader(source.bytes) },
      body,
    })
  } finally {
    body.destroy()
  }
}

function lengthHeader(bytes: number | null): IncomingHttpHeaders {
  return bytes === null ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(bytes) }
}

const READ_AHEAD_BYTES = 256 * 1024

async function putBytes(
  call: S3Call,
  put: SwiftPut,
  sent: { readonly headers: IncomingHttpHeaders; readonly body: Uint8Array | Readable },
): Promise<PutOutcome> {
  const { exchange } = call
  const inner = innerExchange(exchange, {
    method: 'PUT',
    path: put.path,
    headers: {
      'content-type': toWire(put.head.contentType),
      ...put.words,
      ...sent.headers,
      ...put.condition,
    },
    body: sent.body,
    ...(put.authority !== undefined && { authority: put.authority }),
    ...(put.seal && { proxy: sealingProxy(exchange.proxy, put.seal) }),
  })
  // Parts are written where they lie with the right to write into their bucket.
  if (put.path.container !== call.bucket && put.path.container === segmentsContainer(call.bucket))
    markJudged(inner, put.path)
  const { replica } = put
  inner.versionRules = replica ? { ...S3_VERSION_RULES, replica } : S3_VERSION_RULES
  inner.onlyIfWriteId = put.ifWriteId
  if (put.isManifest !== true) inner.storageClass = put.head.headers[S3_CLASS]
  const { seal, head } = put
  inner.addedMeta = () => {
    const meta: Record<string, string> = Object.assign({}, head.headers, put.added())
    if (seal) meta[S3_SSE] = encodeSse(seal.record)
    if (replica) meta[S3_REPLICATION] = REPLICA
    return meta
  }
  const reply = await exchange.proxy.answerInner(inner)
  const dropping = dropReply(reply)
  if (dropping !== undefined) await dropping
  if (reply.status !== 201) throw failureOf(reply)
  const versionId = replyHeader(reply, 'X-Object-Version-Id')
  return {
    etag: replyHeader(reply, 'Etag') ?? '',
    lastModified: replyHeader(reply, 'Last-Modified') ?? '',
    versionHeaders: versionId === undefined ? [] : ['x-amz-version-id', versionId],
  }
}

/** The proxy as a request sees it whose body is sealed on its way. */
function sealingProxy(proxy: ProxyContext, seal: SseSeal): ProxyContext {
  const backend = sealingBackend(proxy.backend, seal, proxy.random)
  return Object.assign(Object.create(proxy) as ProxyContext, { backend })
}

/** What went wrong within. */
export function failureOf(reply: Reply): ServiceError {
  return reply.cause ?? refusal(reply.status)
}

function ignore(): void {}
