/**
 * bzip2 in a thread of its own: its library works on one block of up to 900 KB at a time, a tenth of a second in which a
 * proxy would answer nobody. It reads and writes like a file, so the thread waits where there is nothing to read, or
 * what it wrote is not taken:
 *
 *   thread                     here
 *   want  ------------------>  next piece of the body into `input`, its length into WORD.inputBytes
 *   data (up to 256 KiB) --->  yielded; WORD.taken goes up when more is asked for
 *   end, or failed with why -> done
 */
import { Worker } from 'node:worker_threads'
import { badRequest } from '../../exchange.ts'
import { type BunzipData, type FromBunzip, INPUT_BYTES, WORD, WORDS } from './bunzip-message.ts'

/** What the pieces unpack to. Throws a 400 for what is no bzip2. Ends its thread, however it ends. */
export async function* bunzip(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const input = new SharedArrayBuffer(INPUT_BYTES)
  const words = new Int32Array(new SharedArrayBuffer(WORDS * 4))
  const worker = startWorker({ input, words })
  const messages = new Messages(worker)
  const source = split(pieces)
  try {
    for (;;) {
      const message = await messages.next()
      if (message.kind === 'end') return
      if (message.kind === 'failed') throw badRequest(`Invalid Tar File: ${message.why}`)
      if (message.kind === 'data') {
        yield Buffer.from(message.bytes)
        Atomics.add(words, WORD.taken, 1)
        Atomics.notify(words, WORD.taken)
        continue
      }
      const { value, done } = await source.next()
      if (done !== true) new Uint8Array(input).set(value)
      Atomics.store(words, WORD.inputBytes, done === true ? -1 : value.length)
      Atomics.notify(words, WORD.inputBytes)
    }
  } finally {
    await source.return(undefined)
    await worker.terminate()
  }
}

async function* split(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; at += INPUT_BYTES)
      yield piece.subarray(at, at + INPUT_BYTES)
  }
}

class Messages {
  readonly #come: FromBunzip[] = []
  #failure: Error | null = null
  #wake: (() => void) | null = null

  constructor(worker: Worker) {
    worker.on('message', (message: FromBunzip) => {
      this.#come.push(message)
      this.#wake?.()
    })
    worker.on('error', (error) => {
      this.#failure = error
      this.#wake?.()
    })
  }

  async next(): Promise<FromBunzip> {
    for (;;) {
      const message = this.#come.shift()
      if (message !== undefined) return message
      if (this.#failure !== null) throw this.#failure
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

/** From sources (tests, development) the thread needs the loader of TypeScript first, which threads do not inherit. */
function startWorker(data: BunzipData): Worker {
  const limits = { resourceLimits: { maxOldGenerationSizeMb: 64 }, workerData: data }
  if (!import.meta.url.endsWith('.ts')) {
    return new Worker(new URL('./bunzip-worker.js', import.meta.url), limits)
  }
  const file = new URL('./bunzip-worker.ts', import.meta.url).href
  const loader = import.meta.resolve('tsx/esm/api')
  const code = `import(${JSON.stringify(loader)}).then(({ register }) => {
    register()
    return import(${JSON.stringify(file)})
  })`
  return new Worker(code, { eval: true, execArgv: [], workerData: data })
}
