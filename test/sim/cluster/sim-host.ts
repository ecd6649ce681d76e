/**
 * A machine with one storage node: production's LocalNode on a disk and an index that forget what was not synced. The
 * process dies and comes back; the disk stays.
 */
import assert from 'node:assert/strict'
import type { Disk, DiskFile, OpenMode } from '../../../common/disk.ts'
import { ServiceError } from '../../../common/errors.ts'
import type { Log } from '../../../common/log.ts'
import type { RingSetData } from '../../../common/ring/ring-set-file.ts'
import { SEGMENT_HEADER_BYTES } from '../../../storage-node/engine/segment-header.ts'
import { type LocalNode, openLocalNode } from '../../../storage-node/local-node.ts'
import { NodeMember } from '../../../storage-node/node-member.ts'
import type { Replicator } from '../../../storage-node/replicator/replicator.ts'
import { RingGuard } from '../../../storage-node/ring-guard.ts'
import { ChangedBatches } from '../../../storage-node/server/changed-batches.ts'
import { type SeededRandom, seededRandom } from '../../support/seeded-random.ts'
import { SimDisk } from '../../support/sim-disk.ts'
import { SimKeyValueStore } from '../../support/sim-kv.ts'
import { pollRings, SimRings } from './sim-rings.ts'
import { never, SimProcess, type SimTime, type WallClock } from './sim-time.ts'

export const DEVICE = 'd'
const DIRECTORY = '/d'

export interface SimHostOptions {
  readonly index: number
  readonly seed: number
  readonly time: SimTime
  readonly log: Log
  readonly shards: number
  /** Planted fault: sync says yes and does nothing. */
  readonly syncIsANoOp: boolean
  /** Planted fault: nodes do not replicate. */
  readonly withoutReplication: boolean
  readonly segmentBytes: number
  /** How long deleted names are remembered. */
  readonly reclaimAgeMs: number
  /** Planted fault: what a disk has lost is taken for what was never there. */
  readonly withoutLearning: boolean
  /** Asks another node for newer rings than the host's. */
  readonly askRings: (host: SimHost, process: SimProcess) => Promise<Uint8Array | null>
  /** The rings at the beginning. */
  readonly rings: RingSetData
  /** Keeps the node in step with the others; started when it serves. */
  readonly replicatorOf: (host: SimHost, process: SimProcess, node: LocalNode) => Replicator
}

/** What the network reaches of a host: a process that serves. */
export interface RunningNode {
  readonly process: SimProcess
  readonly node: LocalNode
  readonly batches: ChangedBatches
  readonly replicator: Replicator
  readonly member: NodeMember
}

export class SimHost {
  readonly index: number
  readonly machine: string
  readonly wall: WallClock = { offsetMs: 0, stepMs: 0 }
  #disk: SimDisk
  #store: SimKeyValueStore
  /** Everything the machine does takes so many times as long. */
  slowness = 1
  readonly #options: SimHostOptions
  readonly #random: SeededRandom
  #running: RunningNode | null = null
  #starting: SimProcess | null = null
  starts = 0
  /** Why it did not come up at the last start that failed. */
  whyDown: unknown = null
  /** What it knows of the rings. */
  rings: SimRings
  /** Its machine has been given up. */
  isLost = false

  constructor(options: SimHostOptions) {
    const { seed } = options
    this.rings = new SimRings(options.rings)
    this.index = options.index
    this.machine = `node${options.index}`
    this.#options = options
    this.#random = seededRandom(seed)
    this.#disk = this.#newDisk(seed)
    this.#store = newStore(seed)
  }

  #newDisk(seed: number): SimDisk {
    return new SimDisk({ seed, syncIsANoOp: this.#options.syncIsANoOp, turnsMax: 2 })
  }

  get disk(): SimDisk {
    return this.#disk
  }

  /** The medium of the index. */
  get store(): SimKeyValueStore {
    return this.#store
  }

  /** The process that serves, or null while it is dead or recovers. */
  get running(): RunningNode | null {
    return this.#running
  }

  get isDown(): boolean {
    return this.#running === null && this.#starting === null
  }

  /** Whether it still has to learn what its disk has lost. */
  get isLearning(): boolean {
    return (this.#running?.node.devices.get(DEVICE)?.learningReason ?? '') !== ''
  }

  /** Starts the node; resolves when it serves, or to false when it died on the way or cannot start. */
  async start(): Promise<boolean> {
    const { time, log, shards, replicatorOf } = this.#options
    const { reclaimAgeMs, withoutReplication, withoutLearning } = this.#options
    assert(this.isDown, 'one process has the disk')
    this.starts++
    const process = new SimProcess(`${this.machine}.${this.starts}`, time, this.wall)
    this.#starting = process
    const guard = new RingGuard()
    // What a process that died was asking is never answered.
    this.rings = new SimRings(this.rings.data())
    this.rings.ask = () => this.#options.askRings(this, process)
    guard.use(this.rings.current())
    this.rings.onTake = (set) => guard.use(set)
    const opened = openLocalNode({
      guard,
      devices: [{ name: DEVICE, path: DIRECTORY }],
      clock: process,
      random: this.#random,
      log,
      segmentBytes: this.#options.segmentBytes,
      shards,
      reclaimAgeMs,
      ...(withoutLearning ? {} : { learns: { newDisks: new Set([DEVICE]) } }),
      disk: this.#diskOf(process),
      opener: {
        open: async () => this.store.open(),
        destroy: async () => this.store.wipe(),
      },
    })
    const died = new Promise<null>((resolve) => process.onDeath(() => resolve(null)))
    try {
      const node = await Promise.race([opened, died])
      if (node === null) return false
      const batches = new ChangedBatches({ node, random: this.#random })
      const replicator = replicatorOf(this, process, node)
      if (!withoutReplication) replicator.start()
      const member = new NodeMember({ node, rings: this.rings, replicator })
      this.#running = { process, node, batches, replicator, member }
      pollRings(process, this.rings)
      return true
    } catch (error) {
      // Only a disk that fails may keep a node from starting.
      if (!(error instanceof ServiceError) && !isDiskError(error)) throw error
      this.whyDown = error
      return false
    } finally {
      if (this.#starting === process) this.#starting = null
    }
  }

  /** The power goes (what was not synced is lost in part), or only the process dies. */
  crash(options: { readonly power: boolean; readonly loseIndex: boolean }): void {
    const process = this.#running?.process ?? this.#starting
    this.#running = null
    this.#starting = null
    process?.die()
    if (options.power) {
      this.disk.crash(this.#random.below(2 ** 31))
      this.store.crash(this.#random.below(2 ** 31))
    } else {
      this.disk.kill()
      this.store.kill()
    }
    if (options.loseIndex) this.store.wipe()
  }

  /** The disk is lost for good, with its index; an empty one takes its place. Its process must be dead. */
  replaceDisk(): void {
    assert(this.isDown, 'the process that had the disk is dead')
    this.#disk = this.#newDisk(this.#random.below(2 ** 31))
    this.#store = newStore(this.#random.below(2 ** 31))
  }

  /**
   * Bits of the log flip: of segments that were left, so that what they held was durable, as later ones say. Rot of the
   * very last batch of a log cannot be told from a torn write. Returns how many.
   */
  rot(): number {
    const newest = new Map<string, string>()
    const paths = this.disk.paths().filter((path) => path.endsWith('.seg'))
    for (const path of paths) newest.set(shardOf(path), path)
    let flips = 0
    for (const path of paths) {
      if (newest.get(shardOf(path)) === path || !this.#random.chance(0.5)) continue
      const { length } = this.disk.contents(path)
      if (length <= SEGMENT_HEADER_BYTES) continue
      this.disk.flip(path, SEGMENT_HEADER_BYTES + this.#random.below(length - SEGMENT_HEADER_BYTES))
      flips++
    }
    return flips
  }

  /** The disk as the process sees it: calls take time, and those of a dead process never end. */
  #diskOf(process: SimProcess): Disk {
    const disk = this.disk.attach()
    const wait = (meanMs: number) =>
      process.sleep(meanMs * this.slowness * (0.2 + this.#random.fraction() * 1.6))
    return slowDisk(disk, process, wait)
  }
}

function newStore(seed: number): SimKeyValueStore {
  return new SimKeyValueStore({ seed, syncCoversEarlier: false, turnsMax: 2 })
}

/** `…/<shard>-<id>.seg`; in order of their names the newest of a shard is the last. */
function shardOf(path: string): string {
  return path.slice(path.lastIndexOf('/'), path.lastIndexOf('-'))
}

function isDiskError(error: unknown): boolean {
  return error instanceof Error && error.name.startsWith('Sim')
}

/** Milliseconds before and after; what is in the cache takes nothing. */
const SYNC_MS = 0.5

/**
 * Syncs take time before and after the moment at which they happen, so that a crash, another request or an answer can
 * come between a write, its sync, and what follows.
 */
function slowDisk(disk: Disk, process: SimProcess, wait: (meanMs: number) => Promise<void>): Disk {
  const alive = async <T>(call: Promise<T>): Promise<T> => {
    try {
      const result = await call
      return process.isAlive ? result : await never<T>()
    } catch (error) {
      if (!process.isAlive) return never<T>()
      throw error
    }
  }
  const slowly = async <T>(meanMs: number, call: () => Promise<T>): Promise<T> => {
    await wait(meanMs)
    return alive(call())
  }
  const sync = async (file: DiskFile) => {
    await slowly(SYNC_MS, () => file.sync())
    await wait(SYNC_MS)
  }
  const fileOf = (file: DiskFile, mode: OpenMode): DiskFile => ({
    path: file.path,
    read: (target, position) => alive(file.read(target, position)),
    readSync: (target, position) => file.readSync(target, position),
    write: async (buffers, position) => {
      await alive(file.write(buffers, position))
      if (mode === 'log') await sync(file)
    },
    sync: () => sync(file),
    close: () => alive(file.close()),
  })
  return {
    // Of a log, too, a crash can come between a write and its sync.
    open: async (path, mode) =>
      fileOf(await alive(disk.open(path, mode === 'log' ? 'create' : mode)), mode),
    makeDirectory: (path) => alive(disk.makeDirectory(path)),
    list: (path) => alive(disk.list(path)),
    syncDirectory: (path) => slowly(SYNC_MS, () => disk.syncDirectory(path)),
    rename: (from, to) => alive(disk.rename(from, to)),
    remove: (path) => alive(disk.remove(path)),
    readWhole: (path) => alive(disk.readWhole(path)),
    sizeOf: (path) => alive(disk.sizeOf(path)),
    spaceSync: (path) => disk.spaceSync(path),
  }
}
