/**
 * A storage node over HTTP/1.1, for proxies in other processes: one POST for each call of StorageNode, signed with the
 * cluster's key, framed as docs/formats/wire.md draws it. Bodies stream both ways at the pace of the slower side.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Clock, systemClock } from '../../common/clock.ts'
import type { ClusterMember } from '../../common/cluster-member.ts'
import { ServiceError, systemErrorCode } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import { type Log, silentLog } from '../../common/log.ts'
import { type Random, systemRandom } from '../../common/random.ts'
import {
  type BodyWriter,
  INLINE_BYTES_MAX,
  type ItemWrite,
  type StorageNode,
  type WriteOutcome,
} from '../../common/storage-node.ts'
import {
  DATA_BYTES_MAX,
  dataFrameHeader,
  decodeMessage,
  encodeJsonFrame,
  encodeMessage,
  FRAME_KINDS,
  type StreamEvent,
} from '../../common/wire/frames.ts'
import {
  failureOfError,
  isWrite,
  OPERATIONS,
  type Operation,
  parseRequest,
  WIRE_CONTENT_TYPE,
  WIRE_VERSION,
  WIRE_VERSION_HEADER,
} from '../../common/wire/operations.ts'
import { refusalOf } from '../../common/wire/signature.ts'
import { BodyReaders } from './body-readers.ts'
import { ChangedBatches } from './changed-batches.ts'
import { ChannelServer } from './channel-server.ts'
import { type HandlerContext, handleUnary, type UnaryOperation } from './operation-handlers.ts'
import { brokenOff, collectBody, requestFrames } from './request-body.ts'

export interface NodeServerOptions {
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  /** What proxies sign with; at least 16 characters. */
  readonly clusterKey: string
  readonly clock?: Clock
  readonly random?: Random
  readonly log?: Log
  readonly connectionsMax?: number
  /** How long close() waits for requests in flight before it breaks them off. */
  readonly closeGraceMs?: number
  /** What the node does for the movement of partitions; absent: it takes no part. */
  readonly member?: ClusterMember
  /** The page for Prometheus, shown to anybody at /metrics; absent: there is none. */
  readonly metrics?: () => Promise<string>
}

export interface NodeServer {
  readonly host: string
  readonly port: number
  /** Accepts no more, ends what is in flight; the node itself stays open. Idempotent. */
  close(): Promise<void>
}

/** An inline body and the longest metadata fit. */
const REQUEST_BYTES_MAX = INLINE_BYTES_MAX + 1024 * 1024
const CONNECTIONS_MAX = 4_096
/** Longer than the client's 60 s, so that the client is the one that closes an idle connection. */
const KEEP_ALIVE_MS = 75_000
/** A connection in the middle of a request on which nothing moves. */
const STALLED_MS = 180_000
const CLOSE_GRACE_MS = 10_000
const NO_BYTES = Buffer.alloc(0)

/** Serves a node until `close`. Rejects when the port cannot be had. */
export async function serveStorageNode(
  node: StorageNode,
  options: NodeServerOptions,
): Promise<NodeServer> {
  if (options.clusterKey.length < 16) {
    throw new ServiceError('BadClusterKey', 'the cluster key needs 16 characters or more')
  }
  const handler = new NodeHandler(node, options)
  const server = createServer(
    { maxHeaderSize: 16 * 1024, requestTimeout: 0 },
    (request, response) => handler.handle(request, response),
  )
  server.on('upgrade', (request, socket, early) => handler.channels.upgrade(request, socket, early))
  server.keepAliveTimeout = KEEP_ALIVE_MS
  server.headersTimeout = 60_000
  server.maxConnections = options.connectionsMax ?? CONNECTIONS_MAX
  server.timeout = STALLED_MS
  await listen(server, options)
  const { port } = server.address() as AddressInfo
  let closing: Promise<void> | null = null
  return {
    host: options.host,
    port,
    close() {
      closing ??= closeServer(server, handler, options).then(() => handler.close())
      return closing
    },
  }
}

function listen(server: Server, { host, port }: NodeServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function closeServer(
  server: Server,
  handler: NodeHandler,
  options: NodeServerOptions,
): Promise<void> {
  const { clock = systemClock, closeGraceMs = CLOSE_GRACE_MS } = options
  void handler.channels.close()
  return new Promise((resolve) => {
    const cancel = clock.after(closeGraceMs, () => {
      server.closeAllConnections()
      handler.channels.destroy()
    })
    server.close(() => {
      cancel()
      resolve()
    })
    server.closeIdleConnections()
  })
}

class NodeHandler {
  readonly #clusterKey: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #context: HandlerContext
  readonly #metrics: (() => Promise<string>) | undefined
  readonly channels: ChannelServer

  constructor(node: StorageNode, options: NodeServerOptions) {
    const { clock = systemClock, random = systemRandom, log = silentLog } = options
    this.#clusterKey = options.clusterKey
    this.#clock = clock
    this.#log = log
    this.#metrics = options.metrics
    this.#context = {
      node,
      member: options.member,
      readers: new BodyReaders({ clock, random }),
      batches: new ChangedBatches({ node, random }),
    }
    this.channels = new ChannelServer({
      clusterKey: options.clusterKey,
      random,
      log,
      context: this.#context,
      refusalOf: (request, signed) => this.#refusalOf(request, signed),
    })
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    this.#serve(request, response).catch((error) => this.#fail(request, response, error))
  }

  close(): Promise<void> {
    return this.#context.readers.closeAll()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'GET' && request.url === '/metrics' && this.#metrics !== undefined) {
      request.resume()
      response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8')
      response.end(await this.#metrics())
      return
    }
    const operation = operationOf(request)
    if (operation === 'open-body') return this.#receiveBody(request, response)
    if (request.headers.authorization === undefined) {
      request.resume()
      this.#authenticate(request, NO_BYTES)
    }
    const body = await collectBody(request, {
      bytesMax: REQUEST_BYTES_MAX,
      checkHead: (headBytes) => this.#authenticate(request, headBytes),
    })
    const message = decodeMessage(body)
    if (operation === 'read-body') return this.#sendBody(response, message.head)
    const { head, data } = await handleUnary<UnaryOperation>(
      this.#context,
      operation,
      message.head,
      message.data,
    )
    send(response, 200, encodeMessage(head, data ?? null))
  }

  #refusalOf(request: IncomingMessage, headBytes: Uint8Array): string | null {
    return refusalOf({ path: request.url ?? '', headBytes }, request.headers.authorization, {
      clusterKey: this.#clusterKey,
      nowMs: this.#clock.nowMs(),
    })
  }

  #authenticate(request: IncomingMessage, headBytes: Uint8Array): void {
    const refusal = this.#refusalOf(request, headBytes)
    if (refusal === null) return
    throw new ServiceError('Unauthorized', refusal, { status: 401 })
  }

  /** The answer begins when the body is open, and has the outcome of each commit. */
  async #receiveBody(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const frames = requestFrames(request)
    const first = await frames.next()
    const head = first.value as StreamEvent | undefined
    if (head?.kind !== 'head') throw brokenOff()
    this.#authenticate(request, head.bytes)
    const { device, item } = parseRequest('open-body', head.json)
    const writer = await this.#context.node.openBody(device, item)
    response.writeHead(200, STREAM_HEADERS)
    response.write(encodeMessage({ opened: true }))
    try {
      await receive(frames, writer, item, (outcome) => {
        response.write(encodeJsonFrame(FRAME_KINDS.tail, outcome))
      })
      response.end()
    } catch (error) {
      await writer.abort()
      this.#fail(request, response, error)
      await discard(frames)
    }
  }

  async #sendBody(response: ServerResponse, head: unknown): Promise<void> {
    const { reader, start, end } = parseRequest('read-body', head)
    response.writeHead(200, STREAM_HEADERS)
    response.write(encodeMessage({ started: true }))
    for await (const piece of this.#context.readers.stream(reader, start, end)) {
      for (let at = 0; at < piece.length; at += DATA_BYTES_MAX) {
        const part = piece.subarray(at, at + DATA_BYTES_MAX)
        response.write(dataFrameHeader(part.length))
        if (!response.write(part)) await drained(response)
        if (response.destroyed) return
      }
    }
    response.end(encodeJsonFrame(FRAME_KINDS.tail, null))
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    // A client that goes away in the middle is nobody's mistake.
    const isExpected = error instanceof ServiceError || systemErrorCode(error) === 'ECONNRESET'
    if (!isExpected) this.#log.error('request failed', { path: request.url, error })
    if (response.destroyed || response.writableEnded) return
    const failure = failureOfError(error)
    if (response.headersSent) {
      // The head is out: the tail says it.
      response.end(encodeJsonFrame(FRAME_KINDS.tail, failure))
      return
    }
    if (!request.complete) response.shouldKeepAlive = false
    send(response, failure.error.status, encodeMessage(failure))
  }
}

const STREAM_HEADERS = {
  'content-type': WIRE_CONTENT_TYPE,
  [WIRE_VERSION_HEADER]: WIRE_VERSION,
}

function operationOf(request: IncomingMessage): Operation {
  const version = request.headers[WIRE_VERSION_HEADER]
  if (version !== WIRE_VERSION) {
    throw new ServiceError(
      'WireVersion',
      `this node speaks wire version ${WIRE_VERSION}, not ${String(version)}`,
      { status: 400 },
    )
  }
  const operation = PATHS.get(request.url ?? '')
  if (operation !== undefined && request.method === 'POST') return operation
  throw new ServiceError('NoSuchOperation', 'no such operation', { status: 404 })
}

const PATHS: ReadonlyMap<string, Operation> = new Map(
  OPERATIONS.map((operation) => [`/v${WIRE_VERSION}/${operation}`, operation]),
)

/**
 * Passes the data on to the writer until the tail, which is the write to commit. One that was superseded may be followed
 * by a newer one; the body waits for it until the request ends. The frames are asked for one by one, since leaving a
 * `for await` would destroy the connection on which the answer goes back.
 */
async function receive(
  frames: AsyncGenerator<StreamEvent>,
  writer: BodyWriter,
  item: ItemKey,
  answer: (outcome: WriteOutcome) => void,
): Promise<void> {
  let outcome: WriteOutcome | null = null
  for (let next = await frames.next(); !next.done; next = await frames.next()) {
    const frame = next.value
    if (frame.kind === 'data' && outcome === null) {
      await writer.write(frame.bytes)
      continue
    }
    const tail = frame.kind === 'tail' ? (frame.json as ItemWrite) : null
    const mayCommit = outcome === null || (outcome.status === 'superseded' && writer.canRecommit)
    if (tail === null || !mayCommit || !isWrite(tail) || tail.item.hash !== item.hash) {
      throw new ServiceError('BadRequest', 'a body ends with the write to commit', { status: 400 })
    }
    outcome = await writer.commit(tail)
    answer(outcome)
  }
  if (outcome === null) throw brokenOff()
  if (outcome.status === 'superseded') await writer.abort()
}

/** Reads what the client still sends, so that the answer reaches it before the connection ends. */
async function discard(frames: AsyncGenerator<StreamEvent>): Promise<void> {
  try {
    while (!(await frames.next()).done);
  } catch {
    // It went away, or what it sends makes no sense any more.
  }
}

function send(response: ServerResponse, status: number, message: Buffer): void {
  response.writeHead(status, [
    'content-type',
    WIRE_CONTENT_TYPE,
    WIRE_VERSION_HEADER,
    WIRE_VERSION,
    'content-length',
    String(message.length),
  ])
  response.end(message)
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
  })
}
