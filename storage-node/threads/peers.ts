import type { MessagePort } from 'node:worker_threads'
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { DeviceStatus } from '../../common/storage-node.ts'
import type { CommitWatch } from '../engine/segment-log.ts'
import type { ShardFace } from '../shard-face.ts'
import { Peer } from './peer.ts'

/** The threads of a node: shard n of every device belongs to thread n modulo their number. */
export class Peers {
  /** This thread. */
  readonly index: number
  readonly count: number
  readonly #clock: Clock
  readonly #peers = new Map<number, Peer>()
  #logs = 0
  #writing = 0
  #ownShard: (device: string, shard: number) => ShardFace = (device) => {
    throw new ServiceError('DeviceOffline', `device ${device} is not open yet`, { status: 503 })
  }
  #ownStatus: () => Promise<readonly DeviceStatus[]> = () => Promise.resolve([])

  constructor(options: {
    readonly index: number
    readonly count: number
    readonly clock: Clock
  }) {
    this.index = options.index
    this.count = options.count
    this.#clock = options.clock
  }

  isOwn(shard: number): boolean {
    return shard % this.count === this.index
  }

  /** For each log of this thread: while all of them are writing, others need not wake it for further writes. */
  watchCommits(): CommitWatch {
    this.#logs++
    return {
      began: () => {
        this.#writing++
        if (this.#writing === this.#logs) for (const peer of this.#peers.values()) peer.beBusy()
      },
      ended: () => {
        this.#writing--
        for (const peer of this.#peers.values()) peer.look()
      },
    }
  }

  /** Says how to reach the shards of this thread, once they are open, and what it knows of them. */
  serve(
    ownShard: (device: string, shard: number) => ShardFace,
    ownStatus: () => Promise<readonly DeviceStatus[]>,
  ): void {
    this.#ownShard = ownShard
    this.#ownStatus = ownStatus
  }

  /** What the other threads know of their shards; of one that is being started again nothing. */
  async statuses(): Promise<readonly (readonly DeviceStatus[])[]> {
    return Promise.all([...this.#peers.values()].map((peer) => peer.status().catch(() => [])))
  }

  /** A (new) thread can be reached through the port. */
  connect(index: number, port: MessagePort): void {
    this.#peers.get(index)?.leave()
    const ownShard = (device: string, shard: number) => this.#ownShard(device, shard)
    const ownStatus = () => this.#ownStatus()
    this.#peers.set(index, new Peer({ port, clock: this.#clock, ownShard, ownStatus }))
  }

  /** A shard of another thread. */
  foreign(device: string, shard: number): ShardFace {
    const peer = this.#peers.get(shard % this.count)
    if (peer !== undefined) return peer.shard(device, shard)
    const message = 'the thread of this shard is not up yet'
    throw new ServiceError('DeviceOffline', message, { status: 503, retryAfterSeconds: 1 })
  }

  close(): void {
    for (const peer of this.#peers.values()) peer.leave()
  }
}
