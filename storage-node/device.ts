/**
 * A device: one folder on one disk, with its shards, their shared index and the blobs. Opening it recovers every shard;
 * an index that does not fit the logs is thrown away and made anew from them.
 */
import type { Clock } from '../common/clock.ts'
import type { Disk } from '../common/disk.ts'
import { ServiceError } from '../common/errors.ts'
import type { KeyValue } from '../common/key-value.ts'
import type { Log } from '../common/log.ts'
import type { Random } from '../common/random.ts'
import type { DeviceStatus } from '../common/storage-node.ts'
import { type DeviceFormat, formatDevice, readFormat } from './device-format.ts'
import { DeviceSpace } from './device-space.ts'
import { BlobStore } from './engine/blob-store.ts'
import { type Entry, NO_BLOB } from './engine/entry.ts'
import { decodeListId, loadCheckpoint, readRange } from './engine/index-flush.ts'
import { SPACES } from './engine/keys.ts'
import type { KeyValueOpener } from './engine/level-store.ts'
import { type RegisterId, registerKey } from './engine/memtable.ts'
import { type DigestSource, PartitionDigests, registerIdOfKey } from './engine/partition-digests.ts'
import { isSamePlace } from './engine/record.ts'
import type { Shard } from './engine/shard.ts'
import { openShard } from './engine/shard-open.ts'
import type { ShardProblem } from './engine/shard-problem.ts'
import type { RingGuard } from './ring-guard.ts'
import type { ShardFace } from './shard-face.ts'
import type { Peers } from './threads/peers.ts'

export interface DeviceOptions {
  /** The name by which the ring knows it. */
  readonly name: string
  readonly directory: string
  readonly disk: Disk
  readonly clock: Clock
  readonly random: Random
  readonly opener: KeyValueOpener
  readonly log?: Log | undefined
  readonly segmentBytesMax?: number | undefined
  /** Shards of a device that is formatted now; a power of two. */
  readonly shards?: number | undefined
  /** The other threads that share the device; absent: this thread owns all shards. */
  readonly peers?: Peers | undefined
  /** Refuses what comes by rings that are too old. */
  readonly guard?: RingGuard | undefined
  /** Told once: the device has to be reopened, with `rebuild` if the index is damaged. */
  readonly onIndexFailure?: ((failure: IndexFailure) => void) | undefined
  /** It has replicas: after a loss of memory it learns from them before it is asked. */
  readonly learns?: LearnsOptions | undefined
  /** Throw the index away and make it anew from the logs. */
  readonly rebuild?: boolean | undefined
}

/** When a device learns from its replicas before it votes: always after it lost a stretch of its log. */
export interface LearnsOptions {
  /** Names of devices that learn also when their disk is empty, since it stands for one that was lost. */
  readonly newDisks: ReadonlySet<string>
  /** How long an operation may still be under way that counts on a promise from before; 0: all have ended. */
  readonly operationMsMax?: number | undefined
}

/** `damaged`: it lost something; `stuck`: it ran out of space once and takes nothing more until it is opened again. */
export type IndexFailure = 'damaged' | 'stuck'

export const SEGMENT_BYTES_MAX = 256 * 1024 * 1024
export const DEFAULT_SHARDS = 2
/** An index that ran out of space looks for room this often. */
const ROOM_CHECK_MS = 500
/** So many problems are kept for the status; later ones only go to the log. */
const PROBLEMS_MAX = 100
/** Damaged records that wait for their repair; more are found again by the next scrub. */
const DAMAGED_ITEMS_MAX = 10_000
/** A record that is replaced while it is read is read again so often. */
const READ_ATTEMPTS = 3

export class Device {
  readonly name: string
  readonly directory: string
  readonly format: DeviceFormat
  readonly blobs: BlobStore
  readonly space: DeviceSpace
  readonly #options: DeviceOptions
  readonly #kv: KeyValue
  /** What this thread's shards hold of each partition. */
  readonly digests = new PartitionDigests()
  readonly #shards = new Map<number, Shard>()
  readonly #damage: string[] = []
  readonly #damagedItems = new Map<string, RegisterId>()
  #failure = ''
  #hasIndexFailed = false
  #cancelReopen: (() => void) | null = null

  private constructor(options: DeviceOptions, format: DeviceFormat, kv: KeyValue) {
    this.name = options.name
    this.directory = options.directory
    this.format = format
    this.#options = options
    this.#kv = kv
    this.blobs = new BlobStore(options)
    this.space = new DeviceSpace({
      ...options,
      device: options.name,
      segmentBytesMax: options.segmentBytesMax ?? SEGMENT_BYTES_MAX,
      writers: options.peers?.count ?? 1,
      onError: (cause) =>
        this.#note({ kind: 'device', message: 'free space cannot be read', cause }),
    })
  }

  /**
   * What must happen once before several threads open the device: it is formatted if it is empty, and an index that
   * cannot be read or lacks batches is thrown away. Throws DeviceInUse if another process has it. Returns the first
   * handle of the index: it has to be closed behind all others (level-store.ts).
   */
  static async prepare(options: DeviceOptions): Promise<KeyValue> {
    const { disk, directory, opener } = options
    const format = (await readFormat(disk, directory)) ?? (await formatNew(options))
    const path = `${directory}/idx`
    const kv = await openStore(options, path)
    let isWhole = true
    try {
      for (let shard = 0; shard < format.shards; shard++) {
        if ((await loadCheckpoint(kv, shard)) === 'damaged') isWhole = false
      }
    } catch (error) {
      await kv.close()
      throw error
    }
    if (isWhole) return kv
    options.log?.warn('index-rebuild', { device: options.name, path })
    await kv.close()
    await opener.destroy(path)
    return opener.open(path)
  }

  /** Formats the folder if it is empty, recovers the device and returns it ready to serve. */
  static async open(options: DeviceOptions): Promise<Device> {
    const { disk, directory, opener } = options
    const format = (await readFormat(disk, directory)) ?? (await formatNew(options))
    const path = `${directory}/idx`
    if (options.rebuild === true) await opener.destroy(path)
    const first = await Device.#openOn(options, format, await openStore(options, path))
    if (first !== null) return first
    // With several threads the whole node has to start over: see Device.prepare.
    if (options.peers !== undefined) throw new ServiceError('IndexDamaged', `index of ${directory}`)
    options.log?.warn('index-rebuild', { device: options.name, path })
    await opener.destroy(path)
    const second = await Device.#openOn(options, format, await opener.open(path))
    if (second !== null) return second
    throw new ServiceError('DeviceFailed', `the index of ${directory} cannot be rebuilt`)
  }

  /** Null if the index does not fit the logs. Whatever goes wrong, nothing stays open. */
  static async #openOn(
    options: DeviceOptions,
    format: DeviceFormat,
    kv: KeyValue,
  ): Promise<Device | null> {
    const device = new Device(options, format, kv)
    try {
      if (await device.#openShards()) return device
    } catch (error) {
      await device.close({ withoutFlush: true })
      throw error
    }
    await device.close({ withoutFlush: true })
    return null
  }

  /** The shard that owns a register or a list, by the first byte of its hash; perhaps another thread's. */
  shardOf(hash: string): ShardFace {
    const number = this.shardNumberOf(hash)
    const own = this.#shards.get(number)
    if (own !== undefined) return own
    const { peers } = this.#options
    if (peers !== undefined) return peers.foreign(this.name, number)
    throw new ServiceError('UnknownDevice', `device ${this.name} has no shard ${number}`)
  }

  /** The same, if it is this thread's. */
  ownShardOf(hash: string): Shard | undefined {
    return this.#shards.get(this.shardNumberOf(hash))
  }

  shardNumberOf(hash: string): number {
    return (hash.charCodeAt(0) * this.format.shards) >> 8
  }

  get shards(): ReadonlyMap<number, Shard> {
    return this.#shards
  }

  /** Where digests are made from. */
  get digestSource(): DigestSource {
    return {
      kv: this.#kv,
      indexes: () => Array.from(this.#shards.values(), ({ index }) => index),
      indexOf: (hash) => this.#shards.get(this.shardNumberOf(hash))?.index,
    }
  }

  /** Registers whose record cannot be read: to be written again from a replica. */
  get damagedItems(): Map<string, RegisterId> {
    return this.#damagedItems
  }

  noteDamagedItem(id: RegisterId): void {
    if (this.#damagedItems.size < DAMAGED_ITEMS_MAX) this.#damagedItems.set(registerKey(id), id)
  }

  /**
   * Reads a register's record and body and verifies them. What compaction or a newer write takes away meanwhile is not
   * damaged: then what is there now is read.
   */
  async isReadable(id: RegisterId): Promise<boolean> {
    const index = this.#shards.get(this.shardNumberOf(id.hash))?.index
    for (let attempt = 1; attempt <= READ_ATTEMPTS; attempt++) {
      const entry = index?.entry(id) ?? null
      if (entry === null || (await this.#canRead(id, entry))) return true
      const now = index?.entry(id)?.place
      if (now !== undefined && isSamePlace(now, entry.place)) return false
    }
    // Replaced time and again: each of those records was written just now.
    return true
  }

  async #canRead(id: RegisterId, { place, blobId, dataBytes }: Entry): Promise<boolean> {
    try {
      await this.#shards.get(this.shardNumberOf(id.hash))?.readAt(place)
      if (blobId === NO_BLOB) return true
      const reader = await this.blobs.open(blobId, dataBytes)
      try {
        for await (const _piece of reader.stream(0, reader.bytes)) {
          // Reading verifies.
        }
      } finally {
        await reader.close()
      }
      return true
    } catch {
      return false
    }
  }

  /** Why it does not vote yet; empty if it does. */
  get learningReason(): string {
    for (const { learning } of this.#shards.values()) if (learning !== null) return learning.reason
    return ''
  }

  get hasDamage(): boolean {
    return this.#damage.length > 0
  }

  get store(): KeyValue {
    return this.#kv
  }

  async status(): Promise<DeviceStatus> {
    const { bytesTotal, bytesFree } = this.space.measure()
    const { isFull } = this.space
    const failing = [...this.#shards.values()].some(({ log }) => log.failure !== null)
    let segments = 0
    for (const shard of this.#shards.values()) {
      segments += shard.segmentIds.size
    }
    return {
      device: this.name,
      state: failing ? 'read-only' : isFull ? 'full' : 'online',
      reason: failing ? this.#failure : isFull ? 'free space is at the reserve' : this.#lesson,
      bytesTotal,
      bytesFree,
      segments,
      damage: [...this.#damage],
      ...(this.learningReason === '' ? {} : { learning: true as const }),
    }
  }

  get #lesson(): string {
    const reason = this.learningReason
    return reason === '' ? '' : `learns from its replicas: ${reason}`
  }

  async close(options: { readonly withoutFlush?: boolean } = {}): Promise<void> {
    this.#cancelReopen?.()
    await this.#closeShards(options)
    await this.#kv.close()
  }

  /** False if the index does not fit the logs. */
  async #openShards(): Promise<boolean> {
    try {
      return await this.#recoverShards()
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'IndexDamaged') return false
      throw error
    }
  }

  async #recoverShards(): Promise<boolean> {
    const { disk, clock, log, name } = this.#options
    const all = Array.from({ length: this.format.shards }, (_, i) => i)
    const numbers = all.filter((number) => this.#options.peers?.isOwn(number) ?? true)
    this.space.measure()
    for (const number of numbers) {
      const opened = await openShard({
        disk,
        clock,
        kv: this.#kv,
        blobs: this.blobs,
        directory: `${this.directory}/seg`,
        deviceDirectory: this.directory,
        learns: this.#options.learns,
        deviceUuid: this.format.uuid,
        shard: number,
        shards: this.format.shards,
        segmentBytesMax: this.#options.segmentBytesMax ?? SEGMENT_BYTES_MAX,
        report: (problem) => this.#note(problem),
        digests: this.digests,
        guard: this.#options.guard,
        commits: this.#options.peers?.watchCommits(),
      })
      if (opened === null) return false
      const { shard, recovery } = opened
      this.#shards.set(number, shard)
      for (const damage of recovery.damage) {
        const where = `segment ${damage.segmentId} of shard ${number}, bytes ${damage.from} to ${damage.to}`
        this.#note({
          kind: 'damage',
          message: `${damage.cause === 'rot' ? 'damage' : 'a torn or damaged write'} in ${where}`,
        })
      }
      const { records, newCuts } = recovery
      if (records > 0)
        log?.info('replayed', { device: name, shard: number, records, cuts: newCuts.length })
    }
    await this.#loadMarkers()
    return true
  }

  /** What was not settled at the last flush: unconfirmed rows and items, totals not yet reported. */
  async #loadMarkers(): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs()
    const doubt = (hash: string) => this.#shards.get(this.shardNumberOf(hash))?.index
    for (const [key, value] of await this.#readSpace(SPACES.unconfirmedRow)) {
      const hash = key.toString('latin1', 1, 17)
      const name = key.toString('latin1', 17)
      const index = doubt(hash)
      const row = index?.row(hash, name)
      if (index === undefined || row == null || row.confirmed) continue
      const list = decodeListId(hash, value)
      index.unconfirmedRows.add({ list, name, ballot: row.ballot, sinceMs: nowMs })
    }
    for (const [key] of await this.#readSpace(SPACES.unconfirmedEntry)) {
      const id = registerIdOfKey(key)
      doubt(id.hash)?.doubtStoredEntry(id)
    }
    for (const [key, value] of await this.#readSpace(SPACES.changedList)) {
      const hash = key.toString('latin1', 1, 17)
      doubt(hash)?.changedLists.set(hash, decodeListId(hash, value))
    }
  }

  async #readSpace(space: number): Promise<(readonly [Buffer, Uint8Array])[]> {
    const prefix = Buffer.from([space])
    const found = await readRange(this.#kv, prefix)
    return found.map(([key, value]) => [Buffer.from(key), value] as const)
  }

  async #closeShards(options: { readonly withoutFlush?: boolean }): Promise<void> {
    for (const shard of this.#shards.values()) {
      await shard.close(options)
      await shard.index.names.stop()
    }
  }

  #indexFailed(failure: IndexFailure): void {
    if (this.#hasIndexFailed) return
    this.#hasIndexFailed = true
    this.#options.onIndexFailure?.(failure)
  }

  /**
   * LevelDB that ran out of space takes nothing more, or leaves garbage in its log that would cost a rebuild if it were
   * written on: it is opened anew as soon as there is room.
   */
  #reopenWithRoom(): void {
    if (this.#hasIndexFailed || this.#cancelReopen !== null) return
    this.#cancelReopen = this.#options.clock.after(ROOM_CHECK_MS, () => {
      this.#cancelReopen = null
      const { bytesFree } = this.space.measure()
      if (bytesFree < this.space.reserveBytes / 2) this.#reopenWithRoom()
      else this.#indexFailed('stuck')
    })
  }

  /** Takes note of damage or a failure, for the status and the log. */
  note(problem: ShardProblem): void {
    this.#note(problem)
  }

  #note(problem: ShardProblem): void {
    const { kind, message, cause } = problem
    this.#options.log?.error(`device-${kind}`, {
      device: this.name,
      message,
      cause: String(cause ?? ''),
    })
    if (
      kind === 'damage' &&
      this.#damage.length < PROBLEMS_MAX &&
      !this.#damage.includes(message)
    ) {
      this.#damage.push(message)
    }
    if (problem.item !== undefined) this.noteDamagedItem(problem.item)
    if (kind === 'device' || kind === 'flush') this.#failure = message
    if (kind === 'index') this.#indexFailed('damaged')
    if (kind === 'flush' && ranOutOfSpace(cause)) this.#reopenWithRoom()
  }
}

function formatNew(options: DeviceOptions): Promise<DeviceFormat> {
  const { name, directory, shards = DEFAULT_SHARDS } = options
  const learns = options.learns?.newDisks.has(name)
  return formatDevice(directory, { ...options, shards, learns })
}

/** LevelDB says it in words only. */
function ranOutOfSpace(cause: unknown): boolean {
  return String(cause).includes('No space left')
}

async function openStore(options: DeviceOptions, path: string): Promise<KeyValue> {
  const { opener, log, name } = options
  try {
    return await opener.open(path)
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'DeviceInUse') throw error
    log?.warn('index-damaged', { device: name, path, cause: String(error) })
    await opener.destroy(path)
    return opener.open(path)
  }
}
