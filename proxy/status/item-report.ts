/** What every device holds of one account, container or object: for operators who look for what is wrong with it. */
import { forEachParallel } from '../../common/bounded-parallel.ts'
import type { Clock } from '../../common/clock.ts'
import type { ItemHashing, ItemKind } from '../../common/item.ts'
import { type ItemName, locateItem } from '../../common/ring/located.ts'
import type { RingDevice } from '../../common/ring/ring.ts'
import type { RingSet } from '../../common/ring/ring-set.ts'
import { formatTimestamp } from '../../common/stamp.ts'
import type { ItemInfo, StorageNode } from '../../common/storage-node.ts'
import { withDeadline } from '../backend/replica-calls.ts'

export interface ItemReport {
  readonly kind: ItemKind
  /** `/account/container/object`. */
  readonly name: string
  readonly policy: number
  readonly partition: number
  /** 32 hex digits: the name's identity. */
  readonly hash: string
  readonly replicas: readonly ReplicaReport[]
}

export interface ReplicaReport {
  readonly device: string
  /** `ip:port`. */
  readonly address: string
  readonly region: number
  readonly zone: number
  readonly role: 'primary' | 'handoff'
  /** Why it could not be asked; empty if it answered. */
  readonly error: string
  /** Null: it has none. */
  readonly record: RecordReport | null
}

export interface RecordReport {
  readonly deleted: boolean
  readonly timestamp: string
  readonly metaTimestamp: string
  readonly writeId: string
  readonly bytes: number
  readonly etag: string
  readonly contentType: string
  /** Keys are left out. */
  readonly headers: Readonly<Record<string, string>>
  /** Of accounts and containers. */
  readonly rows?: number
}

export interface ItemReporterOptions {
  readonly rings: () => RingSet
  readonly hashing: ItemHashing
  readonly nodeOf: (device: RingDevice) => StorageNode
  readonly clock: Clock
}

const ANSWER_MS = 5_000
const ASKED_MAX = 8
const SECRET = /temp-url-key|sync-key/

export class ItemReporter {
  readonly #options: ItemReporterOptions

  constructor(options: ItemReporterOptions) {
    this.#options = options
  }

  /** Asks the primaries and so many handoffs. Throws a 503 where the policy has no ring. */
  async report(name: ItemName, handoffsMax: number): Promise<ItemReport> {
    const { rings, hashing } = this.#options
    const set = rings()
    const { item, partition, devices, handoffs } = locateItem(set, hashing, name)
    const asked = devices.map((device) => ({ device, role: 'primary' as const }))
    const all: { device: RingDevice; role: ReplicaReport['role'] }[] = [...asked]
    for (const device of handoffs) {
      if (all.length >= devices.length + handoffsMax) break
      all.push({ device, role: 'handoff' })
    }
    const replicas: ReplicaReport[] = new Array(all.length)
    await forEachParallel(all.entries(), ASKED_MAX, async ([at, { device, role }]) => {
      const found = await this.#ask(device, { ...item, epoch: set.epoch })
      const { region, zone, ip, port } = device
      const address = `${ip.includes(':') ? `[${ip}]` : ip}:${port}`
      replicas[at] = { device: device.device, address, region, zone, role, ...found }
    })
    const { kind, policy } = item
    const hash = Buffer.from(item.hash, 'latin1').toString('hex')
    return { kind, name: item.name, policy, partition, hash, replicas }
  }

  async #ask(
    device: RingDevice,
    item: Parameters<StorageNode['read']>[1],
  ): Promise<Pick<ReplicaReport, 'error' | 'record'>> {
    const { nodeOf, clock } = this.#options
    try {
      const reading = Promise.resolve(nodeOf(device).read(device.device, item, { head: true }))
      const read = await withDeadline(reading, clock, ANSWER_MS)
      return { error: '', record: read === null ? null : recordOf(read.info) }
    } catch (error) {
      return { error: (error as Error).message, record: null }
    }
  }
}

function recordOf(info: ItemInfo): RecordReport {
  const { meta, stats } = info
  const shown = Object.entries(meta.headers).filter(([name]) => !SECRET.test(name))
  return {
    deleted: info.deleted,
    timestamp: formatTimestamp(info.stamp.ticks),
    metaTimestamp: formatTimestamp(info.metaStamp.ticks),
    writeId: info.writeId,
    bytes: info.bytes,
    etag: meta.etag ?? '',
    contentType: meta.contentType ?? '',
    headers: Object.fromEntries(shown),
    ...(stats !== undefined && { rows: stats.rows }),
  }
}
