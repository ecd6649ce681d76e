/**
 * Events that wait to be told: objects of an account that no client can name, in a container a topic. An event is noted before
 * its change is made (`begun`) and again when that was (`ready`), so that no crash in between loses it: what became of the
 * change is then found out by looking (settle-event.ts). Names begin with the time, so that a listing has the oldest first.
 */
import { ServiceError } from '../../../common/errors.ts'
import {
  containerFor,
  HiddenQueues,
  type HiddenQueuesOptions,
  timeOfName,
} from '../queue/hidden-queues.ts'
import type { PendingEvent } from './event-record.ts'
import type { TopicName } from './topic.ts'
import type { TopicBook } from './topic-book.ts'

const ACCOUNT = '.s3-events'
const OF_ACCOUNT = 'x-container-sysmeta-of-account'
const OF_TOPIC = 'x-container-sysmeta-of-topic'
const TYPES = { begun: 'application/x-event;begun', ready: 'application/x-event;ready' } as const

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

export interface EventQueuesOptions extends HiddenQueuesOptions {
  readonly topics: TopicBook
  /** Of a topic; more are refused with the change that they would tell of. */
  readonly eventsMax: number
}

export class EventQueues {
  readonly #options: EventQueuesOptions
  readonly #queues: HiddenQueues

  constructor(options: EventQueuesOptions) {
    this.#options = options
    this.#queues = new HiddenQueues(ACCOUNT, options)
  }

  /** Durable when it resolves. Null: there is no such topic. 503 EventQueueFull, and the change must not be made. */
  async begin(topic: TopicName, event: PendingEvent): Promise<EventMark | null> {
    const { clock, eventsMax } = this.#options
    const container = containerOf(topic)
    const known = await this.#queues.known(container)
    if (known === null && !(await this.#make(topic))) return null
    if ((known?.stats?.objects ?? 0) >= eventsMax) throw queueFull()
    const mark = { container, name: this.#queues.nameAt(clock.nowMs()) }
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
  remove(mark: EventMark): Promise<void> {
    return this.#queues.remove(mark)
  }

  /** All queues that have events, or had. */
  async *queues(): AsyncGenerator<EventQueue> {
    for await (const container of this.#queues.containers()) {
      const queue = await this.queue(container)
      if (queue !== null) yield queue
    }
  }

  /** Null if there is none of that container's name. */
  async queue(container: string): Promise<EventQueue | null> {
    const headers = (await this.#queues.known(container))?.meta.headers
    const [account, name] = [headers?.[OF_ACCOUNT], headers?.[OF_TOPIC]]
    if (account === undefined || name === undefined) return null
    return { container, topic: { account, name } }
  }

  /** Events behind `after`, the oldest first. */
  async events(container: string, after: string, limit: number): Promise<readonly QueuedEvent[]> {
    const rows = await this.#queues.rows(container, after, limit)
    return rows.map(({ name, contentType }) => {
      return { container, name, isReady: contentType === TYPES.ready, atMs: timeOfName(name) }
    })
  }

  /** Null if somebody else was quicker. */
  async read(mark: EventMark): Promise<PendingEvent | null> {
    return (await this.#queues.read<PendingEvent>(mark))?.value ?? null
  }

  /** Takes the queue until then; null if somebody else has it. */
  async take(container: string, untilMs: number): Promise<QueueLease | null> {
    const lease = await this.#queues.lease<{ readonly tries: Tries }>(container)
    if (lease === 'taken') return null
    const { writeId, value } = lease
    const tries = value?.tries ?? {}
    return this.#keep({ container, writeId, untilMs, tries })
  }

  /** Keeps it until then, or (0) lets go of it; null: it is lost. */
  keep(
    { container, writeId }: QueueLease,
    { untilMs, tries }: { readonly untilMs: number; readonly tries: Tries },
  ): Promise<QueueLease | null> {
    return this.#keep({ container, writeId, untilMs, tries })
  }

  /** The topic is gone: so is its queue, once it is empty. */
  drop(container: string): Promise<void> {
    return this.#queues.drop(container)
  }

  async #keep(lease: {
    readonly container: string
    readonly writeId: string | null
    readonly untilMs: number
    readonly tries: Tries
  }): Promise<QueueLease | null> {
    const { container, writeId, untilMs, tries } = lease
    const kept = await this.#queues.keepLease(container, { writeId, untilMs, value: { tries } })
    return kept === null ? null : { container, writeId: kept, tries }
  }

  /** False if there is no such topic. */
  async #make(topic: TopicName): Promise<boolean> {
    if ((await this.#options.topics.read(topic)) === null) return false
    const headers = { [OF_ACCOUNT]: topic.account, [OF_TOPIC]: topic.name }
    await this.#queues.make(containerOf(topic), headers)
    return true
  }

  async #write(mark: EventMark, state: keyof typeof TYPES, event: PendingEvent): Promise<void> {
    await this.#queues.write(mark, { value: event, contentType: TYPES[state] })
  }
}

function containerOf({ account, name }: TopicName): string {
  return containerFor(account, name)
}

function queueFull(): ServiceError {
  const message = 'too many events wait to be told'
  return new ServiceError('EventQueueFull', message, { status: 503, retryAfterSeconds: 5 })
}
