import type { Topic } from './topic.ts'

export interface EventMessage {
  /** The same each time it is sent. */
  readonly id: string
  /** JSON. */
  readonly body: string
}

/** How events are sent to the endpoints of one protocol. */
export interface Publisher {
  /** Resolves when the receiver has taken it; rejects when it has not, or nobody knows. */
  publish(topic: Topic, message: EventMessage): Promise<void>
  close(): Promise<void>
}

/** For all that an endpoint may take. */
export const PUBLISH_MS_MAX = 10_000
