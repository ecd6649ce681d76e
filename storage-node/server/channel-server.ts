/** The node's end of channels: an upgraded connection on which calls are answered in the order in which they end. */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { ServiceError } from '../../common/errors.ts'
import type { Log } from '../../common/log.ts'
import type { Random } from '../../common/random.ts'
import { Channel } from '../../common/wire/channel.ts'
import { decodeMessage, encodeMessage } from '../../common/wire/frames.ts'
import {
  CHANNEL_PATH,
  CHANNEL_PROTOCOL,
  channelKeys,
  isNonce,
  MESSAGE_KINDS,
  NONCE_BYTES,
  NONCE_HEADER,
  nodeProof,
  PROOF_HEADER,
} from '../../common/wire/handshake.ts'
import {
  failureOfError,
  OPERATIONS,
  type Operation,
  WIRE_VERSION,
  WIRE_VERSION_HEADER,
} from '../../common/wire/operations.ts'
import type { ChannelMessage } from '../../common/wire/packets.ts'
import { type HandlerContext, handleUnary, type UnaryOperation } from './operation-handlers.ts'

export interface ChannelServerOptions {
  readonly clusterKey: string
  readonly random: Random
  readonly log: Log
  readonly context: HandlerContext
  /** Why the upgrade is refused, or null. */
  readonly refusalOf: (request: IncomingMessage, signed: Uint8Array) => string | null
}

/** An inline body and the longest metadata fit into 4 MiB; the rings of 2^20 partitions into this. */
const PACKET_BYTES_MAX = 64 * 1024 * 1024
/** Calls of one channel under way; until some end, no more are read. */
const CALLS_MAX = 2_048
/** Answers that wait to be taken by the client; until they are, no more calls are read. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024

export class ChannelServer {
  readonly #options: ChannelServerOptions
  readonly #channels = new Set<ServedChannel>()

  constructor(options: ChannelServerOptions) {
    this.#options = options
  }

  /** Takes an upgrade request over; what is not one of ours, or not signed, is refused. */
  upgrade(request: IncomingMessage, socket: Duplex, early: Buffer): void {
    const client = request.headers[NONCE_HEADER] as string | undefined
    if (!isForChannel(request) || !isNonce(client)) {
      refuse(socket, '400 Bad Request')
      return
    }
    const refusal = this.#options.refusalOf(request, Buffer.from(client))
    if (refusal !== null) {
      refuse(socket, '401 Unauthorized')
      return
    }
    const { clusterKey, random } = this.#options
    const nonces = { client, node: Buffer.from(random.bytes(NONCE_BYTES)).toString('hex') }
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n' +
        `Upgrade: ${CHANNEL_PROTOCOL}\r\n${NONCE_HEADER}: ${nonces.node}\r\n` +
        `${PROOF_HEADER}: ${nodeProof(clusterKey, nonces)}\r\n\r\n`,
    )
    // One that is silent for long ends by the server's timeout; the next call opens another.
    ;(socket as Socket).setNoDelay(true)
    ;(socket as Socket).setKeepAlive(true, 30_000)
    const { toNode, toClient } = channelKeys(clusterKey, nonces)
    const keys = { sendKey: toClient, receiveKey: toNode }
    const served = new ServedChannel(this.#options, { socket, early, ...keys }, () =>
      this.#channels.delete(served),
    )
    this.#channels.add(served)
  }

  /** Takes no more calls; resolves when those under way are answered. */
  async close(): Promise<void> {
    await Promise.all([...this.#channels].map((channel) => channel.close()))
  }

  /** Breaks off what is under way. */
  destroy(): void {
    for (const channel of this.#channels) channel.destroy()
  }
}

class ServedChannel {
  readonly #options: ChannelServerOptions
  readonly #channel: Channel
  #underWay = 0
  #isPaused = false
  #isClosing = false
  #onIdle: (() => void) | null = null

  constructor(
    options: ChannelServerOptions,
    connection: {
      readonly socket: Duplex
      readonly early: Buffer
      readonly sendKey: Uint8Array
      readonly receiveKey: Uint8Array
    },
    onEnd: () => void,
  ) {
    this.#options = options
    const { early, ...ends } = connection
    const onMessage = (message: ChannelMessage) => this.#take(message)
    this.#channel = new Channel(
      {
        ...ends,
        packetBytesMax: PACKET_BYTES_MAX,
        onMessage,
        onEnd: (error) => {
          if (error instanceof ServiceError) options.log.warn('channel-broken', { error })
          onEnd()
          this.#onIdle?.()
        },
      },
      early,
    )
    connection.socket.on('drain', () => this.#resume())
  }

  async close(): Promise<void> {
    this.#isClosing = true
    if (this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    // The last answers leave with the end of this turn.
    await new Promise((resolve) => setImmediate(resolve))
    this.#channel.destroy(null)
  }

  destroy(): void {
    this.#channel.destroy(null)
  }

  #take({ call, kind, payload }: ChannelMessage): void {
    this.#underWay++
    if (this.#underWay >= CALLS_MAX) this.#pause()
    this.#answer(OPERATIONS[kind], payload)
      .then(
        (answer) => this.#channel.send({ call, kind: MESSAGE_KINDS.answer, payload: answer }),
        (error: unknown) => this.#fail(call, OPERATIONS[kind], error),
      )
      .finally(() => this.#ended())
  }

  async #answer(operation: Operation | undefined, payload: Uint8Array): Promise<Buffer> {
    if (this.#isClosing) {
      throw new ServiceError('DeviceOffline', 'the node is shutting down', { status: 503 })
    }
    if (operation === undefined || operation === 'open-body' || operation === 'read-body') {
      throw new ServiceError('NoSuchOperation', 'no such operation', { status: 404 })
    }
    const request = decodeMessage(payload as Buffer)
    const { context } = this.#options
    const { head, data } = await handleUnary<UnaryOperation>(
      context,
      operation,
      request.head,
      request.data,
    )
    return encodeMessage(head, data ?? null)
  }

  #fail(call: number, operation: Operation | undefined, error: unknown): void {
    if (!(error instanceof ServiceError)) {
      this.#options.log.error('request failed', { operation, error })
    }
    const payload = encodeMessage(failureOfError(error))
    this.#channel.send({ call, kind: MESSAGE_KINDS.failure, payload })
  }

  #ended(): void {
    this.#underWay--
    if (this.#channel.waitingBytes > WAITING_BYTES_MAX) this.#pause()
    else if (this.#underWay < CALLS_MAX / 2) this.#resume()
    if (this.#underWay === 0) this.#onIdle?.()
  }

  #pause(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.#channel.pause()
  }

  #resume(): void {
    const isTooMuch =
      this.#underWay >= CALLS_MAX / 2 || this.#channel.waitingBytes > WAITING_BYTES_MAX / 2
    if (!this.#isPaused || isTooMuch) return
    this.#isPaused = false
    this.#channel.resume()
  }
}

function isForChannel({ url, headers }: IncomingMessage): boolean {
  const isOurs = url === CHANNEL_PATH && headers.upgrade === CHANNEL_PROTOCOL
  return isOurs && headers[WIRE_VERSION_HEADER] === WIRE_VERSION
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
