import type { Clock } from '../../common/clock.ts'
import type { Log } from '../../common/log.ts'
import { type Random, randomUuid } from '../../common/random.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { services } from '../tables/tables.ts'
import { type AuditFact, type AuditNotification, cadfNotification, UNKNOWN } from './cadf.ts'

/** Where audit events go: a file, a message bus. Does not wait and does not throw; what it cannot take it counts itself. */
export interface AuditSink {
  emit(notification: AuditNotification): void
}

export interface AuditOptions {
  readonly sink: AuditSink
  /** This machine's name: events say they come from `identity.HOST`. */
  readonly host: string
}

/** What has to be known of an identity service to audit it. */
interface AuditParts {
  readonly state: StateReader
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** Gives facts their origin and passes them on. */
export class AuditTrail {
  readonly #options: AuditOptions
  readonly #parts: AuditParts
  #observerId: string | null = null

  constructor(options: AuditOptions, parts: AuditParts) {
    this.#options = options
    this.#parts = parts
  }

  /** What cannot be noted is an error in the log, never one of the call. */
  async note(fact: AuditFact): Promise<void> {
    const { sink, host } = this.#options
    const { clock, random, log } = this.#parts
    try {
      const notification = cadfNotification(fact, {
        nowMs: clock.nowMs(),
        messageId: randomUuid(random),
        eventId: randomUuid(random),
        publisherId: `identity.${host}`,
        observerId: await this.#observer(),
      })
      sink.emit(notification)
    } catch (error) {
      log.error('audit event lost', { event: fact.eventType, error })
    }
  }

  /** The catalog is made after the service is opened, so it is looked for until it is there. */
  async #observer(): Promise<string> {
    if (this.#observerId !== null) return this.#observerId
    const rows = await services.list(this.#parts.state)
    this.#observerId = rows.find(({ type }) => type === 'identity')?.id ?? null
    return this.#observerId ?? UNKNOWN
  }
}
