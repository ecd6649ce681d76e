/** Opens a shard: checkpoint, replay, cuts, and only then a shard that serves. */
import type { Clock } from '../../common/clock.ts'
import type { Disk, DiskFile } from '../../common/disk.ts'
import { systemErrorCode } from '../../common/errors.ts'
import type { KeyValue } from '../../common/key-value.ts'
import { Learning } from '../learning.ts'
import type { RingGuard } from '../ring-guard.ts'
import type { BlobStore } from './blob-store.ts'
import { flushIndex, loadCheckpoint, loadSegmentNotes } from './index-flush.ts'
import { Memtable } from './memtable.ts'
import type { PartitionDigests } from './partition-digests.ts'
import { type Cut, type LogPosition, type Place, RECORD_TYPES, type RecordHead } from './record.ts'
import { type RecoveryReport, recoverLog, type Stretch, type Tail } from './recovery.ts'
import { entryOfRecord } from './register.ts'
import { rowOfRecord } from './row.ts'
import { SegmentFiles } from './segment-files.ts'
import { parseSegmentName, segmentSeed } from './segment-header.ts'
import type { CommitWatch } from './segment-log.ts'
import { scanSegment } from './segment-scan.ts'
import { Shard } from './shard.ts'
import { ShardIndex } from './shard-index.ts'
import type { ShardProblem } from './shard-problem.ts'

export interface OpenShardOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly kv: KeyValue
  readonly blobs: BlobStore
  /** The folder of the segments. */
  readonly directory: string
  readonly deviceDirectory: string
  /** It has replicas to learn from after a loss. */
  readonly learns: { readonly operationMsMax?: number | undefined } | undefined
  readonly deviceUuid: string
  readonly shard: number
  /** Of the device. */
  readonly shards: number
  readonly segmentBytesMax: number
  readonly report: (problem: ShardProblem) => void
  readonly digests?: PartitionDigests | undefined
  readonly guard?: RingGuard | undefined
  /** Told of each batch; absent: nobody. */
  readonly commits?: CommitWatch | undefined
}

export interface OpenedShard {
  readonly shard: Shard
  readonly recovery: RecoveryReport
}

/** During a rebuild the index is flushed when so much has been replayed. */
const REPLAY_FLUSH_ENTRIES = 50_000
const CONTAINER_KIND = 1
/** Four times what is logged between two flushes. */
const LONG_LOG_BYTES = 256 * 1024 * 1024

/** Null if the index does not fit the log and has to be made anew, for all shards of the device. */
export async function openShard(options: OpenShardOptions): Promise<OpenedShard | null> {
  const { disk, clock, kv, directory, shard } = options
  const seedOf = (segmentId: number) => segmentSeed(options.deviceUuid, shard, segmentId)
  const checkpoint = await loadCheckpoint(kv, shard)
  if (checkpoint === 'damaged') return null
  const segmentIds = await findSegments(disk, directory, shard)
  const notes = await loadSegmentNotes(kv, shard)
  const index = new ShardIndex(kv, {
    nowMs: () => clock.monotonicMs(),
    onDamage: (what) => options.report({ kind: 'index', message: `${what} is damaged` }),
    digests: options.digests,
    own: options,
  })
  const cuts = new Map<number, Cut>()
  const retiring = new Set<number>()
  for (const [segmentId, note] of notes) {
    index.use.load(segmentId, note.live)
    if (note.retiring === true) retiring.add(segmentId)
    if (note.cut !== undefined) cuts.set(segmentId, note.cut)
  }
  const position = checkpoint?.position ?? null
  const newest = Math.max(0, ...segmentIds)
  let lastBatch = checkpoint?.batch ?? 0
  const files = new SegmentFiles({ disk, directory, shard })
  // In the rebuild of a long log only the newest rows can still lack their object: earlier ones were settled long ago,
  // and to doubt all of them would need memory for each. A short log may be one that was never flushed.
  const isLong = position === null && (await totalBytes(disk, files, segmentIds)) > LONG_LOG_BYTES
  const confirmedBefore = isLong ? newest - 1 : 0
  const recovery = await recoverLog({
    ...options,
    pathOf: (segmentId) => files.pathOf(segmentId),
    segmentIds,
    checkpoint: position,
    cuts,
    apply: replayInto(index, { confirmedBefore }),
    pause: async () => {
      if (index.active.size < REPLAY_FLUSH_ENTRIES || position !== null) return
      lastBatch = await flushReplay(options, index, lastBatch)
    },
  })
  index.doubtStrayRows()
  if (!(await secureTails(disk, files, recovery, seedOf))) return null
  const learning = options.learns === undefined ? null : await beginLearning(options, recovery)
  const nextSegmentId = 1 + Math.max(newest, position?.segmentId ?? 0, ...notes.keys())
  const opened = new Shard({
    ...options,
    files,
    index,
    segmentIds,
    nextSegmentId,
    checkpoint: position ?? NOWHERE,
    newCuts: recovery.newCuts,
    cuts: recovery.cuts,
    retiring,
    lastBatch,
    learning,
  })
  await opened.begin()
  return { shard: opened, recovery }
}

/** What has rotted and is not in the index may have been anything: durable before anybody is served. */
function beginLearning(
  { disk, clock, deviceDirectory, shard, learns }: OpenShardOptions,
  { damage }: RecoveryReport,
): Promise<Learning | null> {
  const lost = damage.find(({ cause, isKnown }) => cause === 'rot' && !isKnown)
  const found =
    lost === undefined
      ? null
      : `bytes ${lost.from} to ${lost.to} of segment ${lost.segmentId} of shard ${shard} are lost`
  const place = { disk, directory: deviceDirectory, shard }
  return Learning.begin(place, { clock, found, operationMsMax: learns?.operationMsMax })
}

const NOWHERE: LogPosition = { segmentId: 0, offset: 0 }

async function flushReplay(
  options: OpenShardOptions,
  index: ShardIndex,
  lastBatch: number,
): Promise<number> {
  index.flushing = index.active
  index.active = new Memtable()
  const { kv, shard } = options
  const none = { position: null, cuts: new Map<number, Cut>(), takenLists: [], recentLists: [] }
  const retiring = new Set<number>()
  const batch = await flushIndex({ kv, index, shard, lastBatch, retiring, ...none })
  index.endFlush()
  return batch
}

async function totalBytes(
  disk: Disk,
  files: SegmentFiles,
  segmentIds: readonly number[],
): Promise<number> {
  let bytes = 0
  for (const segmentId of segmentIds) bytes += (await disk.sizeOf(files.pathOf(segmentId))) ?? 0
  return bytes
}

/** Ids of the shard's segments, ascending. */
export async function findSegments(
  disk: Disk,
  directory: string,
  shard: number,
): Promise<number[]> {
  const found = (await disk.list(directory)).map(parseSegmentName)
  const own = found.filter((name) => name !== null && name.shard === shard)
  return own.map((name) => name!.segmentId).sort((a, b) => a - b)
}

/** Applies records to the index, in any order. */
function replayInto(
  index: ShardIndex,
  options: { readonly confirmedBefore: number },
): (head: RecordHead, meta: string, place: Place) => void {
  return (head, meta, place) => {
    const { kind, policy, placement, hash, type } = head
    const id = { kind, policy, placement, hash }
    switch (type) {
      case RECORD_TYPES.putInline:
      case RECORD_TYPES.putBlob:
      case RECORD_TYPES.tombstone:
      case RECORD_TYPES.gone: {
        const entry = entryOfRecord(head, meta, place)
        const confirmed = entry.confirmed || place.segmentId < options.confirmedBefore
        index.applyEntry(id, { ...entry, confirmed })
        break
      }
      case RECORD_TYPES.promise:
        index.applyPromise(id, head.ballot, place)
        break
      case RECORD_TYPES.listRow: {
        const { list, row } = rowOfRecord(head, meta, place.segmentId)
        const confirmed = row.confirmed || place.segmentId < options.confirmedBefore
        const listId = { hash, placement, name: list }
        index.applyRow(listId, { ...row, confirmed }, { isContainer: kind === CONTAINER_KIND })
        break
      }
      case RECORD_TYPES.seal:
      case RECORD_TYPES.mark:
      case RECORD_TYPES.cut:
        break
    }
  }
}

/**
 * What was read back after a crash may be in the page cache only, and after a failed sync the cache calls it clean
 * though it never reached the medium. So it is written once more and synced before anybody is told of it. Should the
 * cache have dropped such a page since it was replayed, the index holds records that are gone: then false.
 */
async function secureTails(
  disk: Disk,
  files: SegmentFiles,
  recovery: RecoveryReport,
  seedOf: (segmentId: number) => bigint,
): Promise<boolean> {
  const cutIds = recovery.newCuts.map(({ segmentId }) => segmentId)
  const segmentIds = new Set([...cutIds, ...recovery.unproven.map(({ segmentId }) => segmentId)])
  for (const segmentId of segmentIds) {
    const file = await disk.open(files.pathOf(segmentId), 'write')
    try {
      for (const tail of recovery.unproven) {
        if (tail.segmentId === segmentId) await rewrite(file, tail)
      }
      await file.sync()
    } finally {
      await file.close()
    }
  }
  for (const tail of recovery.unproven) {
    const path = files.pathOf(tail.segmentId)
    if (!(await isUnchanged(disk, path, tail, seedOf(tail.segmentId)))) return false
  }
  return true
}

/** Whether a tail has the records that were replayed: the same damage, and no more, in the same bytes. */
async function isUnchanged(disk: Disk, path: string, tail: Tail, seed: bigint): Promise<boolean> {
  const { from, to } = tail
  if (((await disk.sizeOf(path)) ?? 0) < to) return false
  const damaged: (readonly [number, number])[] = []
  for await (const item of scanSegment({ disk, path, seed, from, to })) {
    if (item.kind === 'damage') damaged.push([item.from, item.to])
  }
  return JSON.stringify(damaged) === JSON.stringify(tail.damaged)
}

async function rewrite(file: DiskFile, { from, to }: Stretch): Promise<void> {
  for (let at = from; at < to; at += REWRITE_BYTES) {
    const bytes = Buffer.allocUnsafe(Math.min(REWRITE_BYTES, to - at))
    try {
      if ((await file.read(bytes, at)) < bytes.length) return
    } catch (error) {
      // What cannot be read has been reported as damage; around it everything is written again.
      if (systemErrorCode(error) !== 'EIO') throw error
      const half = bytes.length >> 1
      if (half >= REWRITE_BYTES_MIN) {
        await rewrite(file, { segmentId: 0, from: at, to: at + half })
        await rewrite(file, { segmentId: 0, from: at + half, to: at + bytes.length })
      }
      continue
    }
    await file.write([bytes], at)
  }
}

const REWRITE_BYTES = 1024 * 1024
const REWRITE_BYTES_MIN = 512
