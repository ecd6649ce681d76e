/**
 * One connection of plain HTTP as long as its requests are plain (request-head.ts). The first other request makes it
 * node:http's for good, together with everything that was read of it and not answered yet.
 *
 *   idle --plain head--> busy --answered, all of the body read--> idle
 *   idle --anything else--> given to node:http
 *
 * One request at a time: what a client sends ahead waits here, and beyond a bound in its socket.
 */
import type { Socket } from 'node:net'
import { isTooSlow } from '../body.ts'
import { type Exchange, type Message, refusal } from '../exchange.ts'
import { readByStream, readDirectly } from './direct-reads.ts'
import { PlainReply, type PlainReplyOptions } from './plain-reply.ts'
import {
  PLAIN_HEAD_BYTES_MAX,
  type PlainFields,
  type PlainHead,
  type PlainRules,
  readPlainHead,
} from './request-head.ts'
import { ShortBody } from './short-body.ts'

/** Longer field lines are not kept: an idle connection is to cost little. */
const REMEMBERED_CHARS_MAX = 4 * 1024

export interface PlainConnectionOptions {
  readonly socket: Socket
  readonly rules: PlainRules
  readonly clientTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  readonly nowMs: () => number
  /** Answers a request; never rejects. */
  readonly answer: (message: Message) => Exchange
  /** Takes the connection over, with what it had sent and was not answered. */
  readonly giveAway: (socket: Socket, unread: Buffer | null) => void
  readonly onClose: (connection: PlainConnection) => void
}

/** A request that is being answered. */
interface Running {
  readonly exchange: Exchange
  readonly reply: PlainReply
}

export class PlainConnection {
  readonly #options: PlainConnectionOptions
  readonly #socket: Socket
  /** Read and not used yet. */
  #unread: Buffer | null = null
  #body: ShortBody | null = null
  #running: Running | null = null
  /** Silent for the client's time already, between two requests. */
  #wasSilent = false
  /** Of the last head, if they are short enough to be kept for the next. */
  #fields: PlainFields | null = null
  #hasServed = false
  #isWaitingForRoom = false
  #isParsing = false
  /** No further request is answered: one side has said so. */
  #isLast = false

  readonly #onData = (bytes: Buffer) => this.#take(bytes)
  readonly #onTimeout = () => this.#silent()
  readonly #onClose = () => this.#closed()
  readonly #onEnd = () => this.#ended()
  readonly #onDrain = () => this.#hasRoom()
  readonly #replyOptions: PlainReplyOptions

  constructor(options: PlainConnectionOptions) {
    this.#options = options
    this.#socket = options.socket
    const { socket, keepAliveTimeoutMs, nowMs } = options
    this.#replyOptions = {
      socket,
      keepAliveSeconds: Math.floor(keepAliveTimeoutMs / 1000),
      nowMs,
      onEnd: (reply) => this.#answered(reply),
    }
    socket.setTimeout(options.clientTimeoutMs)
    socket.on('data', this.#onData).on('timeout', this.#onTimeout).on('close', this.#onClose)
    socket.on('end', this.#onEnd).on('drain', this.#onDrain).on('error', ignore)
    readDirectly(socket, (bytes) => {
      this.#take(bytes)
      return true
    })
  }

  /** Ends the connection if it is between two requests. */
  closeIdle(): void {
    if (this.#running === null) this.#finish()
  }

  /** The bytes are only lent: what is kept of them is copied. */
  #take(bytes: Buffer): void {
    if (this.#wasSilent) {
      this.#wasSilent = false
      this.#socket.setTimeout(this.#options.clientTimeoutMs)
    }
    const used = this.#body === null ? 0 : this.#takeBody(this.#body, bytes)
    if (used === bytes.length || this.#isLast) return
    const rest = used === 0 ? bytes : bytes.subarray(used)
    this.#unread = this.#unread === null ? rest : Buffer.concat([this.#unread, rest])
    this.#next()
    if (this.#unread === null) return
    if (this.#unread.buffer === bytes.buffer) this.#unread = Buffer.from(this.#unread)
    if (this.#unread.length > PLAIN_HEAD_BYTES_MAX) this.#socket.pause()
  }

  /** Returns how many of the bytes belong to the body. */
  #takeBody(body: ShortBody, bytes: Buffer): number {
    const used = body.take(bytes, 0)
    const exchange = this.#running?.exchange
    if (exchange !== undefined) exchange.bytesIn += used
    else if (body.complete) this.#body = null
    if (exchange !== undefined && body.isAwaited && isTooSlow(exchange, exchange.startedMs)) {
      body.fail(refusal(408))
    }
    return used
  }

  /** Starts as many requests as can be answered at once. */
  #next(): void {
    if (this.#isParsing) return
    this.#isParsing = true
    while (this.#isFree() && this.#unread !== null) {
      const head = readPlainHead(this.#unread, this.#options.rules, this.#fields)
      if (head === null) {
        this.#giveAway()
        return
      }
      this.#start(head, this.#unread)
    }
    this.#isParsing = false
    if (this.#unread === null && this.#socket.isPaused()) this.#socket.resume()
  }

  #isFree(): boolean {
    const { destroyed } = this.#socket
    const isBusy = this.#running !== null || this.#body !== null || this.#isWaitingForRoom
    return !isBusy && !this.#isLast && !destroyed
  }

  #start(head: PlainHead, bytes: Buffer): void {
    const body = new ShortBody(head.bodyBytes)
    const bytesIn = body.take(bytes, head.headBytes)
    const end = head.headBytes + bytesIn
    this.#unread = end === bytes.length ? null : bytes.subarray(end)
    this.#body = body
    this.#hasServed = true
    const { method, url, fields } = head
    this.#fields = fields.text.length <= REMEMBERED_CHARS_MAX ? fields : null
    const reply = new PlainReply(this.#replyOptions, fields.keepAlive)
    const exchange = this.#options.answer({
      method,
      url,
      headers: fields.headers,
      socket: this.#socket,
      body,
      res: reply,
      continueExpected: false,
    })
    exchange.bytesIn = bytesIn
    // An answer may be there already.
    if (!reply.writableEnded) this.#running = { exchange, reply }
  }

  #answered(reply: PlainReply): void {
    this.#running = null
    if (this.#body?.complete === true) this.#body = null
    else this.#body?.discard()
    if (!reply.shouldKeepAlive || this.#isLast) this.#finish()
    else if (this.#socket.writableNeedDrain) this.#isWaitingForRoom = true
    else this.#next()
  }

  /** The connection ends when the last answer is out; what still comes is nobody's. */
  #finish(): void {
    this.#isLast = true
    this.#unread = null
    this.#socket.destroySoon()
  }

  #hasRoom(): void {
    if (!this.#isWaitingForRoom) return
    this.#isWaitingForRoom = false
    this.#next()
  }

  /** Nothing came or went for the client's time: only who is being waited for is cut off. */
  #silent(): void {
    const { clientTimeoutMs, keepAliveTimeoutMs } = this.#options
    if (this.#running !== null) {
      const { exchange } = this.#running
      if (exchange.draining) this.#socket.destroy()
      else if (this.#body?.isAwaited === true) this.#body.fail(refusal(408))
      else this.#socket.setTimeout(clientTimeoutMs)
      return
    }
    const leftMs = keepAliveTimeoutMs - clientTimeoutMs
    const isOwed = !this.#hasServed || this.#body !== null || this.#socket.writableLength > 0
    if (this.#wasSilent || isOwed || leftMs <= 0) {
      this.#socket.destroy()
      return
    }
    this.#wasSilent = true
    this.#socket.setTimeout(leftMs)
  }

  /** The client sends no more: what it waits for it still gets. */
  #ended(): void {
    this.#isLast = true
    this.#body?.fail(refusal(499))
    if (this.#running === null) this.#finish()
  }

  #closed(): void {
    this.#body?.fail(refusal(499))
    this.#options.onClose(this)
  }

  #giveAway(): void {
    const socket = this.#socket
    socket.setTimeout(0)
    socket.off('data', this.#onData).off('timeout', this.#onTimeout).off('close', this.#onClose)
    socket.off('end', this.#onEnd).off('drain', this.#onDrain).off('error', ignore)
    readByStream(socket)
    const unread = this.#unread === null ? null : Buffer.from(this.#unread)
    this.#unread = null
    this.#options.onClose(this)
    this.#options.giveAway(socket, unread)
    socket.resume()
  }
}

function ignore(): void {}
