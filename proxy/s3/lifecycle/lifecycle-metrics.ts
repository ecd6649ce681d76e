import { Counter, Gauge, type Registry } from 'prom-client'
import type { PassStatus } from '../../backend/periodic-pass.ts'

/** What became of versions and uploads that were due. */
export const SWEEP_OUTCOMES = [
  'expire',
  'drop',
  'drop-marker',
  'move',
  'abort',
  'locked',
  'changed',
  'failed',
] as const
export type SweepOutcome = (typeof SWEEP_OUTCOMES)[number]

/** Counted in plain numbers, and told when somebody asks. */
export class LifecycleMetrics {
  readonly #outcomes = new Map<SweepOutcome, number>()
  /** Versions and uploads that were looked at. */
  looked = 0
  /** Buckets that were looked through to their end. */
  buckets = 0

  constructor(registry: Registry, status: () => PassStatus) {
    this.#show(registry)
    showPasses(registry, status)
  }

  count(outcome: SweepOutcome): void {
    this.#outcomes.set(outcome, this.of(outcome) + 1)
  }

  of(outcome: SweepOutcome): number {
    return this.#outcomes.get(outcome) ?? 0
  }

  #show(registry: Registry): void {
    const of = (outcome: SweepOutcome) => this.of(outcome)
    const registers = [registry]
    new Counter({
      name: 'swiftlet_lifecycle_due_total',
      help: 'Versions and uploads that were due by lifecycle rules, by what became of them',
      labelNames: ['outcome'],
      registers,
      collect() {
        this.reset()
        for (const outcome of SWEEP_OUTCOMES) this.inc({ outcome }, of(outcome))
      },
    })
    counter(registry, 'swiftlet_lifecycle_looked_total', {
      help: 'Versions and uploads that lifecycle rules were held against',
      value: () => this.looked,
    })
    counter(registry, 'swiftlet_lifecycle_buckets_total', {
      help: 'Buckets that were looked through to their end',
      value: () => this.buckets,
    })
  }
}

function showPasses(registry: Registry, status: () => PassStatus): void {
  counter(registry, 'swiftlet_lifecycle_passes_total', {
    help: 'Passes over the buckets that are due',
    value: () => status().passes,
  })
  counter(registry, 'swiftlet_lifecycle_failures_total', {
    help: 'Passes that failed',
    value: () => status().failures,
  })
  new Gauge({
    name: 'swiftlet_lifecycle_passed_at_seconds',
    help: 'When the last pass ended, in seconds since 1970; 0: none has',
    registers: [registry],
    aggregator: 'max',
    collect() {
      this.set(status().passedAtMs / 1000)
    },
  })
}

function counter(
  registry: Registry,
  name: string,
  { help, value }: { readonly help: string; readonly value: () => number },
): void {
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      this.reset()
      this.inc(value())
    },
  })
}
