import { connect, type Socket } from 'node:net'

/** A request as it goes over the wire; the body is written behind the head, `bodyRepeat` times. */
export interface WireRequest {
  readonly head: string
  readonly body: Uint8Array | null
  readonly bodyRepeat: number
}

export interface WireAnswer {
  readonly status: number
  readonly bodyBytes: number
}

const READ_BUFFER_BYTES = 256 * 1024
const HEAD_BYTES_MAX = 64 * 1024

/**
 * One HTTP/1.1 connection, one request at a time, written by hand so that the load generator costs a fraction of the
 * server: it reads the status and Content-Length of an answer and counts the bytes of its body. Not a general client:
 * chunked answers are refused.
 */
export class KeepAliveConnection {
  readonly #socket: Socket
  #onAnswer: ((answer: WireAnswer) => void) | null = null
  #onError: ((error: Error) => void) | null = null
  #head = ''
  #status = 0
  #bodyBytes = 0
  #bodyLeft = -1

  private constructor(socket: Socket) {
    this.#socket = socket
  }

  static open(port: number, host = '127.0.0.1'): Promise<KeepAliveConnection> {
    return new Promise((resolve, reject) => {
      let connection: KeepAliveConnection | null = null
      const socket = connect({
        port,
        host,
        noDelay: true,
        onread: {
          buffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
          callback: (count, buffer) => {
            connection!.#take(Buffer.from(buffer.buffer, buffer.byteOffset, count))
            return true
          },
        },
      })
      connection = new KeepAliveConnection(socket)
      const fail = (error: Error): void => {
        reject(error)
        connection.#fail(error)
      }
      socket.once('connect', () => resolve(connection))
      socket.on('error', fail)
      socket.on('close', () => fail(new Error('connection closed')))
    })
  }

  send(request: WireRequest): Promise<WireAnswer> {
    return new Promise((resolve, reject) => {
      this.#onAnswer = resolve
      this.#onError = reject
      this.#head = ''
      this.#bodyLeft = -1
      if (request.body === null) this.#socket.write(request.head, 'latin1')
      else this.#writeWithBody(request, request.body)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #writeWithBody(request: WireRequest, body: Uint8Array): void {
    this.#socket.cork()
    this.#socket.write(request.head, 'latin1')
    this.#socket.write(body)
    this.#socket.uncork()
    if (request.bodyRepeat > 1) this.#writeRest(body, request.bodyRepeat - 1)
  }

  #writeRest(body: Uint8Array, count: number): void {
    for (let left = count; left > 0; left--) {
      if (this.#socket.write(body)) continue
      if (left > 1) this.#socket.once('drain', () => this.#writeRest(body, left - 1))
      return
    }
  }

  #take(bytes: Buffer): void {
    if (this.#bodyLeft >= 0) {
      this.#takeBody(bytes.length)
      return
    }
    const headBefore = this.#head.length
    // Only the head becomes text: the first bytes of a large body come with it.
    const inThese = headBefore === 0 ? bytes.indexOf('\r\n\r\n') : -1
    const headBytes = inThese < 0 ? Math.min(bytes.length, HEAD_BYTES_MAX) : inThese + 4
    this.#head += bytes.toString('latin1', 0, headBytes)
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) {
      if (this.#head.length > HEAD_BYTES_MAX) this.#fail(new Error('answer head too long'))
      return
    }
    this.#status = Number(this.#head.slice(9, 12))
    const length = contentLength(this.#head.slice(0, end + 2))
    if (length === null) {
      this.#fail(new Error('answer without Content-Length'))
      return
    }
    this.#bodyBytes = length
    this.#bodyLeft = length
    this.#takeBody(bytes.length - (end + 4 - headBefore))
  }

  #takeBody(count: number): void {
    this.#bodyLeft -= count
    if (this.#bodyLeft > 0) return
    const onAnswer = this.#onAnswer
    if (this.#bodyLeft < 0 || onAnswer === null) {
      this.#fail(new Error('more bytes than were asked for'))
      return
    }
    this.#onAnswer = null
    onAnswer({ status: this.#status, bodyBytes: this.#bodyBytes })
  }

  #fail(error: Error): void {
    this.#socket.destroy()
    this.#onAnswer = null
    this.#onError?.(error)
    this.#onError = null
  }
}

function contentLength(head: string): number | null {
  const found = /\r\ncontent-length: (\d+)\r\n/i.exec(head)
  if (found) return Number(found[1])
  return head.startsWith('204', 9) ? 0 : null
}
