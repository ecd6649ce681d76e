import type { Readable } from 'node:stream'
import { type Dispatcher, Pool } from 'undici'
import type { Clock } from '../../common/clock.ts'
import { ServiceError, systemErrorCode } from '../../common/errors.ts'
import type { Random } from '../../common/random.ts'
import {
  decodeMessage,
  encodeMessage,
  messageHead,
  type WireMessage,
} from '../../common/wire/frames.ts'
import {
  errorOfFailure,
  type Operation,
  operationPath,
  type Requests,
  WIRE_CONTENT_TYPE,
  WIRE_VERSION,
  WIRE_VERSION_HEADER,
} from '../../common/wire/operations.ts'
import { signRequest } from '../../common/wire/signature.ts'
import { CHANNEL_ENDED, RemoteChannel } from './remote-channel.ts'

export interface RemoteCallOptions {
  /** IPv4, IPv6 (without brackets) or host name. */
  readonly ip: string
  readonly port: number
  readonly clusterKey: string
  readonly clock: Clock
  readonly random: Random
  /** Connections for bodies. */
  readonly connectionsMax?: number
  /** Calls under way; one more is refused with `Busy`. */
  readonly callsMax?: number
  /** Bodies whose answer has not begun, those that wait for a connection included; one more is refused with `Busy`. */
  readonly bodiesMax?: number
  readonly connectMs?: number
  /** Longest silence of the node before its answer, and in the middle of it. */
  readonly answerMs?: number
  /** A node that is waited for and silent for so long is asked for a sign of life; dead after three or four times as long. */
  readonly pingMs?: number
}

const DEFAULTS = {
  connectionsMax: 64,
  callsMax: 8_192,
  bodiesMax: 1_024,
  connectMs: 1_000,
  answerMs: 15_000,
  pingMs: 1_000,
}
/** Shorter than the server's 75 s, so that a connection is not used at the moment it is closed. */
const KEEP_ALIVE_MS = 60_000

export interface Answer extends WireMessage {
  /** Set if the connection ended before an answer, and this is the answer to the second attempt. */
  readonly isRepeated?: true
}

/** Calls to one storage node: small ones over a channel, bodies as signed requests on connections of their own. */
export class RemoteCalls {
  readonly #options: Required<RemoteCallOptions>
  readonly #channel: RemoteChannel
  /** Bodies have connections of their own: slow clients must not stand in the way of small calls. */
  readonly #bodies: Pool
  #underWay = 0
  #bodiesWaiting = 0

  constructor(options: RemoteCallOptions) {
    this.#options = { ...DEFAULTS, ...options }
    const { ip, port, connectionsMax, connectMs, answerMs } = this.#options
    const origin = `http://${ip.includes(':') ? `[${ip}]` : ip}:${port}`
    const poolOptions = {
      connections: connectionsMax,
      pipelining: 1,
      connect: { timeout: connectMs },
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      headersTimeout: answerMs,
      bodyTimeout: answerMs,
    }
    this.#bodies = new Pool(origin, poolOptions)
    this.#channel = new RemoteChannel(this.#options)
  }

  get answerMs(): number {
    return this.#options.answerMs
  }

  get clock(): Clock {
    return this.#options.clock
  }

  /**
   * One message each way. A connection that ends before any answer is tried once more: every operation may be
   * repeated. Rejects with the node's own ServiceError, or `Unreachable`, `NoAnswer`, `Busy`.
   */
  async call<O extends Operation>(
    operation: O,
    head: Requests[O],
    data: Uint8Array | null = null,
  ): Promise<Answer> {
    if (this.#underWay >= this.#options.callsMax) throw tooManyCalls()
    this.#underWay++
    try {
      const message = encodeMessage(head, data)
      return await this.#channel.call(operation, message).catch(async (error): Promise<Answer> => {
        if (!isChannelEnd(error)) throw error
        return { ...(await this.#callAgain(operation, message)), isRepeated: true }
      })
    } catch (error) {
      throw callError(error)
    } finally {
      this.#underWay--
    }
  }

  /** What the first attempt did stays unknown, whatever becomes of this one. */
  #callAgain(operation: Operation, message: Buffer): Promise<WireMessage> {
    return this.#channel.call(operation, message).catch((error: unknown) => {
      // A refusal says only what the second attempt did.
      const isOpen = CHANGES.has(operation) || callError(error).code === 'Unreachable'
      throw isOpen ? noAnswer(error) : error
    })
  }

  /** The answer to a request comes as a stream, after one message. */
  async download<O extends Operation>(
    operation: O,
    head: Requests[O],
  ): Promise<Dispatcher.ResponseData> {
    return this.#begin(this.#request(operation, encodeMessage(head)))
  }

  async #begin(request: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> {
    if (this.#bodiesWaiting >= this.#options.bodiesMax) throw tooManyCalls()
    this.#bodiesWaiting++
    try {
      return await accepted(await this.#bodies.request(request))
    } catch (error) {
      throw callError(error)
    } finally {
      this.#bodiesWaiting--
    }
  }

  /** The request goes on as a stream after its head, which is pushed here; resolves when the answer begins. */
  async upload<O extends Operation>(
    operation: O,
    head: Requests[O],
    body: Readable,
  ): Promise<Dispatcher.ResponseData> {
    const message = encodeMessage(head)
    body.push(message)
    // Silence in the middle is the sender's; its waits have deadlines of their own.
    return this.#begin({ ...this.#request(operation, message), body, bodyTimeout: 0 })
  }

  async close(): Promise<void> {
    this.#channel.close()
    await this.#bodies.destroy()
  }

  #request(operation: Operation, message: Buffer): Dispatcher.RequestOptions {
    const path = operationPath(operation)
    const { clusterKey, clock } = this.#options
    const signed = { path, headBytes: messageHead(message) }
    return {
      path,
      method: 'POST',
      headers: [
        'content-type',
        WIRE_CONTENT_TYPE,
        WIRE_VERSION_HEADER,
        WIRE_VERSION,
        'authorization',
        signRequest(signed, clusterKey, clock.nowMs()),
      ],
      body: message,
    }
  }
}

/** The response, unless it is a refusal: that is read and thrown. */
async function accepted(response: Dispatcher.ResponseData): Promise<Dispatcher.ResponseData> {
  if (response.statusCode === 200) return response
  const { head } = decodeMessage(Buffer.from(await response.body.arrayBuffer()))
  throw errorOfFailure(head) ?? new ServiceError('NoAnswer', 'not understood', { status: 503 })
}

/** Operations that leave something behind. */
const CHANGES = new Set<Operation>(['write', 'prepare', 'put-row', 'put-rows'])

/** Nothing was sent. */
const NOT_CONNECTED = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_DESTROYED',
  'UND_ERR_CLOSED',
])

function isChannelEnd(error: unknown): boolean {
  return error instanceof ServiceError && error.code === CHANNEL_ENDED
}

/** What went wrong with the call, by whether it can have reached the node. */
export function callError(error: unknown): ServiceError {
  if (isChannelEnd(error)) return noAnswer(error)
  if (error instanceof ServiceError) return error
  if (!NOT_CONNECTED.has(systemErrorCode(error) ?? '')) return noAnswer(error)
  return new ServiceError('Unreachable', 'the storage node cannot be reached', {
    status: 503,
    cause: error,
  })
}

function noAnswer(cause: unknown): ServiceError {
  return new ServiceError('NoAnswer', 'the storage node did not answer', { status: 503, cause })
}

function tooManyCalls(): ServiceError {
  return new ServiceError('Busy', 'too many calls to the storage node are under way', {
    status: 503,
    retryAfterSeconds: 1,
  })
}
