/**
 * Queues of small JSON objects in an account that no client can name, a container each. Names begin with the time, so that a listing has
 * the oldest first; behind them is a lease, which says by its content type how long the queue is somebody's.
 */
import { createHash, hash } from 'node:crypto'
import type { Clock } from '../../../common/clock.ts'
import type { Condition } from '../../../common/condition.ts'
import type { Random } from '../../../common/random.ts'
import type { ItemInfo, ListRow } from '../../../common/storage-node.ts'
import type { Backend, BackendOutcome, ObjectPath } from '../../backend/backend.ts'
import { wholeBody } from '../../swift/object-body.ts'

/** Behind all names that begin with a time. */
const LEASE = '~lease'
const LEASE_TYPE = 'application/x-lease;until='
const PAGE_MAX = 1_000
const TIME_DIGITS = 14

export interface HiddenQueuesOptions {
  readonly backend: Backend
  readonly clock: Pick<Clock, 'nowMs'>
  readonly random: Random
  /** The index of the storage policy that the queues are kept in. */
  readonly policy: number
}

export interface QueuedObject {
  readonly container: string
  readonly name: string
}

type Headers = Readonly<Record<string, string>>

export class HiddenQueues {
  readonly #account: string
  readonly #options: HiddenQueuesOptions

  constructor(account: string, options: HiddenQueuesOptions) {
    this.#account = account
    this.#options = options
  }

  /** A new name of that time. */
  nameAt(ms: number): string {
    const time = String(Math.max(0, Math.floor(ms))).padStart(TIME_DIGITS, '0')
    return `${time}-${Buffer.from(this.#options.random.bytes(8)).toString('hex')}`
  }

  /** As it is known; null: there is no such queue. */
  async known(container: string): Promise<ItemInfo | null> {
    return this.#options.backend.cachedContainer(this.#account, container)
  }

  /** The containers of all queues that have something, or had. */
  async *containers(): AsyncGenerator<string> {
    let marker = ''
    for (;;) {
      const query = { limit: PAGE_MAX, ...(marker !== '' && { marker }) }
      const page = await this.#options.backend.listAccount(this.#account, query)
      for (const row of page?.entries ?? []) {
        if ('subdir' in row) continue
        marker = row.name
        yield row.name
      }
      if (page === null || page.entries.length < PAGE_MAX) return
    }
  }

  /** What waits behind `after`, the oldest first. */
  async rows(container: string, after: string, limit: number): Promise<readonly ListRow[]> {
    const page = await this.#options.backend.listContainer(this.#account, container, {
      limit,
      endMarker: LEASE,
      ...(after !== '' && { marker: after }),
    })
    return (page?.entries ?? []).filter((row): row is ListRow => !('subdir' in row))
  }

  async make(container: string, headers: Headers): Promise<void> {
    const { backend, policy } = this.#options
    await backend.putAccount(this.#account, { headers: {} })
    await backend.putContainer(this.#account, container, { meta: { headers }, policy })
  }

  /** Null if there is none (any more). */
  async read<T>(
    object: QueuedObject,
  ): Promise<{ readonly value: T; readonly info: ItemInfo } | null> {
    const read = await this.#options.backend.readObject(this.#place(object))
    if (read === null) return null
    return { value: JSON.parse(`${await wholeBody(read)}`) as T, info: read.info }
  }

  async write(
    object: QueuedObject,
    put: { readonly value: object; readonly contentType: string; readonly condition?: Condition },
  ): Promise<BackendOutcome> {
    const { value, contentType, condition } = put
    const body = Buffer.from(JSON.stringify({ format: 1, ...value }))
    const meta = { etag: hash('md5', body, 'hex'), contentType, headers: {} }
    const place = this.#place(object)
    return this.#options.backend.putObject(place, { meta, body, ...(condition && { condition }) })
  }

  async remove(object: QueuedObject, condition?: Condition): Promise<void> {
    await this.#options.backend.deleteObject(this.#place(object), condition && { condition })
  }

  /** The lease's write id and what is kept with it (null: nobody had one yet); `taken`: it is somebody's. */
  async lease<T>(
    container: string,
  ): Promise<{ readonly writeId: string | null; readonly value: T | null } | 'taken'> {
    const read = await this.read<T>({ container, name: LEASE })
    if (read === null) return { writeId: null, value: null }
    const until = Number(read.info.meta.contentType?.slice(LEASE_TYPE.length))
    if (until > this.#options.clock.nowMs()) return 'taken'
    return { writeId: read.info.writeId, value: read.value }
  }

  /** Keeps the lease until then, or (0) lets go of it; its write id, or null: it is lost. */
  async keepLease(
    container: string,
    lease: {
      readonly writeId: string | null
      readonly untilMs: number
      readonly value: object
    },
  ): Promise<string | null> {
    const outcome = await this.write(
      { container, name: LEASE },
      {
        value: lease.value,
        contentType: LEASE_TYPE + Math.ceil(lease.untilMs),
        condition: { ifWriteId: lease.writeId },
      },
    )
    return outcome.status === 'done' ? outcome.info.writeId : null
  }

  /** Nobody writes into it any more: it goes, once it is empty. */
  async drop(container: string): Promise<void> {
    await this.remove({ container, name: LEASE })
    await this.#options.backend.deleteContainer(this.#account, container)
  }

  #place({ container, name }: QueuedObject): ObjectPath {
    return { account: this.#account, container, object: name, policy: this.#options.policy }
  }
}

/** Milliseconds since 1970. */
export function timeOfName(name: string): number {
  return Number(name.slice(0, TIME_DIGITS))
}

/** The container of a queue that belongs to something of an account. */
export function containerFor(account: string, name: string): string {
  return createHash('sha256').update(`${account}/${name}`).digest('hex')
}
