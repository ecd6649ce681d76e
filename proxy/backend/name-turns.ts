import { ServiceError } from '../../common/errors.ts'

/** Writes of one name that wait for their turn in this proxy; one more is refused. */
const WAITING_MAX = 256

/**
 * Lets writes of one name go one after the other within a proxy: they would only refuse each other at the replicas,
 * and have to be recovered. Between proxies nothing is promised.
 */
export class NameTurns {
  readonly #waiting = new Map<string, (() => void)[]>()

  /** Runs the work when all that came before for this name has ended. Rejects with `Busy` when too many wait. */
  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const queue = this.#waiting.get(name)
    if (queue === undefined) this.#waiting.set(name, [])
    else {
      if (queue.length >= WAITING_MAX) throw busy()
      await new Promise<void>((resolve) => queue.push(resolve))
    }
    try {
      return await work()
    } finally {
      const next = this.#waiting.get(name)?.shift()
      if (next === undefined) this.#waiting.delete(name)
      else next()
    }
  }
}

function busy(): ServiceError {
  return new ServiceError('Busy', 'too many writes of this name wait', {
    status: 503,
    retryAfterSeconds: 1,
  })
}
