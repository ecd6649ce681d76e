import { discardBody } from './body.ts'
import type { Exchange } from './exchange.ts'
import { isStream, type Reply, type ReplyStream, reasonOf } from './reply.ts'
import type { ReplySink } from './reply-sink.ts'
import { toWire } from './wire-text.ts'

/**
 * Puts a reply on the wire: one writeHead with a flat array and, for what is in memory, one end. Resolves when a
 * streamed body has been handed over, or the client is gone; a stream that fails in the middle ends the connection, so
 * that nobody takes a part for the whole.
 */
export function send(exchange: Exchange, reply: Reply): void | Promise<void> {
  const { res } = exchange
  const { body } = reply
  if (res.destroyed) return isStream(body) ? body.close() : undefined
  const isStreamed = isStream(body)
  if (!isStreamed || body.readsBody !== true) discardBody(exchange)
  const bytes = bodyBytes(reply)
  // HTTP/1.1 connections persist without saying so; clients that say so are answered in kind, as Swift does. One whose
  // client still waits to be told to go on is closed behind a refusal (node:http), and has to say so.
  const persists = res.shouldKeepAlive && !exchange.continueExpected
  if (persists && exchange.headers.connection === undefined) res.removeHeader('connection')
  res.writeHead(reply.status, reasonOf(reply.status), head(exchange, reply, bytes))
  if (exchange.method === 'HEAD' || body === null) {
    res.end()
    return isStreamed ? body.close() : undefined
  }
  if (isStreamed) return sendStream(exchange, body)
  exchange.bytesOut = bytes ?? 0
  // Node writes the head in the encoding of a text that follows it; its bytes beyond ASCII must stay as they are.
  res.end(typeof body === 'string' ? Buffer.from(body) : body)
}

/** The reply's headers made ready, in place: a reply is sent once. */
function head(exchange: Exchange, reply: Reply, bytes: number | null): string[] {
  const out = reply.headers
  for (let i = 1; i < out.length; i += 2) out[i] = toWire(out[i]!)
  if (bytes !== null) out.push('Content-Length', String(bytes))
  out.push('X-Trans-Id', exchange.transId, 'X-Openstack-Request-Id', exchange.transId)
  if (exchange.proxy.closing) out.push('Connection', 'close')
  return out
}

/** Null: it is sent in chunks of their own lengths. */
function bodyBytes(reply: Reply): number | null {
  const { body } = reply
  if (body === null) return reply.announcedBytes ?? 0
  if (typeof body === 'string') return Buffer.byteLength(body)
  return isStream(body) ? body.bytes : body.byteLength
}

async function sendStream(exchange: Exchange, body: ReplyStream): Promise<void> {
  const { res, proxy } = exchange
  const gone = new AbortController()
  const onClose = () => gone.abort()
  res.on('close', onClose)
  // A write that meets a connection just closed is no news: 'close' follows.
  res.on('error', ignore)
  try {
    await writePieces(exchange, body, gone.signal)
    if (body.readsBody === true) discardBody(exchange)
    if (!gone.signal.aborted && !res.destroyed) res.end()
  } catch (error) {
    if (!gone.signal.aborted) {
      proxy.log.error('body cut off', { transId: exchange.transId, error })
      res.destroy()
    }
  } finally {
    res.off('close', onClose)
    res.off('error', ignore)
    await body.close()
  }
}

/** The next piece is being read while the last one is on its way to the client: two are in memory, no more. */
async function writePieces(
  exchange: Exchange,
  body: ReplyStream,
  gone: AbortSignal,
): Promise<void> {
  const { res } = exchange
  const pieces = body.pieces()[Symbol.asyncIterator]()
  try {
    let next = pieces.next()
    for (;;) {
      const { value: piece, done } = await next
      if (done === true || gone.aborted || res.destroyed) break
      next = pieces.next()
      next.catch(ignore)
      exchange.bytesOut += piece.byteLength
      if (body.bytes !== null && exchange.bytesOut > body.bytes)
        throw new Error('the body is longer than announced')
      if (!writePiece(res, piece, body)) await drained(exchange, res, gone)
    }
    const isWhole = body.bytes === null || exchange.bytesOut === body.bytes
    if (!gone.aborted && !res.destroyed && !isWhole) {
      throw new Error(`the body ended after ${exchange.bytesOut} of ${body.bytes} bytes`)
    }
  } finally {
    await pieces.return?.(undefined)
  }
}

function writePiece(res: ReplySink, piece: Uint8Array, body: ReplyStream): boolean {
  // Gone means written or given up: then nobody reads from it any more.
  return body.recycle === undefined
    ? res.write(piece)
    : res.write(piece, () => body.recycle?.(piece))
}

function drained(exchange: Exchange, res: ReplySink, gone: AbortSignal): Promise<void> {
  exchange.draining = true
  return new Promise((resolve) => {
    const done = () => {
      exchange.draining = false
      res.off('drain', done)
      gone.removeEventListener('abort', done)
      resolve()
    }
    res.on('drain', done)
    gone.addEventListener('abort', done)
  })
}

function ignore(): void {}
