/**
 * Looks through one bucket by its rules: its versions, then its uploads. A slice of it at a time, so that no bucket keeps the others
 * waiting; how far it has come stands in the book, at the end of a name.
 */
import { ServiceError } from '../../../common/errors.ts'
import type { ListRow } from '../../../common/storage-node.ts'
import type { Pace } from '../../backend/pace.ts'
import { refuseReadOnly } from '../../layers/read-only.ts'
import { type DueBook, type DuePage, type DueState, LEASE_MS } from '../../upkeep/due-book.ts'
import { segmentsContainer } from '../bucket/bucket-name.ts'
import { readUploadName, UPLOADS_PREFIX } from '../multipart/upload-names.ts'
import { Uploads } from '../multipart/uploads.ts'
import type { S3Call } from '../s3-call.ts'
import { bucketVersions, type SweptVersion } from './bucket-lines.ts'
import { lifecycleOf } from './lifecycle-headers.ts'
import type { LifecycleMetrics, SweepOutcome } from './lifecycle-metrics.ts'
import { type MoveSettings, moveFor } from './lifecycle-moves.ts'
import { encodeLifecycle, type Lifecycle } from './lifecycle-rule.ts'
import { abortionOf, stepFor } from './lifecycle-steps.ts'
import { type OwnCalls, ownCall } from './own-call.ts'
import { takeStep } from './take-step.ts'

export interface SweepContext {
  readonly calls: OwnCalls
  readonly book: DueBook
  readonly metrics: LifecycleMetrics
  readonly pace: Pace
  readonly dayMs: number
  /** The process ends: no more is begun. */
  readonly isOver: () => boolean
}

/** `more`: the slice is over, or the rules are other ones by now; `lost`: somebody else has the bucket. */
export type SweepEnd = 'done' | 'more' | 'lost'

/** Versions and uploads of a slice, and those of them that were due. */
const LOOKED_MAX = 20_000
const STEPS_MAX = 1_000
/** Looked at between two notes in the book, and steps taken. */
const NOTE_LOOKED = 1_000
const NOTE_STEPS = 50
/** In a row: what ails is not the one object. */
const FAILURES_MAX = 10
const UPLOADS_PAGE = 1000

export class BucketSweep {
  readonly #context: SweepContext
  readonly #lifecycle: Lifecycle
  readonly #text: string
  #page: DuePage
  #looked = 0
  #steps = 0
  #noted = { looked: 0, steps: 0 }
  #failures = 0
  #hasFailed = false

  constructor(context: SweepContext, page: DuePage, lifecycle: Lifecycle) {
    this.#context = context
    this.#page = page
    this.#lifecycle = lifecycle
    this.#text = encodeLifecycle(lifecycle)
  }

  /** The book's page as this one has left it. */
  get page(): DuePage {
    return this.#page
  }

  /** Something could not be done and is to be tried again. */
  get hasFailed(): boolean {
    return this.#hasFailed
  }

  async run(): Promise<SweepEnd> {
    try {
      return await this.#run()
    } finally {
      this.#context.metrics.looked += this.#looked - this.#noted.looked
    }
  }

  async #run(): Promise<SweepEnd> {
    if (this.#page.stage === 'versions') {
      const end = await this.#versions()
      if (end !== 'done') return end
      if (!this.#abortsUploads) return 'done'
      const kept = await this.#note({ ...this.#page, stage: 'uploads', after: '' })
      if (!kept) return 'lost'
    }
    return this.#abortsUploads ? this.#uploads() : 'done'
  }

  get #abortsUploads(): boolean {
    const { rules } = this.#lifecycle
    return rules.some(({ isEnabled, abortDays }) => isEnabled && abortDays !== undefined)
  }

  async #versions(): Promise<SweepEnd> {
    const { rules } = this.#lifecycle
    const { account, bucket, after } = this.#page
    const call = this.#call()
    let last = after
    for await (const version of bucketVersions(call, { account, container: bucket }, after)) {
      this.#looked++
      const time = this.#time()
      const isDue =
        stepFor(rules, version.facts, time) !== null ||
        moveFor(rules, version.facts, time, this.#moves) !== null
      if (isDue) {
        if (!(await this.#mayGoOn())) return this.#leaveAt('versions', last)
        await this.#step(() => this.#take(version))
      }
      if (version.isLast) last = version.facts.key
      if (version.isLast && this.#isSliceOver()) return this.#leaveAt('versions', last)
      if (!(await this.#noteAt('versions', last))) return 'lost'
    }
    return 'done'
  }

  async #uploads(): Promise<SweepEnd> {
    const { rules } = this.#lifecycle
    const uploads = await Uploads.of(this.#call())
    let last = this.#page.stage === 'uploads' ? this.#page.after : ''
    for await (const row of this.#uploadRows()) {
      this.#looked++
      const { key, uploadId } = readUploadName(row.name)
      // As if it had begun before all times: whether any rule is about it at all.
      if (abortionOf(rules, { key, initiatedMs: 0 }, this.#context.dayMs) !== null) {
        if (!(await this.#mayGoOn())) return this.#leaveAt('uploads', last)
        await this.#step(() => this.#abort(uploads, key, uploadId))
      }
      last = row.name
      if (this.#isSliceOver()) return this.#leaveAt('uploads', row.name)
      if (!(await this.#noteAt('uploads', row.name))) return 'lost'
    }
    return 'done'
  }

  async *#uploadRows(): AsyncGenerator<ListRow> {
    const { backend } = this.#context.calls.proxy
    const { account, bucket } = this.#page
    let { after } = this.#page
    for (;;) {
      const page = await backend.listContainer(account, segmentsContainer(bucket), {
        prefix: UPLOADS_PREFIX,
        limit: UPLOADS_PAGE,
        ...(after !== '' && { marker: after }),
      })
      for (const row of page?.entries ?? []) {
        if ('subdir' in row) continue
        after = row.name
        yield row
      }
      if (page === null || page.entries.length < UPLOADS_PAGE) return
    }
  }

  async #take(version: SweptVersion): Promise<SweepOutcome> {
    const call = this.#call(version.facts.key)
    const { rules } = this.#lifecycle
    const by = { rules, time: this.#time(), moves: this.#moves }
    return this.#holding(() => takeStep(call, version, by))
  }

  /** Null: it is not due yet. */
  async #abort(uploads: Uploads, key: string, uploadId: string): Promise<SweepOutcome | null> {
    const found = await uploads.look(key, uploadId)
    if (found === null) return 'changed'
    const { initiatedMs } = found.record
    const { nowMs, dayMs } = this.#time()
    const abortion = abortionOf(this.#lifecycle.rules, { key, initiatedMs }, dayMs)
    if (abortion === null || abortion.atMs > nowMs) return null
    const { account } = this.#page
    await refuseReadOnly(this.#context.calls.proxy, { account, isDeletion: true })
    await uploads.end(key, found, { taken: false })
    await uploads.dropParts((await uploads.parts(uploadId)).map(({ name }) => name))
    return 'abort'
  }

  /** What cannot be done now is found again by the next sweep. */
  async #step(step: () => Promise<SweepOutcome | null>): Promise<void> {
    const { metrics, pace, calls } = this.#context
    await pace.take()
    try {
      const outcome = await step()
      if (outcome !== null) metrics.count(outcome)
      if (outcome !== null) this.#steps++
      this.#failures = 0
    } catch (error) {
      const known = error instanceof ServiceError ? OUTCOMES[error.status] : undefined
      metrics.count(known ?? 'failed')
      if (known !== undefined) return
      this.#hasFailed = true
      this.#failures++
      const { account, bucket } = this.#page
      if (this.#failures >= FAILURES_MAX) throw error
      calls.proxy.log.warn('lifecycle step failed', { account, bucket, error })
    }
  }

  /** Whether the rules are still those that were read: who takes them away is heard within seconds, as long as proxies remember. */
  async #mayGoOn(): Promise<boolean> {
    const { account, bucket } = this.#page
    const info = await this.#context.calls.proxy.backend.cachedContainer(account, bucket)
    const lifecycle = info === null ? null : lifecycleOf(info)
    return lifecycle !== null && encodeLifecycle(lifecycle) === this.#text
  }

  #isSliceOver(): boolean {
    return this.#looked >= LOOKED_MAX || this.#steps >= STEPS_MAX || this.#context.isOver()
  }

  async #leaveAt(stage: DueState['stage'], after: string): Promise<SweepEnd> {
    return (await this.#note({ ...this.#page, stage, after })) ? 'more' : 'lost'
  }

  async #noteAt(stage: DueState['stage'], after: string): Promise<boolean> {
    const { looked, steps } = this.#noted
    const isEnough = this.#looked - looked >= NOTE_LOOKED || this.#steps - steps >= NOTE_STEPS
    return !isEnough || this.#note({ ...this.#page, stage, after })
  }

  /** False: somebody else has the page. */
  async #note(state: DueState): Promise<boolean> {
    const { book, metrics } = this.#context
    metrics.looked += this.#looked - this.#noted.looked
    this.#noted = { looked: this.#looked, steps: this.#steps }
    const page = await book.keep(this.#page, state)
    if (page !== null) this.#page = page
    return page !== null
  }

  /** A large object may take longer to be moved than a page is held. */
  async #holding<T>(work: () => Promise<T>): Promise<T> {
    const { clock } = this.#context.calls.proxy
    let isOver = false
    let holding: Promise<unknown> = Promise.resolve()
    const hold = () => {
      if (!isOver) holding = this.#note(this.#page).then(again, again)
    }
    let cancel = clock.after(LEASE_MS / 3, hold)
    const again = () => {
      if (!isOver) cancel = clock.after(LEASE_MS / 3, hold)
    }
    try {
      return await work()
    } finally {
      isOver = true
      cancel()
      await holding
    }
  }

  get #moves(): MoveSettings {
    const { storageClasses, transitionBytesMin } = this.#context.calls.settings
    const classes = storageClasses.map(({ name }) => name)
    const { transitionMinimum: minimum } = this.#lifecycle
    return { classes, bytesMin: transitionBytesMin, minimum }
  }

  #time() {
    const { calls, dayMs } = this.#context
    return { nowMs: calls.proxy.clock.nowMs(), dayMs }
  }

  #call(key?: string): S3Call {
    const { account, bucket } = this.#page
    return ownCall(this.#context.calls, { account, bucket, ...(key !== undefined && { key }) })
  }
}

/** Answers that say that there is nothing to be done (any more). */
const OUTCOMES: Readonly<Record<number, SweepOutcome>> = {
  403: 'locked',
  404: 'changed',
  405: 'locked',
  409: 'changed',
  412: 'changed',
}
