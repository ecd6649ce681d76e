/**
 * A storage node on a simulated disk with short words for tests that tell a story step by step: write this, damage
 * that, crash here, and see what is left. Random lives are engine-sim.ts.
 */
import { createHash } from 'node:crypto'
import { type ItemKey, itemKey } from '../../common/item.ts'
import { type Stamp, StampClock } from '../../common/stamp.ts'
import type { BodyReader, ItemWrite, ListRow, WriteOutcome } from '../../common/storage-node.ts'
import { type CheckReport, checkDevice } from '../../storage-node/check.ts'
import {
  type CompactionOptions,
  type CompactionResult,
  compactSegment,
} from '../../storage-node/compaction.ts'
import type { Device, LearnsOptions } from '../../storage-node/device.ts'
import { segmentName } from '../../storage-node/engine/segment-header.ts'
import type { Shard } from '../../storage-node/engine/shard.ts'
import { type LocalNode, openLocalNode } from '../../storage-node/local-node.ts'
import { Throttle } from '../../storage-node/throttle.ts'
import { type SeededRandom, seededRandom } from './seeded-random.ts'
import { SimClock } from './sim-clock.ts'
import { SimDisk, type SimDiskOptions } from './sim-disk.ts'
import { SimKeyValueStore } from './sim-kv.ts'

const HASHING = { prefix: 'p', suffix: 'sim', placement: 'xxh64' } as const

export interface EngineRigOptions extends Partial<SimDiskOptions> {
  readonly directory?: string
  readonly segmentBytes?: number
  readonly maintenance?: boolean
  readonly learns?: LearnsOptions
}

export class EngineRig {
  readonly disk: SimDisk
  readonly store: SimKeyValueStore
  readonly clock = new SimClock()
  readonly random: SeededRandom
  readonly container = itemKey(HASHING, 'container', '/a/c')
  readonly directory: string
  readonly #options: EngineRigOptions
  readonly #stamps: StampClock
  #node: LocalNode | null = null
  #writeNumber = 0

  constructor(options: EngineRigOptions = {}) {
    const seed = options.seed ?? 1
    this.#options = options
    this.directory = options.directory ?? '/d'
    this.random = seededRandom(seed)
    this.disk = new SimDisk({ ...options, seed })
    this.store = new SimKeyValueStore({ seed, syncCoversEarlier: false })
    this.#stamps = new StampClock({ nowMs: () => this.clock.nowMs(), proposer: 3 })
  }

  /** A node with its container; one log shard, so that the order of the log is the order of the test. */
  static async start(options: EngineRigOptions = {}): Promise<EngineRig> {
    const rig = new EngineRig(options)
    await rig.open()
    await rig.putContainer()
    return rig
  }

  get node(): LocalNode {
    return this.#node!
  }

  get device(): Device {
    return this.node.devices.get('d')!
  }

  get shard(): Shard {
    return this.device.shards.get(0)!
  }

  async open(): Promise<void> {
    this.#node = await openLocalNode({
      devices: [{ name: 'd', path: this.directory }],
      clock: this.clock,
      random: this.random,
      segmentBytes: this.#options.segmentBytes ?? 16 * 1024,
      shards: 1,
      maintenance: this.#options.maintenance ?? false,
      ...(this.#options.learns !== undefined && { learns: this.#options.learns }),
      disk: this.disk.attach(),
      opener: this.opener(),
    })
  }

  opener() {
    return {
      open: async () => this.store.open(),
      destroy: async () => this.store.wipe(),
    }
  }

  async close(): Promise<void> {
    await this.#node?.close()
    this.#node = null
  }

  async reopen(): Promise<void> {
    await this.close()
    await this.open()
  }

  /** Power cut. */
  crash(seed = 1): void {
    this.disk.crash(seed)
    this.store.crash(seed)
    this.#node = null
  }

  /** kill -9. */
  kill(): void {
    this.disk.kill()
    this.store.kill()
    this.#node = null
  }

  /** Closes, throws the index away, and opens again: all that counts must be in the log. */
  async rebuild(): Promise<void> {
    await this.close()
    this.store.wipe()
    await this.open()
  }

  async check(): Promise<CheckReport> {
    return checkDevice({ disk: this.disk, opener: this.opener(), directory: this.directory })
  }

  object(name: string): ItemKey {
    return itemKey(HASHING, 'object', `/a/c/${name}`)
  }

  stamp(): Stamp {
    return this.#stamps.next()
  }

  draft(item: ItemKey, action: ItemWrite['action'], stamp = this.stamp()): ItemWrite {
    const writeId = (++this.#writeNumber).toString(16).padStart(16, '0')
    const meta = { etag: 'e', contentType: 'text/plain', headers: {} }
    return { item, action, stamp, ballot: stamp, writeId, meta }
  }

  putContainer(): Promise<WriteOutcome> {
    return this.node.write('d', this.draft(this.container, 'put'), null)
  }

  put(name: string, body: string | Buffer, change: Partial<ItemWrite> = {}): Promise<WriteOutcome> {
    const write = { ...this.draft(this.object(name), 'put'), ...change }
    return this.node.write('d', write, Buffer.from(body))
  }

  async putBlob(
    name: string,
    body: Buffer,
    change: Partial<ItemWrite> = {},
  ): Promise<WriteOutcome> {
    const item = this.object(name)
    const writer = await this.node.openBody('d', item)
    await writer.write(body)
    return writer.commit({ ...this.draft(item, 'put'), ...change })
  }

  delete(name: string): Promise<WriteOutcome> {
    return this.node.write('d', this.draft(this.object(name), 'delete'), null)
  }

  /** The body as text; null if there is nothing or a tombstone. */
  async get(name: string): Promise<string | null> {
    const read = await this.node.read('d', this.object(name))
    if (read === null || read.info.deleted || read.body === null) return null
    return (await wholeBody(read.body)).toString()
  }

  row(name: string, change: Partial<ListRow> = {}): ListRow {
    const stamp = this.stamp()
    return {
      name,
      stamp,
      metaStamp: stamp,
      ballot: stamp,
      deleted: false,
      bytes: change.deleted === true ? 0 : 10,
      count: change.deleted === true ? 0 : 1,
      etag: 'e',
      contentType: 't',
      policy: 0,
      confirmed: true,
      ...change,
    }
  }

  async putRow(name: string, change: Partial<ListRow> = {}): Promise<string> {
    return (await this.node.putRow('d', this.container, this.row(name, change))).status
  }

  /** Names (or subdirs) of the container's listing. */
  async list(query: Partial<Parameters<LocalNode['list']>[2]> = {}): Promise<string[]> {
    const page = await this.node.list('d', this.container, { limit: 10_000, ...query })
    return (page?.entries ?? []).map((entry) => ('subdir' in entry ? entry.subdir : entry.name))
  }

  async flush(): Promise<void> {
    for (const shard of this.device.shards.values()) await shard.flush()
  }

  /** Writes other names until the log has begun a new segment, and flushes. */
  async roll(): Promise<void> {
    const first = this.shard.log.activeSegmentId
    while (this.shard.log.activeSegmentId === first) await this.put('filler', Buffer.alloc(3000, 7))
    await this.flush()
  }

  /** Time goes by, and a write says so: what forgets by age goes by ballots. */
  async age(ms: number): Promise<void> {
    this.clock.advance(ms)
    await this.put('filler', 'later')
  }

  segments(): number[] {
    return [...this.shard.segmentIds].sort((a, b) => a - b)
  }

  pathOf(segmentId: number): string {
    return `${this.directory}/seg/${segmentName(0, segmentId)}`
  }

  compactionOptions(change: Partial<CompactionOptions> = {}): CompactionOptions {
    return {
      disk: this.disk.attach(),
      clock: this.clock,
      reclaimAgeMs: 1000,
      throttle: new Throttle(this.clock, { bytesPerSecond: 1e12 }),
      pathOf: (segmentId) => this.pathOf(segmentId),
      ...change,
    }
  }

  compact(segmentId: number, change: Partial<CompactionOptions> = {}): Promise<CompactionResult> {
    return compactSegment(this.shard, segmentId, this.compactionOptions(change))
  }

  /** Damage that the device has noted since it was opened. */
  async damage(): Promise<readonly string[]> {
    return (await this.device.status()).damage
  }

  /** Where in the segment files these bytes stand. */
  find(text: string | Buffer): { readonly path: string; readonly offset: number }[] {
    const found: { path: string; offset: number }[] = []
    for (const path of this.disk.paths().filter((name) => name.endsWith('.seg'))) {
      const offset = Buffer.from(this.disk.contents(path)).indexOf(text)
      if (offset >= 0) found.push({ path, offset })
    }
    return found
  }
}

export async function wholeBody(body: Uint8Array | BodyReader): Promise<Buffer> {
  if (body instanceof Uint8Array) return Buffer.from(body)
  const pieces: Uint8Array[] = []
  for await (const piece of body.stream(0, body.bytes)) pieces.push(piece)
  await body.close()
  return Buffer.concat(pieces)
}

export function md5(body: Uint8Array): string {
  return createHash('md5').update(body).digest('hex')
}

/** True if the promise has not settled after so many turns of the event loop. */
export async function hangs(promise: Promise<unknown>, turns = 200): Promise<boolean> {
  let isOver = false
  promise.then(
    () => {
      isOver = true
    },
    () => {
      isOver = true
    },
  )
  for (let turn = 0; turn < turns && !isOver; turn++) await new Promise(setImmediate)
  return !isOver
}
