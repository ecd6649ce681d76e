import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { INLINE_BYTES_MAX } from '../../common/storage-node.ts'
import type { Exchange, Message } from '../exchange.ts'
import type { ProxyContext } from '../proxy-context.ts'
import { PlainConnection } from './plain-connection.ts'

/**
 * Stands before node:http on connections without TLS: as long as their requests are plain they are answered without it,
 * which saves a fifth of a small PUT's CPU (docs/decisions/0011-plain-requests.md). The server goes on listening,
 * counting connections and watching over those that are given to it.
 */
export class PlainFront {
  readonly #connections = new Set<PlainConnection>()

  constructor(server: Server, proxy: ProxyContext, answer: (message: Message) => Exchange) {
    const [full] = server.listeners('connection')
    const giveAway = (socket: Socket, unread: Buffer | null) => {
      if (unread !== null) socket.unshift(unread)
      full!.call(server, socket)
    }
    const { clientTimeoutMs, keepAliveTimeoutMs } = proxy.settings
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      const connection = new PlainConnection({
        socket,
        bodyBytesMax: INLINE_BYTES_MAX,
        clientTimeoutMs,
        keepAliveTimeoutMs,
        nowMs: () => proxy.clock.nowMs(),
        answer,
        giveAway,
        onClose: () => this.#connections.delete(connection),
      })
      this.#connections.add(connection)
    })
  }

  /** Ends the connections that wait for a request. */
  closeIdle(): void {
    for (const connection of this.#connections) connection.closeIdle()
  }
}
