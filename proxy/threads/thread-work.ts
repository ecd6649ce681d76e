/**
 * Work on a stream of bytes that would keep a proxy from answering anybody, in threads of its own: they are kept for the next ones
 * (piscina), and there are so many and no more. The work is written as if it read and wrote files (thread-pieces.ts):
 *
 *   thread                     here
 *   want (range)  ---------->  next piece (of the range) into `input`, its length into WORD.inputBytes
 *   data  ------------------>  yielded; WORD.taken goes up when more is asked for
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { ServiceError } from '../../common/errors.ts'
import {
  type FromThread,
  INPUT_BYTES,
  type ThreadJob,
  type WantedRange,
  WORD,
  WORDS,
} from './thread-message.ts'

/** Of each proxy. */
const THREADS_MAX = 4
const WAITING_MAX = 64
/** Whose output is not taken for so long gives its thread to those who wait, if any do. */
const STALLED_MS = 5_000
const IDLE_MS = 10_000

/** Said by `throughThread` when something is read or has come out. */
export type ThreadEvent =
  | { readonly kind: 'read'; readonly bytes: number }
  | { readonly kind: 'data'; readonly bytes: Buffer }

/** Work, by the module that does it (workFile) and what that is told. */
export interface ThreadWork<Data> {
  readonly file: URL
  readonly data: Data
}

/** The bytes there, of what can be read anywhere. */
export type ReadRange = (range: WantedRange) => AsyncIterable<Uint8Array>

let pool: Piscina | null = null

/** What went wrong in the work: the code and the message of its error. */
export class WorkFailure extends Error {
  readonly code: string | undefined

  constructor(code: string | undefined, message: string) {
    super(message)
    this.code = code
  }
}

/**
 * What the work at that place makes of the pieces; the module exports it as `run(job: ThreadJob)`. Throws a WorkFailure where the work
 * has thrown, and 503 if too many wait, or others do while nobody takes what comes out. The thread is ended with it, if it is not needed to its end.
 */
export async function* throughThread<Data>(
  pieces: AsyncIterable<Uint8Array> | ReadRange,
  work: ThreadWork<Data>,
): AsyncGenerator<ThreadEvent> {
  const { port1, port2 } = new MessageChannel()
  const input = new SharedArrayBuffer(INPUT_BYTES)
  const words = new Int32Array(new SharedArrayBuffer(WORDS * 4))
  const job: ThreadJob<Data> = { data: work.data, input, words, port: port2 }
  const messages = new Messages(port1)
  const abort = new AbortController()
  const open = typeof pieces === 'function' ? pieces : () => pieces
  let source = split(open({ start: 0, end: 0 }))
  const running = startWork(job, work.file, abort.signal).catch((error: unknown) => {
    messages.fail(abort.signal.aborted ? busy() : error)
  })
  let isOver = false
  try {
    for (;;) {
      const message = await messages.next()
      isOver = message.kind === 'end' || message.kind === 'failed'
      if (message.kind === 'end') return
      if (message.kind === 'failed') throw new WorkFailure(message.code, message.message)
      if (message.kind === 'data') {
        const giveWay = setInterval(() => yieldTo(abort), STALLED_MS)
        try {
          yield { kind: 'data', bytes: Buffer.from(message.bytes) }
        } finally {
          clearInterval(giveWay)
        }
        Atomics.add(words, WORD.taken, 1)
        Atomics.notify(words, WORD.taken)
        continue
      }
      if (message.range !== undefined) {
        await source.return(undefined)
        source = split(open(message.range))
      }
      const { value, done } = await source.next()
      if (done !== true) new Uint8Array(input).set(value)
      Atomics.store(words, WORD.inputBytes, done === true ? -1 : value.length)
      Atomics.notify(words, WORD.inputBytes)
      yield { kind: 'read', bytes: done === true ? 0 : value.length }
    }
  } finally {
    // A thread that has done its work is kept.
    if (!isOver) abort.abort()
    port1.close()
    await source.return(undefined)
    await running
  }
}

function yieldTo(abort: AbortController): void {
  if (pool !== null && pool.queueSize > 0) abort.abort()
}

/** The address of a module beside that one. */
export function workFile(name: string, beside: string): URL {
  return new URL(`./${name}${beside.endsWith('.ts') ? '.ts' : '.js'}`, beside)
}

async function startWork<Data>(
  job: ThreadJob<Data>,
  file: URL,
  signal: AbortSignal,
): Promise<void> {
  pool ??= new Piscina({
    minThreads: 0,
    maxThreads: THREADS_MAX,
    maxQueue: WAITING_MAX,
    idleTimeout: IDLE_MS,
    resourceLimits: { maxOldGenerationSizeMb: 128 },
    // From sources (tests, development) a thread needs the loader of TypeScript first, which it does not inherit.
    execArgv: import.meta.url.endsWith('.ts') ? ['--import', import.meta.resolve('tsx')] : [],
  })
  if (pool.queueSize >= WAITING_MAX) throw busy()
  await pool.run(job, { filename: file.href, name: 'run', signal, transferList: [job.port] })
}

function busy(): ServiceError {
  return new ServiceError('Busy', 'too many wait for such work', {
    status: 503,
    retryAfterSeconds: 1,
  })
}

async function* split(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; at += INPUT_BYTES)
      yield piece.subarray(at, at + INPUT_BYTES)
  }
}

/** What the thread says. */
class Messages {
  readonly #come: FromThread[] = []
  #failure: { readonly error: unknown } | null = null
  #wake: (() => void) | null = null

  constructor(port: MessagePort) {
    port.on('message', (message: FromThread) => {
      this.#come.push(message)
      this.#wake?.()
    })
  }

  /** The thread has died, or was never there. */
  fail(error: unknown): void {
    this.#failure = { error }
    this.#wake?.()
  }

  async next(): Promise<FromThread> {
    for (;;) {
      const message = this.#come.shift()
      if (message !== undefined) return message
      if (this.#failure !== null) throw this.#failure.error
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}
