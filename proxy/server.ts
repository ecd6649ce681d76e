import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Registry } from 'prom-client'
import { isNoPath, readAbsoluteTarget } from './absolute-target.ts'
import { answer } from './answer.ts'
import { Exchange, type Message, refusal } from './exchange.ts'
import { Front } from './front/front.ts'
import { HeaderGate } from './front/header-gate.ts'
import { hotPath, isObjectUrl } from './hot-path.ts'
import { requestLayers } from './layers/request-layers.ts'
import { ContainerSyncer } from './layers/sync/container-syncer.ts'
import { type ParserError, parserRefusal, refusedRequest } from './parser-refusal.ts'
import { createPipeline, type Pipeline } from './pipeline.ts'
import { createProxyContext, type ProxyContext } from './proxy-context.ts'
import type { ProxyOptions } from './proxy-options.ts'
import { type Reply, reasonOf } from './reply.ts'
import { type RequestLine, S3Api } from './s3/s3-api.ts'
import { OrphanBytes } from './storage-class/orphan-bytes.ts'
import { answerInner, handleSwift } from './swift/dispatch.ts'

export type { ProxyOptions, StoragePolicy } from './proxy-options.ts'

/** Node's default of 16 KiB is less than 90 metadata headers and a name of 1,024 escaped bytes. */
const HEADER_BYTES_MAX = 64 * 1024
const HEADERS_TIMEOUT_MS = 60_000
/** Requests that a connection may send ahead of its answers; one that sends more is cut off. */
const PIPELINED_MAX = 256

export type ListenAddress =
  | { readonly host: string; readonly port: number }
  | { readonly fd: number }

export interface ProxyServer {
  /** Starts to accept; rejects with Node's error (EADDRINUSE …). Resolves with the port taken. */
  listen(address: ListenAddress): Promise<{ readonly port: number }>
  /** Stops accepting, lets the requests in flight end, then resolves; idempotent. */
  close(): Promise<void>
  /** Answers one request; never throws. For tests and for servers of another make. */
  readonly handler: (req: IncomingMessage, res: ServerResponse) => void
}

/** The public door: the Swift API over HTTP, or HTTPS where `tls` is given. */
export function createProxyServer(options: ProxyOptions): ProxyServer {
  const proxy = createProxyContext(options, { layers: requestLayers(options), answerInner })
  const pipeline = createPipeline(proxy, options.metrics)
  const sync = options.layers?.containerSync
  const syncer = sync ? new ContainerSyncer(sync, proxy) : null
  const { s3: s3Options = {} } = options
  const accessKeys = s3Options.credentials ?? options.identity.accessKeys
  const { iam } = options.identity
  const s3 = accessKeys === undefined ? null : new S3Api({ accessKeys, iam }, s3Options, proxy)
  const lifecycle = s3?.lifecycleWorker(options.metrics)
  const inventory = s3?.inventoryWorker()
  const accessLogs = s3?.accessLogs(options.metrics)
  const orphans = s3 === null ? null : new OrphanBytes(proxy, options.metrics)
  const teller = s3?.eventTeller()
  const replication = s3?.replicationWorker(options.metrics)
  const door = new Door(proxy, pipeline, s3)
  const server = createServer(options, door)
  const front = new Front({
    server,
    isTls: options.tls !== undefined,
    proxy,
    gate: headerGate(proxy, options.metrics),
    takes: door.takesPlain,
    answer: (message) => door.answerPlain(message),
    isIdle: (socket) => door.isIdle(socket),
    refuse: (error, socket) => door.refuse(error, socket),
  })
  let closed: Promise<void> | undefined
  return {
    async listen(address) {
      const listening = await listen(server, address)
      syncer?.start()
      lifecycle?.start()
      inventory?.start()
      accessLogs?.start()
      replication?.start()
      orphans?.start()
      teller?.start()
      return listening
    },
    close() {
      proxy.closing = true
      const daemons = [syncer, lifecycle, inventory, orphans, teller, replication]
      closed ??= Promise.all([
        closeServer(server, front),
        ...daemons.map((daemon) => daemon?.stop()),
      ])
        // The last requests are recorded, too.
        .then(() => accessLogs?.stop())
        .then(() => proxy.statsd?.close())
      return closed
    },
    handler: (req, res) => door.answer(req, res, false),
  }
}

/** A request that was sent before the one in front of it was answered. */
interface Pipelined {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly continueExpected: boolean
  /** Why the rest of its body cannot come. */
  broken: Error | null
}

interface Active {
  readonly exchange: Exchange
  readonly req: IncomingMessage
  readonly res: ServerResponse
}

/** Takes requests from the server and watches over their connections. */
class Door {
  readonly #proxy: ProxyContext
  readonly #pipeline: Pipeline
  readonly #s3: S3Api | null
  /** The request that a connection is busy with. */
  readonly #active = new WeakMap<Duplex, Active>()
  /** What a connection sent ahead; absent: nothing. */
  readonly #pipelined = new WeakMap<Duplex, Pipelined[]>()

  constructor(proxy: ProxyContext, pipeline: Pipeline, s3: S3Api | null) {
    this.#proxy = proxy
    this.#pipeline = pipeline
    this.#s3 = s3
  }

  /**
   * One request of a connection at a time: a GET sent behind a PUT sees what that wrote (RFC 9112 9.3.2), and a packet
   * full of requests does not have all of their answers in memory at once.
   */
  answer(req: IncomingMessage, res: ServerResponse, continueExpected: boolean): void {
    nameTarget(req)
    const before = this.#active.get(req.socket)
    if (before === undefined || before.res.writableFinished) {
      this.#start({ req, res, continueExpected, broken: null })
      return
    }
    const waiting = this.#pipelined.get(req.socket)
    if (waiting === undefined) {
      this.#pipelined.set(req.socket, [{ req, res, continueExpected, broken: null }])
      before.res.once('close', () => this.#next(req.socket))
    } else if (waiting.length < PIPELINED_MAX) {
      waiting.push({ req, res, continueExpected, broken: null })
    } else {
      req.socket.destroy()
    }
  }

  /** Of something else than `100-continue`: S3 does not look at it, by the Swift API it is refused. */
  answerOtherExpectation(req: IncomingMessage, res: ServerResponse): void {
    nameTarget(req)
    const { method = 'GET', url = '/', headers } = req
    if (this.#s3?.takes({ method, url, headers }) === true) {
      this.answer(req, res, false)
      return
    }
    res.writeHead(417, ['Connection', 'close', 'Content-Length', '0']).end()
  }

  #next(socket: Socket): void {
    const waiting = this.#pipelined.get(socket)
    const first = waiting?.shift()
    if (waiting?.length === 0 || socket.destroyed) this.#pipelined.delete(socket)
    if (first === undefined || socket.destroyed) return
    if (waiting!.length > 0) first.res.once('close', () => this.#next(socket))
    this.#start(first)
  }

  #start({ req, res, continueExpected, broken }: Pipelined): void {
    const { method = 'GET', url = '/', headers, socket } = req
    const message = { method, url, headers, socket, body: req, res, continueExpected }
    const exchange = new Exchange(this.#proxy, message)
    exchange.broken = broken
    this.#active.set(socket, { exchange, req, res })
    if (hasTwoHosts(req.rawHeaders) || isNoPath(url)) {
      res.writeHead(400, ['Connection', 'close', 'Content-Length', '0']).end()
      return
    }
    const done =
      this.#s3?.takes(exchange) === true
        ? answer(exchange, this.#s3.handle)
        : (hotPath(exchange) ?? this.#pipeline(exchange, req, res))
    done.catch(this.#failed)
  }

  /** What can be answered without node:http: objects of the Swift API, and all of S3's. */
  readonly takesPlain = (line: RequestLine): boolean =>
    isObjectUrl(line.url) || this.#s3?.takes(line) === true

  /** What never happens must not end the process. */
  readonly #failed = (error: unknown): void => {
    this.#proxy.log.error('answer failed', { error })
  }

  /** Answers such a request. */
  answerPlain(message: Message): Exchange {
    const exchange = new Exchange(this.#proxy, message)
    const isS3 = this.#s3?.takes(message) === true
    answer(exchange, isS3 ? this.#s3!.handle : handleSwift).catch(this.#failed)
    return exchange
  }

  /**
   * Called when a connection was silent for the client's time: only who is being waited for is cut off. An answer that
   * was handed over whole and is not read is the client's to take, too.
   */
  silent(socket: Socket): void {
    const exchange = this.#active.get(socket)?.exchange
    if (exchange === undefined || exchange.res.writableEnded || exchange.draining) {
      socket.destroy()
    } else if (exchange.failBody !== null) {
      exchange.failBody(refusal(408))
    } else {
      // The store is at work: the next silence is looked at again.
      socket.setTimeout(this.#proxy.settings.clientTimeoutMs)
    }
  }

  /** Whether nothing that the connection has asked is unanswered. */
  isIdle(socket: Socket): boolean {
    const active = this.#active.get(socket)
    const isDone = active === undefined || (active.req.complete && active.res.writableFinished)
    return isDone && !this.#pipelined.has(socket)
  }

  /**
   * What the HTTP parser refuses: 400, 431, a head that never came (408), a body that was cut off (499). A request that
   * is being answered gets its answer first: what is wrong may be only what came after it.
   */
  refuse(error: ParserError, socket: Duplex): void {
    const active = this.#active.get(socket)
    const last = this.#pipelined.get(socket)?.at(-1)
    const { status, message } = parserRefusal(error, (last ?? active)?.req.complete === false)
    if (socket.writable && last !== undefined) {
      if (!last.req.complete) last.broken = refusal(status, message)
      last.res.once('finish', () => socket.destroy())
      return
    }
    if (socket.writable && active !== undefined && !active.res.writableFinished) {
      const { exchange, req, res } = active
      if (!req.complete) {
        exchange.broken = refusal(status, message)
        exchange.failBody?.(exchange.broken)
      }
      res.once('finish', () => socket.destroy())
      return
    }
    // Rubbish in the rest of a body whose request was answered long ago deserves no second answer.
    const stray = active !== undefined && !active.req.complete
    if (socket.writable && !stray && error.code !== 'ECONNRESET') {
      const asked = status === 405 ? refusedRequest(error) : null
      const isS3 = asked !== null && this.#s3?.takes(asked) === true
      const reply = isS3 ? this.#s3!.refuseMethod(asked) : textReply(status, message)
      socket.write(wholeAnswer(reply))
    }
    socket.destroy()
  }
}

function textReply(status: number, message: string): Reply {
  const type = message === '' ? [] : ['Content-Type', 'text/plain; charset=UTF-8']
  return { status, headers: type, body: message }
}

/** An answer that nobody but the socket is there for; the connection ends behind it. */
function wholeAnswer({ status, headers, body }: Reply): Buffer {
  const content = Buffer.from(typeof body === 'string' ? body : '')
  const fields = [...headers, 'Connection', 'close', 'Content-Length', String(content.length)]
  const lines = [`HTTP/1.1 ${status} ${reasonOf(status)}\r\n`]
  for (let i = 0; i < fields.length; i += 2) lines.push(`${fields[i]}: ${fields[i + 1]}\r\n`)
  return Buffer.concat([Buffer.from(`${lines.join('')}\r\n`, 'latin1'), content])
}

function createServer(options: ProxyOptions, door: Door): Server {
  const http = { maxHeaderSize: HEADER_BYTES_MAX, requireHostHeader: true, noDelay: true }
  const { tls } = options
  const server = tls === undefined ? createHttpServer(http) : createHttpsServer({ ...http, ...tls })
  const { clientTimeoutMs, keepAliveTimeoutMs, connectionsMax } = {
    ...TIMEOUTS,
    ...options,
  }
  // Node would end every upload that takes longer than five minutes; silence is what counts here.
  server.requestTimeout = 0
  server.headersTimeout = HEADERS_TIMEOUT_MS
  server.keepAliveTimeout = keepAliveTimeoutMs
  server.setTimeout(clientTimeoutMs, (socket) => door.silent(socket))
  if (connectionsMax > 0) server.maxConnections = connectionsMax
  server.on('request', (req, res) => door.answer(req, res, false))
  server.on('checkContinue', (req, res) => door.answer(req, res, true))
  server.on('checkExpectation', (req, res) => door.answerOtherExpectation(req, res))
  return server
}

function headerGate({ settings }: ProxyContext, metrics: Registry): HeaderGate | null {
  const { layers, clientTimeoutMs } = settings
  return layers?.proxyProtocol
    ? new HeaderGate(layers.proxyProtocol, { metrics, clientTimeoutMs })
    : null
}

const TIMEOUTS = { clientTimeoutMs: 60_000, keepAliveTimeoutMs: 75_000, connectionsMax: 0 }

/** Brings a whole URL to the form that everybody here reads: the path in the target, the host in its header. */
function nameTarget(req: IncomingMessage): void {
  if (req.url === undefined || !isNoPath(req.url)) return
  const named = readAbsoluteTarget(req.url)
  if (named === null) return
  req.url = named.url
  req.headers.host = named.host
}

/** Two Host headers: two readers of the request could disagree on whom it is for. */
function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts > 1
}

function listen(server: Server, address: ListenAddress): Promise<{ readonly port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(address, () => {
      server.off('error', reject)
      const bound = server.address() as AddressInfo | string | null
      resolve({ port: typeof bound === 'object' && bound !== null ? bound.port : 0 })
    })
  })
}

function closeServer(server: Server, front: Front): Promise<void> {
  if (!server.listening) return Promise.resolve()
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)))
    server.closeIdleConnections()
    front.closeIdle()
  })
}
