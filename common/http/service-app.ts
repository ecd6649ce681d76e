import type { IncomingMessage, ServerResponse } from 'node:http'
import Router, { type RouterContext } from '@koa/router'
import Koa from 'koa'
import type { Clock } from '../clock.ts'
import { ServiceError } from '../errors.ts'
import type { Log } from '../log.ts'
import { type Random, randomUuid } from '../random.ts'
import { readJsonBody } from './json-body.ts'
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
  const { requestsMax } = { ...DEFAULTS, ...options }
  const app = new Koa<State>()
  let inFlight = 0
  app.use(async (ctx, next) => {
    const startedMs = options.clock.monotonicMs()
    ctx.state.call = rawCall(ctx, `req-${randomUuid(options.random)}`)
    inFlight++
    try {
      if (inFlight > requestsMax) throw busy()
      await next()
      ctx.state.answer ??= options.errorAnswer(noSuchPath(ctx.path), ctx.state.call)
    } catch (error) {
      ctx.state.answer = errorAnswerOf(error, ctx.state.call, options)
    } finally {
      inFlight--
    }
    send(ctx, ctx.state.answer, options.headers)
    const { method, status } = ctx
    const ms = options.clock.monotonicMs() - startedMs
    options.onAnswer?.({ method, route: ctx.state.route ?? 'other', status, ms })
  })
  const router = routerOf(options)
  app.use(router.routes())
  app.use(router.allowedMethods({ throw: true, methodNotAllowed: wrongMethod }))
  app.on('error', (error: unknown) => options.log.error('answer failed', { error }))
  return app.callback()
}

function routerOf<C>(options: ServiceAppOptions<C>): Router<State> {
  const { bodyBytesMax } = { ...DEFAULTS, ...options }
  const router = new Router<State>({ sensitive: true })
  for (const route of options.routes) {
    const methods = route.method === 'GET' ? ['get', 'head'] : [route.method.toLowerCase()]
    router.register(route.path, methods, async (ctx) => {
      ctx.state.route = route.path
      const body = await readJsonBody(ctx.req, bodyBytesMax)
      const raw = { ...ctx.state.call!, params: paramsOf(ctx), body }
      ctx.state.call = raw
      ctx.state.answer = await route.handle({ ...raw, context: await options.prepare(raw) })
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
    baseUrl: `${ctx.protocol}://${ctx.host}`,
    requestId,
  }
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
  if (answer.body === undefined) {
    // Without this koa writes the status's name as the body.
    ctx.response.body = null
    ctx.status = answer.status
    return
  }
<<<<<<< Updated upstream
  ctx.set('Content-Type', 'application/json')
  ctx.body = JSON.stringify(answer.body)
=======
  if (!ctx.res.hasHeader('Content-Type')) ctx.set('Content-Type', 'application/json')
  ctx.body =
    answer.body instanceof Uint8Array ? Buffer.from(answer.body) : JSON.stringify(answer.body)
>>>>>>> Stashed changes
}

function errorAnswerOf<C>(
  error: unknown,
  call: RawCall,
  { errorAnswer, log }: ServiceAppOptions<C>,
): Answer {
  const { requestId, method, path } = call
  if (error instanceof ServiceError && error.status < 500) return errorAnswer(error, call)
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
