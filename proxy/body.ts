import assert from 'node:assert'
import type { IncomingMessage } from 'node:http'
import { type Exchange, type PlainBody, refusal, type StreamBody } from './exchange.ts'

/**
 * A body that comes slower than this on the average, when it has had five times the client's timeout, ends with a 408:
 * one byte a minute would keep an upload's buffers and its place on a disk for good. Slow and short is all right.
 */
const BYTES_PER_SECOND_MIN = 256
const TIMEOUTS_BEFORE_TOO_SLOW = 5

/** Whether the body came too slowly so far; `sinceMs` on the monotonic clock. */
export function isTooSlow({ proxy, bytesIn }: Exchange, sinceMs: number): boolean {
  const elapsedMs = proxy.clock.monotonicMs() - sinceMs
  if (elapsedMs <= TIMEOUTS_BEFORE_TOO_SLOW * proxy.settings.clientTimeoutMs) return false
  return bytesIn * 1000 < BYTES_PER_SECOND_MIN * elapsedMs
}

/**
 * Collects a body of known, small length; usually one chunk that is there already. Rejects with 499 when the client
 * goes away before its end, with 408 when it falls silent or is too slow.
 */
export function receiveWhole(exchange: Exchange, bytes: number): Buffer | Promise<Buffer> {
  const req = exchange.source
  if (isPlainBody(req)) return req.receive()
  if (exchange.broken !== null) return Promise.reject(exchange.broken)
  sendContinue(exchange)
  const { startedMs } = exchange
  return new Promise((resolve, reject) => {
    let first: Buffer | null = null
    let rest: Buffer[] | null = null
    let isOver = false
    const fail = (error: Error) => {
      exchange.failBody = null
      reject(error)
    }
    exchange.failBody = fail
    req.on('data', (chunk: Buffer) => {
      exchange.bytesIn += chunk.length
      if (first === null) first = chunk
      else if (rest === null) rest = [first, chunk]
      else rest.push(chunk)
      if (rest !== null && isTooSlow(exchange, startedMs)) fail(refusal(408))
    })
    req.on('end', () => {
      isOver = true
      exchange.failBody = null
      if (exchange.bytesIn !== bytes) return reject(refusal(499))
      resolve(rest === null ? (first ?? Buffer.alloc(0)) : Buffer.concat(rest, bytes))
    })
    // Comes after 'end' as well, and is too late then: the listeners cost less left where they are than taken away.
    req.on('close', () => {
      if (!isOver) fail(refusal(499))
    })
  })
}

export function isPlainBody(source: StreamBody | PlainBody): source is PlainBody {
  return 'receive' in source
}

/** Tells a client that waits for it to go on; the checks are behind us. */
export function sendContinue(exchange: Exchange): void {
  if (!exchange.continueExpected) return
  exchange.continueExpected = false
  exchange.res.writeContinue()
}

interface Fill {
  readonly buffer: Buffer
  readonly start: number
  at: number
  resolve(bytes: number): void
  reject(error: Error): void
}

/**
 * A body read in large pieces, at the reader's pace: the socket is paused while nobody waits, so that what is held
 * here is one chunk of the parser (64 KiB) at most.
 */
export class BodySource {
  readonly #exchange: Exchange
  readonly #req: StreamBody
  /** Chunks that came when the buffer was full. */
  #left: Buffer[] = []
  #waiting: Fill | null = null
  #ended = false
  #failure: Error | null = null
  readonly #startedMs: number
  readonly #onData = (chunk: Buffer) => this.#take(chunk)
  readonly #onEnd = () => this.#end()
  readonly #onGone = () => this.#gone()

  constructor(exchange: Exchange) {
    const { source } = exchange
    assert(!isPlainBody(source), 'a plain body is short and received whole')
    this.#exchange = exchange
    this.#req = source
    this.#startedMs = exchange.proxy.clock.monotonicMs()
    exchange.body = this
    this.#req.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onGone)
    this.#req.pause()
  }

  /**
   * Fills the buffer from `start`; resolves with the bytes put in: fewer than fit only at the body's end. Rejects with
   * 499 when the client goes away, with 408 when it falls silent or is too slow. One call at a time.
   */
  fill(buffer: Buffer, start = 0): Promise<number> {
    if (this.#exchange.broken !== null) this.#fail(this.#exchange.broken)
    sendContinue(this.#exchange)
    return new Promise((resolve, reject) => {
      this.#waiting = { buffer, start, at: start, resolve, reject }
      const left = this.#left
      this.#left = []
      for (const chunk of left) this.#take(chunk)
      if (this.#waiting === null) return
      if (this.#failure !== null) return this.#settle((fill) => fill.reject(this.#failure!))
      if (this.#ended) return this.#settle((fill) => fill.resolve(fill.at - fill.start))
      this.#exchange.failBody = (error) => this.#fail(error)
      this.#req.resume()
    })
  }

  /** Lets go of the request; what it still brings is somebody else's. */
  detach(): void {
    this.#req.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onGone)
    this.#left = []
    this.#exchange.failBody = null
    this.#exchange.body = null
  }

  #take(chunk: Buffer): void {
    const fill = this.#waiting
    if (fill === null) {
      this.#left.push(chunk)
      this.#req.pause()
      return
    }
    const used = Math.min(fill.buffer.length - fill.at, chunk.length)
    chunk.copy(fill.buffer, fill.at, 0, used)
    fill.at += used
    this.#exchange.bytesIn += used
    if (fill.at < fill.buffer.length) {
      if (isTooSlow(this.#exchange, this.#startedMs)) this.#fail(refusal(408))
      return
    }
    this.#req.pause()
    if (used < chunk.length) this.#left.push(chunk.subarray(used))
    this.#settle((full) => full.resolve(full.at - full.start))
  }

  #end(): void {
    this.#ended = true
    this.#settle((fill) => fill.resolve(fill.at - fill.start))
  }

  /** Comes behind the end as well. */
  #gone(): void {
    if (!this.#ended) this.#fail(refusal(499))
  }

  #fail(failure: Error): void {
    if (this.#ended || this.#failure !== null) return
    this.#failure = failure
    this.#settle((fill) => fill.reject(failure))
  }

  #settle(end: (fill: Fill) => void): void {
    const fill = this.#waiting
    this.#waiting = null
    this.#exchange.failBody = null
    if (fill !== null) end(fill)
  }
}

/** Bytes of an unwanted body that are read and thrown away so that the connection can be used again. */
const DRAIN_BYTES_MAX = 128 * 1024 * 1024

function announcesBody({ headers }: Exchange): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
}

/**
 * Deals with a body that nobody wants, after an early refusal: the next request must not be read out of it. It is
 * thrown away as it comes; beyond 128 MiB the connection is closed.
 */
export function discardBody(exchange: Exchange): void {
  const req = exchange.source
  exchange.body?.detach()
  // The rest of a short body is passed over by whoever reads it.
  if (isPlainBody(req) || !('complete' in req)) return
  if (req.complete || req.destroyed || !announcesBody(exchange)) return
  if (exchange.continueExpected) linger(exchange, req)
  let discarded = 0
  req.on('data', (chunk: Buffer) => {
    discarded += chunk.length
    if (discarded > DRAIN_BYTES_MAX) req.socket.destroy()
  })
  req.resume()
}

/** How long a refused client that has not waited for `100 Continue` may go on sending. */
const LINGER_MS = 5_000

/**
 * A client that was refused before `100 Continue` may be sending all the same: if its connection were destroyed with bytes
 * unread, it would see a broken connection (by TLS, an error) instead of the answer. The answer's end is said at once, and
 * the connection stays until the body has come to its end, or five seconds.
 */
function linger({ proxy }: Exchange, req: IncomingMessage): void {
  const { socket } = req
  // How node:http ends the connection of such an answer.
  socket.destroySoon = () => {
    socket.end()
    const cancel = proxy.clock.after(LINGER_MS, () => socket.destroy())
    req.once('end', () => socket.destroy())
    socket.once('close', cancel)
  }
}

/** Read at a time by who wants a body of any length piece by piece. */
const PIECE_BYTES = 64 * 1024

/**
 * The body of any length in pieces of up to 64 KiB, at the reader's pace. Ends with 499 when the client goes away, 408
 * when it falls silent; whoever stops early leaves the rest to `discardBody`.
 */
export async function* bodyPieces(exchange: Exchange): AsyncGenerator<Buffer> {
  if (isPlainBody(exchange.source)) {
    yield await exchange.source.receive()
    return
  }
  const source = new BodySource(exchange)
  try {
    for (;;) {
      const buffer = Buffer.allocUnsafe(PIECE_BYTES)
      const bytes = await source.fill(buffer)
      if (bytes > 0) yield buffer.subarray(0, bytes)
      if (bytes < PIECE_BYTES) return
    }
  } finally {
    source.detach()
  }
}

/** The whole body, at most so many bytes of it in memory; null if it is longer. */
export async function receiveUpTo(exchange: Exchange, bytesMax: number): Promise<Buffer | null> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of bodyPieces(exchange)) {
    bytes += piece.length
    if (bytes > bytesMax) return null
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}
