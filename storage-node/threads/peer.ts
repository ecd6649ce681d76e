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
import type { BodyPlace } from '../engine/register.ts'
import type { ShardRead } from '../engine/register-reads.ts'
import type { ShardCall, ShardFace, ShardNote } from '../shard-face.ts'
import { Outbox, plainError, serviceError, type ThreadMessage } from './messages.ts'

/** Calls under way to one thread; beyond it they are refused with 503. */
const CALLS_MAX = 20_000

interface Waiting {
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
  readonly #port: MessagePort
  readonly #outbox: Outbox
  readonly #ownShard: PeerOptions['ownShard']
  readonly #ownStatus: PeerOptions['ownStatus']
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1
  #isGone = false

  constructor(options: PeerOptions) {
    this.#port = options.port
    this.#ownShard = options.ownShard
    this.#ownStatus = options.ownStatus
    this.#outbox = new Outbox(options.port, options.clock)
    this.#port.on('message', (messages: readonly ThreadMessage[]) => {
      for (const message of messages) this.#take(message)
    })
    this.#port.on('close', () => this.leave())
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
    return this.#ask((id) => ({ kind: 'call', id, device, shard, method, args }))
  }

  status(): Promise<readonly DeviceStatus[]> {
    return this.#ask((id) => ({ kind: 'status', id })) as Promise<readonly DeviceStatus[]>
  }

  #ask(messageOf: (id: number) => ThreadMessage): Promise<unknown> {
    if (this.#isGone) return Promise.reject(gone())
    if (this.#waiting.size >= CALLS_MAX) return Promise.reject(busy())
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#outbox.send(messageOf(id))
    })
  }

  note(device: string, shard: number, method: ShardNote, args: readonly unknown[]): void {
    if (!this.#isGone) this.#outbox.sendLater({ kind: 'note', device, shard, method, args })
  }

  /** The thread is gone: whoever waits for it is told so; what they asked for may have happened. */
  leave(): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#port.close()
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
        this.#answer(message.id, () => this.#ownStatus())
        break
      case 'result':
        this.#end(message.id)?.resolve(message.value)
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

  #serve(call: ThreadMessage & { readonly kind: 'call' }): void {
    const { id, device, shard, method, args } = call
    this.#answer(id, () => {
      const face = this.#ownShard(device, shard)
      const run = face[method] as (...all: unknown[]) => Promise<unknown>
      return run.apply(face, [...args])
    })
  }

  #answer(id: number, run: () => Promise<unknown>): void {
    const answer = (value: unknown): void => this.#outbox.send({ kind: 'result', id, value })
    const refuse = (error: unknown): void => {
      this.#outbox.send({ kind: 'error', id, error: plainError(error) })
    }
    try {
      run().then(answer, refuse)
    } catch (error) {
      refuse(error)
    }
  }

  #hear(note: ThreadMessage & { readonly kind: 'note' }): void {
    const { device, shard, method, args } = note
    try {
      const face = this.#ownShard(device, shard)
      const run = face[method] as (...all: unknown[]) => void
      run.apply(face, [...args])
    } catch {
      // A note only saves work later; a device that is not there now loses nothing by it.
    }
  }
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
    return this.#call('write', write, ownMemory(body)) as Promise<WriteOutcome>
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

/** A view of a larger buffer would take all of that along. */
function ownMemory(body: BodyPlace): BodyPlace {
  if (body.kind !== 'inline' || body.data.byteLength === body.data.buffer.byteLength) return body
  return { kind: 'inline', data: new Uint8Array(body.data) }
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
