/** A storage node whose devices belong to this thread: StorageNode by function calls. */
import { ServiceError } from '../common/errors.ts'
import { ITEM_KINDS, type ItemKey, type ItemKind } from '../common/item.ts'
import type { Stamp } from '../common/stamp.ts'
import {
  type BodyWriter,
  type Confirmation,
  type DeviceStatus,
  type DigestQuery,
  type ExpiredItem,
  type HeldItem,
  INLINE_BYTES_MAX,
  type ItemInfo,
  type ItemPlace,
  type ItemRead,
  type ItemWrite,
  type ListPage,
  type ListQuery,
  type ListRow,
  type ListTotals,
  type PartitionDigest,
  type PrepareOutcome,
  type ReplicationStatus,
  type RowDigest,
  type RowOutcome,
  type RowRange,
  type StorageNode,
  type TotalsQuery,
  type Unconfirmed,
  type WriteOutcome,
} from '../common/storage-node.ts'
import type { Device } from './device.ts'
import { mergeStatuses } from './device-statuses.ts'
import { NO_BLOB } from './engine/entry.ts'
import { byteText } from './engine/keys.ts'
import { NO_BODY } from './engine/register.ts'
import { ROW_BYTES } from './engine/row.ts'
import type { Shard } from './engine/shard.ts'
import { findExpired } from './expiry.ts'
import { LocalBodyWriter } from './local-body-writer.ts'
import { LocalDevices, type LocalDevicesOptions } from './local-devices.ts'
import { listItem } from './local-items.ts'
import { heldItems, rowDigest } from './replica-view.ts'
import type { ShardFace } from './shard-face.ts'
import { findUnconfirmed } from './unconfirmed.ts'

/** Opens all devices; throws a ServiceError that says which one cannot be used and why. */
export async function openLocalNode(options: LocalDevicesOptions): Promise<LocalNode> {
  const node = new LocalNode(options)
  options.peers?.serve(
    (device, shard) => node.ownShard(device, shard),
    () => node.ownStatus(),
  )
  try {
    for (const { name } of options.devices) await node.openDevice(name)
  } catch (error) {
    await node.close()
    throw error
  }
  return node
}

export class LocalNode implements StorageNode {
  readonly #options: LocalDevicesOptions
  readonly #devices: LocalDevices
  #replicationOf: (device: string) => ReplicationStatus | undefined = () => undefined

  constructor(options: LocalDevicesOptions) {
    this.#options = options
    this.#devices = new LocalDevices(options)
  }

  /** Recovers the device; nothing of it is served before. */
  openDevice(name: string): Promise<void> {
    return this.#devices.open(name)
  }

  /** A shard of this thread, for calls from the others. */
  ownShard(name: string, number: number): ShardFace {
    const shard = this.#devices.get(name).shards.get(number)
    if (shard !== undefined) return shard
    throw new ServiceError('WrongThread', `shard ${number} of ${name} is not here`, { status: 500 })
  }

  /** Those that are served. */
  get devices(): ReadonlyMap<string, Device> {
    return this.#devices.all
  }

  write(deviceName: string, write: ItemWrite, body: Uint8Array | null): Promise<WriteOutcome> {
    try {
      const device = this.#devices.get(deviceName)
      const bytes = body?.length ?? 0
      if (bytes > INLINE_BYTES_MAX) throw tooLong(bytes)
      const isDelete = write.action === 'delete' || write.record?.deleted === true
      if (!isDelete) device.space.assertRoom(bytes)
      const place = body === null ? NO_BODY : { kind: 'inline' as const, data: body }
      return device.shardOf(write.item.hash).write(write, place)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async prepare(deviceName: string, item: ItemKey, ballot: Stamp): Promise<PrepareOutcome> {
    const device = this.#devices.get(deviceName)
    device.space.assertRoom(0, { isRow: true })
    return device.shardOf(item.hash).prepare(item, ballot)
  }

  async openBody(deviceName: string, item: ItemKey): Promise<BodyWriter> {
    const refusal = this.#options.guard?.refusalOf(item)
    if (refusal != null) throw refusal
    const device = this.#devices.get(deviceName)
    device.space.assertRoom(0)
    return new LocalBodyWriter(device, item, await device.blobs.create())
  }

  async read(
    deviceName: string,
    item: ItemKey,
    options: { readonly head?: boolean; readonly copy?: boolean } = {},
  ): Promise<ItemRead | null> {
    const device = this.#devices.get(deviceName)
    const shard = device.shardOf(item.hash)
    const wantsBody = options.head !== true
    const { copy = false } = options
    const read = await shard.read(item, { body: wantsBody, copy })
    if (read === null) return null
    if (read.blobId === NO_BLOB || !wantsBody) return { info: read.info, body: read.data }
    return this.#openBlob(device, item, read.info, read.blobId)
  }

  readNow(
    deviceName: string,
    item: ItemKey,
    options: { readonly head?: boolean } = {},
  ): ItemRead | undefined {
    if (this.#options.guard?.refusalOf(item) != null) return undefined
    const cached = this.#devices.find(deviceName)?.ownShardOf(item.hash)?.cached(item)
    if (cached === undefined) return undefined
    return { info: cached.info, body: options.head === true ? null : cached.data }
  }

  /** The blob may be replaced between the look-up and the opening: then look again. */
  async #openBlob(
    device: Device,
    item: ItemKey,
    info: ItemInfo,
    blobId: string,
  ): Promise<ItemRead | null> {
    try {
      return { info, body: await device.blobs.open(blobId, info.bytes) }
    } catch (error) {
      const now = await device.shardOf(item.hash).read(item, { body: true, copy: true })
      if (now?.blobId === blobId) throw error
      if (now === null || now.blobId === NO_BLOB) return now && { info: now.info, body: now.data }
      return this.#openBlob(device, item, now.info, now.blobId)
    }
  }

  putRow(deviceName: string, list: ItemKey, row: ListRow, settings?: Stamp): Promise<RowOutcome> {
    try {
      const device = this.#devices.get(deviceName)
      if (!row.deleted) device.space.assertRoom(0, { isRow: true })
      return device.shardOf(list.hash).putRow(list, row, settings)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  confirm(deviceName: string, confirmation: Confirmation): void {
    const device = this.#devices.all.get(deviceName)
    if (device === undefined) return
    try {
      if (confirmation.kind === 'row') {
        const { list, name, ballot } = confirmation
        device.shardOf(list.hash).confirmRow(list, name, ballot)
      } else {
        const { item, ballot } = confirmation
        device.shardOf(item.hash).confirmItem(item, ballot)
      }
    } catch (cause) {
      // It only saves work later; what was in its way has been reported.
      this.#options.log?.warn('confirm-failed', { device: deviceName, cause: String(cause) })
    }
  }

  async list(deviceName: string, list: ItemKey, query: ListQuery): Promise<ListPage | null> {
    return this.#devices.get(deviceName).shardOf(list.hash).list(list, query)
  }

  async totals(deviceName: string, list: ItemKey, query: TotalsQuery): Promise<ListTotals | null> {
    return this.#devices.get(deviceName).shardOf(list.hash).totals(list, query)
  }

  async expired(
    deviceName: string,
    options: { readonly beforeSeconds: number; readonly limit: number },
  ): Promise<readonly ExpiredItem[]> {
    return findExpired(this.#devices.get(deviceName), options)
  }

  async unconfirmed(
    deviceName: string,
    options: { readonly ageMs: number; readonly limit: number },
  ): Promise<readonly Unconfirmed[]> {
    const beforeMs = this.#options.clock.monotonicMs() - options.ageMs
    return findUnconfirmed(this.#devices.get(deviceName), { beforeMs, limit: options.limit })
  }

  async takeChangedContainers(
    deviceName: string,
    options: { readonly limit: number },
  ): Promise<readonly ItemInfo[]> {
    const infos: ItemInfo[] = []
    for (const shard of this.#devices.get(deviceName).shards.values()) {
      if (shard.learning !== null) continue
      for (const list of shard.takeChangedLists(options.limit - infos.length)) {
        try {
          const read = await shard.read(listItem(list), { body: false })
          if (read !== null) infos.push(read.info)
        } catch (cause) {
          // One container that cannot be read does not keep the others from their accounts.
          const { name } = list
          this.#options.log?.error('totals-unreadable', { list: name, cause: String(cause) })
        }
      }
    }
    return infos
  }

  async digests(deviceName: string, query: DigestQuery): Promise<readonly PartitionDigest[]> {
    const device = this.#devices.get(deviceName)
    const { policy, partPower, partitions } = query
    const of = { kind: ITEM_KINDS.indexOf(query.kind), policy, partPower }
    if (query.folded === true) {
      const asked = partitions ?? (await device.digests.partitions(of, device.digestSource))
      const { items, digest } = await device.digests.folded(of, device.digestSource, asked)
      return [{ partition: -1, items, leaves: [digest] }]
    }
    const found = await device.digests.read(of, device.digestSource, partitions)
    return found.map(({ partition, items, leaves }) => ({
      partition,
      items,
      leaves: leaves.map(String),
    }))
  }

  /** The partitions of which the device holds anything. */
  async heldPartitions(
    deviceName: string,
    query: Pick<DigestQuery, 'kind' | 'policy' | 'partPower'>,
  ): Promise<readonly number[]> {
    const device = this.#devices.get(deviceName)
    const { policy, partPower } = query
    const of = { kind: ITEM_KINDS.indexOf(query.kind), policy, partPower }
    return device.digests.partitions(of, device.digestSource)
  }

  async held(
    deviceName: string,
    query: {
      readonly kind: ItemKind
      readonly policy: number
      readonly items: readonly ItemPlace[]
    },
  ): Promise<readonly (HeldItem | null)[]> {
    const { kind, policy, items } = query
    return heldItems(
      this.#devices.get(deviceName),
      { kind: ITEM_KINDS.indexOf(kind), policy },
      items,
    )
  }

  async rowDigests(
    deviceName: string,
    list: ItemKey,
    ranges: readonly RowRange[],
  ): Promise<readonly RowDigest[]> {
    const device = this.#devices.get(deviceName)
    const shard = this.#ownShardOf(device, list)
    const digests: RowDigest[] = []
    for (const range of ranges) digests.push(await rowDigest(shard, device.store, list, range))
    return digests
  }

  async heldRows(
    deviceName: string,
    list: ItemKey,
    names: readonly string[],
  ): Promise<readonly (Stamp | null)[]> {
    const shard = this.#ownShardOf(this.#devices.get(deviceName), list)
    return names.map((name) => {
      const row = shard.index.row(list.hash, byteText(name))
      return row === null || row.gone ? null : row.ballot
    })
  }

  async putRows(deviceName: string, list: ItemKey, rows: readonly ListRow[]): Promise<void> {
    const device = this.#devices.get(deviceName)
    device.space.assertRoom(rows.length * ROW_BYTES, { isRow: true })
    await device.shardOf(list.hash).putRows(list, rows)
  }

  /** Resolves when whatever was let in before is durable and visible: in this thread's shards of all devices. */
  async fence(): Promise<void> {
    await this.#devices.rebuilt()
    const shards = [...this.#devices.all.values()].flatMap((device) => [...device.shards.values()])
    await Promise.all(shards.map((shard) => shard.fence()))
  }

  #ownShardOf(device: Device, item: ItemKey): Shard {
    const shard = device.shards.get(device.shardNumberOf(item.hash))
    if (shard !== undefined) return shard
    throw new ServiceError('WrongThread', `${item.name} belongs to another thread`, { status: 500 })
  }

  /** Of the devices whole, whichever threads have their shards. */
  async status(): Promise<readonly DeviceStatus[]> {
    const others = this.#options.peers?.statuses() ?? []
    return mergeStatuses([await this.ownStatus(), ...(await others)])
  }

  /** What this thread knows: of a device whose shards are shared with other threads, only its own. */
  async ownStatus(): Promise<readonly DeviceStatus[]> {
    const open = await Promise.all([...this.#devices.all.values()].map((device) => device.status()))
    const online = open.map((status) => {
      const replication = this.#replicationOf(status.device)
      const { scrub, compaction } = this.#devices.maintenanceOf(status.device) ?? {}
      return {
        ...status,
        ...(replication === undefined ? {} : { replication }),
        ...(scrub === undefined ? {} : { scrub }),
        ...(compaction === undefined ? {} : { compaction }),
      }
    })
    return [...online, ...this.#devices.offlineStatuses()]
  }

  /** Says where the status finds how far a device is in step with its replicas. */
  reportReplication(of: (device: string) => ReplicationStatus | undefined): void {
    this.#replicationOf = of
  }

  close(): Promise<void> {
    return this.#devices.close()
  }
}

function tooLong(bytes: number): ServiceError {
  return new ServiceError('BodyTooLong', `${bytes} bytes are too many for one piece`, {
    status: 500,
  })
}
