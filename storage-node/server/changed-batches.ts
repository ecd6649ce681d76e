import type { Random } from '../../common/random.ts'
import type { ItemInfo, StorageNode } from '../../common/storage-node.ts'

interface Batch {
  readonly batch: string
  readonly containers: readonly ItemInfo[]
}

/**
 * Containers that were taken from a device and are on their way to a proxy: a device forgets what was taken, so a
 * batch is kept here, and sent again, until a proxy says that it has it.
 */
export class ChangedBatches {
  readonly #node: StorageNode
  readonly #random: Random
  readonly #underWay = new Map<string, Batch>()

  constructor(options: { readonly node: StorageNode; readonly random: Random }) {
    this.#node = options.node
    this.#random = options.random
  }

  /** The next batch of the device; `received` names the last one that arrived, or is empty. */
  async take(request: {
    readonly device: string
    readonly limit: number
    readonly received: string
  }): Promise<Batch> {
    const { device, limit, received } = request
    const underWay = this.#underWay.get(device)
    if (underWay !== undefined && underWay.batch !== received) return underWay
    this.#underWay.delete(device)
    const containers = await this.#node.takeChangedContainers(device, { limit })
    if (containers.length === 0) return { batch: '', containers }
    const batch = { batch: Buffer.from(this.#random.bytes(8)).toString('hex'), containers }
    this.#underWay.set(device, batch)
    return batch
  }
}
