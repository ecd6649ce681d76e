import type { Clock } from '../../common/clock.ts'

const KEPT_MS = 30_000
const NAMES_MAX = 4_096

/**
 * Names that were written by several proxies at once a short while ago. Their plain writes ask the replicas for the
 * newest ballot first: one message more, after which nearly every recovery can tell how it ends.
 */
export class ContestedNames {
  readonly #clock: Clock
  readonly #untilMs = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(name: string): void {
    this.#untilMs.delete(name)
    if (this.#untilMs.size >= NAMES_MAX) {
      const oldest = this.#untilMs.keys().next().value
      if (oldest !== undefined) this.#untilMs.delete(oldest)
    }
    this.#untilMs.set(name, this.#clock.monotonicMs() + KEPT_MS)
  }

  has(name: string): boolean {
    if (this.#untilMs.size === 0) return false
    const untilMs = this.#untilMs.get(name)
    return untilMs !== undefined && this.#clock.monotonicMs() < untilMs
  }
}
