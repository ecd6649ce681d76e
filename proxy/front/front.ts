import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { INLINE_BYTES_MAX } from '../../common/storage-node.ts'
import type { Exchange, Message } from '../exchange.ts'
import type { ParserError } from '../parser-refusal.ts'
import type { ProxyContext } from '../proxy-context.ts'
import type { HeaderGate } from './header-gate.ts'
import { HttpSockets } from './http-sockets.ts'
import { PlainConnection } from './plain-connection.ts'
import type { PlainRules } from './request-head.ts'
import { SecondReading } from './second-reading.ts'

export interface FrontOptions {
  readonly server: Server
  /** Beside encryption the parser costs nothing that would be noticed: then node:http has every connection from the start. */
  readonly isTls: boolean
  readonly proxy: ProxyContext
  /** Reads what load balancers say before their clients; null: there are none that do. */
  readonly gate: HeaderGate | null
  /** Whether plain requests such as this one are answered without node:http. */
  readonly takes: PlainRules['takes']
  /** Answers such a request; never rejects. */
  readonly answer: (message: Message) => Exchange
  /** Whether node:http has nothing to do for the socket: all that was asked has been answered. */
  readonly isIdle: (socket: Socket) => boolean
  /** Answers what the parser has refused, and ends the connection. */
  readonly refuse: (error: ParserError, socket: Socket) => void
}

/**
 * Stands before node:http. As long as the requests of a connection are plain they are answered without it, which saves a
 * fifth of a small PUT's CPU (docs/decisions/0011-plain-requests.md). Requests that llhttp refuses for raw bytes in
 * their target get a second reading (docs/decisions/0015-raw-targets.md). The server goes on listening, counting
 * connections and watching over those that are given to it.
 */
export class Front {
  readonly #options: FrontOptions
  readonly #sockets: HttpSockets
  readonly #second: SecondReading
  readonly #connections = new Set<PlainConnection>()

  constructor(options: FrontOptions) {
    this.#options = options
    const { server, isTls, proxy, gate, isIdle, refuse } = options
    const accept = (socket: Socket) => this.#accept(socket)
    this.#sockets = new HttpSockets(server, isTls ? 'secureConnection' : 'connection', (socket) =>
      gate === null || !isTls || gate.admit(socket) ? accept(socket) : socket.destroy(),
    )
    gate?.standBefore(server, { isTls })
    this.#second = new SecondReading({
      sockets: this.#sockets,
      lineTimeoutMs: proxy.settings.clientTimeoutMs,
      accept,
      refuse,
    })
    server.on('clientError', (error: ParserError, socket) => {
      // Both servers have sockets of the network only.
      const from = socket as Socket
      if (!isIdle(from) || !this.#second.begin(error, from)) refuse(error, from)
    })
  }

  /** Ends the connections that wait for a request. */
  closeIdle(): void {
    for (const connection of this.#connections) connection.closeIdle()
    this.#second.close()
    this.#options.gate?.close()
  }

  #accept(socket: Socket): void {
    const { isTls, proxy, takes, answer } = this.#options
    if (isTls) this.#sockets.give(socket)
    else {
      const { clientTimeoutMs, keepAliveTimeoutMs } = proxy.settings
      const connection = new PlainConnection({
        socket,
        rules: { bodyBytesMax: INLINE_BYTES_MAX, takes },
        clientTimeoutMs,
        keepAliveTimeoutMs,
        nowMs: () => proxy.clock.nowMs(),
        answer,
        giveAway: (from, unread) => this.#giveAway(from, unread),
        onClose: () => this.#connections.delete(connection),
      })
      this.#connections.add(connection)
    }
  }

  #giveAway(socket: Socket, unread: Buffer | null): void {
    if (unread !== null) socket.unshift(unread)
    this.#sockets.give(socket)
  }
}
