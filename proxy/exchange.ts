import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { ServiceError } from '../common/errors.ts'
import type { Caller } from '../common/identity.ts'
import type { BodySource } from './body.ts'
import type { ProxyContext } from './proxy-context.ts'
import type { RequestKind } from './request-metrics.ts'
import { queryOfUrl, type SwiftPath } from './swift/path.ts'
import { Query } from './swift/query.ts'
import { fromWire } from './wire-text.ts'

/** One request and its answer in the making: what the hot path and the koa pipeline have in common. */
export class Exchange {
  readonly proxy: ProxyContext
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly method: string
  /** The request target as it came. */
  readonly url: string
  /** Names in lower case, values in latin1 as they came; see `text` for their meaning. */
  readonly headers: IncomingHttpHeaders
  readonly transId: string
  /** Monotonic milliseconds. */
  readonly startedMs: number
  /** The client waits for `100 Continue` before it sends the body. */
  continueExpected: boolean
  kind: RequestKind = 'other'
  path: SwiftPath | null = null
  caller: Caller | null = null
  /** The user's name where there is no token: of a sign-in. */
  signedInAs: string | undefined
  bytesIn = 0
  bytesOut = 0
  /** A body being read in pieces. */
  body: BodySource | null = null
  /** Set while the client's next body bytes are waited for: ends the wait, when it has been silent too long. */
  failBody: ((error: Error) => void) | null = null
  /** Why no more of the body can come, though nobody has asked for it yet: the parser gave up. */
  broken: Error | null = null
  /** True while the client is waited for to take what was sent. */
  draining = false
  #query: Query | undefined

  constructor(
    proxy: ProxyContext,
    message: {
      readonly req: IncomingMessage
      readonly res: ServerResponse
      readonly continueExpected: boolean
    },
  ) {
    const { req } = message
    this.proxy = proxy
    this.req = req
    this.res = message.res
    this.continueExpected = message.continueExpected
    this.method = req.method ?? 'GET'
    this.url = req.url ?? '/'
    this.headers = req.headers
    this.startedMs = proxy.clock.monotonicMs()
    this.transId = proxy.transIds.next(this.header('x-trans-id-extra'))
  }

  get query(): Query {
    this.#query ??= new Query(queryOfUrl(this.url))
    return this.#query
  }

  /** The header as it came; several of one name are joined by a comma. */
  header(name: string): string | undefined {
    const value = this.headers[name]
    return typeof value === 'string' || value === undefined ? value : value.join(', ')
  }

  /** The header's text; a 400 if its bytes are not UTF-8. */
  text(name: string): string | undefined {
    const value = this.header(name)
    if (value === undefined) return undefined
    const text = fromWire(value)
    if (text === null) throw badRequest(`Header ${name} must be valid UTF-8`)
    return text
  }
}

/** A 400 whose message reaches the client. */
export function badRequest(message: string): ServiceError {
  return new ServiceError('BadRequest', message, { status: 400 })
}

/** An expected failure that only needs a status and words. */
export function refusal(status: number, message = ''): ServiceError {
  return new ServiceError(`Status${status}`, message, { status })
}
