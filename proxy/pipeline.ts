/**
 * All of HTTP outside the hot path, as one table: requests go through it from top to bottom. Routes with a path are
 * matched by the router; the last line takes everything else.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import Router from '@koa/router'
import Koa from 'koa'
import type { Registry } from 'prom-client'
import type { Exchange } from './exchange.ts'
import { accounts } from './middleware/accounts.ts'
import { catchErrors } from './middleware/catch-errors.ts'
import { crossdomain } from './middleware/crossdomain.ts'
import { healthcheck } from './middleware/healthcheck.ts'
import { info } from './middleware/info.ts'
import { listEndpoints } from './middleware/list-endpoints.ts'
import { metrics } from './middleware/metrics.ts'
import { recon } from './middleware/recon.ts'
import { replicas } from './middleware/replicas.ts'
import { signIn } from './middleware/sign-in.ts'
import type { PipelineMiddleware, PipelineState } from './middleware/state.ts'
import { status } from './middleware/status.ts'
import { swiftApi } from './middleware/swift-api.ts'
import type { ProxyContext } from './proxy-context.ts'

interface Layer {
  /** Absent: every request passes through. */
  readonly paths?: readonly string[]
  readonly middleware: PipelineMiddleware
}

function layers(proxy: ProxyContext, registry: Registry): readonly Layer[] {
  const signInPaths = ['/auth/v1.0', '/auth/v1', '/auth/auth', '/auth/v1/:account/auth']
  return [
    { middleware: catchErrors() },
    { paths: ['/healthcheck'], middleware: healthcheck(proxy.settings.healthcheckDisableFile) },
    { paths: ['/metrics'], middleware: metrics(registry) },
    { paths: ['/status', '/status.json'], middleware: status(proxy) },
    { paths: ['/recon/{*kind}'], middleware: recon(proxy) },
    { paths: ['/info'], middleware: info(proxy) },
    ...switchedOn(proxy),
    { paths: ['/swiftlet/accounts'], middleware: accounts() },
    { paths: signInPaths, middleware: signIn(proxy) },
    { middleware: swiftApi() },
  ]
}

/** What is there only where it was set. */
function switchedOn({ settings }: ProxyContext): readonly Layer[] {
  const { layers: options = {}, locate, inspect } = settings
  const found: Layer[] = []
  if (inspect !== undefined) {
    found.push({ paths: ['/swiftlet/replicas'], middleware: replicas(inspect) })
  }
  if (options.crossdomain) {
    found.push({ paths: ['/crossdomain.xml'], middleware: crossdomain(options.crossdomain) })
  }
  if (options.listEndpoints && locate !== undefined) {
    found.push({ paths: ['/endpoints/{*path}'], middleware: listEndpoints(locate) })
  }
  return found
}

/** Runs an exchange of node:http through the pipeline; never rejects. */
export type Pipeline = (
  exchange: Exchange,
  req: IncomingMessage,
  res: ServerResponse,
) => Promise<void>

export function createPipeline(proxy: ProxyContext, registry: Registry): Pipeline {
  const app = new Koa<PipelineState>()
  for (const { paths, middleware } of layers(proxy, registry)) {
    app.use(paths === undefined ? middleware : routed(paths, middleware))
  }
  const exchanges = new WeakMap<object, Exchange>()
  app.middleware.unshift((ctx, next) => {
    ctx.state.exchange = exchanges.get(ctx.req)!
    return next()
  })
  app.on('error', (error: unknown) => proxy.log.error('pipeline failed', { error }))
  const callback = app.callback()
  return async (exchange, req, res) => {
    exchanges.set(req, exchange)
    await callback(req, res)
  }
}

function routed(paths: readonly string[], middleware: PipelineMiddleware): PipelineMiddleware {
  const router = new Router<PipelineState>({ strict: true, sensitive: true })
  router.all([...paths], middleware)
  return router.routes() as PipelineMiddleware
}
