import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { ServiceError } from '../common/errors.ts'
import type { Caller } from '../common/identity.ts'
import type { BodySource } from './body.ts'
import type { ProxyContext } from './proxy-context.ts'
import type { ReplySink } from './reply-sink.ts'
import type { RequestKind } from './request-metrics.ts'
import type { ChangeKind } from './s3/notifications/event-names.ts'
import { queryOfUrl, type SwiftPath } from './swift/path.ts'
import { Query } from './swift/query.ts'
import type { VersionRules } from './swift/versions/version-rules.ts'
import { fromWire } from './wire-text.ts'

/** A short body of stated length that comes without node:http. */
export interface PlainBody {
  /** Whether all of it is there. */
  readonly complete: boolean
  /** The whole body; rejects with 499 when the client goes away before its end. Once. */
  receive(): Buffer | Promise<Buffer>
}

/** A body that comes in pieces: of node:http, or of what a request within this process brings. */
export type StreamBody = IncomingMessage | Readable

/** Rights that a signed URL, a form or the cluster itself gives in place of the caller's own. */
export interface Authority {
  /** For the log. */
  readonly by: string
  readonly account: string
  /** Absent: all of the account's. */
  readonly container?: string
  /** Whether it sees and sets what only the account's owner does. */
  readonly owner: boolean
}

/** Places as `account/container`. */
export interface PlacesJudged extends Iterable<string> {
  has(place: string): boolean
}

/** A request's head and the ways to its body and answer, whoever read it. */
export interface Message {
  readonly method: string
  /** The request target as it came. */
  readonly url: string
  /** Of several requests, if they had the same: nobody changes them. */
  readonly headers: Readonly<IncomingHttpHeaders>
  readonly socket: Socket
  readonly body: StreamBody | PlainBody
  readonly res: ReplySink
  /** The client waits for `100 Continue` before it sends the body. */
  readonly continueExpected: boolean
  /** Of the request that this one is a part of. */
  readonly transId?: string
}

/** One request and its answer in the making: what the hot path and the koa pipeline have in common. */
export class Exchange {
  readonly proxy: ProxyContext
  readonly socket: Socket
  /** Where the body comes from: a stream, or a short one. */
  readonly source: StreamBody | PlainBody
  readonly res: ReplySink
  readonly method: string
  /** The request target as it came. */
  readonly url: string
  /** Names in lower case, values in latin1 as they came; see `text` for their meaning. */
  headers: Readonly<IncomingHttpHeaders>
  readonly transId: string
  /** Made within another request. */
  readonly isInner: boolean
  /** Monotonic milliseconds. */
  readonly startedMs: number
  /** The client waits for `100 Continue` before it sends the body. */
  continueExpected: boolean
  kind: RequestKind = 'other'
  path: SwiftPath | null = null
  /** The path with its version, unescaped, where it is not what the URL says (a domain stands for a part of it). */
  mappedPath: string | undefined
  caller: Caller | null = null
  /** Set: only what it grants counts, whoever the caller is. */
  authority: Authority | null = null
  /** `account/container` of places whose policies have been judged for this request already; null: none has. */
  judged: PlacesJudged | null = null
  /** The user's name where there is no token: of a sign-in. */
  signedInAs: string | undefined
  /** Of who has signed a request of the S3 API. */
  accessKey: string | undefined
  /** Of the object's container, for the log. */
  policyIndex: number | undefined
  /** What layers keep with an object that is put, besides its own metadata. */
  objectSysmeta: Readonly<Record<string, string>> | undefined
  /** A longer body is refused with a 413: the store's limit, or what a quota leaves. */
  bodyBytesMax: number
  /** Metadata that the process itself gives to the object being written; asked for when its body has come. */
  addedMeta: (() => Readonly<Record<string, string>>) | null = null
  /** Set by the process itself: the storage class that the object being written is to have, of S3's. */
  storageClass: string | undefined
  /** Set by the process itself: a PUT or DELETE is one of what the name was then, a record of this write id. */
  onlyIfWriteId: string | undefined
  /** Set by the process itself: versions are S3's. */
  versionRules: VersionRules | null = null
  /** Told the answer's status once that was sent. */
  onFinish: ((status: number) => void) | null = null
  /** Set by the process itself: what a bucket's notifications call the change; by its method if absent. */
  changeKind: ChangeKind | undefined
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

  constructor(proxy: ProxyContext, message: Message) {
    this.proxy = proxy
    this.socket = message.socket
    this.source = message.body
    this.res = message.res
    this.continueExpected = message.continueExpected
    this.method = message.method
    this.url = message.url
    this.headers = message.headers
    this.bodyBytesMax = proxy.limits.objectBytesMax
    this.startedMs = proxy.clock.monotonicMs()
    this.isInner = message.transId !== undefined
    this.transId = message.transId ?? proxy.transIds.next(this.header('x-trans-id-extra'))
  }

  get query(): Query {
    this.#query ??= new Query(queryOfUrl(this.url))
    return this.#query
  }

  /** From here on these are the request's parameters, whatever its URL says. */
  replaceQuery(text: string): void {
    this.#query = new Query(text)
  }

  /** From here on the request has no such header. */
  dropHeader(name: string): void {
    if (this.headers[name] === undefined) return
    const { [name]: _dropped, ...left } = this.headers
    this.headers = left
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
