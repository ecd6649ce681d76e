/**
 * Records on their way to their buckets: in memory, in batches that become an object each. What they take is bounded; what comes
 * beyond that is not taken.
 */
import type { LogSetting, LogSource } from './log-setting.ts'

/** Whose records a batch has, and where it goes. */
export interface LogRoute {
  readonly source: LogSource
  readonly setting: LogSetting
}

export interface LogBatch extends LogRoute {
  readonly lines: string[]
  /** When its first record came. */
  readonly beganMs: number
  /** What it takes, lines and all. */
  bytes: number
  /** Deliveries that failed. */
  failures: number
  /** Not before then. */
  dueMs: number
}

export interface LogBounds {
  /** A batch is delivered when it is so old, */
  readonly rollMs: number
  /** or has so many bytes. */
  readonly rollBytes: number
  /** Of all batches together, those being delivered included. */
  readonly bytesMax: number
}

/** What a batch takes besides its lines. */
const BATCH_BYTES = 1024
/** What a line takes besides its text. */
const LINE_BYTES = 32

export class LogBatches {
  readonly #bounds: LogBounds
  readonly #open = new Map<string, LogBatch>()
  /** To be delivered. */
  #full: LogBatch[] = []
  #bytes = 0

  constructor(bounds: LogBounds) {
    this.#bounds = bounds
  }

  get bytes(): number {
    return this.#bytes
  }

  /** False: there is no room for it. `name` is of the batch, the same for all records that may share one. */
  add(name: string, line: string, nowMs: number, route: () => LogRoute): boolean {
    const known = this.#open.get(name)
    const bytes = line.length + LINE_BYTES + (known === undefined ? BATCH_BYTES + name.length : 0)
    if (this.#bytes + bytes > this.#bounds.bytesMax) return false
    const dueMs = nowMs + this.#bounds.rollMs
    const batch = known ?? { ...route(), lines: [], beganMs: nowMs, bytes: 0, failures: 0, dueMs }
    batch.lines.push(line)
    batch.bytes += bytes
    this.#bytes += bytes
    if (batch.bytes >= this.#bounds.rollBytes) {
      this.#open.delete(name)
      this.#full.push({ ...batch, dueMs: nowMs })
    } else if (known === undefined) this.#open.set(name, batch)
    return true
  }

  /** Those that are due, in no order; each is given back by `done` or `again`. */
  take(nowMs: number): readonly LogBatch[] {
    for (const [name, batch] of this.#open) {
      if (batch.dueMs > nowMs) continue
      this.#open.delete(name)
      this.#full.push(batch)
    }
    const due = this.#full.filter(({ dueMs }) => dueMs <= nowMs)
    this.#full = this.#full.filter(({ dueMs }) => dueMs > nowMs)
    return due
  }

  /** It is delivered, or given up. */
  done({ bytes }: LogBatch): void {
    this.#bytes -= bytes
  }

  /** It could not be delivered, and is due again then. */
  again(batch: LogBatch, dueMs: number): void {
    this.#full.push({ ...batch, dueMs, failures: batch.failures + 1 })
  }
}
