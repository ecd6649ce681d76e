import type { IncomingMessage, ServerResponse } from 'node:http'
import Router, { type RouterContext } from '@koa/router'
import Koa from 'koa'
import type { Clock } from '../clock.ts'
import { ServiceError } from '../errors.ts'
import type { Log } from '../log.ts'
import { type Random, randomUuid } from '../random.ts'
import { readJsonBody } from './json-body.ts'
import { requestHost } from './request-host.ts'
import type { Answer, Call, Route } from './route.ts'

/** A request before the service has looked at who asks. */
export type RawCall = Omit<Call<undefined>, 'context'>

export interface ServiceAppOptions<C> {
  readonly routes: readonly Route<C>[]
  /** Makes what handlers find as `call.context`: who asks. */
  readonly prepare: (call: RawCall) => C | Promise<C>
  /** The service's form of an error, which differs from service to service. */
  readonly errorAnswer: (error: ServiceError, call: RawCall) => Answer
  /** Sent with every answer. */
  readonly headers?: Readonly<Record<string, string>>
  readonly bodyBytesMax?: number
  /** Requests served at once; beyond it 503. */
  readonly requestsMax?: number
  /** Called for every answer: for metrics. */
  readonly onAnswer?: (answer: ServiceAnswer) => void
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** What was answered, for metrics. */
export interface ServiceAnswer {
  readonly method: string
  /** The route's path with its named parts; `other` if there is none. */
  readonly route: string
  readonly status: number
  readonly ms: number
}

const DEFAULTS = { bodyBytesMax: 112 * 1024, requestsMax: 1024 }

/** Answers a request of node:http. */
export type RequestListener = (req: IncomingMessage, res: ServerResponse) => Promise<void>

interface State {
  call?: RawCall
  answer?: Answer
  route?: string
}

/**
 * The shell that all REST services share: request ids, bounded JSON bodies, a table of routes, error answers, a log
 * line for what failed. Unknown paths are 404, known ones with another method 405.
 */
export function createServiceApp<C>(options: ServiceAppOptions<C>): RequestListener {
  const app = new Koa<State>()
  app.use(async (ctx, next) => {
    const startedMs = options.clock.monotonicMs()
    ctx.state.call = rawCall(ctx, `req-${randomUuid(options.random)}`)
    try {
      if (!isHost(ctx.get('host'))) throw badHost()
      await next()
      ctx.state.answer ??= unrouted(ctx, options)
    } catch (error) {
      ctx.state.answer = errorAnswerOf(error, ctx.state.call, options)
    }
    send(ctx, ctx.state.answer, options.headers)
    const { method, status } = ctx
    const ms = options.clock.monotonicMs() - startedMs
    options.onAnswer?.({ method, route: ctx.state.route ?? 'other', status, ms })
  })
  const router = routerOf(options)
  app.use(router.routes())
  const refusals = { notImplemented: wrongMethod, methodNotAllowed: wrongMethod }
  app.use(router.allowedMethods({ throw: true, ...refusals }))
  app.on('error', (error: unknown) => {
    if (!isOfClient(error)) options.log.error('answer failed', { error })
  })
  return app.callback()
}

function routerOf<C>(options: ServiceAppOptions<C>): Router<State> {
  const { bodyBytesMax, requestsMax } = { ...DEFAULTS, ...options }
  let inFlight = 0
  const router = new Router<State>({ sensitive: true })
  for (const route of options.routes) {
    const methods = route.method === 'GET' ? ['get', 'head'] : [route.method.toLowerCase()]
    router.register(route.path, methods, async (ctx) => {
      ctx.state.route = route.path
      const body = await readJsonBody(ctx.req, bodyBytesMax)
      const raw = { ...ctx.state.call!, params: paramsOf(ctx), body }
      ctx.state.call = raw
      // Only now: who sends slowly takes nobody's turn. The server bounds the connections.
      if (inFlight >= requestsMax) throw busy()
      inFlight++
      try {
        ctx.state.answer = await route.handle({ ...raw, context: await options.prepare(raw) })
      } finally {
        inFlight--
      }
    })
  }
  return router
}

function rawCall(ctx: Koa.ParameterizedContext<State>, requestId: string): RawCall {
  return {
    method: ctx.method,
    path: ctx.path,
    params: {},
    query: new URLSearchParams(ctx.querystring),
    body: {},
    header: (name) => ctx.get(name),
    baseUrl: `${ctx.protocol}://${ctx.host || localHost(ctx.req)}`,
    requestId,
    remoteAddress: ctx.req.socket.remoteAddress ?? '',
  }
}

/** A name or an address, with or without a port: links and headers of answers are made of it. */
function isHost(host: string): boolean {
  return host === '' || requestHost(host) !== null
}

/** Where the client reached the service, if it does not say so itself, as HTTP/1.0 allows. */
function localHost({ socket }: IncomingMessage): string {
  const { localAddress = '', localPort } = socket
  return `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${localPort}`
}

/** What no route has answered: OPTIONS of a path that there is, or a path that there is not. */
function unrouted<C>(
  ctx: Koa.ParameterizedContext<State>,
  { errorAnswer }: ServiceAppOptions<C>,
): Answer {
  if (ctx.method === 'OPTIONS' && ctx.res.hasHeader('Allow')) return { status: 200 }
  return errorAnswer(noSuchPath(ctx.path), ctx.state.call!)
}

function paramsOf(ctx: RouterContext<State>): Readonly<Record<string, string>> {
  return ctx.params as Readonly<Record<string, string>>
}

function send(
  ctx: Koa.ParameterizedContext<State>,
  answer: Answer,
  headers: Readonly<Record<string, string>> = {},
): void {
  ctx.status = answer.status
  for (const [name, value] of Object.entries({ ...headers, ...answer.headers }))
    ctx.set(name, value)
  ctx.set('x-openstack-request-id', ctx.state.call!.requestId)
  // Of a body that was refused the rest is not waited for.
  if (answer.status === 413) ctx.set('Connection', 'close')
  if (answer.body === undefined) {
    // Without this koa writes the status's name as the body.
    ctx.response.body = null
    ctx.status = answer.status
    return
  }
  if (!ctx.res.hasHeader('Content-Type')) ctx.set('Content-Type', 'application/json')
  ctx.body =
    answer.body instanceof Uint8Array ? Buffer.from(answer.body) : JSON.stringify(answer.body)
}

function errorAnswerOf<C>(
  error: unknown,
  call: RawCall,
  { errorAnswer, log }: ServiceAppOptions<C>,
): Answer {
  const { requestId, method, path } = call
  // Under a flood of requests a line for each would be one more flood; `onAnswer` counts them.
  const expected =
    error instanceof ServiceError && (error.status < 500 || EXPECTED_CODES.includes(error.code))
  if (expected) return errorAnswer(error, call)
  log.error('request failed', { requestId, method, path, error })
  const shown =
    error instanceof ServiceError
      ? error
      : new ServiceError(
          'Internal',
          'An unexpected error prevented the server from fulfilling your request.',
        )
  return errorAnswer(shown, call)
}

/** Answers of 5xx that say nothing about the service's health: it is full, or lacks the feature by design. */
const EXPECTED_CODES = ['Busy', 'NotImplemented']

const CLIENT_ERRORS = [
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'ERR_HTTP_REQUEST_TIMEOUT',
  'ERR_STREAM_PREMATURE_CLOSE',
]

/** Whether it says that the client went away or does not speak HTTP. */
function isOfClient(error: unknown): boolean {
  const { code = '' } = error as { readonly code?: string }
  return CLIENT_ERRORS.includes(code) || code.startsWith('HPE_')
}

function badHost(): ServiceError {
  return new ServiceError('BadHost', 'The Host header names no host.', { status: 400 })
}

function busy(): ServiceError {
  return new ServiceError('Busy', 'too many requests are in flight', {
    status: 503,
    retryAfterSeconds: 1,
  })
}

function noSuchPath(path: string): ServiceError {
  return new ServiceError('NoSuchPath', `(${path}): The resource could not be found.`, {
    status: 404,
  })
}

function wrongMethod(): ServiceError {
  return new ServiceError('WrongMethod', 'The method is not allowed for the requested URL.', {
    status: 405,
  })
}
