import { Registry } from 'prom-client'
import { collectProcessMetrics } from '../../common/metrics.ts'

/**
 * The metrics of a thread. Whichever thread is asked for the page answers for all of them: it asks the supervisor, who
 * asks every thread and adds up.
 */
export class ThreadMetrics extends Registry {
  readonly #ask: (id: number) => void
  readonly #waiting = new Map<number, (text: string) => void>()
  #nextId = 1

  constructor(options: { readonly withProcess: boolean; readonly ask: (id: number) => void }) {
    super()
    this.#ask = options.ask
    if (options.withProcess) collectProcessMetrics(this)
  }

  override metrics(): Promise<string> {
    const id = this.#nextId++
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve)
      this.#ask(id)
    })
  }

  /** Those of this thread alone, as plain data. */
  own(): Promise<unknown> {
    return this.getMetricsAsJSON()
  }

  /** The whole page has come. */
  answer(id: number, text: string): void {
    this.#waiting.get(id)?.(text)
    this.#waiting.delete(id)
  }
}
