/**
 * Finds bytes that lie in another storage policy than their container and that no record names (any more): what a crash has
 * left, or a deletion that nobody has told. Containers with such bytes stand in a book; whose turn it is looks through one
 * once a day. Bytes younger than an hour may be those of a write that is under way.
 */
import { Counter, type Registry } from 'prom-client'
import { Pace } from '../backend/pace.ts'
import type { ProxyContext } from '../proxy-context.ts'
import { DueBook, type DuePage } from '../upkeep/due-book.ts'
import { DuePass } from '../upkeep/due-pass.ts'
import { classContainer, msOfTicks, ownerOfBytes, placedOf } from './placed-record.ts'

/** The book's container, beside that of the lifecycle rules. */
const BOOK = 'classes'
const GRACE_MS = 3_600_000
const DAY_MS = 86_400_000
const IDLE_MS = 600_000
const BUSY_MS = 1_000
const ROWS_MAX = 1_000
const LOOKS_PER_SECOND = 200

export type OrphanContext = Pick<ProxyContext, 'backend' | 'clock' | 'log' | 'policies' | 'random'>

/** The book of containers whose objects have bytes in other policies. */
export function classBook({
  backend,
  clock,
  policies,
}: Pick<OrphanContext, 'backend' | 'clock' | 'policies'>): DueBook {
  return new DueBook({ backend, clock, policy: policies.default.index, container: BOOK })
}

export class OrphanBytes {
  readonly #context: OrphanContext
  readonly #book: DueBook
  readonly #pass: DuePass
  readonly #pace: Pace
  #removed = 0

  constructor(context: OrphanContext, metrics: Registry) {
    const { clock, log, random } = context
    this.#context = context
    this.#book = classBook(context)
    this.#pace = new Pace(clock, { perSecond: LOOKS_PER_SECOND })
    this.#pass = new DuePass({
      name: 'orphan-bytes',
      ...{ clock, log, random },
      book: this.#book,
      pauses: { busyMs: BUSY_MS, idleMs: IDLE_MS, startMs: IDLE_MS },
      work: async (page) => {
        await this.#look(page)
        return true
      },
      failed({ account, bucket }, error) {
        log.warn('no orphans looked for', { account, container: bucket, error })
      },
    })
    const value = () => this.#removed
    new Counter({
      name: 'swiftlet_class_orphans_total',
      help: 'Bytes in other storage policies that no object had any more, removed',
      registers: [metrics],
      collect() {
        this.reset()
        this.inc(value())
      },
    })
  }

  start(): void {
    this.#pass.start()
  }

  async stop(): Promise<void> {
    await this.#pass.stop()
  }

  /** Looks through every container that is due; true if there was any. */
  pass(): Promise<boolean> {
    return this.#pass.pass()
  }

  async #look(taken: DuePage): Promise<void> {
    const { backend, policies, clock } = this.#context
    const { account, bucket } = taken
    const owner = await backend.readContainer(account, bucket)
    let page: DuePage | null = taken
    let isLeft = owner !== null
    for (const { index } of policies.all) {
      const container = classContainer(bucket, index)
      for await (const names of this.#orphans(taken, container, owner?.policy)) {
        for (const object of names) {
          await backend.deleteObject({ account, container, object, policy: index })
          this.#removed++
        }
        page = this.#pass.isOver ? null : await this.#book.keep(page, page)
        if (page === null) return
      }
      if (owner === null) isLeft = !(await this.#removeEmpty(account, container)) || isLeft
    }
    if (!isLeft) return this.#book.close(page)
    await this.#book.finish(page, clock.nowMs() + (owner === null ? GRACE_MS : DAY_MS))
  }

  /** Names of bytes that nothing names, a page at a time; `policy` is that of their owners' container, if there is one. */
  async *#orphans(
    { account, bucket }: DuePage,
    container: string,
    policy: number | undefined,
  ): AsyncGenerator<readonly string[]> {
    const { backend, clock } = this.#context
    let marker = ''
    for (;;) {
      const query = { limit: ROWS_MAX, ...(marker !== '' && { marker }) }
      const page = await backend.listContainer(account, container, query)
      const orphans: string[] = []
      for (const row of page?.entries ?? []) {
        if ('subdir' in row) continue
        marker = row.name
        const isYoung = msOfTicks(row.stamp.ticks) > clock.nowMs() - GRACE_MS
        if (isYoung) continue
        await this.#pace.take()
        const { object, id } = ownerOfBytes(row.name)
        const path = { account, container: bucket, object }
        const read =
          policy === undefined
            ? null
            : await backend.readObject({ ...path, policy }, { head: true })
        if (read === null || placedOf(read.info)?.at?.id !== id) orphans.push(row.name)
      }
      yield orphans
      if (page === null || page.entries.length < ROWS_MAX) return
    }
  }

  /** False: there is still something in it. */
  async #removeEmpty(account: string, container: string): Promise<boolean> {
    const { status } = await this.#context.backend.deleteContainer(account, container)
    return status !== 'not-empty'
  }
}
