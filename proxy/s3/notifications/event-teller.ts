/**
 * Tells what waits in the topics' queues: each queue by one proxy at a time, which has taken its lease. Where telling fails, it is
 * tried again, later and later, until the event's time is over; what was tried stands with the lease, so that others go on with it.
 */

import { forEachParallel } from '../../../common/bounded-parallel.ts'
import type { PassStatus } from '../../backend/periodic-pass.ts'
import { PeriodicPass } from '../../backend/periodic-pass.ts'
import { type OwnCalls, ownCall } from '../lifecycle/own-call.ts'
import { AmqpPublisher } from './amqp-publisher.ts'
import type { EventFate } from './event-counts.ts'
import type { EventQueue, QueuedEvent, QueueLease } from './event-queue.ts'
import { eventDocument, type PendingEvent } from './event-record.ts'
import { concerns, eventOutcome } from './note-change.ts'
import { notificationRules } from './notification-rule.ts'
import { mayPublish } from './publish-permission.ts'
import type { Publisher } from './publisher.ts'
import { type Attempts, afterFailure, isGivenUp } from './retries.ts'
import { SETTLE_AFTER_MS, SETTLE_UNTIL_MS, settledOutcome } from './settle-event.ts'
import { AMQP, type Delivery, deliveryOf, type Topic } from './topic.ts'
import { WebhookPublisher } from './webhook-publisher.ts'

/** Between two looks into all queues: for what other proxies have left. */
const LOOK_MS = 10_000
/** After which a queue is asked for again that somebody else had. */
const TAKEN_MS = 1_000
/** Who has taken a queue and is not heard of for so long has died. */
const LEASE_MS = 30_000
/** Between two renewals: two rounds of receivers that let wait as long as they may. */
const PAGE_MAX = 32
const PARALLEL_MAX = 16
/** Events of a queue that were tried in vain; with so many, no others are tried before their time. */
const TRIED_MAX = 32
/** Queues that are told from at once, by one proxy. */
const QUEUES_MAX = 16

interface Telling {
  readonly queue: EventQueue
  /** Null: it is gone. */
  readonly topic: Topic | null
  readonly delivery: Delivery
  readonly attempts: Map<string, Attempts>
}

interface Waking {
  readonly atMs: number
  /** Nothing can be told before. */
  readonly isFirm: boolean
  readonly cancel: () => void
}

export class EventTeller {
  readonly #calls: OwnCalls
  readonly #pass: PeriodicPass
  readonly #webhooks: Publisher
  readonly #amqp: Publisher
  /** Queues being told from. */
  readonly #busy = new Map<string, Promise<unknown>>()
  /** Those that something has come to meanwhile. */
  readonly #woken = new Set<string>()
  readonly #timers = new Map<string, Waking>()
  #isOver = false

  constructor(calls: OwnCalls) {
    const { proxy, settings } = calls
    const { clock, log } = proxy
    this.#calls = calls
    this.#webhooks = new WebhookPublisher(settings.notificationHosts)
    this.#amqp = new AmqpPublisher(settings.notificationHosts)
    this.#pass = new PeriodicPass({
      name: 'notifications',
      clock,
      log,
      run: () => this.pass(),
      busyMs: LOOK_MS,
      idleMs: LOOK_MS,
    })
  }

  get status(): PassStatus {
    return this.#pass.status
  }

  /** Proxies begin at different times. */
  start(): void {
    const { events, random } = this.#calls.proxy
    events.wake = (container) => this.#wake(container, 0)
    this.#pass.start(random.below(TAKEN_MS))
  }

  /** Ends with the events that are being told. */
  async stop(): Promise<void> {
    this.#isOver = true
    for (const { cancel } of this.#timers.values()) cancel()
    await this.#pass.stop()
    await Promise.all(this.#busy.values())
    await Promise.all([this.#webhooks.close(), this.#amqp.close()])
  }

  /** Looks into all queues; true if something was in one. */
  async pass(): Promise<boolean> {
    const { queues, topics } = this.#calls.proxy.events
    let found = false
    for await (const { container, topic } of queues.queues()) {
      if (this.#isOver) break
      if (this.#timers.has(container)) continue
      const [first] = await queues.events(container, '', 1)
      if (first === undefined && (await topics.read(topic)) !== null) continue
      found = true
      await this.#run(container)
    }
    return found
  }

  /** Has the queue told from, some time later; earlier than was said before, unless that would be in vain. */
  #wake(container: string, afterMs: number, isFirm = false): void {
    if (this.#isOver) return
    if (afterMs === 0 && this.#busy.has(container)) {
      this.#woken.add(container)
      return
    }
    if (afterMs === 0 && this.#busy.size >= QUEUES_MAX) return
    const { clock } = this.#calls.proxy
    const atMs = clock.monotonicMs() + afterMs
    const known = this.#timers.get(container)
    if (known !== undefined && (known.isFirm || known.atMs <= atMs)) return
    known?.cancel()
    const cancel = clock.after(afterMs, () => {
      this.#timers.delete(container)
      if (!this.#isOver) void this.#run(container)
    })
    this.#timers.set(container, { atMs, isFirm, cancel })
  }

  #run(container: string): Promise<void> {
    const known = this.#busy.get(container)
    if (known !== undefined) return known as Promise<void>
    const running = this.#tell(container)
      .catch((error: unknown) => {
        this.#calls.proxy.log.warn('events not told', { queue: container, error })
      })
      .then(() => {
        this.#busy.delete(container)
        if (this.#woken.delete(container)) this.#wake(container, 0)
      })
    this.#busy.set(container, running)
    return running
  }

  async #tell(container: string): Promise<void> {
    const { events, clock } = this.#calls.proxy
    const lease = await events.queues.take(container, clock.nowMs() + LEASE_MS)
    if (lease === null) {
      // Somebody else is at it, and may just have looked for the last time.
      this.#wake(container, TAKEN_MS)
      return
    }
    const queue = await events.queues.queue(container)
    if (queue === null) return
    const topic = await events.topics.read(queue.topic)
    const attempts = new Map(Object.entries(lease.tries))
    const delivery = deliveryOf(topic?.attributes ?? {})
    const telling: Telling = { queue, topic, delivery, attempts }
    const isEmpty = await this.#tellAll(telling, lease)
    if (topic === null && isEmpty) {
      await events.queues.drop(container)
      return
    }
    const waits = [...attempts.values()].map(({ nextMs }) => nextMs - clock.nowMs())
    const isFull = attempts.size >= TRIED_MAX
    if (waits.length > 0) this.#wake(container, Math.max(1, Math.min(...waits)), isFull)
  }

  /** Once through the queue; true if nothing is left in it. */
  async #tellAll(telling: Telling, taken: QueueLease): Promise<boolean> {
    const { queues } = this.#calls.proxy.events
    const { clock } = this.#calls.proxy
    const { queue, attempts } = telling
    const seen = new Set<string>()
    let lease: QueueLease | null = taken
    let left = 0
    let after = ''
    for (;;) {
      const page = await queues.events(queue.container, after, PAGE_MAX)
      await forEachParallel(page, PARALLEL_MAX, async (event) => {
        seen.add(event.name)
        if (!(await this.#tellOne(telling, event))) left++
      })
      after = page.at(-1)?.name ?? after
      const isLast = page.length < PAGE_MAX || this.#isOver || attempts.size >= TRIED_MAX
      if (isLast && page.length < PAGE_MAX) {
        for (const name of attempts.keys()) if (!seen.has(name)) attempts.delete(name)
      }
      const untilMs = isLast ? 0 : clock.nowMs() + LEASE_MS
      lease = await queues.keep(lease, { untilMs, tries: Object.fromEntries(attempts) })
      if (isLast || lease === null) return isLast && left === 0 && page.length < PAGE_MAX
    }
  }

  /** True if the event is done with. */
  async #tellOne(telling: Telling, queued: QueuedEvent): Promise<boolean> {
    const { events, clock } = this.#calls.proxy
    const { topic, delivery, attempts } = telling
    if (this.#isOver) return false
    const tried = attempts.get(queued.name)
    const nowMs = clock.nowMs()
    if (topic === null) return this.#done(telling, queued, 'dropped-no-topic')
    if (!queued.isReady && nowMs - queued.atMs < SETTLE_AFTER_MS) return false
    if (tried !== undefined && tried.nextMs > nowMs) return false
    if (tried === undefined && attempts.size >= TRIED_MAX) return false
    const read = await events.queues.read(queued)
    if (read === null) return true
    if (!this.#mayTell(topic, read)) return this.#done(telling, queued, 'dropped-denied')
    const event = await this.#settled(telling, queued, read)
    if (event === null) return false
    if (event === 'cancelled') return this.#done(telling, queued, 'cancelled')
    const fate = isGivenUp(delivery, { count: tried?.count ?? 0, ageMs: nowMs - queued.atMs })
    if (fate !== null) return this.#done(telling, queued, fate)
    return this.#publish(telling, { topic, queued, event })
  }

  #mayTell(topic: Topic, { account, bucket, ruleBy: by = [] }: PendingEvent): boolean {
    const { proxy, settings } = this.#calls
    const nowMs = proxy.clock.nowMs()
    return mayPublish(topic, { account, bucket, by, region: settings.region, nowMs })
  }

  async #publish(
    telling: Telling,
    of: {
      readonly topic: Topic
      readonly queued: QueuedEvent
      readonly event: PendingEvent & { readonly outcome: NonNullable<PendingEvent['outcome']> }
    },
  ): Promise<boolean> {
    const { proxy, settings } = this.#calls
    const { delivery, attempts } = telling
    const { topic, queued, event } = of
    const id = queued.name
    const { region } = settings
    const body = eventDocument(event, { id, region, opaqueData: delivery.opaqueData })
    const isAmqp = delivery.endpoint !== null && AMQP.includes(delivery.endpoint.protocol)
    try {
      await (isAmqp ? this.#amqp : this.#webhooks).publish(topic, { id, body })
    } catch (error) {
      const { account, name } = topic
      const tried = afterFailure(attempts.get(id), delivery, proxy.clock.nowMs())
      attempts.set(id, tried)
      proxy.events.counts.add('failed')
      proxy.log.warn('event not taken', { account, topic: name, eventId: id, ...tried, error })
      return false
    }
    return this.#done(telling, queued, 'told')
  }

  /** With what came of it; null: nobody can say yet. */
  async #settled(
    { queue }: Telling,
    queued: QueuedEvent,
    event: PendingEvent,
  ): Promise<
    'cancelled' | null | (PendingEvent & { readonly outcome: NonNullable<PendingEvent['outcome']> })
  > {
    const { proxy } = this.#calls
    if (event.outcome !== undefined) return { ...event, outcome: event.outcome }
    const { account, bucket, key } = event
    const info = await proxy.backend.readContainer(account, bucket)
    const call = ownCall(this.#calls, { account, bucket, key })
    const outcome = await settledOutcome(call, event, info)
    const nowMs = proxy.clock.nowMs()
    if (outcome.status === 'unknown' && nowMs - queued.atMs < SETTLE_UNTIL_MS) return null
    if (outcome.status !== 'done') return 'cancelled'
    const rules = info === null ? [] : notificationRules(info)
    const rule = rules.find(({ id }) => id === event.ruleId)
    // A rule that is gone, or another by now, was there when the change was made.
    if (rule !== undefined && !concerns(rule, key, outcome)) return 'cancelled'
    const settled = { ...event, outcome: eventOutcome(outcome, nowMs) }
    await proxy.events.queues.complete({ container: queue.container, name: queued.name }, settled)
    proxy.events.counts.add('settled')
    return settled
  }

  async #done(telling: Telling, queued: QueuedEvent, fate: EventFate): Promise<true> {
    const { events, log } = this.#calls.proxy
    await events.queues.remove(queued)
    telling.attempts.delete(queued.name)
    events.counts.add(fate)
    if (fate.startsWith('dropped')) {
      log.warn('event dropped', { ...telling.queue.topic, eventId: queued.name, why: fate })
    }
    return true
  }
}
