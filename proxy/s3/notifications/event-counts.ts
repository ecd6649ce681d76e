import { Counter, type Registry } from 'prom-client'

/** What became of events. `dropped…`: nobody was told, and nobody will be. */
export const EVENT_FATES = [
  /** Noted, before their changes were made. */
  'noted',
  /** Told, and taken. */
  'told',
  /** Tries that failed, and will be repeated. */
  'failed',
  /** What was noted was not done, or was of no rule's concern. */
  'cancelled',
  /** What came of a change was found out afterwards. */
  'settled',
  /** The queue was full: the change was refused, too. */
  'refused',
  'dropped-too-old',
  'dropped-too-many-tries',
  'dropped-no-topic',
  'dropped-no-endpoint',
  /** The topic's policy does not let its bucket tell it any more. */
  'dropped-denied',
] as const
export type EventFate = (typeof EVENT_FATES)[number]

/** Counted in plain numbers, and told when somebody asks. */
export class EventCounts {
  readonly #counts = new Map<EventFate, number>()

  constructor(registry: Registry) {
    const of = (fate: EventFate) => this.of(fate)
    new Counter({
      name: 'swiftlet_notifications_total',
      help: 'Events of buckets, by what became of them',
      labelNames: ['fate'],
      registers: [registry],
      collect() {
        this.reset()
        for (const fate of EVENT_FATES) this.inc({ fate }, of(fate))
      },
    })
  }

  add(fate: EventFate): void {
    this.#counts.set(fate, this.of(fate) + 1)
  }

  of(fate: EventFate): number {
    return this.#counts.get(fate) ?? 0
  }
}
