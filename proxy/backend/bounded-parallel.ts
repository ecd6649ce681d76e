/** Runs `work` on each item, at most `concurrencyMax` at once. Rejects with the first failure after all have ended. */
export async function forEachParallel<T>(
  items: Iterable<T>,
  concurrencyMax: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const queue = [...items]
  const failures: unknown[] = []
  let next = 0
  const worker = async () => {
    while (next < queue.length) {
      const item = queue[next++]!
      try {
        await work(item)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrencyMax, queue.length) }, worker))
  if (failures.length > 0) throw failures[0]
}
