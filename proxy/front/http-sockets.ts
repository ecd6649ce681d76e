import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** What node:http's connection listener is called as. */
type Listener = (...args: unknown[]) => void

interface Added {
  readonly event: string | symbol
  readonly listener: Listener
}

/**
 * Gives sockets to node:http, and takes them back. There is no call for the latter: what node:http had put on the socket
 * is taken off, and it is told that the connection has closed, as far as it is concerned; that frees the parser.
 */
export class HttpSockets {
  readonly #server: Server
  readonly #listen: Listener
  readonly #added = new WeakMap<Socket, readonly Added[]>()

  /** From here on the event's sockets go to `accept`; it is `connection`, or `secureConnection` of an https server. */
  constructor(
    server: Server,
    event: 'connection' | 'secureConnection',
    accept: (socket: Socket) => void,
  ) {
    const [listen] = server.listeners(event)
    this.#server = server
    this.#listen = listen as Listener
    server.removeAllListeners(event)
    server.on(event, accept)
  }

  give(socket: Socket): void {
    const before = new Set(listenersOf(socket).map(({ listener }) => listener))
    this.#listen.call(this.#server, socket)
    const added = listenersOf(socket).filter(({ listener }) => !before.has(listener))
    this.#added.set(socket, added)
  }

  /** Leaves the socket paused. False if node:http would not let go of it: then it is of no use any more. */
  takeBack(socket: Socket): boolean {
    const added = this.#added.get(socket)
    if (added === undefined) return false
    this.#added.delete(socket)
    socket.pause()
    for (const { event, listener } of added) socket.off(event, listener)
    for (const { event, listener } of added) if (event === 'close') listener.call(socket, false)
    return (socket as { readonly parser?: unknown }).parser === null
  }
}

function listenersOf(socket: Socket): readonly Added[] {
  return socket
    .eventNames()
    .flatMap((event) =>
      socket.rawListeners(event).map((listener) => ({ event, listener: listener as Listener })),
    )
}
