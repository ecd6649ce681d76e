/** Runs `action` for each item, at most `concurrencyMax` at once. After a failure no more are begun; it is thrown. */
export async function inParallel<T>(
  items: Iterable<T>,
  concurrencyMax: number,
  action: (item: T) => Promise<unknown>,
): Promise<void> {
  const iterator = items[Symbol.iterator]()
  let failed = false
  const worker = async () => {
    for (let next = iterator.next(); !next.done && !failed; next = iterator.next()) {
      try {
        await action(next.value)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const workers = Array.from({ length: concurrencyMax }, worker)
  const ended = await Promise.allSettled(workers)
  for (const result of ended) if (result.status === 'rejected') throw result.reason
}
