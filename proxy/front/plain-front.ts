import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { INLINE_BYTES_MAX } from '../../common/storage-node.ts'
import type { Exchange, Message } from '../exchange.ts'
import type { ProxyContext } from '../proxy-context.ts'
import { PlainConnection } from './plain-connection.ts'
import type { PlainRules } from './request-head.ts'

/** Who answers plain requests. */
export interface PlainDoor {
  readonly takesPlain: PlainRules['takes']
  answerPlain(message: Message): Exchange
}

/**
 * Stands before node:http on connections without TLS: as long as their requests are plain they are answered without it,
 * which saves a fifth of a small PUT's CPU (docs/decisions/0011-plain-requests.md). The server goes on listening,
 * counting connections and watching over those that are given to it.
 */
export class PlainFront {
  readonly #connections = new Set<PlainConnection>()

  constructor(server: Server, proxy: ProxyContext, door: PlainDoor) {
    const [full] = server.listeners('connection')
    const giveAway = (socket: Socket, unread: Buffer | null) => {
      if (unread !== null) socket.unshift(unread)
      full!.call(server, socket)
    }
    const rules = { bodyBytesMax: INLINE_BYTES_MAX, takes: door.takesPlain }
    const answer = (message: Message) => door.answerPlain(message)
    const { clientTimeoutMs, keepAliveTimeoutMs } = proxy.settings
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      const connection = new PlainConnection({
        socket,
        rules,
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
