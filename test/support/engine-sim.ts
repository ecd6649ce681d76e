/**
 * A storage node on a simulated disk, driven by random operations from a seed, with crashes, failing calls, flushes and
 * compactions in between; judged by engine-model.ts. The engine is the production code.
 */
import { createHash } from 'node:crypto'
import type { Disk, DiskFile } from '../../common/disk.ts'
import { ServiceError, systemErrorCode } from '../../common/errors.ts'
import { type ItemKey, itemKey } from '../../common/item.ts'
import { compareStamps, type Stamp, StampClock } from '../../common/stamp.ts'
import type { BodyReader, ItemWrite, ListRow, WriteOutcome } from '../../common/storage-node.ts'
import { type CheckReport, checkDevice } from '../../storage-node/check.ts'
import { chooseSegment, compactable, compactSegment } from '../../storage-node/compaction.ts'
import { type LeafDigests, PartitionDigests } from '../../storage-node/engine/partition-digests.ts'
import { type LocalNode, openLocalNode } from '../../storage-node/local-node.ts'
import { scrubDevice } from '../../storage-node/scrub.ts'
import { Throttle } from '../../storage-node/throttle.ts'
import { NameModel, type TriedWrite } from './engine-model.ts'
import { type SeededRandom, seededRandom } from './seeded-random.ts'
import { SimClock } from './sim-clock.ts'
import { SimDisk } from './sim-disk.ts'
import { SimKeyValueStore } from './sim-kv.ts'

// With this suffix the names fall on both shards.
const HASHING = { prefix: 'p', suffix: 'sim', placement: 'xxh64' } as const
const DEVICE = '/d'
/** A replayed write is never older than half of it; the clock jumps over it now and then. */
const RECLAIM_AGE_MS = 1000

export interface EngineSimOptions {
  readonly seed: number
  /** Negative control: sync does nothing. */
  readonly syncIsANoOp?: boolean
  readonly objects?: number
  readonly segmentBytes?: number
  /** Negative control: calls of the disk that say yes and do nothing. */
  readonly planted?: PlantedFault
}

/** One missing sync, as a slip of the pen would leave it out. */
export const PLANTED_FAULTS = {
  /** The name of a new segment. */
  segmentName: { call: 'syncDirectory', path: /\/seg$/ },
  /** The name of a new blob. */
  blobName: { call: 'syncDirectory', path: /\/blob\/..$/ },
  /** The bytes of a blob. */
  blobBytes: { call: 'sync', path: /\/blob\// },
  /** The bytes of a segment. */
  segmentBytes: { call: 'sync', path: /\.seg$/ },
} as const
export type PlantedFault = keyof typeof PLANTED_FAULTS

export class EngineSim {
  readonly random: SeededRandom
  readonly disk: SimDisk
  readonly store: SimKeyValueStore
  readonly clock = new SimClock()
  readonly container = itemKey(HASHING, 'container', '/a/c')
  readonly objects: readonly ItemKey[]
  readonly #models = new Map<string, NameModel>()
  readonly #rows = new Map<string, NameModel>()
  readonly #rowBytes = new Map<string, number>()
  readonly #bodies = new Map<string, Buffer>()
  readonly #stamps: StampClock
  readonly #segmentBytes: number
  readonly #planted: PlantedFault | null
  /** Writes that may be sent once more, or are sent late. */
  #replays: { readonly atMs: number; readonly again: () => void }[] = []
  node: LocalNode | null = null
  readonly #inFlight = new Set<Promise<void>>()
  readonly violations: string[] = []
  operations = 0
  #writeNumber = 0

  constructor(options: EngineSimOptions) {
    const { seed } = options
    this.random = seededRandom(seed)
    const syncIsANoOp = options.syncIsANoOp ?? false
    this.disk = new SimDisk({ seed, syncIsANoOp })
    this.store = new SimKeyValueStore({ seed, syncCoversEarlier: false })
    this.#segmentBytes = options.segmentBytes ?? 16 * 1024
    this.#planted = options.planted ?? null
    this.#stamps = new StampClock({ nowMs: () => this.clock.nowMs(), proposer: 3 })
    const count = options.objects ?? 6
    this.objects = Array.from({ length: count }, (_, i) => itemKey(HASHING, 'object', `/a/c/o${i}`))
  }

  // --- life and death ----------------------------------------------------------------------------------------------

  async open(): Promise<void> {
    const disk = this.#attach()
    this.node = await openLocalNode({
      devices: [{ name: 'd', path: DEVICE }],
      clock: this.clock,
      random: this.random,
      segmentBytes: this.#segmentBytes,
      shards: 2,
      maintenance: false,
      disk,
      opener: this.#opener(),
    })
  }

  #attach(): Disk {
    const disk = this.disk.attach()
    return this.#planted === null ? disk : forgetful(disk, PLANTED_FAULTS[this.#planted])
  }

  #opener() {
    return {
      open: async () => this.store.open(),
      destroy: async () => this.store.wipe(),
    }
  }

  /** Creates the container that everything lies in; the model does not doubt it. */
  async createContainer(): Promise<void> {
    const outcome = await this.node!.write('d', this.#draft(this.container, 'put', 'c'), null)
    if (outcome.status !== 'done') throw new Error(`container: ${outcome.status}`)
  }

  /** Power cuts while it starts, until it comes up. */
  async reopenAfterCrash(): Promise<void> {
    this.crash()
    const opening = this.open().catch(() => {})
    for (let turn = this.random.below(400); turn > 0; turn--) await null
    this.crash()
    await opening
    await this.open()
  }

  /** Power cut: what was not synced is gone, in part. */
  crash(): void {
    const seed = this.random.below(2 ** 31)
    this.disk.crash(seed)
    this.store.crash(seed)
    this.#abandon()
  }

  /** kill -9: the machine lives on. */
  kill(): void {
    this.disk.kill()
    this.store.kill()
    this.#abandon()
  }

  #abandon(): void {
    this.node = null
    this.#inFlight.clear()
  }

  async settle(): Promise<void> {
    await Promise.all(this.#inFlight)
  }

  async close(): Promise<void> {
    await this.settle()
    await this.node?.close()
    this.node = null
  }

  check(): Promise<CheckReport> {
    return checkDevice({ disk: this.disk, opener: this.#opener(), directory: DEVICE })
  }

  // --- operations --------------------------------------------------------------------------------------------------

  /** One random operation, left in flight. */
  step(): void {
    this.operations++
    this.clock.advance(this.random.below(3) * 7)
    const object = this.random.pick(this.objects)!
    const kind = this.random.below(100)
    if (this.#replays.length > 0 && this.random.chance(0.06)) this.#replay()
    else if (kind < 30) this.put(object, { bytes: this.random.below(3000) })
    else if (kind < 33) this.putBlob(object, 66_000 + this.random.below(200_000))
    else if (kind < 43) this.delete(object)
    else if (kind < 50) this.post(object)
    else if (kind < 55) this.put(object, { bytes: 10, ifNoneMatch: ['*'] })
    else if (kind < 58) this.put(object, { bytes: 10, ifMatch: [etagOf(this.#lastBody)] })
    else if (kind < 80) this.putRow(`r${this.random.below(12)}`, { deleted: false })
    else if (kind < 88) this.putRow(`r${this.random.below(12)}`, { deleted: true })
    else if (kind < 92) void this.flush()
    else this.readOne(object)
  }

  #lastBody = Buffer.alloc(0)

  put(
    item: ItemKey,
    options: {
      readonly bytes: number
      readonly ifNoneMatch?: readonly string[]
      readonly ifMatch?: readonly string[]
    },
  ): void {
    const body = Buffer.from(this.random.bytes(options.bytes))
    this.#lastBody = body
    const { ifNoneMatch, ifMatch } = options
    const condition = {
      ...(ifNoneMatch !== undefined && { ifNoneMatch }),
      ...(ifMatch !== undefined && { ifMatch }),
    }
    const draft = this.#draft(item, 'put', etagOf(body))
    const write = (ifNoneMatch ?? ifMatch) ? { ...draft, condition } : draft
    this.#bodies.set(stampKey(write.stamp), body)
    const run = () => this.#run(item, write, (node) => node.write('d', write, body))
    // Some arrive late, behind writes with higher stamps.
    if (this.random.chance(0.05)) this.#later(run)
    else {
      run()
      if (this.random.chance(0.2)) this.#later(run)
    }
  }

  #later(again: () => void): void {
    this.#replays.push({ atMs: this.clock.nowMs(), again })
  }

  /** Sends a write once more, or late; never one so old that its tombstone may have been reclaimed. */
  #replay(): void {
    this.#replays = this.#replays.filter(
      ({ atMs }) => this.clock.nowMs() - atMs < RECLAIM_AGE_MS / 2,
    )
    const [next] = this.#replays.splice(this.random.below(this.#replays.length), 1)
    next?.again()
  }

  putBlob(item: ItemKey, bytes: number): void {
    const body = Buffer.from(this.random.bytes(bytes))
    const write = this.#draft(item, 'put', etagOf(body))
    this.#bodies.set(stampKey(write.stamp), body)
    const run = () => this.#runBlob(item, write, body)
    run()
    if (this.random.chance(0.3)) this.#later(run)
  }

  #runBlob(item: ItemKey, write: ItemWrite, body: Buffer): void {
    this.#run(item, write, async (node) => {
      const writer = await node.openBody('d', item)
      try {
        for (let at = 0; at < body.length; at += 50_000)
          await writer.write(body.subarray(at, at + 50_000))
      } catch (error) {
        await writer.abort()
        throw error
      }
      return writer.commit(write)
    })
  }

  delete(item: ItemKey): void {
    const write = this.#draft(item, 'delete', '')
    this.#run(item, write, (node) => node.write('d', write, null))
  }

  post(item: ItemKey): void {
    const draft = this.#draft(item, 'post', '')
    const write = { ...draft, meta: { headers: { 'x-object-meta-n': draft.writeId } } }
    this.#run(item, write, (node) => node.write('d', write, null))
  }

  putRow(name: string, options: { readonly deleted: boolean }): void {
    const stamp = this.#stamps.next()
    const bytes = this.random.below(1000)
    const row: ListRow = {
      name,
      stamp,
      metaStamp: stamp,
      ballot: stamp,
      deleted: options.deleted,
      bytes: options.deleted ? 0 : bytes,
      count: options.deleted ? 0 : 1,
      etag: 'e',
      contentType: 't',
      policy: 0,
      confirmed: this.random.chance(0.5),
    }
    this.#rowBytes.set(stampKey(stamp), row.bytes)
    const tried = rowModel(this.#rows, name).try(stamp, options.deleted ? 'delete row' : 'put row')
    this.#track(tried, async (node) => {
      const { status } = await node.putRow('d', this.container, row)
      if (status === 'done' && this.random.chance(0.7)) {
        node.confirm('d', { kind: 'row', list: this.container, name, ballot: stamp })
      }
      return status === 'done'
    })
  }

  /** The write in the model and in the engine. */
  #run(item: ItemKey, write: ItemWrite, action: (node: LocalNode) => Promise<WriteOutcome>): void {
    const tried = rowModel(this.#models, item.name).try(write.ballot, write.action)
    this.#track(tried, async (node) => {
      const outcome = await action(node)
      if (outcome.status === 'done' && this.random.chance(0.7)) {
        node.confirm('d', { kind: 'item', item, ballot: write.ballot })
      }
      // A delete of what is not there leaves its tombstone.
      return (
        outcome.status === 'done' || (outcome.status === 'not-found' && write.action === 'delete')
      )
    })
  }

  #track(tried: TriedWrite, action: (node: LocalNode) => Promise<boolean>): void {
    const node = this.node!
    const done = action(node).then(
      (isDone) => {
        // An answer that comes from a process that has died meanwhile was never sent.
        if (this.node === node) tried.state = isDone ? 'acked' : 'refused'
      },
      () => {},
    )
    this.#inFlight.add(done)
    void done.finally(() => this.#inFlight.delete(done))
  }

  #draft(item: ItemKey, action: ItemWrite['action'], etag: string): ItemWrite {
    const stamp = this.#stamps.next()
    const writeId = (++this.#writeNumber).toString(16).padStart(16, '0')
    const meta = { etag, contentType: 'text/plain', headers: {} }
    return { item, action, stamp, ballot: stamp, writeId, meta }
  }

  async flush(): Promise<void> {
    const { node } = this
    for (const device of node?.devices.values() ?? []) {
      for (const shard of device.shards.values()) {
        await shard.flush().catch((error: unknown) => {
          // That a process has died meanwhile, or a call was made to fail, is part of the game.
          const isExpected = this.node !== node || /^E[A-Z]+$/.test(systemErrorCode(error) ?? '')
          if (!isExpected) this.violations.push(`flush: ${String(error)}`)
        })
      }
    }
  }

  compactions = 0

  /** Compacts; that the engine dies or a call fails meanwhile is part of the game. */
  async compactQuietly(): Promise<void> {
    const { node } = this
    await this.#compact().catch((error: unknown) => {
      const isExpected =
        this.node !== node ||
        error instanceof ServiceError ||
        /^E[A-Z]+$/.test(systemErrorCode(error) ?? '')
      if (!isExpected) this.violations.push(`compaction: ${String(error)}`)
    })
  }

  /** Compacts the best segment of each shard, if one is worth it. */
  async #compact(): Promise<void> {
    for (const device of this.node?.devices.values() ?? []) {
      for (const [number, shard] of device.shards) {
        const options = {
          disk: this.#attach(),
          clock: this.clock,
          reclaimAgeMs: RECLAIM_AGE_MS,
          throttle: new Throttle(this.clock, { bytesPerSecond: 1e12 }),
          pathOf: (segmentId: number) =>
            `${DEVICE}/seg/${number.toString(16).padStart(2, '0')}-${segmentId.toString(16).padStart(8, '0')}.seg`,
        }
        const chosen = chooseSegment(await compactable(shard, options), { isSpaceShort: true })
        if (chosen === null) continue
        const result = await compactSegment(shard, chosen.segmentId, options)
        if (result.damage === undefined) this.compactions++
        else this.violations.push(`compaction: ${result.damage}`)
      }
    }
  }

  readonly #orphans = new Map<string, number>()
  scrubs = 0

  /** A scrub finds nothing wrong where nothing has rotted. */
  async scrubQuietly(): Promise<void> {
    const { node } = this
    const signal = new AbortController().signal
    const throttle = new Throttle(this.clock, { bytesPerSecond: 1e12 })
    for (const device of node?.devices.values() ?? []) {
      const options = { disk: this.#attach(), clock: this.clock, throttle, signal }
      await scrubDevice(device, { ...options, orphans: this.#orphans }).then(
        ({ damaged }) => {
          this.scrubs++
          if (damaged > 0 && this.node === node) this.violations.push(`scrub: ${damaged} damaged`)
        },
        () => {},
      )
      if (this.node === node && node?.devices.get('d') !== device) {
        this.violations.push('scrub: the index was found wanting')
      }
    }
  }

  /** Nothing has rotted, so nothing may be reported as rotten (torn writes may). */
  async verifyNoDamage(): Promise<void> {
    for (const { damage } of (await this.node?.status()) ?? []) {
      const rot = damage.filter((text) => !text.startsWith('a torn or damaged write'))
      if (rot.length > 0) this.violations.push(`reported without cause: ${rot[0]}`)
    }
  }

  // --- judgement ---------------------------------------------------------------------------------------------------

  readOne(item: ItemKey): void {
    const node = this.node!
    const model = rowModel(this.#models, item.name)
    const ackedBefore = model.acked()
    const done = this.#readOnce(node, item).then(
      ({ ballot, problem }) => {
        if (this.node !== node) return
        if (problem !== null) this.violations.push(problem)
        // What was acknowledged before the read began must be there, or something newer.
        const isReclaimed = ballot.ticks === 0 && model.mayBeDeleted(ackedBefore)
        if (compareStamps(ballot, ackedBefore) < 0 && !isReclaimed) {
          this.violations.push(`${item.name}: stale read`)
        }
      },
      () => {},
    )
    this.#inFlight.add(done)
    void done.finally(() => this.#inFlight.delete(done))
  }

  /** Reads everything and compares it with the model. */
  async verify(options: { readonly damageAllowed?: boolean } = {}): Promise<void> {
    await this.settle()
    const node = this.node!
    for (const item of this.objects) {
      const read = await this.#readOnce(node, item).catch((error: unknown) => {
        if (options.damageAllowed !== true) this.violations.push(`${item.name}: ${String(error)}`)
        return null
      })
      if (read === null) continue
      if (read.problem !== null) this.violations.push(read.problem)
      if (options.damageAllowed === true) continue
      const verdict = rowModel(this.#models, item.name).judge(
        read.ballot.ticks === 0 ? null : read.ballot,
      )
      if (verdict !== null) this.violations.push(`${item.name}: ${verdict}`)
      rowModel(this.#models, item.name).prune()
    }
    if (options.damageAllowed === true) return
    await this.#verifyRows(node)
    await this.#verifyDigests(node)
  }

  /** The digests of partitions, which follow every change in memory, are those of a scan of the index. */
  async #verifyDigests(node: LocalNode): Promise<void> {
    const device = node.devices.get('d')
    if (device === undefined) return
    for (const kind of [1, 2]) {
      const of = { kind, policy: 0, partPower: 2 }
      const textOf = (found: readonly LeafDigests[]) =>
        JSON.stringify([...found].sort((a, b) => a.partition - b.partition))
      const fresh = textOf(await new PartitionDigests().read(of, device.digestSource))
      const followed = textOf(await device.digests.read(of, device.digestSource))
      if (fresh !== followed) this.violations.push(`digests of kind ${kind} differ from a scan`)
    }
  }

  async #readOnce(
    node: LocalNode,
    item: ItemKey,
  ): Promise<{ readonly ballot: Stamp; readonly problem: string | null }> {
    const read = await node.read('d', item)
    if (read === null) return { ballot: { ticks: 0, proposer: 0 }, problem: null }
    const { info } = read
    if (info.deleted) return { ballot: info.ballot, problem: null }
    const expected = this.#bodies.get(stampKey(info.stamp))
    const body = await wholeBody(read.body)
    if (expected === undefined || !body.equals(expected)) {
      return {
        ballot: info.ballot,
        problem: `${item.name}: wrong bytes under ${stampKey(info.stamp)}`,
      }
    }
    return { ballot: info.ballot, problem: null }
  }

  async #verifyRows(node: LocalNode): Promise<void> {
    const page = await node.list('d', this.container, { limit: 10_000 })
    if (page === null) {
      this.violations.push('the container is gone')
      return
    }
    const listed = new Map(
      page.entries.map((e) => ('subdir' in e ? [e.subdir, null] : [e.name, e])),
    )
    let bytes = 0
    for (const row of listed.values()) bytes += row?.bytes ?? 0
    if (page.info.stats?.rows !== listed.size || page.info.stats.bytes !== bytes) {
      const { stats } = page.info
      this.violations.push(`totals ${stats?.rows}/${stats?.bytes}, rows ${listed.size}/${bytes}`)
    }
    for (const [name, model] of this.#rows) this.#judgeRow(name, model, listed.get(name) ?? null)
  }

  /** A row that is not listed may be a deleted one: then any delete not below the acknowledged writes explains it. */
  #judgeRow(name: string, model: NameModel, row: ListRow | null): void {
    if (row !== null) {
      const verdict = model.judge(row.ballot)
      if (verdict !== null) this.violations.push(`row ${name}: ${verdict}`)
      if (row.bytes !== this.#rowBytes.get(stampKey(row.ballot)))
        this.violations.push(`row ${name}: wrong`)
      model.prune()
      return
    }
    const acked = model.acked()
    const explains = model.writes.some(
      ({ ballot, what, state }) =>
        what === 'delete row' && state !== 'refused' && compareStamps(ballot, acked) >= 0,
    )
    if (acked.ticks > 0 && !explains) this.violations.push(`row ${name}: lost`)
  }
}

function rowModel(models: Map<string, NameModel>, name: string): NameModel {
  let model = models.get(name)
  if (model === undefined) {
    model = new NameModel()
    models.set(name, model)
  }
  return model
}

function stampKey({ ticks, proposer }: Stamp): string {
  return `${ticks}.${proposer}`
}

function etagOf(body: Uint8Array): string {
  return createHash('md5').update(body).digest('hex')
}

async function wholeBody(body: Uint8Array | BodyReader | null): Promise<Buffer> {
  if (body === null) return Buffer.alloc(0)
  if (body instanceof Uint8Array) return Buffer.from(body)
  const pieces: Uint8Array[] = []
  for await (const piece of body.stream(0, body.bytes)) pieces.push(piece)
  await body.close()
  return Buffer.concat(pieces)
}

/** The disk, but calls of one kind say yes and do nothing. */
function forgetful(disk: Disk, fault: { readonly call: string; readonly path: RegExp }): Disk {
  const isHit = (call: string, path: string) => call === fault.call && fault.path.test(path)
  return {
    open: async (path, mode) => {
      if (!isHit('sync', path)) return disk.open(path, mode)
      // A log's writes would sync by themselves.
      return forgetfulFile(await disk.open(path, mode === 'log' ? 'create' : mode))
    },
    makeDirectory: (path) => disk.makeDirectory(path),
    list: (path) => disk.list(path),
    syncDirectory: async (path) => {
      if (!isHit('syncDirectory', path)) await disk.syncDirectory(path)
    },
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    readWhole: (path) => disk.readWhole(path),
    sizeOf: (path) => disk.sizeOf(path),
    spaceSync: (path) => disk.spaceSync(path),
  }
}

function forgetfulFile(file: DiskFile): DiskFile {
  return {
    path: file.path,
    read: (target, position) => file.read(target, position),
    readSync: (target, position) => file.readSync(target, position),
    write: (buffers, position) => file.write(buffers, position),
    sync: async () => {},
    close: () => file.close(),
  }
}
