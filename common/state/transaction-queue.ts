import type { Clock } from '../clock.ts'
import { ServiceError } from '../errors.ts'

export interface QueueOptions {
  readonly clock: Clock
  /** Works that wait for their turn; more are refused. */
  readonly waitingMax: number
  /** Longest wait for a turn. */
  readonly waitMsMax: number
}

/** Lets one work run at a time, in the order of their coming. */
export class TransactionQueue {
  readonly #options: QueueOptions
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(options: QueueOptions) {
    this.#options = options
  }

  /** Rejects with 503 `Busy` if too many wait already, or its turn does not come in time; then it never runs. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const { clock, waitingMax, waitMsMax } = this.#options
    if (this.#waiting >= waitingMax) throw busy('too many changes at once')
    this.#waiting++
    const before = this.#last
    return new Promise<T>((resolve, reject) => {
      let late = false
      const cancel = clock.after(waitMsMax, () => {
        late = true
        this.#waiting--
        reject(busy('the changes before this one take too long'))
      })
      const turn = before.then(async () => {
        if (late) return
        cancel()
        this.#waiting--
        await work().then(resolve, reject)
      })
      this.#last = turn
    })
  }

  /** After all that were taken have ended. */
  async drained(): Promise<void> {
    await this.#last
  }
}

/** 503 for now. */
export function busy(message: string): ServiceError {
  return new ServiceError('Busy', message, { status: 503, retryAfterSeconds: 1 })
}

/** What transactions that took too long get, and all that they still try. */
export function timedOut(workMsMax: number): ServiceError {
  return new ServiceError('TransactionTimeout', `a change took longer than ${workMsMax} ms`, {
    status: 503,
    retryAfterSeconds: 1,
  })
}

/** Rejects with what `late` makes if the work has not ended in time; the work itself runs on, unheard. */
export async function withinTime<T>(
  limit: { readonly clock: Clock; readonly ms: number; readonly late: () => ServiceError },
  work: () => Promise<T>,
): Promise<T> {
  let cancel = () => {}
  const deadline = new Promise<never>((_resolve, reject) => {
    cancel = limit.clock.after(limit.ms, () => reject(limit.late()))
  })
  try {
    return await Promise.race([work(), deadline])
  } finally {
    cancel()
  }
}
