import { collectDefaultMetrics, Registry } from 'prom-client'

/**
 * How often the event loop is looked at, which is also the least lag that the metrics show. Every 10 ms, the default,
 * costs an idle process more than all of its daemons together.
 */
const LAG_PRECISION_MS = 100

/** Node's own metrics: CPU, memory, event loop, open files. */
export function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_PRECISION_MS })
}

/**
 * The metrics of one process for Prometheus, with those of Node itself (CPU, memory, event loop, open files) in it.
 * Each part registers its own in it, named `swiftlet_…` with the unit last.
 */
export function createMetrics(labels: Readonly<Record<string, string>> = {}): Registry {
  const registry = new Registry()
  registry.setDefaultLabels({ ...labels })
  collectProcessMetrics(registry)
  return registry
}
