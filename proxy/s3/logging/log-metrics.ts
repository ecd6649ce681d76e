import { Counter, Gauge, type Registry } from 'prom-client'

/** What becomes of records: `dropped` for want of room or after too many failures, `refused` by the bucket that they were for. */
export const LOG_OUTCOMES = ['delivered', 'dropped', 'refused'] as const
export type LogOutcome = (typeof LOG_OUTCOMES)[number]

/** Counted in plain numbers, and told when somebody asks. */
export class LogMetrics {
  readonly #records = new Map<LogOutcome, number>()

  constructor(registry: Registry, waitingBytes: () => number) {
    const of = (outcome: LogOutcome) => this.of(outcome)
    const registers = [registry]
    new Counter({
      name: 'swiftlet_s3_access_log_records_total',
      help: 'Records of buckets’ access logs, by what became of them',
      labelNames: ['outcome'],
      registers,
      collect() {
        this.reset()
        for (const outcome of LOG_OUTCOMES) this.inc({ outcome }, of(outcome))
      },
    })
    new Gauge({
      name: 'swiftlet_s3_access_log_waiting_bytes',
      help: 'Memory of records that are not delivered yet',
      registers,
      collect() {
        this.set(waitingBytes())
      },
    })
  }

  count(outcome: LogOutcome, records: number): void {
    this.#records.set(outcome, this.of(outcome) + records)
  }

  of(outcome: LogOutcome): number {
    return this.#records.get(outcome) ?? 0
  }
}
