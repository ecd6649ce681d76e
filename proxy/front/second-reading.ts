import type { Socket } from 'node:net'
import type { ParserError } from '../parser-refusal.ts'
import type { HttpSockets } from './http-sockets.ts'
import { beginsWithRawTarget, escapeTarget } from './raw-target.ts'

export interface SecondReadingOptions {
  readonly sockets: HttpSockets
  /** So long a client has for the rest of its request line. */
  readonly lineTimeoutMs: number
  /** Takes the socket as if it were new; the request has been put back into it. */
  readonly accept: (socket: Socket) => void
  readonly refuse: (error: ParserError, socket: Socket) => void
}

/**
 * Requests that llhttp has refused for bytes beyond ASCII in their target are given to it once more with these
 * escaped, if it was certain where they begin (raw-target.ts). Nobody but llhttp reads a head: its second parser has
 * all of the request, from the first byte.
 */
export class SecondReading {
  readonly #options: SecondReadingOptions
  /** The rest of their request line is awaited. */
  readonly #waiting = new Set<Socket>()

  constructor(options: SecondReadingOptions) {
    this.#options = options
  }

  /** Takes the socket over if what was wrong is only that; else returns false and has done nothing. */
  begin(error: ParserError, socket: Socket): boolean {
    const { code, rawPacket, bytesParsed = 0 } = error
    if (code !== 'HPE_INVALID_URL' || rawPacket === undefined || !socket.writable) return false
    if (!beginsWithRawTarget(rawPacket, bytesParsed) || escapeTarget(rawPacket) === null) {
      return false
    }
    if (this.#options.sockets.takeBack(socket)) this.#read(error, socket, rawPacket)
    else socket.destroy()
    return true
  }

  /** Ends the connections whose request is not complete. */
  close(): void {
    for (const socket of this.#waiting) socket.destroy()
  }

  #read(error: ParserError, socket: Socket, packet: Buffer): void {
    let bytes = packet
    const timer = setTimeout(() => refuse('ERR_HTTP_REQUEST_TIMEOUT'), this.#options.lineTimeoutMs)
    const onData = (piece: Buffer) => {
      bytes = Buffer.concat([bytes, piece])
      look()
    }
    const onEnd = () => refuse('HPE_INVALID_EOF_STATE')
    const stop = () => {
      clearTimeout(timer)
      this.#waiting.delete(socket)
      socket.off('data', onData).off('end', onEnd).off('close', stop)
    }
    const refuse = (code = error.code) => {
      stop()
      this.#options.refuse({ ...error, code, rawPacket: bytes }, socket)
    }
    const look = () => {
      const escaped = escapeTarget(bytes)
      if (escaped === undefined) socket.resume()
      else if (escaped === null) refuse()
      else {
        stop()
        socket.off('error', ignore).pause()
        socket.unshift(escaped)
        this.#options.accept(socket)
        socket.resume()
      }
    }
    this.#waiting.add(socket)
    socket.setTimeout(0)
    socket.on('data', onData).on('end', onEnd).on('close', stop).on('error', ignore)
    // The parser that was freed is still on the stack, and the next one may be the same.
    setImmediate(() => socket.destroyed || look())
  }
}

function ignore(): void {}
