/**
 * One index open in two threads, of which the first closes while the second reads. Arguments: its path, and
 * `first-stays` if the process is to open it before them, as the supervisor of the store's threads does. Exits with 0 if
 * all reads were right.
 */
import assert from 'node:assert'
import { Worker } from 'node:worker_threads'
import { levelOpener } from '../../../storage-node/engine/level-store.ts'

const KEYS = 50_000

/** Plain JavaScript: threads do not inherit the loader of TypeScript. */
const THREAD = `
  const { parentPort, workerData: { path, fills } } = require('node:worker_threads')
  const { Level } = require('level')
  const keyOf = (i) => Buffer.from('k' + String(i).padStart(8, '0'))
  const options = { keyEncoding: 'buffer', valueEncoding: 'buffer', multithreading: true }
  const db = new Level(path, { ...options, compression: false, writeBufferSize: 2 ** 20 })
  const read = (count) => {
    let right = 0
    for (let i = 0; i < count; i++) {
      const at = (i * 7919) % ${KEYS}
      if (db.getSync(keyOf(at))?.[0] === at % 256) right++
    }
    return right
  }
  db.open().then(async () => {
    for (let i = 0; fills && i < ${KEYS}; i += 500) {
      const put = (_, j) => ({ type: 'put', key: keyOf(i + j), value: Buffer.alloc(100, (i + j) % 256) })
      await db.batch(Array.from({ length: 500 }, put))
    }
    read(20_000)
    parentPort.on('message', async (message) => {
      if (message === 'read') return parentPort.postMessage(read(100_000))
      await db.close()
      parentPort.close()
    })
    parentPort.postMessage('open')
  })
`

async function startThread(path: string, fills: boolean): Promise<Worker> {
  const thread = new Worker(THREAD, { eval: true, workerData: { path, fills } })
  await heard(thread, 'message')
  return thread
}

function heard(thread: Worker, event: 'message' | 'exit'): Promise<unknown> {
  return new Promise((resolve, reject) => thread.once(event, resolve).once('error', reject))
}

const [path, mode] = process.argv.slice(2)
assert(path !== undefined, 'an argument says where the index is to be')
const first = mode === 'first-stays' ? await levelOpener.open(path) : null
const closing = await startThread(path, true)
const reading = await startThread(path, false)
closing.postMessage('close')
await heard(closing, 'exit')
const answer = heard(reading, 'message')
reading.postMessage('read')
const right = await answer
reading.postMessage('close')
await heard(reading, 'exit')
await first?.close()
process.exitCode = right === 100_000 ? 0 : 1
