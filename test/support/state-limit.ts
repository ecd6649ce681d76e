/**
 * A process that fills a state until its files may not grow any more (`ulimit -f`), says so, and goes on when the limit
 * was lifted and it reads a line.
 */
import { once } from 'node:events'
import { systemErrorCode } from '../../common/errors.ts'
import { openLevelState } from '../../common/state/level-state.ts'

const VALUE = 'x'.repeat(1000)

const store = await openLevelState(process.argv[2]!)
const put = (key: string) => store.transaction(async (tx) => tx.put('t', key, VALUE))

let count = 0
let code: string | undefined
while (code === undefined) {
  try {
    await put(String(count))
    count++
  } catch (error) {
    code = systemErrorCode(error)
  }
}
process.stdout.write(`full ${code} ${count}\n`)
await once(process.stdin, 'data')
let more = 0
while (more < 20) {
  await put(`more-${more}`)
  more++
}
process.stdout.write(`more ${more}\n`)
await store.close()
process.exit(0)
