/**
 * Changes of objects that somebody wants to be told of. What will have to be told is noted before the change is made, and is durable
 * then: whatever dies in between, a change that has happened is told at least once. Nobody waits to hear of it longer than
 * for that: the telling is event-teller.ts's.
 */

import { ServiceError } from '../../../common/errors.ts'
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import type { Exchange } from '../../exchange.ts'
import { SLO_BYTES, STATIC_LARGE_OBJECT } from '../../swift/large/static-object.ts'
import { s3Etag } from '../object/object-traits.ts'
import type { EventDesk } from './event-desk.ts'
import { type ChangeKind, type EventName, eventsOf } from './event-names.ts'
import type { EventMark } from './event-queue.ts'
import type { EventOutcome, PendingEvent } from './event-record.ts'
import {
  asksFor,
  fitsObject,
  type NotificationRule,
  notificationRules,
} from './notification-rule.ts'
import { parseTopicArn } from './topic.ts'

/** What is about to be done to an object. */
export interface ObjectChange {
  readonly kind: ChangeKind
  readonly account: string
  readonly bucket: string
  readonly key: string
  /** Set: it is about this very version. */
  readonly version?: string
}

/** A change that was made. */
export interface DoneChange {
  readonly status: 'done'
  readonly name: EventName
  /** As it is now; null for a removal. */
  readonly object: ItemInfo | null
  readonly versionId?: string
}

/** What has come of it; `unknown`: nobody can say yet. */
export type ChangeOutcome = DoneChange | { readonly status: 'nothing' | 'unknown' }

interface Noted {
  readonly mark: EventMark
  readonly rule: NotificationRule
  readonly event: PendingEvent
}

/** The rules that may want to be told of it; empty for most buckets, at the cost of a look. */
export function rulesFor(bucket: ItemInfo, { kind, key }: ObjectChange) {
  const rules = notificationRules(bucket)
  if (rules.length === 0) return rules
  const events = eventsOf(kind)
  return rules.filter((rule) => events.some((event) => asksFor(rule, event, key)))
}

/**
 * Makes the change. `before` is the write id of what it is made on; `judge` says what has come of it. 503 where it cannot be
 * noted: nothing is changed then.
 */
export async function notedChange<T>(
  exchange: Exchange,
  of: {
    readonly rules: readonly NotificationRule[]
    readonly change: ObjectChange
    readonly before: string | null
    readonly make: () => T | Promise<T>
    readonly judge: (made: T) => ChangeOutcome | Promise<ChangeOutcome>
  },
): Promise<T> {
  const { events } = exchange.proxy
  const noted = await note(exchange, of)
  let made: T
  try {
    made = await of.make()
  } catch (error) {
    if (isRefusal(error)) await forget(events, noted)
    throw error
  }
  try {
    await conclude(exchange, noted, await of.judge(made))
  } catch (error) {
    // The change is made, and noted: it is told when somebody has looked what came of it.
    exchange.proxy.log.warn('event not concluded', { transId: exchange.transId, error })
  }
  return made
}

async function note(
  exchange: Exchange,
  of: Pick<Parameters<typeof notedChange>[1], 'rules' | 'change' | 'before'>,
): Promise<readonly Noted[]> {
  const { proxy } = exchange
  const noted: Noted[] = []
  try {
    for (const rule of of.rules) {
      const topic = parseTopicArn(rule.topic)
      const event = pendingEvent(exchange, rule, of)
      const mark = topic === null ? null : await proxy.events.queues.begin(topic, event)
      proxy.events.counts.add(mark === null ? 'dropped-no-topic' : 'noted')
      if (mark !== null) noted.push({ mark, rule, event })
    }
  } catch (error) {
    if (error instanceof ServiceError && error.status === 503) proxy.events.counts.add('refused')
    await forget(proxy.events, noted)
    throw error
  }
  return noted
}

function pendingEvent(
  exchange: Exchange,
  { id: ruleId, by: ruleBy = [] }: NotificationRule,
  { change, before }: { readonly change: ObjectChange; readonly before: string | null },
): PendingEvent {
  const { caller, authority, proxy, socket, transId } = exchange
  return {
    ruleId,
    ruleBy,
    ...change,
    before,
    atMs: proxy.clock.nowMs(),
    by: caller?.iam?.userId ?? caller?.user ?? authority?.by ?? 'anonymous',
    sourceAddress: socket.remoteAddress?.replace(/^::ffff:/, '') ?? '',
    requestId: transId,
  }
}

async function conclude(
  exchange: Exchange,
  noted: readonly Noted[],
  outcome: ChangeOutcome,
): Promise<void> {
  const { events, clock } = exchange.proxy
  if (outcome.status !== 'done') {
    if (outcome.status === 'nothing') await forget(events, noted)
    return
  }
  for (const { mark, rule, event } of noted) {
    if (!concerns(rule, event.key, outcome)) {
      await forget(events, [{ mark }])
      continue
    }
    const told = eventOutcome(outcome, clock.nowMs())
    await events.queues.complete(mark, { ...event, outcome: told })
    events.wake(mark.container)
  }
}

/** Whether the rule is about what has come of it. */
export function concerns(
  rule: NotificationRule,
  key: string,
  { name, object }: DoneChange,
): boolean {
  return asksFor(rule, name, key) && (object === null || fitsObject(rule, object))
}

export function eventOutcome({ name, object, versionId }: DoneChange, nowMs: number): EventOutcome {
  const nowTicks = Math.floor((nowMs / 1000) * TICKS_PER_SECOND)
  return {
    name,
    atMs: nowMs,
    ...(object !== null && { bytes: bytesOf(object), etag: s3Etag(object) }),
    ...(versionId !== undefined && { versionId }),
    ticks: object === null ? nowTicks : Math.max(object.stamp.ticks, object.metaStamp.ticks),
  }
}

function bytesOf({ bytes, meta: { headers } }: ItemInfo): number {
  const whole = headers[STATIC_LARGE_OBJECT] === undefined ? undefined : headers[SLO_BYTES]
  return whole === undefined ? bytes : Number(whole)
}

/** What stays in spite of that is looked at later. */
async function forget(
  { queues, counts }: EventDesk,
  noted: readonly Pick<Noted, 'mark'>[],
): Promise<void> {
  for (const { mark } of noted) {
    counts.add('cancelled')
    await queues.remove(mark).catch(() => {})
  }
}

/** Nothing was changed: who was refused has been told why. */
function isRefusal(error: unknown): boolean {
  return error instanceof ServiceError && error.status < 500
}
