import type { Registry } from 'prom-client'
import { type PipelineMiddleware, serveGet } from './state.ts'

/** Everything in the registry, for Prometheus. */
export function metrics(registry: Registry): PipelineMiddleware {
  return (ctx) =>
    serveGet(ctx, async () => ({
      status: 200,
      headers: ['Content-Type', registry.contentType],
      body: await registry.metrics(),
    }))
}
