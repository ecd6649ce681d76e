import type { Backend } from '../../backend/backend.ts'
import type { ProxyOptions } from '../../proxy-options.ts'
import { S3_DEFAULTS } from '../s3-options.ts'
import { EventCounts } from './event-counts.ts'
import { EventQueues } from './event-queue.ts'
import { TopicBook } from './topic-book.ts'

/** Where a proxy's requests leave what is to be told. */
export interface EventDesk {
  readonly topics: TopicBook
  readonly queues: EventQueues
  readonly counts: EventCounts
  /** Called with a queue in which something is ready; set by who tells it. */
  wake: (container: string) => void
}

/** `policy` is the index of the storage policy that topics and events are kept in. */
export function openEventDesk(
  { clock, random, metrics, s3 }: Pick<ProxyOptions, 'clock' | 'random' | 'metrics' | 's3'>,
  { backend, policy }: { readonly backend: Backend; readonly policy: number },
): EventDesk {
  const topics = new TopicBook({ backend, policy })
  const eventsMax = s3?.notificationEventsMax ?? S3_DEFAULTS.notificationEventsMax
  return {
    topics,
    queues: new EventQueues({ backend, topics, clock, random, policy, eventsMax }),
    counts: new EventCounts(metrics),
    // Who looks into all queues finds it.
    wake() {},
  }
}
