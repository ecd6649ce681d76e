import { systemClock } from '../../common/clock.ts'
import { type ItemKey, itemKey } from '../../common/item.ts'
import { randomWriteId, systemRandom } from '../../common/random.ts'
import { StampClock } from '../../common/stamp.ts'
import type { ItemMeta, ItemWrite, ListRow } from '../../common/storage-node.ts'
import type { LocalNode } from '../../storage-node/local-node.ts'

const HASHING = { prefix: 'bench', suffix: 'bench', placement: 'xxh64' } as const
const META: ItemMeta = {
  etag: 'd41d8cd98f00b204e9800998ecf8427e',
  contentType: 'application/octet-stream',
  headers: { 'x-object-meta-mtime': '1700000000.000000' },
}

export const DEVICE = 'd1'

/** Objects of one container on one device, written as the proxy does: record and row at once, then confirmed. */
export class EngineWriter {
  readonly container: ItemKey
  readonly #node: LocalNode
  readonly #stamps = new StampClock({ nowMs: () => systemClock.nowMs(), proposer: 1 })

  constructor(node: LocalNode, containerName: string) {
    this.#node = node
    this.container = itemKey(HASHING, 'container', `/AUTH_bench/${containerName}`)
  }

  object(name: string): ItemKey {
    return itemKey(HASHING, 'object', `${this.container.name}/${name}`, 0)
  }

  async makeContainer(): Promise<void> {
    await this.#node.write(DEVICE, this.#write(this.container, 'put'), null)
  }

  async put(name: string, body: Uint8Array): Promise<void> {
    const item = this.object(name)
    const write = this.#write(item, 'put')
    await Promise.all([
      this.#node.write(DEVICE, write, body),
      this.#node.putRow(DEVICE, this.container, rowOf(write, name, body.length)),
    ])
    const { ballot } = write
    this.#node.confirm(DEVICE, { kind: 'row', list: this.container, name, ballot })
    this.#node.confirm(DEVICE, { kind: 'item', item, ballot })
  }

  #write(item: ItemKey, action: 'put' | 'delete'): ItemWrite {
    const stamp = this.#stamps.next()
    return { item, action, stamp, ballot: stamp, writeId: randomWriteId(systemRandom), meta: META }
  }
}

function rowOf(write: ItemWrite, name: string, bytes: number): ListRow {
  return {
    name,
    stamp: write.stamp,
    metaStamp: write.stamp,
    ballot: write.ballot,
    deleted: false,
    bytes,
    count: 1,
    etag: META.etag!,
    contentType: META.contentType!,
    policy: 0,
    confirmed: false,
  }
}

/** `d0012/000012345`: so many objects a folder, in the order of their numbers. */
export function objectName(index: number, objectsPerFolder: number): string {
  const folder = String(Math.floor(index / objectsPerFolder)).padStart(4, '0')
  return `d${folder}/${String(index).padStart(9, '0')}`
}
