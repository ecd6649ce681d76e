/**
 * One end of a channel: a socket on which calls and answers cross, many at a time, in packets. What is sent within one
 * turn of the event loop goes out together: a proxy that works on sixty uploads sends a node one packet, not sixty
 * requests.
 */
import type { Duplex } from 'node:stream'
import { type ChannelMessage, PacketOpener, PacketSealer } from './packets.ts'

export interface ChannelOptions {
  readonly socket: Duplex
  readonly sendKey: Uint8Array
  readonly receiveKey: Uint8Array
  /** Longest packet that is taken. */
  readonly packetBytesMax: number
  readonly onMessage: (message: ChannelMessage) => void
  /** Called once, when the socket has ended for whatever reason; nothing is sent or received afterwards. */
  readonly onEnd: (error: Error | null) => void
}

export class Channel {
  readonly #options: ChannelOptions
  readonly #sealer: PacketSealer
  readonly #opener: PacketOpener
  #outbox: ChannelMessage[] = []
  #outboxBytes = 0
  #error: Error | null = null
  #isOver = false

  /** `early` is what came behind the handshake in the same piece. */
  constructor(options: ChannelOptions, early: Buffer) {
    this.#options = options
    this.#sealer = new PacketSealer(options.sendKey)
    this.#opener = new PacketOpener(options.receiveKey, options)
    const { socket } = options
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', (error) => this.destroy(error))
    socket.on('end', () => this.destroy(null))
    socket.on('close', () => this.#end())
    if (early.length > 0) this.#receive(early)
  }

  /** Bytes that wait to be taken by the other side. */
  get waitingBytes(): number {
    return this.#outboxBytes + this.#options.socket.writableLength
  }

  /** The socket has ended; nothing that is sent now arrives. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Nothing happens once the channel is over. The payload must not change afterwards. */
  send(message: ChannelMessage): void {
    if (this.#isOver) return
    this.#outbox.push(message)
    this.#outboxBytes += message.payload.length
    if (this.#outbox.length === 1) setImmediate(() => this.#flush())
  }

  /** Takes no more until `resume`. */
  pause(): void {
    this.#options.socket.pause()
  }

  resume(): void {
    this.#options.socket.resume()
  }

  destroy(error: Error | null): void {
    this.#error ??= error
    this.#options.socket.destroy()
    this.#end()
  }

  #flush(): void {
    const messages = this.#outbox
    this.#outbox = []
    this.#outboxBytes = 0
    if (this.#isOver || messages.length === 0) return
    const { socket } = this.#options
    socket.cork()
    for (const piece of this.#sealer.seal(messages)) if (piece.length > 0) socket.write(piece)
    socket.uncork()
  }

  #receive(chunk: Buffer): void {
    if (this.#isOver) return
    try {
      for (const message of this.#opener.push(chunk)) this.#options.onMessage(message)
    } catch (error) {
      this.destroy(error as Error)
    }
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#options.onEnd(this.#error)
  }
}
