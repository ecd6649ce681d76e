import type { Socket } from 'node:net'
import type { ReplyEvent, ReplySink } from '../reply-sink.ts'

/** Up to this, head and body go to the socket as one piece: a copy costs less than a second system call. */
const TOGETHER_BYTES_MAX = 64 * 1024
const DESK_BYTES = 128 * 1024
const NOTHING = new Uint8Array(0)

/** What the answers of a connection have in common. */
export interface PlainReplyOptions {
  readonly socket: Socket
  /** How long the connection is kept, for those who ask. */
  readonly keepAliveSeconds: number
  readonly nowMs: () => number
  /** Called once the whole answer was handed to the socket. */
  readonly onEnd: (reply: PlainReply) => void
}

/** The answer to a plain request, written to its socket by hand. */
export class PlainReply implements ReplySink {
  shouldKeepAlive: boolean
  writableEnded = false
  readonly #socket: Socket
  readonly #options: PlainReplyOptions
  /** The client said `Connection: keep-alive` and is answered in kind. */
  readonly #saysKeepAlive: boolean
  #head = ''
  #isHeadSent = false
  #saysConnection = true
  /** The body's length is not known: every piece goes with its own (RFC 9112 7.1). */
  #isChunked = false

  /** `keepAlive`: whether the client wants the connection kept; null if it does not say so. */
  constructor(options: PlainReplyOptions, keepAlive: boolean | null) {
    this.#options = options
    this.#socket = options.socket
    this.shouldKeepAlive = keepAlive !== false
    this.#saysKeepAlive = keepAlive === true
  }

  get destroyed(): boolean {
    return this.#socket.destroyed
  }

  get writableFinished(): boolean {
    return this.writableEnded && this.#socket.writableLength === 0
  }

  removeHeader(name: string): void {
    if (name === 'connection') this.#saysConnection = false
  }

  writeHead(status: number, reason: string, headers: readonly string[]): void {
    let head = `HTTP/1.1 ${status} ${reason}`
    let saysConnection = false
    let saysLength = false
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i]!
      const value = headers[i + 1]!
      if (INVALID_VALUE.test(value)) throw wouldLeaveItsLine(name)
      if (name === 'Connection') {
        saysConnection = true
        if (value === 'close') this.shouldKeepAlive = false
      }
      if (name === 'Content-Length') saysLength = true
      head += fieldStart(name) + value
    }
    this.#isChunked = !saysLength
    if (this.#isChunked) head += '\r\nTransfer-Encoding: chunked'
    head += dateField(this.#options.nowMs())
    if (!saysConnection) head += this.#connectionFields()
    this.#head = `${head}\r\n\r\n`
  }

  #connectionFields(): string {
    if (!this.shouldKeepAlive) return '\r\nConnection: close'
    if (!this.#saysConnection || !this.#saysKeepAlive) return ''
    const { keepAliveSeconds } = this.#options
    return `\r\nConnection: keep-alive\r\nKeep-Alive: timeout=${keepAliveSeconds}`
  }

  writeContinue(): void {
    throw new Error('a plain request does not wait for 100 Continue')
  }

  write(piece: Uint8Array, done?: () => void): boolean {
    const socket = this.#socket
    if (this.#isHeadSent && !this.#isChunked) return socket.write(piece, done)
    socket.cork()
    if (!this.#isHeadSent) socket.write(this.#head, 'latin1')
    this.#isHeadSent = true
    const isWelcome = this.#isChunked ? this.#writeChunk(piece, done) : socket.write(piece, done)
    socket.uncork()
    return isWelcome
  }

  #writeChunk(piece: Uint8Array, done?: () => void): boolean {
    // A chunk of no bytes would be the last one.
    if (piece.length > 0) {
      this.#socket.write(`${piece.length.toString(16)}\r\n`)
      this.#socket.write(piece)
      this.#socket.write('\r\n')
    }
    return this.#socket.write('', done)
  }

  end(body?: Uint8Array): void {
    if (this.#isChunked) {
      this.write(body ?? NOTHING)
      this.#socket.write('0\r\n\r\n')
    } else if (body === undefined || body.length === 0) {
      if (!this.#isHeadSent) this.#socket.write(this.#head, 'latin1')
    } else if (this.#isHeadSent || body.length > TOGETHER_BYTES_MAX) {
      this.write(body)
    } else {
      writeTogether(this.#socket, this.#head, body)
    }
    this.#isHeadSent = true
    this.writableEnded = true
    this.#options.onEnd(this)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  on(event: ReplyEvent, listener: () => void): void {
    this.#socket.on(event, listener)
  }

  off(event: ReplyEvent, listener: () => void): void {
    this.#socket.off(event, listener)
  }

  once(event: ReplyEvent, listener: () => void): void {
    this.#socket.once(event, listener)
  }
}

/**
 * Answers are put together here. A socket that has room takes the bytes at once, and the memory is free again; one that
 * has none keeps it.
 */
let desk = Buffer.allocUnsafeSlow(DESK_BYTES)

function writeTogether(socket: Socket, head: string, body: Uint8Array): void {
  const bytes = head.length + body.length
  if (bytes > desk.length) {
    socket.cork()
    socket.write(head, 'latin1')
    socket.write(body)
    socket.uncork()
    return
  }
  desk.write(head, 0, 'latin1')
  desk.set(body, head.length)
  socket.write(desk.subarray(0, bytes))
  if (socket.writableLength > 0) desk = Buffer.allocUnsafeSlow(DESK_BYTES)
}

/** Node's own rules (checkInvalidHeaderChar): a field that could end its line would let others write our answers. */
const INVALID_VALUE = /[^\t\x20-\x7e\x80-\xff]/
const FIELD_START = /^\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+: $/

/** What stands before the value, by name; more names are made and checked each time. */
const fieldStarts = new Map<string, string>()
const FIELD_STARTS_MAX = 100

function fieldStart(name: string): string {
  const known = fieldStarts.get(name)
  if (known !== undefined) return known
  const start = `\r\n${name}: `
  if (!FIELD_START.test(start)) throw wouldLeaveItsLine(name)
  if (fieldStarts.size < FIELD_STARTS_MAX) fieldStarts.set(name, start)
  return start
}

function wouldLeaveItsLine(name: string): TypeError {
  return new TypeError(`the header ${JSON.stringify(name)} would not stay in its line`)
}

let dateSecond = -1
let dateText = ''

function dateField(nowMs: number): string {
  const second = Math.floor(nowMs / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateText = `\r\nDate: ${new Date(second * 1000).toUTCString()}`
  }
  return dateText
}
