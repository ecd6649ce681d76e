/** Another thread of this node: calls to its shards, and its calls to ours. */
import type { MessagePort } from 'node:worker_threads'
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import type { Stamp } from '../../common/stamp.ts'
import type {
  DeviceStatus,
  ItemWrite,
  ListPage,
  ListQuery,
  ListRow,
  ListTotals,
  PrepareOutcome,
  RowOutcome,
  TotalsQuery,
  WriteOutcome,
} from '../../common/storage-node.ts'
import { type BodyPlace, bodyBytes, infoOfNew } from '../engine/register.ts'
import type { ShardRead } from '../engine/register-reads.ts'
import type { ShardCall, ShardFace, ShardNote } from '../shard-face.ts'
import { plainError, serviceError, type ThreadMessage } from './messages.ts'
import { ThreadLine } from './thread-line.ts'

/** Calls under way to one thread; beyond it they are refused with 503. */
const CALLS_MAX = 20_000

type Call = ThreadMessage & { readonly kind: 'call' }
type Note = ThreadMessage & { readonly kind: 'note' }
type Question = ThreadMessage & { readonly kind: 'call' | 'status' }

interface Waiting {
  readonly message: Question
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

export interface PeerOptions {
  readonly port: MessagePort
  readonly clock: Clock
  /** A shard of this thread. Throws if there is no such device. */
  readonly ownShard: (device: string, shard: number) => ShardFace
  /** What this thread knows of its shards. */
  readonly ownStatus: () => Promise<readonly DeviceStatus[]>
}

export class Peer {
  readonly #line: ThreadLine
  readonly #ownShard: PeerOptions['ownShard']
  readonly #ownStatus: PeerOptions['ownStatus']
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1
  #isGone = false

  constructor(options: PeerOptions) {
    this.#ownShard = options.ownShard
    this.#ownStatus = options.ownStatus
    this.#line = new ThreadLine({
      port: options.port,
      clock: options.clock,
      take: (message) => this.#take(message),
      onClose: () => this.leave(),
    })
  }

  /** All logs of this thread are writing. */
  beBusy(): void {
    this.#line.beBusy()
  }

  /** A log of this thread has written: what was said meanwhile goes with its next batch. */
  look(): void {
    this.#line.look()
  }

  /** A shard that the other thread owns. */
  shard(device: string, shard: number): ShardFace {
    return new ForeignShard(this, device, shard)
  }

  call(
    device: string,
    shard: number,
    method: ShardCall,
    args: readonly unknown[],
  ): Promise<unknown> {
    return this.#ask({ kind: 'call', id: this.#nextId++, device, shard, method, args })
  }

  status(): Promise<readonly DeviceStatus[]> {
    return this.#ask({ kind: 'status', id: this.#nextId++ }) as Promise<readonly DeviceStatus[]>
  }

  #ask(message: Question): Promise<unknown> {
    if (this.#isGone) return Promise.reject(gone())
    if (this.#waiting.size >= CALLS_MAX) return Promise.reject(busy())
    return new Promise((resolve, reject) => {
      this.#waiting.set(message.id, { message, resolve, reject })
      this.#line.send(message)
    })
  }

  note(device: string, shard: number, method: ShardNote, args: readonly unknown[]): void {
    if (!this.#isGone) this.#line.sendLater({ kind: 'note', device, shard, method, args })
  }

  /** The thread is gone: whoever waits for it is told so; what they asked for may have happened. */
  leave(): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#line.close()
    for (const { reject } of this.#waiting.values()) reject(noAnswer())
    this.#waiting.clear()
  }

  #take(message: ThreadMessage): void {
    switch (message.kind) {
      case 'call':
        this.#serve(message)
        break
      case 'note':
        this.#hear(message)
        break
      case 'status':
        this.#answer(message, () => this.#ownStatus())
        break
      case 'result':
        this.#end(message.id)?.resolve(message.value)
        break
      case 'written': {
        const waiting = this.#end(message.id)
        if (waiting !== undefined) waiting.resolve(doneAsAsked(waiting.message, message.existed))
        break
      }
      case 'rowed':
        this.#end(message.id)?.resolve({ status: message.status } satisfies RowOutcome)
        break
      case 'error':
        this.#end(message.id)?.reject(serviceError(message.error))
        break
    }
  }

  #end(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }

  #serve(call: Call): void {
    this.#answer(call, () => {
      const face = this.#ownShard(call.device, call.shard)
      const run = face[call.method] as (...all: unknown[]) => Promise<unknown>
      return run.apply(face, call.args as unknown[])
    })
  }

  #answer(question: Question, run: () => Promise<unknown>): void {
    const answer = (value: unknown): void => this.#line.send(answerTo(question, value))
    const refuse = (error: unknown): void => {
      this.#line.send({ kind: 'error', id: question.id, error: plainError(error) })
    }
    try {
      run().then(answer, refuse)
    } catch (error) {
      refuse(error)
    }
  }

  #hear(note: Note): void {
    const { device, shard, method, args } = note
    try {
      const face = this.#ownShard(device, shard)
      const run = face[method] as (...all: unknown[]) => void
      run.apply(face, args as unknown[])
    } catch {
      // A note only saves work later; a device that is not there now loses nothing by it.
    }
  }
}

/** In the fewest words. */
function answerTo(question: Question, value: unknown): ThreadMessage {
  const { id } = question
  if (question.kind === 'call') {
    if (question.method === 'putRow') {
      return { kind: 'rowed', id, status: (value as RowOutcome).status }
    }
    if (question.method === 'write') {
      const outcome = value as WriteOutcome
      if (isAsAsked(question, outcome)) return { kind: 'written', id, existed: outcome.existed }
    }
  }
  return { kind: 'result', id, value }
}

type DoneWrite = WriteOutcome & { readonly status: 'done' }

/** Whether the outcome says of the record nothing but what the write said: see `doneAsAsked`. */
function isAsAsked(call: Call, outcome: WriteOutcome): outcome is DoneWrite {
  if (outcome.status !== 'done') return false
  const [write, body] = call.args as readonly [ItemWrite, BodyPlace]
  const { info } = outcome
  return (
    write.action === 'put' &&
    info.meta === write.meta &&
    info.stamp === write.stamp &&
    info.metaStamp === write.stamp &&
    info.ballot === write.ballot &&
    info.writeId === write.writeId &&
    info.name === write.item.name &&
    info.policy === write.item.policy &&
    info.bytes === bodyBytes(body) &&
    !info.deleted &&
    info.dependent === undefined &&
    info.stats === undefined
  )
}

/** The outcome of a put whose record is what the write says. */
function doneAsAsked(question: ThreadMessage, existed: boolean): DoneWrite {
  const [write, body] = (question as Call).args as readonly [ItemWrite, BodyPlace]
  const { item, stamp, ballot, writeId, meta } = write
  const record = { stamp, metaStamp: stamp, ballot, writeId, deleted: false, meta, body }
  return { status: 'done', info: infoOfNew(item, record), existed }
}

class ForeignShard implements ShardFace {
  readonly #peer: Peer
  readonly #device: string
  readonly #shard: number

  constructor(peer: Peer, device: string, shard: number) {
    this.#peer = peer
    this.#device = device
    this.#shard = shard
  }

  write(write: ItemWrite, body: BodyPlace): Promise<WriteOutcome> {
    return this.#call('write', write, body) as Promise<WriteOutcome>
  }

  prepare(item: ItemKey, ballot: Stamp): Promise<PrepareOutcome> {
    return this.#call('prepare', item, ballot) as Promise<PrepareOutcome>
  }

  async read(item: ItemKey, options: { readonly body: boolean }): Promise<ShardRead | null> {
    const read = (await this.#call('read', item, options)) as ShardRead | null
    if (read === null || read.data === null) return read
    // A Buffer arrives as a bare Uint8Array.
    const { buffer, byteOffset, byteLength } = read.data
    return { ...read, data: Buffer.from(buffer, byteOffset, byteLength) }
  }

  putRow(list: ItemKey, row: ListRow, settings?: Stamp): Promise<RowOutcome> {
    return this.#call('putRow', list, row, settings) as Promise<RowOutcome>
  }

  putRows(list: ItemKey, rows: readonly ListRow[]): Promise<void> {
    return this.#call('putRows', list, rows) as Promise<void>
  }

  list(list: ItemKey, query: ListQuery): Promise<ListPage | null> {
    return this.#call('list', list, query) as Promise<ListPage | null>
  }

  totals(list: ItemKey, query: TotalsQuery): Promise<ListTotals | null> {
    return this.#call('totals', list, query) as Promise<ListTotals | null>
  }

  confirmRow(list: ItemKey, name: string, ballot: Stamp): void {
    this.#peer.note(this.#device, this.#shard, 'confirmRow', [list, name, ballot])
  }

  confirmItem(item: ItemKey, ballot: Stamp): void {
    this.#peer.note(this.#device, this.#shard, 'confirmItem', [item, ballot])
  }

  #call(method: ShardCall, ...args: readonly unknown[]): Promise<unknown> {
    return this.#peer.call(this.#device, this.#shard, method, args)
  }
}

function gone(): ServiceError {
  const message = 'the thread of this shard has ended and is being started again'
  return new ServiceError('DeviceOffline', message, { status: 503, retryAfterSeconds: 1 })
}

function noAnswer(): ServiceError {
  const message = 'the thread of this shard ended before it answered'
  return new ServiceError('NoAnswer', message, { status: 503, retryAfterSeconds: 1 })
}

function busy(): ServiceError {
  const message = 'too many calls wait for the thread of this shard'
  return new ServiceError('Busy', message, { status: 503, retryAfterSeconds: 1 })
}
