import type { ArrivalReport, ClusterMember, PartitionMove } from '../../common/cluster-member.ts'
import type { RingFolder } from '../ring-folder.ts'
import type { MemberCall } from './store-thread.ts'

/** Asks every thread; one that is away makes it fail. */
export type AskThreads = <T>(call: MemberCall) => Promise<readonly T[]>

/** A node whose shards are shared out among threads, as the keeper of its rings sees it: what all of them say. */
export class ThreadsMember implements ClusterMember {
  readonly #rings: RingFolder
  readonly #ask: AskThreads

  constructor(rings: RingFolder, ask: AskThreads) {
    this.#rings = rings
    this.#ask = ask
  }

  async rings(known: number): Promise<Uint8Array | null> {
    return this.#rings.epoch > known ? this.#rings.bytes() : null
  }

  /** First durable, here: a thread that is started again reads the folder. */
  async learnRings(set: Uint8Array): Promise<number> {
    await this.#rings.take(set)
    return Math.min(...(await this.#ask<number>({ name: 'learnRings', set: this.#rings.bytes() })))
  }

  async arrivals(device: string, moves: readonly PartitionMove[]): Promise<ArrivalReport> {
    const reports = await this.#ask<ArrivalReport>({ name: 'arrivals', device, moves })
    const sum = (of: (report: ArrivalReport) => number) =>
      reports.reduce((total, report) => total + of(report), 0)
    return {
      arrived: moves.map((_, index) => reports.every(({ arrived }) => arrived[index] === true)),
      bytesSent: sum(({ bytesSent }) => bytesSent),
      recordsSent: sum(({ recordsSent }) => recordsSent),
    }
  }
}
