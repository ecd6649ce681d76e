import { ServiceError } from '../../common/errors.ts'
import type { Handler } from '../answer.ts'
import { errorReply } from '../error-reply.ts'
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { throughLayers } from '../layers/layer.ts'
import type { Reply } from '../reply.ts'
import { statusReply } from '../reply.ts'
import { deleteAccount, headAccount, listAccount, postAccount, putAccount } from './account.ts'
import { authenticate } from './authenticate.ts'
import {
  deleteContainer,
  headContainer,
  listContainer,
  postContainer,
  putContainer,
} from './container.ts'
import { copyFrom } from './copy.ts'
import { optionsReply } from './cors.ts'
import { readObject } from './object-read.ts'
import { deleteVerb, postVerb, putVerb } from './object-verbs.ts'
import { parseSwiftPath, pathOfUrl } from './path.ts'

/** Every verb of the Swift API and what answers it. */
export const SWIFT_HANDLERS = {
  account: {
    GET: listAccount,
    HEAD: headAccount,
    POST: postAccount,
    PUT: putAccount,
    DELETE: deleteAccount,
  },
  container: {
    GET: listContainer,
    HEAD: headContainer,
    PUT: putContainer,
    POST: postContainer,
    DELETE: deleteContainer,
  },
  object: {
    GET: readObject,
    HEAD: readObject,
    PUT: putVerb,
    POST: postVerb,
    DELETE: deleteVerb,
    COPY: copyFrom,
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Handler>>>>

type SwiftKind = keyof typeof SWIFT_HANDLERS

/** Takes a request through path, layers, sign-in, verb and handler: the whole of the Swift API. */
export function handleSwift(exchange: Exchange): Reply | Promise<Reply> {
  const { settings, requestMetrics } = exchange.proxy
  if (requestMetrics.inFlight > settings.requestsMax) throw tooManyRequests()
  const mapping = exchange.proxy.layers.domains?.map(exchange)
  return mapping === undefined ? handleMapped(exchange) : mapping.then(() => handleMapped(exchange))
}

function handleMapped(exchange: Exchange): Reply | Promise<Reply> {
  exchange.path ??= parseSwiftPath(pathOfUrl(exchange.url))
  exchange.kind = kindOf(exchange)
  return throughLayers(exchange.proxy.layers.outer, exchange, handleSignedIn)
}

/** A request that was made within another one; who is behind it is known. Never rejects. */
export async function answerInner(exchange: Exchange): Promise<Reply> {
  try {
    exchange.kind = kindOf(exchange)
    checkInnerHeaders(exchange)
    return await handleInner(exchange)
  } catch (error) {
    return errorReply(exchange, error)
  }
}

/** What no header field can hold (RFC 9110 5.5). */
const NO_FIELD = /[^\t\x20-\x7e\x80-\xff]/

/** Forms and archives bring what no HTTP parser has seen: what would not stay in its field is refused. */
function checkInnerHeaders({ headers }: Exchange): void {
  for (const name in headers) {
    const value = headers[name]
    if (typeof value === 'string' && NO_FIELD.test(value)) throw badRequest(`Bad value of ${name}`)
  }
}

function handleSignedIn(exchange: Exchange): Reply | Promise<Reply> {
  const signingIn = exchange.authority === null ? authenticate(exchange) : undefined
  return signingIn === undefined
    ? handleInner(exchange)
    : signingIn.then(() => handleInner(exchange))
}

function handleInner(exchange: Exchange): Reply | Promise<Reply> {
  return throughLayers(exchange.proxy.layers.inner, exchange, handleVerb)
}

function tooManyRequests(): ServiceError {
  const message = 'too many requests are in flight'
  return new ServiceError('Busy', message, { status: 503, retryAfterSeconds: 1 })
}

function handleVerb(exchange: Exchange): Reply | Promise<Reply> {
  const { method } = exchange
  const kind = kindOf(exchange)
  const handlers: Readonly<Record<string, Handler>> = SWIFT_HANDLERS[kind]
  const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined
  const managed = kind !== 'account' || exchange.proxy.settings.allowAccountManagement
  if (handler === undefined || (!managed && (method === 'PUT' || method === 'DELETE'))) {
    return otherVerb(exchange, methodsOf(kind, managed))
  }
  if (exchange.url.length > exchange.proxy.limits.requestLineBytesMax) throw refusal(414)
  return handler(exchange)
}

function otherVerb(exchange: Exchange, methods: readonly string[]): Reply | Promise<Reply> {
  if (exchange.method === 'OPTIONS') return optionsReply(exchange, methods)
  return statusReply(405, ['Allow', methods.join(', ')])
}

function kindOf(exchange: Exchange): SwiftKind {
  const { container, object } = exchange.path!
  if (container === undefined) return 'account'
  return object === undefined ? 'container' : 'object'
}

/** The verbs that a resource knows; accounts are made and deleted only where that is switched on. */
function methodsOf(kind: SwiftKind, managed: boolean): string[] {
  const methods = [...Object.keys(SWIFT_HANDLERS[kind]), 'OPTIONS']
  return managed ? methods : methods.filter((method) => method !== 'PUT' && method !== 'DELETE')
}
