/**
 * Calls to one storage node over a channel: opened by the first call, kept, and opened again after it broke. A call whose
 * channel ends before its answer rejects with `ChannelEnded`; one that never left with what connecting failed of
 * (`Unreachable` where that took too long).
 */
import { request } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { Random } from '../../common/random.ts'
import { Channel } from '../../common/wire/channel.ts'
import { decodeMessage, encodeMessage, type WireMessage } from '../../common/wire/frames.ts'
import {
  CHANNEL_PATH,
  CHANNEL_PROTOCOL,
  channelKeys,
  isNodeProof,
  isNonce,
  MESSAGE_KINDS,
  NONCE_BYTES,
  NONCE_HEADER,
  PROOF_HEADER,
} from '../../common/wire/handshake.ts'
import {
  errorOfFailure,
  OPERATIONS,
  type Operation,
  WIRE_VERSION,
  WIRE_VERSION_HEADER,
} from '../../common/wire/operations.ts'
import type { ChannelMessage } from '../../common/wire/packets.ts'
import { signRequest } from '../../common/wire/signature.ts'

export interface RemoteChannelOptions {
  readonly ip: string
  readonly port: number
  readonly clusterKey: string
  readonly clock: Clock
  readonly random: Random
  readonly connectMs: number
  /** A call that has waited so long is given up: `NoAnswer`. */
  readonly answerMs: number
  /**
   * A node that is waited for and sends nothing for so long is asked whether it is there; when it has not said anything
   * twice, it, or the way to it, is dead.
   */
  readonly pingMs: number
}

interface Waiting {
  readonly sinceMs: number
  readonly resolve: (message: WireMessage) => void
  readonly reject: (error: Error) => void
}

/** 10,000 rows with the longest names. */
const PACKET_BYTES_MAX = 64 * 1024 * 1024
/** Bytes that the node has not taken yet; beyond it calls are refused. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024
const SILENCE_CHECKS = 8
/** Pings without a sign of life, after which the channel is ended. */
const PINGS_MAX = 2
/** No call has this number. */
const PING_CALL = 0
const PING = { kind: OPERATIONS.indexOf('ping'), payload: encodeMessage({}) }

export class RemoteChannel {
  readonly #options: RemoteChannelOptions
  #channel: Channel | null = null
  #socket: Socket | null = null
  /** Of the socket, when it was looked at last. */
  #bytesRead = 0
  #pings = 0
  #opening: Promise<Channel> | null = null
  /** In the order of the calls. */
  readonly #waiting = new Map<number, Waiting>()
  #nextCall = 1
  #cancelWatch: (() => void) | null = null
  #isClosed = false

  constructor(options: RemoteChannelOptions) {
    this.#options = options
  }

  /** The node's answer. Rejects with its ServiceError, `ChannelEnded`, `NoAnswer`, `Busy`, or a system error of connecting. */
  async call(operation: Operation, message: Uint8Array): Promise<WireMessage> {
    const channel = this.#channel ?? (await this.#open())
    if (channel.isOver) throw channelEnded(null)
    if (channel.waitingBytes > WAITING_BYTES_MAX) throw busy()
    const call = this.#nextCall
    this.#nextCall = (call % 0xffff_fffe) + 1
    return new Promise((resolve, reject) => {
      this.#waiting.set(call, {
        sinceMs: this.#options.clock.monotonicMs(),
        resolve,
        reject,
      })
      channel.send({ call, kind: OPERATIONS.indexOf(operation), payload: message })
      this.#watch()
    })
  }

  close(): void {
    this.#isClosed = true
    this.#cancelWatch?.()
    this.#channel?.destroy(null)
  }

  /** Calls that come while it is being opened wait for the same one. */
  #open(): Promise<Channel> {
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = null
    })
    return this.#opening
  }

  #connect(): Promise<Channel> {
    const { ip, port, clusterKey, clock, random, connectMs } = this.#options
    const client = Buffer.from(random.bytes(NONCE_BYTES)).toString('hex')
    const signed = { path: CHANNEL_PATH, headBytes: Buffer.from(client) }
    return new Promise((resolve, reject) => {
      const asking = request({
        host: ip,
        port,
        path: CHANNEL_PATH,
        agent: false,
        headers: {
          connection: 'Upgrade',
          upgrade: CHANNEL_PROTOCOL,
          [WIRE_VERSION_HEADER]: WIRE_VERSION,
          [NONCE_HEADER]: client,
          authorization: signRequest(signed, clusterKey, clock.nowMs()),
        },
      })
      const cancel = clock.after(connectMs, () => asking.destroy(notConnected()))
      asking.on('error', (error) => {
        cancel()
        reject(error)
      })
      asking.on('response', (response) => {
        cancel()
        response.resume()
        asking.destroy()
        reject(refusedBy(response.statusCode ?? 0))
      })
      asking.on('upgrade', (response, socket, early) => {
        cancel()
        const node = response.headers[NONCE_HEADER] as string | undefined
        const proof = response.headers[PROOF_HEADER] as string | undefined
        if (!isNonce(node) || !isNodeProof(proof, clusterKey, { client, node })) {
          socket.destroy()
          reject(new ServiceError('Unauthorized', 'the node does not have the cluster key'))
          return
        }
        if (this.#isClosed) {
          socket.destroy()
          reject(notConnected())
          return
        }
        resolve(this.#begin(socket, early, { client, node }))
      })
      asking.end()
    })
  }

  #begin(socket: Socket, early: Buffer, nonces: { client: string; node: string }): Channel {
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 30_000)
    const { toNode, toClient } = channelKeys(this.#options.clusterKey, nonces)
    const channel: Channel = new Channel(
      {
        socket,
        sendKey: toNode,
        receiveKey: toClient,
        packetBytesMax: PACKET_BYTES_MAX,
        onMessage: (message) => this.#take(message),
        onEnd: (error) => this.#ended(error),
      },
      early,
    )
    // What came behind the handshake may have ended it already.
    this.#channel = channel.isOver ? null : channel
    this.#socket = socket
    this.#bytesRead = socket.bytesRead
    this.#pings = 0
    return channel
  }

  #take({ call, kind, payload }: ChannelMessage): void {
    const waiting = this.#waiting.get(call)
    if (waiting === undefined) return
    this.#waiting.delete(call)
    try {
      const message = decodeMessage(payload as Buffer)
      const failure = kind === MESSAGE_KINDS.failure ? errorOfFailure(message.head) : null
      if (failure === null) waiting.resolve(message)
      else waiting.reject(failure)
    } catch (error) {
      waiting.reject(error as Error)
    }
  }

  #ended(cause: Error | null): void {
    this.#channel = null
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { reject } of waiting) reject(channelEnded(cause))
  }

  /** As long as calls wait, looks now and then whether the node is there. */
  #watch(): void {
    if (this.#cancelWatch !== null || this.#isClosed) return
    this.#bytesRead = this.#socket?.bytesRead ?? 0
    this.#pings = 0
    this.#watchOn()
  }

  #watchOn(): void {
    const { clock, pingMs, answerMs } = this.#options
    this.#cancelWatch = clock.after(Math.min(pingMs, answerMs / SILENCE_CHECKS), () => {
      this.#cancelWatch = null
      this.#giveUpLate()
      if (this.#waiting.size === 0) return
      if (this.#isSilent()) this.#channel?.destroy(new ServiceError('Silent', 'no sign of life'))
      if (this.#waiting.size > 0) this.#watchOn()
    })
  }

  /** Calls that took too long: the node is there, and the others need not suffer for it. */
  #giveUpLate(): void {
    const { clock, answerMs } = this.#options
    const beforeMs = clock.monotonicMs() - answerMs
    for (const [call, { sinceMs, reject }] of this.#waiting) {
      if (sinceMs > beforeMs) return
      this.#waiting.delete(call)
      reject(tooLate(answerMs))
    }
  }

  /** Whether the node counts as dead; one that has been silent is asked for a sign of life. */
  #isSilent(): boolean {
    const bytesRead = this.#socket?.bytesRead ?? 0
    if (bytesRead !== this.#bytesRead) {
      this.#bytesRead = bytesRead
      this.#pings = 0
      return false
    }
    // Counted, not measured: a process that was stopped itself has yet to read what came meanwhile.
    if (this.#pings === PINGS_MAX) return true
    this.#pings++
    this.#channel?.send({ call: PING_CALL, ...PING })
    return false
  }
}

/** The channel ended before the answer: the call may have happened. */
export const CHANNEL_ENDED = 'ChannelEnded'

function channelEnded(cause: Error | null): ServiceError {
  return new ServiceError(CHANNEL_ENDED, 'the connection ended before the answer', {
    status: 503,
    cause,
  })
}

function tooLate(answerMs: number): ServiceError {
  return new ServiceError('NoAnswer', `no answer within ${answerMs} ms`, { status: 503 })
}

function notConnected(): ServiceError {
  return new ServiceError('Unreachable', 'no connection to the storage node in time', {
    status: 503,
  })
}

function refusedBy(status: number): ServiceError {
  if (status === 401) {
    return new ServiceError('Unauthorized', 'the node refuses the cluster key or the clock', {
      status: 401,
    })
  }
  return new ServiceError('WireVersion', `the node speaks no channel (status ${status})`, {
    status: 400,
  })
}

function busy(): ServiceError {
  return new ServiceError('Busy', 'the storage node does not take its calls fast enough', {
    status: 503,
    retryAfterSeconds: 1,
  })
}
