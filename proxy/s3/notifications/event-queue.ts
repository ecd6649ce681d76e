/**
 * Events that wait to be told: objects of an account that no client can name, in a container a topic. An event is noted before
 * its change is made (`begun`) and again when that was (`ready`), so that no crash in between loses it: what became of the
 * change is then found out by looking (settle-event.ts). Names begin with the time, so that a listing has the oldest first.
 */
import { createHash, hash } from 'node:crypto'
import type { Clock } from '../../../common/clock.ts'
import { ServiceError } from '../../../common/errors.ts'
import type { Random } from '../../../common/random.ts'
import type { Backend, ObjectPath } from '../../backend/backend.ts'
import { wholeBody } from '../../swift/object-body.ts'
import type { PendingEvent } from './event-record.ts'
import type { TopicName } from './topic.ts'
import type { TopicBook } from './topic-book.ts'

const ACCOUNT = '.s3-events'
const OF_ACCOUNT = 'x-container-sysmeta-of-account'
const OF_TOPIC = 'x-container-sysmeta-of-topic'
const TYPES = { begun: 'application/x-event;begun', ready: 'application/x-event;ready' } as const
/** Behind all events. */
const LEASE = '~lease'
const LEASE_TYPE = 'application/x-lease;until='
const PAGE_MAX = 1_000
const TIME_DIGITS = 14

/** A topic's queue: its container. */
export interface EventQueue {
  readonly container: string
  readonly topic: TopicName
}

/** An event's place in its queue. */
export interface EventMark {
  readonly container: string
  readonly name: string
}

/** An event as a listing has it. */
export interface QueuedEvent extends EventMark {
  readonly isReady: boolean
  readonly atMs: number
}

/** Who tells a queue's events, and what was tried in vain: kept with the queue, so that others go on with it. */
export interface QueueLease {
  readonly container: string
  readonly writeId: string
  readonly tries: Tries
}

/** By the event's name. */
export type Tries = Readonly<Record<string, { readonly count: number; readonly nextMs: number }>>

export interface EventQueuesOptions {
  readonly backend: Backend
  readonly topics: TopicBook
  readonly clock: Pick<Clock, 'nowMs'>
  readonly random: Random
  /** The index of the storage policy that events are kept in. */
  readonly policy: number
  /** Of a topic; more are refused with the change that they would tell of. */
  readonly eventsMax: number
}

export class EventQueues {
  readonly #options: EventQueuesOptions

  constructor(options: EventQueuesOptions) {
    this.#options = options
  }

  /** Durable when it resolves. Null: there is no such topic. 503 EventQueueFull, and the change must not be made. */
  async begin(topic: TopicName, event: PendingEvent): Promise<EventMark | null> {
    const { backend, clock, random, eventsMax } = this.#options
    const container = containerOf(topic)
    const known = await backend.cachedContainer(ACCOUNT, container)
    if (known === null && !(await this.#make(topic))) return null
    if ((known?.stats?.objects ?? 0) >= eventsMax) throw queueFull()
    const time = String(Math.floor(clock.nowMs())).padStart(TIME_DIGITS, '0')
    const name = `${time}-${Buffer.from(random.bytes(8)).toString('hex')}`
    const mark = { container, name }
    try {
      await this.#write(mark, 'begun', event)
    } catch (error) {
      if (!(error instanceof ServiceError) || error.status !== 404) throw error
      if (!(await this.#make(topic))) return null
      await this.#write(mark, 'begun', event)
    }
    return mark
  }

  /** The change was made. */
  complete(mark: EventMark, event: PendingEvent): Promise<void> {
    return this.#write(mark, 'ready', event)
  }

  /** It was told, or there is nothing to be told. */
  async remove(mark: EventMark): Promise<void> {
    await this.#options.backend.deleteObject(this.#place(mark))
  }

  /** All queues that have events, or had. */
  async *queues(): AsyncGenerator<EventQueue> {
    const { backend } = this.#options
    let marker = ''
    for (;;) {
      const query = { limit: PAGE_MAX, ...(marker !== '' && { marker }) }
      const page = await backend.listAccount(ACCOUNT, query)
      for (const row of page?.entries ?? []) {
        if ('subdir' in row) continue
        marker = row.name
        const queue = await this.queue(row.name)
        if (queue !== null) yield queue
      }
      if (page === null || page.entries.length < PAGE_MAX) return
    }
  }

  /** Null if there is none of that container's name. */
  async queue(container: string): Promise<EventQueue | null> {
    const headers = (await this.#options.backend.cachedContainer(ACCOUNT, container))?.meta.headers
    const [account, name] = [headers?.[OF_ACCOUNT], headers?.[OF_TOPIC]]
    if (account === undefined || name === undefined) return null
    return { container, topic: { account, name } }
  }

  /** Events behind `after`, the oldest first. */
  async events(container: string, after: string, limit: number): Promise<readonly QueuedEvent[]> {
    const page = await this.#options.backend.listContainer(ACCOUNT, container, {
      limit,
      endMarker: LEASE,
      ...(after !== '' && { marker: after }),
    })
    return (page?.entries ?? []).flatMap((row) => {
      if ('subdir' in row) return []
      const { name, contentType } = row
      const atMs = Number(name.slice(0, TIME_DIGITS))
      return [{ container, name, isReady: contentType === TYPES.ready, atMs }]
    })
  }

  /** Null if somebody else was quicker. */
  async read(mark: EventMark): Promise<PendingEvent | null> {
    const read = await this.#options.backend.readObject(this.#place(mark))
    if (read === null) return null
    return JSON.parse(Buffer.from(await wholeBody(read)).toString()) as PendingEvent
  }

  /** Takes the queue until then; null if somebody else has it. */
  async take(container: string, untilMs: number): Promise<QueueLease | null> {
    const { backend, clock } = this.#options
    const read = await backend.readObject(this.#place({ container, name: LEASE }))
    if (read === null) {
      return this.keep({ container, writeId: '', tries: {} }, { untilMs, tries: {} }, null)
    }
    const text = Buffer.from(await wholeBody(read)).toString()
    if (Number(read.info.meta.contentType?.slice(LEASE_TYPE.length)) > clock.nowMs()) return null
    const { tries } = JSON.parse(text) as { readonly tries: Tries }
    const { writeId } = read.info
    return this.keep({ container, writeId, tries }, { untilMs, tries })
  }

  /** Keeps it until then, or (0) lets go of it; null: it is lost. */
  async keep(
    { container, writeId }: QueueLease,
    { untilMs, tries }: { readonly untilMs: number; readonly tries: Tries },
    ifWriteId: string | null = writeId,
  ): Promise<QueueLease | null> {
    const body = Buffer.from(JSON.stringify({ format: 1, tries }))
    const meta = { ...metaOf(body), contentType: LEASE_TYPE + Math.ceil(untilMs) }
    const put = { meta, body, condition: { ifWriteId } }
    const place = this.#place({ container, name: LEASE })
    const outcome = await this.#options.backend.putObject(place, put)
    return outcome.status === 'done' ? { container, writeId: outcome.info.writeId, tries } : null
  }

  /** The topic is gone: so is its queue, once it is empty. */
  async drop(container: string): Promise<void> {
    await this.remove({ container, name: LEASE })
    await this.#options.backend.deleteContainer(ACCOUNT, container)
  }

  /** False if there is no such topic. */
  async #make(topic: TopicName): Promise<boolean> {
    const { backend, topics, policy } = this.#options
    if ((await topics.read(topic)) === null) return false
    await backend.putAccount(ACCOUNT, { headers: {} })
    const headers = { [OF_ACCOUNT]: topic.account, [OF_TOPIC]: topic.name }
    await backend.putContainer(ACCOUNT, containerOf(topic), { meta: { headers }, policy })
    return true
  }

  async #write(mark: EventMark, state: keyof typeof TYPES, event: PendingEvent): Promise<void> {
    const body = Buffer.from(JSON.stringify({ format: 1, ...event }))
    const meta = { ...metaOf(body), contentType: TYPES[state] }
    await this.#options.backend.putObject(this.#place(mark), { meta, body })
  }

  #place({ container, name }: EventMark): ObjectPath {
    return { account: ACCOUNT, container, object: name, policy: this.#options.policy }
  }
}

function metaOf(body: Uint8Array) {
  return { etag: hash('md5', body, 'hex'), headers: {} }
}

function containerOf({ account, name }: TopicName): string {
  return createHash('sha256').update(`${account}/${name}`).digest('hex')
}

function queueFull(): ServiceError {
  const message = 'too many events wait to be told'
  return new ServiceError('EventQueueFull', message, { status: 503, retryAfterSeconds: 5 })
}
