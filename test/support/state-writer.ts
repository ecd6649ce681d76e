/** A process that counts up in a state, one transaction a step, and prints each count that was acknowledged. */
import { openState } from '../../common/state/open-state.ts'

const COUNTERS = ['a', 'b', 'c']

const store = await openState(process.argv[2]!)
for (;;) {
  const count = await store.transaction(async (tx) => {
    const next = Number((await tx.get('counts', 'a')) ?? 0) + 1
    for (const name of COUNTERS) tx.put('counts', name, next)
    tx.put('log', String(next).padStart(9, '0'), next)
    return next
  })
  process.stdout.write(`${count}\n`)
}
