/**
 * The object store on several threads: each has a proxy of its own on the same listening socket, and the shards whose
 * number falls to it. A thread that dies takes only its shards away: the others go on, answer 503 for those, and the
 * supervisor starts it again; its shards recover as after a crash.
 */

import { MessageChannel, Worker } from 'node:worker_threads'
import { AggregatorRegistry } from 'prom-client'
import { ChangeMarks } from '../../common/change-marks.ts'
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { KeyValue } from '../../common/key-value.ts'
import type { Log } from '../../common/log.ts'
import { nodeDisk } from '../../common/node-disk.ts'
import type { Random } from '../../common/random.ts'
import { Turns } from '../../proxy/layers/turns.ts'
import { Device, type IndexFailure } from '../../storage-node/device.ts'
import { levelOpener } from '../../storage-node/engine/level-store.ts'
import { serviceError } from '../../storage-node/threads/messages.ts'
import { diskPath } from '../disks.ts'
import type { LogsOptions } from '../logs.ts'
import type { ChangingStore, OpenStoreOptions } from '../open-store.ts'
import { RingFolder } from '../ring-folder.ts'
import { SharedSocket } from './shared-socket.ts'
import type { FromThread, MemberCall, ThreadData, ToThread } from './store-thread.ts'
import { ThreadsMember } from './threads-member.ts'

export interface StoreThreadsOptions {
  readonly count: number
  readonly store: OpenStoreOptions
  readonly logs: Omit<LogsOptions, 'clock'>
}

export interface StoreThreadsContext {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Called when the store cannot go on. */
  readonly onFatal: (error: Error) => void
}

/** A thread that dies more often than this within a minute is a bug that starting again does not mend. */
const DEATHS_A_MINUTE = 5
const RESTART_MS = 100

interface Thread {
  readonly worker: Worker
  /** What the supervisor waits to hear, by kind. */
  readonly waiting: Map<FromThread['kind'], { resolve(): void; reject(error: Error): void }>
  isEnding: boolean
}

/** A call that a thread has not answered yet. */
interface MemberAnswer {
  readonly thread: Thread
  readonly resolve: (answer: never) => void
  readonly reject: (error: Error) => void
}

export class StoreThreads implements ChangingStore {
  readonly #options: StoreThreadsOptions
  readonly #context: StoreThreadsContext
  readonly #threads: (Thread | null)[]
  readonly #shared = { marks: ChangeMarks.memory(), turns: Turns.memory() }
  readonly #metrics = new Map<number, (metrics: unknown) => void>()
  readonly #memberAnswers = new Map<number, MemberAnswer>()
  readonly rings: RingFolder
  readonly member: ThreadsMember
  #socket: SharedSocket | null = null
  /** The first handle of each device's index: to be closed when no thread has one any more. */
  #indexes: KeyValue[] = []
  #isClosing = false
  #deathsMs: number[] = []
  #nextId = 1

  private constructor(options: StoreThreadsOptions, context: StoreThreadsContext) {
    this.#options = options
    this.#context = context
    this.#threads = Array.from({ length: options.count }, () => null)
    this.rings = new RingFolder(options.store.paths.rings, context)
    this.member = new ThreadsMember(this.rings, (call) => this.#askThreads(call))
    process.on('SIGHUP', this.#onHangup)
  }

  /** Binds the address and opens the store in all threads; nobody is served before `listen`. */
  static async open(
    address: { readonly host: string; readonly port: number },
    options: StoreThreadsOptions,
    context: StoreThreadsContext,
  ): Promise<StoreThreads> {
    const threads = new StoreThreads(options, context)
    try {
      threads.#socket = SharedSocket.bind(address)
      await threads.#prepareDevices()
      await threads.#startAll()
      threads.rings.watch()
      return threads
    } catch (error) {
      await threads.close()
      throw error
    }
  }

  async settle(): Promise<void> {
    await this.#tellAll({ kind: 'settle' }, 'settled')
  }

  async listen(address: {
    readonly host: string
    readonly port: number
  }): Promise<{ readonly port: number }> {
    await this.#tellAll({ kind: 'listen' }, 'listening')
    return { port: address.port }
  }

  /** Ends a thread in the middle of whatever it does: for trying what a crash of it does to the others. */
  async kill(index: number): Promise<void> {
    await this.#threads[index]?.worker.terminate()
  }

  async close(): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    process.off('SIGHUP', this.#onHangup)
    this.rings.close()
    // First all doors: a request that is being answered may need the shards of any thread.
    await this.#tellAll({ kind: 'close-door' }, 'door-closed')
    await this.#tellAll({ kind: 'close' }, 'closed')
    await this.#closeIndexes()
    await this.#socket?.close()
  }

  async #closeIndexes(): Promise<void> {
    for (const index of this.#indexes.splice(0)) await index.close()
  }

  async #prepareDevices(): Promise<void> {
    const { settings, paths, shards, replacedDisks } = this.#options.store
    for (const disk of settings.disks) {
      const index = await Device.prepare({
        name: disk.device,
        directory: diskPath(disk, paths),
        disk: nodeDisk,
        opener: levelOpener,
        shards,
        learns: { newDisks: replacedDisks },
        ...this.#context,
      })
      this.#indexes.push(index)
    }
  }

  async #startAll(): Promise<void> {
    await Promise.all(this.#threads.map((_, index) => this.#start(index, { isRestart: false })))
  }

  /** Starts the thread, connects it with the others, and waits until its shards have recovered. */
  async #start(index: number, options: { readonly isRestart: boolean }): Promise<void> {
    const { count, store, logs } = this.#options
    const listenFd = await this.#socket!.duplicate()
    const shared = this.#shared
    const data: ThreadData = { index, count, ...options, ...shared, listenFd, store, logs }
    const thread: Thread = {
      worker: startWorker(data),
      waiting: new Map(),
      isEnding: false,
    }
    thread.worker.on('message', (message: FromThread) => this.#hear(thread, message))
    thread.worker.on('error', (error) => {
      this.#context.log.error('thread-died', { thread: index, error: error.stack ?? String(error) })
    })
    thread.worker.on('exit', () => this.#ended(index, thread))
    const opened = this.#awaitWord(thread, 'opened')
    for (const [other, peer] of this.#threads.entries()) {
      if (peer !== null) connect({ index, thread }, { index: other, thread: peer })
    }
    this.#threads[index] = thread
    await opened
  }

  #ended(index: number, thread: Thread): void {
    const error = new ServiceError('ThreadDied', `thread ${index} of the object store has ended`)
    for (const { reject } of thread.waiting.values()) reject(error)
    thread.waiting.clear()
    for (const [id, answer] of this.#memberAnswers) {
      if (answer.thread === thread) this.#settleMember(id, ({ reject }) => reject(error))
    }
    if (this.#threads[index] === thread) this.#threads[index] = null
    if (thread.isEnding || this.#isClosing) return
    const nowMs = this.#context.clock.monotonicMs()
    this.#deathsMs = [...this.#deathsMs.filter((ms) => nowMs - ms < 60_000), nowMs]
    if (this.#deathsMs.length > DEATHS_A_MINUTE) {
      this.#context.onFatal(error)
      return
    }
    this.#context.clock.after(RESTART_MS, () => {
      this.#restart(index).catch((cause: unknown) => {
        this.#context.onFatal(cause instanceof Error ? cause : error)
      })
    })
  }

  async #restart(index: number): Promise<void> {
    if (this.#isClosing) return
    this.#context.log.warn('thread-restart', { thread: index })
    await this.#start(index, { isRestart: true })
    await this.#tell(this.#threads[index]!, { kind: 'listen' }, 'listening')
    this.#context.log.info('thread-restarted', { thread: index })
  }

  /** An index is shared by all threads: end them, throw it away if it is damaged, start them again. */
  async #reopen(device: string, failure: IndexFailure): Promise<void> {
    this.#context.log.warn('index-reopen', { device, failure })
    const { settings, paths } = this.#options.store
    const disk = settings.disks.find((one) => one.device === device)
    const threads = this.#threads.filter((thread) => thread !== null)
    for (const thread of threads) thread.isEnding = true
    await Promise.all(threads.map(({ worker }) => worker.terminate()))
    await this.#closeIndexes()
    if (disk !== undefined && failure === 'damaged') {
      await levelOpener.destroy(`${diskPath(disk, paths)}/idx`)
    }
    await this.#prepareDevices()
    await this.#startAll()
    await this.settle()
    await this.#tellAll({ kind: 'listen' }, 'listening')
  }

  #hear(thread: Thread, message: FromThread): void {
    switch (message.kind) {
      case 'failed': {
        const error = serviceError(message.error)
        const waiting = [...thread.waiting.values()]
        thread.waiting.clear()
        if (waiting.length === 0) this.#context.log.error('thread-failed', { error: error.message })
        for (const { reject } of waiting) reject(error)
        break
      }
      case 'index-failed':
        if (thread.isEnding) break
        this.#reopen(message.device, message.failure).catch((error: Error) =>
          this.#context.onFatal(error),
        )
        break
      case 'metrics':
        this.#metrics.get(message.id)?.(message.metrics)
        this.#metrics.delete(message.id)
        break
      case 'member':
        this.#settleMember(message.id, ({ resolve }) => resolve(message.answer as never))
        break
      case 'member-failed':
        this.#settleMember(message.id, ({ reject }) => reject(serviceError(message.error)))
        break
      case 'want-metrics':
        void this.#sendMetrics(thread, message.id)
        break
      case 'opened':
      case 'settled':
      case 'listening':
      case 'door-closed':
      case 'closed':
        thread.waiting.get(message.kind)?.resolve()
        thread.waiting.delete(message.kind)
        break
    }
  }

  async #askThreads<T>(call: MemberCall): Promise<readonly T[]> {
    return Promise.all(
      this.#threads.map((thread, index) => {
        if (thread === null) throw new ServiceError('ThreadDied', `thread ${index} is away`)
        const id = this.#nextId++
        return new Promise<T>((resolve, reject) => {
          this.#memberAnswers.set(id, { thread, resolve, reject })
          this.#send(thread, { kind: 'member', id, call })
        })
      }),
    )
  }

  #settleMember(id: number, settle: (answer: MemberAnswer) => void): void {
    const answer = this.#memberAnswers.get(id)
    this.#memberAnswers.delete(id)
    if (answer !== undefined) settle(answer)
  }

  async #sendMetrics(thread: Thread, id: number): Promise<void> {
    const all = await Promise.all(
      this.#threads
        .filter((one) => one !== null)
        .map((one) => {
          const own = this.#nextId++
          return new Promise<unknown>((resolve) => {
            this.#metrics.set(own, resolve)
            one.worker.once('exit', () => resolve([]))
            this.#send(one, { kind: 'get-metrics', id: own })
          })
        }),
    )
    const sum = AggregatorRegistry.aggregate(all as object[])
    this.#send(thread, { kind: 'all-metrics', id, text: await sum.metrics() })
  }

  async #tellAll(message: ToThread, word: FromThread['kind']): Promise<void> {
    const threads = this.#threads.filter((thread) => thread !== null)
    await Promise.all(
      threads.map((thread) =>
        this.#tell(thread, message, word).catch((error: unknown) => {
          // While closing, a thread that is gone is closed.
          if (!this.#isClosing) throw error
        }),
      ),
    )
  }

  #tell(thread: Thread, message: ToThread, word: FromThread['kind']): Promise<void> {
    const heard = this.#awaitWord(thread, word)
    this.#send(thread, message)
    return heard
  }

  #awaitWord(thread: Thread, word: FromThread['kind']): Promise<void> {
    return new Promise((resolve, reject) => thread.waiting.set(word, { resolve, reject }))
  }

  #send(thread: Thread, message: ToThread): void {
    thread.worker.postMessage(message)
  }

  readonly #onHangup = (): void => {
    for (const thread of this.#threads) {
      if (thread !== null) this.#send(thread, { kind: 'reopen-logs' })
    }
  }
}

function connect(
  one: { readonly index: number; readonly thread: Thread },
  other: { readonly index: number; readonly thread: Thread },
): void {
  const { port1, port2 } = new MessageChannel()
  const toOne: ToThread = { kind: 'peer', index: other.index, port: port1 }
  const toOther: ToThread = { kind: 'peer', index: one.index, port: port2 }
  one.thread.worker.postMessage(toOne, [port1])
  other.thread.worker.postMessage(toOther, [port2])
}

/** From sources (tests, development) the thread needs the loader of TypeScript first, which threads do not inherit. */
function startWorker(data: ThreadData): Worker {
  if (!import.meta.url.endsWith('.ts')) {
    return new Worker(new URL('./store-worker.js', import.meta.url), { workerData: data })
  }
  const file = new URL('./store-worker.ts', import.meta.url).href
  const loader = import.meta.resolve('tsx/esm/api')
  const code = `import(${JSON.stringify(loader)}).then(({ register }) => {
    register()
    return import(${JSON.stringify(file)})
  })`
  return new Worker(code, { eval: true, execArgv: [], workerData: data })
}
