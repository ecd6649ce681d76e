import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { Socket } from 'node:net'
import type { RequestListener } from './service-app.ts'

/** What a client may take of a REST service, whoever it is. */
export interface ServerBounds {
  /** Longest time for the head of a request, after which the connection is closed. */
  readonly headersTimeoutMs?: number
  /** Longest time for a whole request, after which it is answered 408. */
  readonly requestTimeoutMs?: number
  /** Longest silence of a connection in use: of a client that does not read its answer, too. */
  readonly silenceMsMax?: number
  /** How long a connection without a request stays open. */
  readonly keepAliveTimeoutMs?: number
  /** Open connections; those without a request make room for new ones, which are refused until then. */
  readonly connectionsMax?: number
  /** Requests of one connection that wait for their answers; a connection that sends more is closed. */
  readonly pipelinedMax?: number
}

const DEFAULTS = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  silenceMsMax: 90_000,
  keepAliveTimeoutMs: 75_000,
  connectionsMax: 1024,
  pipelinedMax: 16,
} satisfies Required<ServerBounds>

/** Room for a token with many roles and rules, and the rest. */
const HEAD_BYTES_MAX = 32 * 1024

/** PEM texts. */
export interface ServerTls {
  readonly cert: string | Buffer
  readonly key: string | Buffer
}

/** An HTTP server, or one of HTTPS, that holds clients to their bounds; not listening yet. */
export function createServiceServer(
  listener: RequestListener,
  bounds: ServerBounds = {},
  tls?: ServerTls,
): Server {
  const limits = { ...DEFAULTS, ...bounds }
  const shortest = Math.min(limits.headersTimeoutMs, limits.requestTimeoutMs)
  const options = {
    maxHeaderSize: HEAD_BYTES_MAX,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.ceil(shortest / 2),
    noDelay: true,
  }
  const server =
    tls === undefined
      ? createServer(options)
      : createSecureServer({ ...options, ...tls, handshakeTimeout: limits.headersTimeoutMs })
  server.maxConnections = limits.connectionsMax
  server.timeout = limits.silenceMsMax
  server.on('drop', () => server.closeIdleConnections())
  const waiting = new WeakMap<Socket, number>()
  server.on('request', (req: IncomingMessage, res: ServerResponse) => {
    const { socket } = req
    const count = (waiting.get(socket) ?? 0) + 1
    // What the parser still gives out after this belongs to a connection that is gone.
    if (socket.destroyed) return
    if (count > limits.pipelinedMax) return void socket.destroy()
    waiting.set(socket, count)
    res.once('close', () => waiting.set(socket, waiting.get(socket)! - 1))
    void listener(req, res)
  })
  return server
}

/** Listens there; `port` 0 takes a free one. Gives the port. Throws the error of listen. */
export async function listenAt(
  server: Server,
  address: { readonly host: string; readonly port: number },
): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(address, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const bound = server.address()
  return typeof bound === 'object' && bound !== null ? bound.port : address.port
}

/** Ends the requests in flight; those that take longer than the grace are cut off. */
export async function closeServer(
  server: Server,
  after: (delayMs: number, action: () => void) => () => void,
  graceMs = 5000,
): Promise<void> {
  if (!server.listening) return
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const cancel = after(graceMs, () => server.closeAllConnections())
  await closed
  cancel()
}
