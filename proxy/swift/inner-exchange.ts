/**
 * A request within a request: what a form, an archive or a web site asks of the store on behalf of who sent it. It goes
 * through the inner layers and the handlers like one from outside, without a socket: its answer is a value.
 *
 *   const reply = await exchange.proxy.answerInner(innerExchange(exchange, { method: 'DELETE', path }))
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { type Authority, Exchange } from '../exchange.ts'
import type { ProxyContext } from '../proxy-context.ts'
import type { Reply } from '../reply.ts'
import { isStream } from '../reply.ts'
import type { ReplySink } from '../reply-sink.ts'
import { escapePath } from '../wire-text.ts'
import type { SwiftPath } from './path.ts'

export interface InnerRequest {
  readonly method: string
  readonly path: SwiftPath
  /** What would follow the question mark. */
  readonly query?: string
  /** Names in lower case, values as on the wire; nothing of the outer request's is passed on. */
  readonly headers?: IncomingHttpHeaders
  /** With a length in the headers, or `transfer-encoding: chunked`. */
  readonly body?: Uint8Array | Readable
  /** In place of the rights of the outer request. */
  readonly authority?: Authority
  /** In place of the outer request's. */
  readonly proxy?: ProxyContext
}

/** The exchange of a request for another path or method, by the same caller with the same rights unless others are given. */
export function innerExchange(outer: Exchange, request: InnerRequest): Exchange {
  const { method, path, query, headers = {}, body = NO_BODY, authority } = request
  const inner = new Exchange(request.proxy ?? outer.proxy, {
    method,
    url: urlOf(path, query),
    headers: body instanceof Uint8Array ? withLength(body, headers) : headers,
    socket: outer.socket,
    body: body instanceof Uint8Array ? wholeBody(body) : body,
    res: new InnerSink(outer.res),
    continueExpected: false,
    transId: outer.transId,
  })
  inner.path = path
  inner.caller = outer.caller
  inner.authority = authority ?? outer.authority
  inner.judged = outer.judged
  inner.changeKind = outer.changeKind
  return inner
}

/** `/v1/account/container/object`, escaped. */
export function urlOf(path: SwiftPath, query?: string): string {
  const { account, container, object } = path
  let url = `/v1/${escapePath(account)}`
  if (container !== undefined) url += `/${escapePath(container)}`
  if (object !== undefined) url += `/${escapePath(object)}`
  return query === undefined ? url : `${url}?${query}`
}

/** Lets go of an inner reply that nobody will send. */
export function dropReply(reply: Reply): void | Promise<void> {
  if (isStream(reply.body)) return reply.body.close()
}

/** All of a reply's body, at most so many bytes; null if it is longer. The reply is used up. */
export async function readReply(reply: Reply, bytesMax: number): Promise<Buffer | null> {
  const { body } = reply
  if (body === null) return Buffer.alloc(0)
  if (!isStream(body)) {
    const whole = Buffer.from(body as string)
    return whole.length > bytesMax ? null : whole
  }
  const pieces: Buffer[] = []
  let bytes = 0
  try {
    for await (const piece of body.pieces()) {
      bytes += piece.byteLength
      if (bytes > bytesMax) return null
      // The piece may be filled again once it is given back.
      pieces.push(Buffer.from(piece))
      body.recycle?.(piece)
    }
    return Buffer.concat(pieces)
  } finally {
    await body.close()
  }
}

const NO_BODY = new Uint8Array(0)

/** The literal begins with a field of its own: V8 gives each object that begins with a spread a shape that no other has. */
function withLength(body: Uint8Array, headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return { 'content-length': String(body.length), ...headers }
}

function wholeBody(body: Uint8Array) {
  return {
    complete: true,
    receive: () => Buffer.from(body.buffer, body.byteOffset, body.byteLength),
  }
}

/** Nothing is written to it: handlers only ask whether the client is still there. */
class InnerSink implements ReplySink {
  readonly shouldKeepAlive = true
  readonly writableEnded = false
  readonly writableFinished = false
  readonly #outer: ReplySink

  constructor(outer: ReplySink) {
    this.#outer = outer
  }

  get destroyed(): boolean {
    return this.#outer.destroyed
  }

  removeHeader(): void {}

  writeHead(): never {
    throw new Error('an inner request is answered by a value')
  }

  writeContinue(): void {}

  write(): never {
    return this.writeHead()
  }

  end(): never {
    return this.writeHead()
  }

  destroy(): void {
    this.#outer.destroy()
  }

  on(event: 'close', listener: () => void): void {
    this.#outer.on(event, listener)
  }

  off(event: 'close', listener: () => void): void {
    this.#outer.off(event, listener)
  }

  once(event: 'close', listener: () => void): void {
    this.#outer.once(event, listener)
  }
}
