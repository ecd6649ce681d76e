/**
 * Which buckets have something to be done in the background, and how far each has been looked through: an object a bucket, in the
 * account of the bucket directory, and a container a book. Whoever looks through a bucket has taken its page by compare-and-set for a
 * while, so that it is one of all threads and proxies; where it stops, the next one goes on. That the page is lost costs only that work
 * is done twice: every deletion has a condition of its own.
 */
import { hash } from 'node:crypto'
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import type { Backend, ObjectPath } from '../backend/backend.ts'
import { wholeBody } from '../swift/object-body.ts'
import { inOwnContainer } from './own-container.ts'

const ACCOUNT = '.s3'
/** Of every book's pages: the first book was that of the lifecycle rules, and pages are found by it. */
const TYPE = 'application/x-lifecycle;next='
const ROWS_MAX = 1000
const ROUNDS_MAX = 8
/** Who has taken a page and is not heard of for so long has died. */
export const LEASE_MS = 60_000

/** How far a bucket has been looked through. */
export interface DueState {
  /** Of those who look through both; others stay at the first. */
  readonly stage: 'versions' | 'uploads'
  /** The name behind which it goes on; empty: from the beginning. */
  readonly after: string
  /** When it began. */
  readonly startedMs: number
}

/** A page of the book, as it was read or written. */
export interface DuePage extends DueState {
  readonly account: string
  readonly bucket: string
  readonly writeId: string
}

const BEGINNING: DueState = { stage: 'versions', after: '', startedMs: 0 }

export class DueBook {
  readonly #backend: Backend
  readonly #clock: Pick<Clock, 'nowMs'>
  readonly #policy: number
  readonly #container: string

  constructor(options: {
    readonly backend: Backend
    readonly clock: Pick<Clock, 'nowMs'>
    /** The index of the storage policy that the book is kept in. */
    readonly policy: number
    /** Of this book alone. */
    readonly container: string
  }) {
    this.#backend = options.backend
    this.#clock = options.clock
    this.#policy = options.policy
    this.#container = options.container
  }

  /**
   * The bucket has something to be done, or is about to: it is looked through from the beginning, and who is at it has lost it. Called
   * before rules are set, so that none is forgotten, and after that: a page without rules may have been closed in between.
   */
  async note(account: string, bucket: string): Promise<void> {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const read = await this.#read(account, bucket)
      const ifWriteId = read?.info.writeId ?? null
      const of = { account, bucket, ifWriteId, nextMs: 0 }
      if ((await this.#write(of, BEGINNING)) !== null) return
    }
    throw new ServiceError('LifecycleBusy', 'others are changing the lifecycle of the bucket', {
      status: 503,
      retryAfterSeconds: 1,
    })
  }

  /** Buckets that are due and that nobody is at. */
  async *due(): AsyncGenerator<{ readonly account: string; readonly bucket: string }> {
    let marker = ''
    for (;;) {
      const query = { limit: ROWS_MAX, ...(marker !== '' && { marker }) }
      const page = await this.#backend.listContainer(ACCOUNT, this.#container, query)
      for (const row of page?.entries ?? []) {
        if ('subdir' in row) continue
        marker = row.name
        const slash = row.name.indexOf('/')
        const nextMs = nextOf(row.contentType)
        if (slash < 0 || nextMs > this.#clock.nowMs()) continue
        yield { account: row.name.slice(0, slash), bucket: row.name.slice(slash + 1) }
      }
      if (page === null || page.entries.length < ROWS_MAX) return
    }
  }

  /** Takes the bucket; null if it is not due any more, or somebody else was quicker. */
  async take(account: string, bucket: string): Promise<DuePage | null> {
    const read = await this.#read(account, bucket)
    const nowMs = this.#clock.nowMs()
    if (read === null || nextOf(read.info.meta.contentType ?? '') > nowMs) return null
    const { state } = read
    const begun = state.startedMs === 0 ? { ...state, startedMs: nowMs } : state
    const of = { account, bucket, ifWriteId: read.info.writeId, nextMs: nowMs + LEASE_MS }
    return this.#write(of, begun)
  }

  /** Notes how far it has come, and keeps it; null: it is lost. */
  keep(page: DuePage, state: DueState): Promise<DuePage | null> {
    return this.#write({ ...placeOf(page), nextMs: this.#clock.nowMs() + LEASE_MS }, state)
  }

  /** Lets go of it: to be gone on with from that time on. */
  async leave(page: DuePage, state: DueState, nextMs: number): Promise<void> {
    await this.#write({ ...placeOf(page), nextMs }, state)
  }

  /** It has been looked through, and is due again at that time. */
  async finish(page: DuePage, nextMs: number): Promise<void> {
    await this.#write({ ...placeOf(page), nextMs }, BEGINNING)
  }

  /** The bucket has nothing to be done (any more), or is not there. */
  async close({ account, bucket, writeId }: DuePage): Promise<void> {
    await this.#backend.deleteObject(this.#place(account, bucket), {
      condition: { ifWriteId: writeId },
    })
  }

  async #read(
    account: string,
    bucket: string,
  ): Promise<{ readonly info: ItemInfo; readonly state: DueState } | null> {
    const read = await this.#backend.readObject(this.#place(account, bucket))
    if (read === null) return null
    return { info: read.info, state: decodeState(await wholeBody(read)) }
  }

  async #write(
    of: {
      readonly account: string
      readonly bucket: string
      readonly ifWriteId: string | null
      readonly nextMs: number
    },
    { stage, after, startedMs }: DueState,
  ): Promise<DuePage | null> {
    const { account, bucket, ifWriteId, nextMs } = of
    const state: DueState = { stage, after, startedMs }
    const body = Buffer.from(JSON.stringify({ format: 1, ...state }))
    const put = {
      meta: {
        etag: hash('md5', body, 'hex'),
        contentType: TYPE + Math.ceil(nextMs),
        headers: {},
      },
      body,
      condition: { ifWriteId },
    }
    const place = this.#place(account, bucket)
    const write = () => this.#backend.putObject(place, put)
    const outcome = await inOwnContainer(this.#backend, place, write)
    if (outcome.status !== 'done') return null
    return { account, bucket, writeId: outcome.info.writeId, ...state }
  }

  #place(account: string, bucket: string): ObjectPath {
    const object = `${account}/${bucket}`
    return { account: ACCOUNT, container: this.#container, object, policy: this.#policy }
  }
}

function placeOf({ account, bucket, writeId }: DuePage) {
  return { account, bucket, ifWriteId: writeId }
}

function nextOf(contentType: string): number {
  return contentType.startsWith(TYPE) ? Number(contentType.slice(TYPE.length)) : 0
}

/** What is not readable is begun anew. */
function decodeState(body: Uint8Array): DueState {
  try {
    const state = JSON.parse(Buffer.from(body).toString()) as DueState & { format: number }
    if (state.format === 1) return state
  } catch {
    // Told below.
  }
  return BEGINNING
}
