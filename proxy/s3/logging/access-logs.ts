/**
 * Buckets' access logs. Records wait in this proxy's memory until their batch is old or long enough, and become an object of the
 * bucket that they are for, written as all objects are: what was delivered stays. What waits when the process dies is lost, as
 * are records beyond the bound and those whose bucket cannot be written to for long; all of that is counted.
 * Deliveries are nobody's requests: no log tells of them, so that none can feed itself.
 */
import type { Registry } from 'prom-client'
import { forEachParallel } from '../../../common/bounded-parallel.ts'
import { PeriodicPass } from '../../backend/periodic-pass.ts'
import type { Reply } from '../../reply.ts'
import type { OwnCalls } from '../lifecycle/own-call.ts'
import type { S3Call } from '../s3-call.ts'
import { type AnsweredCall, answeredCall, type RecordedLine, recordsOf } from './call-records.ts'
import { deliverBatch } from './deliver-batch.ts'
import { type LogBatch, LogBatches } from './log-batches.ts'
import { LogMetrics, type LogOutcome } from './log-metrics.ts'
import { dayOf, decodeLogSetting } from './log-setting.ts'

const ROLL_BYTES = 4 * 1024 * 1024
/** Of each proxy. */
const BYTES_MAX = 32 * 1024 * 1024
const PASS_MS = 1000
const PARALLEL_MAX = 4
/** With the pauses between them, a quarter of an hour. */
const FAILURES_MAX = 10
const PAUSE_MS_MAX = 120_000
/** What is left when the proxy ends gets so long. */
const STOP_MS = 10_000

export class AccessLogs {
  readonly #calls: OwnCalls
  readonly #batches: LogBatches
  readonly #metrics: LogMetrics
  readonly #pass: PeriodicPass
  #dropped = 0

  constructor(calls: OwnCalls, options: { readonly metrics: Registry }) {
    const { clock, log } = calls.proxy
    const rollMs = calls.settings.accessLogRollMs
    this.#calls = calls
    this.#batches = new LogBatches({ rollMs, rollBytes: ROLL_BYTES, bytesMax: BYTES_MAX })
    this.#metrics = new LogMetrics(options.metrics, () => this.#batches.bytes)
    const everyMs = Math.min(PASS_MS, rollMs)
    this.#pass = new PeriodicPass({
      name: 'access logs',
      clock,
      log,
      run: () => this.pass(),
      busyMs: everyMs,
      idleMs: everyMs,
    })
  }

  start(): void {
    this.#pass.start()
  }

  /** Delivers what there is, and ends. */
  async stop(): Promise<void> {
    const { clock } = this.#calls.proxy
    await this.#pass.stop()
    let cancel = () => {}
    const tooLong = new Promise<void>((resolve) => {
      cancel = clock.after(STOP_MS, resolve)
    })
    await Promise.race([this.#deliverAll(this.#batches.take(Number.POSITIVE_INFINITY)), tooLong])
    cancel()
    for (const batch of this.#batches.take(Number.POSITIVE_INFINITY)) this.#end(batch, 'dropped')
    this.#tellDropped()
  }

  /** The call is recorded when its answer was sent, if a bucket that it is about wants that. */
  follow(call: S3Call, reply: Reply): void {
    const { bucket, source } = call.notes
    if (bucket?.logging === undefined && source?.logging === undefined) return
    const answered = answeredCall(call, reply)
    call.exchange.onFinish = (status) => this.#record(answered, status)
  }

  /** One round over what is due; true if there was anything. */
  async pass(): Promise<boolean> {
    const due = this.#batches.take(this.#calls.proxy.clock.nowMs())
    await this.#deliverAll(due)
    this.#tellDropped()
    return due.length > 0
  }

  #record(answered: AnsweredCall, status: number): void {
    const { clock, log } = this.#calls.proxy
    try {
      const nowMs = clock.nowMs()
      for (const recorded of recordsOf(answered, status)) this.#add(recorded, nowMs)
    } catch (error) {
      log.error('request not recorded', { transId: answered.call.exchange.transId, error })
    }
  }

  #add({ source, setting: text, line }: RecordedLine, nowMs: number): void {
    const setting = decodeLogSetting(text)
    const name = [source.account, source.bucket, dayOf(setting, nowMs), text].join('\n')
    if (this.#batches.add(name, line, nowMs, () => ({ source, setting }))) return
    this.#dropped++
    this.#metrics.count('dropped', 1)
  }

  async #deliverAll(batches: readonly LogBatch[]): Promise<void> {
    await forEachParallel(batches, PARALLEL_MAX, (batch) => this.#deliver(batch))
  }

  async #deliver(batch: LogBatch): Promise<void> {
    const { clock, log } = this.#calls.proxy
    const { setting, source, failures } = batch
    try {
      this.#end(batch, await deliverBatch(this.#calls, batch))
    } catch (error) {
      log.warn('access log not delivered', { source, bucket: setting.bucket, failures, error })
      if (failures + 1 >= FAILURES_MAX) this.#end(batch, 'dropped')
      else this.#batches.again(batch, clock.nowMs() + pauseMs(failures))
    }
  }

  #end(batch: LogBatch, outcome: LogOutcome): void {
    const records = batch.lines.length
    this.#batches.done(batch)
    this.#metrics.count(outcome, records)
    if (outcome === 'dropped') this.#dropped += records
    if (outcome !== 'refused') return
    const { setting, source } = batch
    this.#calls.proxy.log.warn('access log refused', { source, bucket: setting.bucket, records })
  }

  #tellDropped(): void {
    if (this.#dropped === 0) return
    this.#calls.proxy.log.warn('access log records dropped', { records: this.#dropped })
    this.#dropped = 0
  }
}

function pauseMs(failures: number): number {
  return Math.min(PAUSE_MS_MAX, PASS_MS * 2 ** failures)
}
