import type { ClusterMember } from '../common/cluster-member.ts'
import type { RingDevice } from '../common/ring/ring.ts'
import type { StorageNode } from '../common/storage-node.ts'
import { createRemoteNode } from '../proxy/backend/remote-node.ts'

/** One client for each node, however many devices it has. */
export class RemoteNodes {
  readonly #clusterKey: string
  readonly #nodes = new Map<string, StorageNode & ClusterMember>()

  constructor(clusterKey: string) {
    this.#clusterKey = clusterKey
  }

  of({ ip, port }: Pick<RingDevice, 'ip' | 'port'>): StorageNode & ClusterMember {
    const address = `${ip} ${port}`
    const known = this.#nodes.get(address)
    if (known !== undefined) return known
    const node = createRemoteNode({ ip, port, clusterKey: this.#clusterKey })
    this.#nodes.set(address, node)
    return node
  }

  async close(): Promise<void> {
    await Promise.all([...this.#nodes.values()].map((node) => node.close()))
  }
}
