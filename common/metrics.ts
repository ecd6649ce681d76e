import { collectDefaultMetrics, Registry } from 'prom-client'

/**
 * The metrics of one process for Prometheus, with those of Node itself (CPU, memory, event loop, open files) in it.
 * Each part registers its own in it, named `swiftlet_…` with the unit last.
 */
export function createMetrics(labels: Readonly<Record<string, string>> = {}): Registry {
  const registry = new Registry()
  registry.setDefaultLabels({ ...labels })
  collectDefaultMetrics({ register: registry })
  return registry
}
