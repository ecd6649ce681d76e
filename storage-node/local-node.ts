/** A storage node whose devices belong to this thread: StorageNode by function calls. */
import type { Clock } from '../common/clock.ts'
import type { Disk } from '../common/disk.ts'
import { ServiceError } from '../common/errors.ts'
import { ITEM_KINDS, type ItemKey, type ItemKind } from '../common/item.ts'
import type { Log } from '../common/log.ts'
import { nodeDisk } from '../common/node-disk.ts'
import type { Random } from '../common/random.ts'
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
  type PartitionDigest,
  type PrepareOutcome,
  type ReplicationStatus,
  type RowDigest,
  type RowOutcome,
  type RowRange,
  type StorageNode,
  type Unconfirmed,
  type WriteOutcome,
} from '../common/storage-node.ts'
import { blobMeta } from './blob-meta.ts'
import { Device, type IndexFailure, type LearnsOptions } from './device.ts'
import { mergeStatuses } from './device-statuses.ts'
import type { BlobWriter } from './engine/blob-store.ts'
import { NO_BLOB } from './engine/entry.ts'
import { byteText } from './engine/keys.ts'
import { type KeyValueOpener, levelOpener } from './engine/level-store.ts'
import { isGone, registerIdOfList } from './engine/partition-digests.ts'
import { ROW_BYTES } from './engine/row.ts'
import type { Shard } from './engine/shard.ts'
import { findExpired } from './expiry.ts'
import { listItem, registerItem } from './local-items.ts'
import { Maintenance } from './maintenance.ts'
import { heldItems, rowDigest } from './replica-view.ts'
import type { RingGuard } from './ring-guard.ts'
import type { ShardFace } from './shard-face.ts'
import type { Peers } from './threads/peers.ts'

export interface LocalNodeOptions {
  readonly devices: readonly { readonly name: string; readonly path: string }[]
  readonly clock: Clock
  readonly random: Random
  readonly log?: Log
  readonly segmentBytes?: number
  /** Log shards of devices that are formatted now. */
  readonly shards?: number
  /** The other threads that share the devices; absent: this thread owns all shards. */
  readonly peers?: Peers
  /** Refuses what comes by rings that are too old; absent: nothing. */
  readonly guard?: RingGuard
  /** With peers: told that a device needs a fresh start of its index, by all threads. */
  readonly onIndexFailure?: (device: string, failure: IndexFailure) => void
  readonly disk?: Disk
  readonly opener?: KeyValueOpener
  /** Compaction and scrubbing in the background; on by default. */
  readonly maintenance?: boolean
  /** Its devices have replicas that a replicator compares them with: they learn from them what they have lost. */
  readonly learns?: LearnsOptions
  /** How long deleted names are remembered. */
  readonly reclaimAgeMs?: number
  /** Whether a device forgets them by itself; by default, unless it has replicas. */
  readonly reclaimsAlone?: boolean
}

/** Opens all devices; throws a ServiceError that says which one cannot be used and why. */
export async function openLocalNode(options: LocalNodeOptions): Promise<LocalNode> {
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
  readonly #options: LocalNodeOptions
  readonly #devices = new Map<string, Device>()
  /** Devices that are being given a new index. */
  readonly #rebuilding = new Map<string, Promise<void>>()
  /** Devices that could not be given one, and why. */
  readonly #failed = new Map<string, string>()
  readonly #maintenance = new Map<string, Maintenance>()
  #replicationOf: (device: string) => ReplicationStatus | undefined = () => undefined
  readonly #clock: Clock
  #closing: Promise<void> | null = null

  constructor(options: LocalNodeOptions) {
    this.#options = options
    this.#clock = options.clock
  }

  /** Recovers the device; nothing of it is served before. */
  async openDevice(name: string, options: { readonly rebuild?: boolean } = {}): Promise<void> {
    const { disk, opener, clock, random, log, segmentBytes, shards } = this.#options
    const { peers, guard } = this.#options
    const path = this.#options.devices.find((device) => device.name === name)?.path
    if (path === undefined) throw unknownDevice(name)
    const device = await Device.open({
      name,
      directory: path,
      disk: disk ?? nodeDisk,
      opener: opener ?? levelOpener,
      clock,
      random,
      log,
      segmentBytesMax: segmentBytes,
      shards,
      peers,
      learns: this.#learns(options.rebuild !== undefined),
      guard,
      rebuild: options.rebuild,
      onIndexFailure: (failure) => this.#reopen(name, failure),
    })
    this.#devices.set(name, device)
    if (this.#options.maintenance !== false) this.#maintain(device)
  }

  /** Who opens a device anew while it runs has operations under way that count on what it promised. */
  #learns(isReopened: boolean): LearnsOptions | undefined {
    const { learns } = this.#options
    if (learns === undefined || !isReopened) return learns
    return { newDisks: learns.newDisks }
  }

  /** A shard of this thread, for calls from the others. */
  ownShard(name: string, number: number): ShardFace {
    const shard = this.#device(name).shards.get(number)
    if (shard !== undefined) return shard
    throw new ServiceError('WrongThread', `shard ${number} of ${name} is not here`, { status: 500 })
  }

  #maintain(device: Device): void {
    const maintenance = new Maintenance(device, {
      reclaimsAlone: this.#options.learns === undefined,
      ...this.#options,
      disk: this.#options.disk ?? nodeDisk,
    })
    this.#maintenance.set(device.name, maintenance)
    maintenance.start()
  }

  /** The device goes offline, gets a new index from its logs if the old one is damaged, and comes back. */
  #reopen(name: string, failure: IndexFailure): void {
    if (this.#options.peers !== undefined) {
      this.#options.onIndexFailure?.(name, failure)
      return
    }
    const device = this.#devices.get(name)
    if (device === undefined || this.#rebuilding.has(name)) return
    this.#options.log?.warn('index-reopen', { device: name, failure })
    this.#devices.delete(name)
    const rebuilt = this.#replace(name, device, failure)
      .catch((cause: unknown) => {
        this.#failed.set(name, String(cause))
        this.#options.log?.error('index-rebuild-failed', { device: name, cause: String(cause) })
      })
      .finally(() => this.#rebuilding.delete(name))
    this.#rebuilding.set(name, rebuilt)
  }

  async #replace(name: string, old: Device, failure: IndexFailure): Promise<void> {
    await this.#maintenance.get(name)?.stop()
    await old.close({ withoutFlush: true })
    if (this.#closing === null) await this.openDevice(name, { rebuild: failure === 'damaged' })
  }

  get devices(): ReadonlyMap<string, Device> {
    return this.#devices
  }

  write(deviceName: string, write: ItemWrite, body: Uint8Array | null): Promise<WriteOutcome> {
    try {
      const device = this.#device(deviceName)
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
    const device = this.#device(deviceName)
    device.space.assertRoom(0, { isRow: true })
    return device.shardOf(item.hash).prepare(item, ballot)
  }

  async openBody(deviceName: string, item: ItemKey): Promise<BodyWriter> {
    const refusal = this.#options.guard?.refusalOf(item)
    if (refusal != null) throw refusal
    const device = this.#device(deviceName)
    device.space.assertRoom(0)
    return new LocalBodyWriter(device, item, await device.blobs.create())
  }

  async read(
    deviceName: string,
    item: ItemKey,
    options: { readonly head?: boolean; readonly copy?: boolean } = {},
  ): Promise<ItemRead | null> {
    const device = this.#device(deviceName)
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
    const device = this.#closing === null ? this.#devices.get(deviceName) : undefined
    const cached = device?.ownShardOf(item.hash)?.cached(item)
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
      const device = this.#device(deviceName)
      if (!row.deleted) device.space.assertRoom(0, { isRow: true })
      return device.shardOf(list.hash).putRow(list, row, settings)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  confirm(deviceName: string, confirmation: Confirmation): void {
    const device = this.#devices.get(deviceName)
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
        // A row that was left when its list was given away is no longer this device's to doubt.
        if (row === null || isGone(shard.index.entry(registerIdOfList(list)))) continue
        found.push({ kind: 'row', list: list.name, row })
      }
      for (const { id, sinceMs, refused } of [...shard.index.unconfirmedEntries.values()]) {
        if (found.length >= options.limit) return found
        const item = sinceMs <= beforeMs ? await registerItem(shard, id) : null
        if (item !== null) found.push({ kind: 'item', info: item, ...(refused && { refused }) })
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
    const device = this.#device(deviceName)
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
    const device = this.#device(deviceName)
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
    return heldItems(this.#device(deviceName), { kind: ITEM_KINDS.indexOf(kind), policy }, items)
  }

  async rowDigests(
    deviceName: string,
    list: ItemKey,
    ranges: readonly RowRange[],
  ): Promise<readonly RowDigest[]> {
    const device = this.#device(deviceName)
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
    const shard = this.#ownShardOf(this.#device(deviceName), list)
    return names.map((name) => {
      const row = shard.index.row(list.hash, byteText(name))
      return row === null || row.gone ? null : row.ballot
    })
  }

  async putRows(deviceName: string, list: ItemKey, rows: readonly ListRow[]): Promise<void> {
    const device = this.#device(deviceName)
    device.space.assertRoom(rows.length * ROW_BYTES, { isRow: true })
    await device.shardOf(list.hash).putRows(list, rows)
  }

  /** Resolves when whatever was let in before is durable and visible: in this thread's shards of all devices. */
  async fence(): Promise<void> {
    await Promise.all(this.#rebuilding.values())
    const shards = [...this.#devices.values()].flatMap((device) => [...device.shards.values()])
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
    const open = await Promise.all([...this.#devices.values()].map((device) => device.status()))
    const online = open.map((status) => {
      const replication = this.#replicationOf(status.device)
      const { scrub, compaction } = this.#maintenance.get(status.device) ?? {}
      return {
        ...status,
        ...(replication === undefined ? {} : { replication }),
        ...(scrub === undefined ? {} : { scrub }),
        ...(compaction === undefined ? {} : { compaction }),
      }
    })
    const offline = [...this.#rebuilding.keys(), ...this.#failed.keys()]
    return [...online, ...offline.map((name) => this.#offlineStatus(name))]
  }

  /** Says where the status finds how far a device is in step with its replicas. */
  reportReplication(of: (device: string) => ReplicationStatus | undefined): void {
    this.#replicationOf = of
  }

  #offlineStatus(device: string): DeviceStatus {
    const reason = this.#failed.get(device) ?? 'gets a new index'
    const none = { bytesTotal: 0, bytesFree: 0, segments: 0, damage: [] }
    return { device, state: 'offline', reason, ...none }
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }

  async #closeAll(): Promise<void> {
    await Promise.all(this.#rebuilding.values())
    for (const maintenance of this.#maintenance.values()) await maintenance.stop()
    for (const device of this.#devices.values()) await device.close()
  }

  #device(name: string): Device {
    if (this.#closing !== null) {
      throw new ServiceError('DeviceOffline', 'the node is shutting down', { status: 503 })
    }
    const device = this.#devices.get(name)
    if (device !== undefined) return device
    if (this.#rebuilding.has(name)) {
      const options = { status: 503, retryAfterSeconds: 5 }
      throw new ServiceError('DeviceOffline', `device ${name} gets a new index`, options)
    }
    const failure = this.#failed.get(name)
    if (failure === undefined) throw unknownDevice(name)
    throw new ServiceError('DeviceOffline', `device ${name}: ${failure}`, { status: 503 })
  }
}

function unknownDevice(name: string): ServiceError {
  return new ServiceError('UnknownDevice', `no device ${name} here`, { status: 404 })
}

class LocalBodyWriter implements BodyWriter {
  readonly #device: Device
  readonly #item: ItemKey
  readonly #blob: BlobWriter
  readonly canRecommit = true
  /** The body is durable. */
  #isFinished = false
  /** A record refers to it, or may: it is no longer ours to throw away. */
  #isSettled = false
  /** Ends with the commit that is under way: until then nobody knows whose the body is. */
  #committing: Promise<unknown> = Promise.resolve()

  constructor(device: Device, item: ItemKey, blob: BlobWriter) {
    this.#device = device
    this.#item = item
    this.#blob = blob
  }

  write(piece: Uint8Array): Promise<void> {
    this.#device.space.assertRoom(piece.length)
    return this.#blob.write(piece)
  }

  commit(write: ItemWrite): Promise<WriteOutcome> {
    const outcome = this.#commit(write)
    this.#committing = outcome.catch(() => {})
    return outcome
  }

  async #commit(write: ItemWrite): Promise<WriteOutcome> {
    const { blobId, bytes } = this.#blob
    if (!this.#isFinished) await this.#blob.finish(blobMeta(write))
    this.#isFinished = true
    try {
      const shard = this.#device.shardOf(this.#item.hash)
      const outcome = await shard.write(write, { kind: 'blob', blobId, bytes })
      this.#isSettled = outcome.status !== 'superseded'
      const isStored = outcome.status === 'done' && outcome.info.bytes === bytes
      if (this.#isSettled && !isStored) await this.#device.blobs.remove(blobId)
      return outcome
    } catch (error) {
      // Whether the record reached the disk is unknown: the scrubber sees to a blob that nobody owns.
      this.#isSettled = true
      if (error instanceof ServiceError && /^(Busy|Learning)$/.test(error.code)) {
        await this.#device.blobs.remove(blobId)
      }
      throw error
    }
  }

  async abort(): Promise<void> {
    await this.#committing
    await this.#blob.abort()
    if (!this.#isFinished || this.#isSettled) return
    this.#isSettled = true
    await this.#device.blobs.remove(this.#blob.blobId)
  }
}

const NO_BODY = { kind: 'none' } as const

function tooLong(bytes: number): ServiceError {
  return new ServiceError('BodyTooLong', `${bytes} bytes are too many for one piece`, {
    status: 500,
  })
}
