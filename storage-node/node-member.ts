/** A storage node's part in the movement of partitions. */
import type { ArrivalReport, ClusterMember, PartitionMove } from '../common/cluster-member.ts'
import { ServiceError } from '../common/errors.ts'
import type { LocalNode } from './local-node.ts'
import type { Replicator } from './replicator/replicator.ts'

/** Where the rings are kept; they are in use everywhere in this process when `take` resolves. */
export interface RingStore {
  readonly epoch: number
  bytes(): Uint8Array
  /** Makes a set durable and uses it, if it is newer. */
  take(set: Uint8Array): Promise<void>
}

export interface NodeMemberOptions {
  readonly node: LocalNode
  readonly rings: RingStore
  readonly replicator: Pick<Replicator, 'arrivals' | 'counters'>
}

export class NodeMember implements ClusterMember {
  readonly #options: NodeMemberOptions

  constructor(options: NodeMemberOptions) {
    this.#options = options
  }

  async rings(known: number): Promise<Uint8Array | null> {
    const { rings } = this.#options
    return rings.epoch > known ? rings.bytes() : null
  }

  async learnRings(set: Uint8Array): Promise<number> {
    const { rings, node } = this.#options
    await rings.take(set)
    const { epoch } = rings
    await node.fence()
    return epoch
  }

  async arrivals(device: string, moves: readonly PartitionMove[]): Promise<ArrivalReport> {
    const { node, replicator } = this.#options
    if (!node.devices.has(device)) {
      const message = `device ${device} is not here`
      throw new ServiceError('DeviceOffline', message, { status: 503 })
    }
    const { bytesSent, recordsSent } = replicator.counters
    return { arrived: replicator.arrivals.want(device, moves), bytesSent, recordsSent }
  }
}
