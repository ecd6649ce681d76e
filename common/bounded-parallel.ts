export interface ParallelOptions {
  /** Begins no more after a failure: what failed once (a peer that is gone) would fail for all. */
  readonly stopAtFailure?: boolean
}

/** Runs `work` on each item, at most `concurrencyMax` at once. Rejects with the first failure after all have ended. */
export async function forEachParallel<T>(
  items: Iterable<T>,
  concurrencyMax: number,
  work: (item: T) => Promise<unknown>,
  options: ParallelOptions = {},
): Promise<void> {
  const iterator = items[Symbol.iterator]()
  const failures: unknown[] = []
  const isOver = () => options.stopAtFailure === true && failures.length > 0
  const worker = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) {
      try {
        await work(next.value)
      } catch (error) {
        failures.push(error)
      }
      if (isOver()) return
    }
  }
  await Promise.all(Array.from({ length: concurrencyMax }, worker))
  if (failures.length > 0) throw failures[0]
}
