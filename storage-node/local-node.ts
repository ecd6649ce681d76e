/** A storage node whose devices belong to this thread: StorageNode by function calls. */
import type { Clock } from '../common/clock.ts'
import type { Disk } from '../common/disk.ts'
import { ServiceError } from '../common/errors.ts'
import type { ItemKey } from '../common/item.ts'
import type { Log } from '../common/log.ts'
import { nodeDisk } from '../common/node-disk.ts'
import type { Random } from '../common/random.ts'
import {
  type BodyWriter,
  type Confirmation,
  type DeviceStatus,
  type ExpiredItem,
  INLINE_BYTES_MAX,
  type ItemInfo,
  type ItemRead,
  type ItemWrite,
  type ListPage,
  type ListQuery,
  type ListRow,
  type RowOutcome,
  type StorageNode,
  type Unconfirmed,
  type WriteOutcome,
} from '../common/storage-node.ts'
import { Device } from './device.ts'
import type { BlobWriter } from './engine/blob-store.ts'
import { NO_BLOB } from './engine/entry.ts'
import { byteText } from './engine/keys.ts'
import { type KeyValueOpener, levelOpener } from './engine/level-store.ts'
import type { ListId } from './engine/memtable.ts'
import { registerIdOf } from './engine/register.ts'
import { findExpired } from './expiry.ts'
import { listItem, registerItem } from './local-items.ts'

export interface LocalNodeOptions {
  readonly devices: readonly { readonly name: string; readonly path: string }[]
  readonly clock: Clock
  readonly random: Random
  readonly log?: Log
  readonly segmentBytes?: number
  /** Log shards of devices that are formatted now. */
  readonly shards?: number
  /** Of devices with several owners, the shards of this thread. */
  readonly ownShards?: readonly number[]
  readonly disk?: Disk
  readonly opener?: KeyValueOpener
}

/** Opens all devices; throws a ServiceError that says which one cannot be used and why. */
export async function openLocalNode(options: LocalNodeOptions): Promise<LocalNode> {
  const devices: Device[] = []
  try {
    for (const { name, path } of options.devices) {
      devices.push(
        await Device.open({
          name,
          directory: path,
          disk: options.disk ?? nodeDisk,
          opener: options.opener ?? levelOpener,
          clock: options.clock,
          random: options.random,
          log: options.log,
          segmentBytesMax: options.segmentBytes,
          shards: options.shards,
          ownShards: options.ownShards,
        }),
      )
    }
  } catch (error) {
    for (const device of devices) await device.close()
    throw error
  }
  return new LocalNode(devices, options.clock)
}

export class LocalNode implements StorageNode {
  readonly #devices: ReadonlyMap<string, Device>
  readonly #clock: Clock
  #closing: Promise<void> | null = null

  constructor(devices: readonly Device[], clock: Clock) {
    this.#devices = new Map(devices.map((device) => [device.name, device]))
    this.#clock = clock
  }

  get devices(): ReadonlyMap<string, Device> {
    return this.#devices
  }

  write(deviceName: string, write: ItemWrite, body: Uint8Array | null): Promise<WriteOutcome> {
    try {
      const device = this.#device(deviceName)
      const bytes = body?.length ?? 0
      if (bytes > INLINE_BYTES_MAX) throw tooLong(bytes)
      if (write.action !== 'delete') device.assertSpace(bytes)
      const place = body === null ? NO_BODY : { kind: 'inline' as const, data: body }
      return device.shardOf(write.item.hash).write(write, place)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async openBody(deviceName: string, item: ItemKey): Promise<BodyWriter> {
    const device = this.#device(deviceName)
    device.assertSpace(0)
    return new LocalBodyWriter(device, item, await device.blobs.create())
  }

  async read(
    deviceName: string,
    item: ItemKey,
    options: { readonly head?: boolean } = {},
  ): Promise<ItemRead | null> {
    const device = this.#device(deviceName)
    const shard = device.shardOf(item.hash)
    const wantsBody = options.head !== true
    const read = await shard.read(item, { body: wantsBody })
    if (read === null) return null
    if (read.blobId === NO_BLOB || !wantsBody) return { info: read.info, body: read.data }
    return this.#openBlob(device, item, read.info, read.blobId)
  }

  /** The blob may have been replaced between the look-up and the opening: then look again, once. */
  async #openBlob(
    device: Device,
    item: ItemKey,
    info: ItemInfo,
    blobId: string,
  ): Promise<ItemRead | null> {
    try {
      return { info, body: await device.blobs.open(blobId, info.bytes) }
    } catch (error) {
      const again = await device.shardOf(item.hash).read(item, { body: true })
      if (again === null || again.blobId === blobId) throw error
      if (again.blobId === NO_BLOB) return { info: again.info, body: again.data }
      return { info: again.info, body: await device.blobs.open(again.blobId, again.info.bytes) }
    }
  }

  putRow(deviceName: string, list: ItemKey, row: ListRow): Promise<RowOutcome> {
    try {
      return this.#device(deviceName).shardOf(list.hash).putRow(list, row)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  confirm(deviceName: string, confirmation: Confirmation): void {
    const device = this.#devices.get(deviceName)
    if (device === undefined) return
    if (confirmation.kind === 'row') {
      const { list, name, ballot } = confirmation
      const { hash, placement } = list
      const id: ListId = { hash, placement, name: list.name }
      device.shardOf(hash).index.confirmRow(id, byteText(name), ballot)
    } else {
      const { item, ballot } = confirmation
      device.shardOf(item.hash).index.confirmEntry(registerIdOf(item), ballot)
    }
  }

  async list(deviceName: string, list: ItemKey, query: ListQuery): Promise<ListPage | null> {
    return this.#device(deviceName).shardOf(list.hash).list(list, query)
  }

  async expired(
    deviceName: string,
    options: { readonly beforeSeconds: number; readonly limit: number },
  ): Promise<readonly ExpiredItem[]> {
    return findExpired(this.#device(deviceName), options)
  }

  async unconfirmed(
    deviceName: string,
    options: { readonly ageMs: number; readonly limit: number },
  ): Promise<readonly Unconfirmed[]> {
    const device = this.#device(deviceName)
    const beforeMs = this.#clock.monotonicMs() - options.ageMs
    const found: Unconfirmed[] = []
    for (const shard of device.shards.values()) {
      for (const { list, name, sinceMs } of shard.index.unconfirmedRows.values()) {
        if (found.length >= options.limit) return found
        const row = sinceMs <= beforeMs ? shard.index.row(list.hash, name) : null
        if (row !== null) found.push({ kind: 'row', list: list.name, row })
      }
      for (const { id, sinceMs } of [...shard.index.unconfirmedEntries.values()]) {
        if (found.length >= options.limit) return found
        const item = sinceMs <= beforeMs ? await registerItem(shard, id) : null
        if (item !== null) found.push({ kind: 'item', info: item })
      }
    }
    return found
  }

  async takeChangedContainers(
    deviceName: string,
    options: { readonly limit: number },
  ): Promise<readonly ItemInfo[]> {
    const infos: ItemInfo[] = []
    for (const shard of this.#device(deviceName).shards.values()) {
      for (const list of shard.takeChangedLists(options.limit - infos.length)) {
        const read = await shard.read(listItem(list), { body: false })
        if (read !== null) infos.push(read.info)
      }
    }
    return infos
  }

  async status(): Promise<readonly DeviceStatus[]> {
    return Promise.all([...this.#devices.values()].map((device) => device.status()))
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }

  async #closeAll(): Promise<void> {
    for (const device of this.#devices.values()) await device.close()
  }

  #device(name: string): Device {
    if (this.#closing !== null) {
      throw new ServiceError('DeviceOffline', 'the node is shutting down', { status: 503 })
    }
    const device = this.#devices.get(name)
    if (device === undefined) {
      throw new ServiceError('UnknownDevice', `no device ${name} here`, { status: 404 })
    }
    return device
  }
}

class LocalBodyWriter implements BodyWriter {
  readonly #device: Device
  readonly #item: ItemKey
  readonly #blob: BlobWriter
  #uncheckedBytes = 0

  constructor(device: Device, item: ItemKey, blob: BlobWriter) {
    this.#device = device
    this.#item = item
    this.#blob = blob
  }

  write(piece: Uint8Array): Promise<void> {
    this.#uncheckedBytes += piece.length
    if (this.#uncheckedBytes > SPACE_CHECK_BYTES) {
      this.#uncheckedBytes = 0
      this.#device.assertSpace(0)
    }
    return this.#blob.write(piece)
  }

  async commit(write: ItemWrite): Promise<WriteOutcome> {
    const { blobId } = this.#blob
    const { item, stamp, writeId, meta } = write
    const bytes = this.#blob.bytes
    await this.#blob.finish(JSON.stringify({ n: item.name, s: stamp, w: writeId, m: meta }))
    try {
      const shard = this.#device.shardOf(this.#item.hash)
      const outcome = await shard.write(write, { kind: 'blob', blobId, bytes })
      const isStored = outcome.status === 'done' && outcome.info.bytes === bytes
      if (!isStored) await this.#device.blobs.remove(blobId)
      return outcome
    } catch (error) {
      // Whether the record reached the disk is unknown: the scrubber sees to a blob that nobody owns.
      if (error instanceof ServiceError && error.code === 'Busy') {
        await this.#device.blobs.remove(blobId)
      }
      throw error
    }
  }

  abort(): Promise<void> {
    return this.#blob.abort()
  }
}

const NO_BODY = { kind: 'none' } as const
/** While a long body arrives, free space is looked at this often. */
const SPACE_CHECK_BYTES = 16 * 1024 * 1024

function tooLong(bytes: number): ServiceError {
  return new ServiceError('BodyTooLong', `${bytes} bytes are too many for one piece`, {
    status: 500,
  })
}
