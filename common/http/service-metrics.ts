import { Counter, Histogram, type Registry } from 'prom-client'
import type { Route } from './route.ts'
import type { ServiceAnswer } from './service-app.ts'

/** Where Prometheus asks; for everybody, as on the other processes. */
export const METRICS_PATH = '/metrics'

const BOUNDS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Counts what a REST service answers: `swiftlet_SERVICE_requests_total` and `swiftlet_SERVICE_request_seconds`. */
export class ServiceMetrics {
  readonly #requests: Counter<'method' | 'route' | 'status'>
  readonly #seconds: Histogram<'method' | 'route'>

  constructor(registry: Registry, service: string) {
    const registers = [registry]
    this.#requests = new Counter({
      name: `swiftlet_${service}_requests_total`,
      help: 'Requests answered',
      labelNames: ['method', 'route', 'status'],
      registers,
    })
    this.#seconds = new Histogram({
      name: `swiftlet_${service}_request_seconds`,
      help: 'Time from the request head to the answer',
      labelNames: ['method', 'route'],
      buckets: BOUNDS_SECONDS,
      registers,
    })
  }

  count({ method, route, status, ms }: ServiceAnswer): void {
    this.#requests.inc({ method, route, status })
    this.#seconds.observe({ method, route }, ms / 1000)
  }
}

/** The call that shows them. */
export function metricsRoute<C>(registry: Registry): Route<C> {
  return {
    method: 'GET',
    path: METRICS_PATH,
    handle: async () => ({
      status: 200,
      headers: { 'Content-Type': registry.contentType },
      body: Buffer.from(await registry.metrics()),
    }),
  }
}
