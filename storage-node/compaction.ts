/**
 * Gives back the space of records that nobody needs: live records of a segment are copied to the head of the log,
 * then the segment goes. A copy is an ordinary append; the index follows only if it still points to the old place, so
 * that a write in between wins. The file is removed after the index that no longer refers to it is durable.
 *
 * A damaged record stops the compaction of its segment: it is to be repaired from a replica, never dropped.
 */
import type { Clock } from '../common/clock.ts'
import type { Disk } from '../common/disk.ts'
import { compareStamps, TICKS_PER_SECOND } from '../common/stamp.ts'
import { byteText } from './engine/keys.ts'
import type { RegisterId } from './engine/memtable.ts'
import {
  type Cut,
  isSamePlace,
  type Place,
  RECORD_FLAGS,
  RECORD_TYPES,
  type RecordHead,
} from './engine/record.ts'
import { rowOfRecord } from './engine/row.ts'
import { type ScanItem, scanSegment } from './engine/segment-scan.ts'
import type { Shard } from './engine/shard.ts'
import type { Throttle } from './throttle.ts'

export interface CompactionOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly pathOf: (segmentId: number) => string
  /** Tombstones older than this are dropped when nothing of their name can be left. */
  readonly reclaimAgeMs: number
  /** False where replicas forget deletions together (replicator/reclaim.ts): then they are kept until they are released. */
  readonly reclaimsAlone?: boolean
  readonly throttle: Throttle
  /** Ends it early; the segment stays. */
  readonly signal?: AbortSignal
}

export interface SegmentState {
  readonly segmentId: number
  readonly bytes: number
  readonly liveBytes: number
}

export interface CompactionResult {
  readonly movedBytes: number
  readonly freedBytes: number
  /** Set if damage stopped it. */
  readonly damage?: string
}

/** A segment is worth compacting from this share of garbage on. */
const GARBAGE_SHARE_MIN = 0.4
/** When space is short, from this share on. */
const GARBAGE_SHARE_SHORT = 0.05
const MOVES_MAX = 64

/**
 * The segment whose compaction gains most for what it costs: garbage x age / (2 - garbage), age by order of birth.
 * Null if none is worth it.
 */
export function chooseSegment(
  segments: readonly SegmentState[],
  options: { readonly isSpaceShort: boolean },
): SegmentState | null {
  const least = options.isSpaceShort ? GARBAGE_SHARE_SHORT : GARBAGE_SHARE_MIN
  const newestFirst = [...segments].sort((a, b) => b.segmentId - a.segmentId)
  let best: SegmentState | null = null
  let bestScore = 0
  for (const [age, segment] of newestFirst.entries()) {
    const garbage = 1 - Math.min(1, segment.liveBytes / Math.max(1, segment.bytes))
    if (garbage < least) continue
    const score = (garbage * (age + 1)) / (2 - garbage)
    if (score > bestScore) {
      best = segment
      bestScore = score
    }
  }
  return best
}

/** Segments of the shard that are sealed and behind its checkpoint, with their sizes. */
export async function compactable(
  shard: Shard,
  options: CompactionOptions,
): Promise<readonly SegmentState[]> {
  const states: SegmentState[] = []
  for (const segmentId of shard.segmentIds) {
    const isActive = segmentId === shard.log.activeSegmentId
    if (isActive || segmentId >= shard.checkpointSegmentId) continue
    const bytes = (await options.disk.sizeOf(options.pathOf(segmentId))) ?? 0
    states.push({ segmentId, bytes, liveBytes: shard.index.use.liveBytes(segmentId) })
  }
  return states
}

/** Moves what is alive out of the segment and removes it. */
export async function compactSegment(
  shard: Shard,
  segmentId: number,
  options: CompactionOptions,
): Promise<CompactionResult> {
  const cut = shard.cuts.get(segmentId)
  const isOldest = segmentId === Math.min(...shard.segmentIds)
  const size = await options.disk.sizeOf(options.pathOf(segmentId))
  if (size === null) {
    // Removed by an earlier attempt that could not make it durable.
    await shard.removeSegment(segmentId)
    return { movedBytes: 0, freedBytes: 0 }
  }
  const moves = new Moves()
  const reclaimed: { readonly item: RecordItem; readonly place: Place }[] = []
  const scan = {
    disk: options.disk,
    path: options.pathOf(segmentId),
    seed: shard.seedOf(segmentId),
  }
  const items = scanSegment({ ...scan, ...(cut !== undefined && { to: cut.offset }) })
  for await (const item of items) {
    if (options.signal?.aborted === true) {
      await moves.finish()
      return { movedBytes: moves.bytes, freedBytes: 0 }
    }
    if (item.kind === 'damage') {
      if (isDead(item, cut)) continue
      await moves.finish()
      return { movedBytes: moves.bytes, freedBytes: 0, damage: describe(item, segmentId) }
    }
    const place: Place = { segmentId, offset: item.offset, bytes: item.head.recordBytes }
    const fate = fateOf(shard, item, place, { ...options, isOldest })
    if (fate === 'forget') reclaimed.push({ item, place })
    if (fate !== 'move') continue
    await options.throttle.take(place.bytes)
    await moves.add(place.bytes, moveRecord(shard, item, place))
  }
  await moves.finish()
  // Only now: had damage stopped it, the segment would hold records whose tombstone is forgotten.
  shard.retire(segmentId)
  await flushWhole(shard)
  if (reclaimed.length > 0) {
    // That the segment is leaving is durable: if it stays, its records are not missed in the index.
    for (const { item, place } of reclaimed) forget(shard, item, place)
    await flushWhole(shard)
  }
  await shard.removeSegment(segmentId)
  return { movedBytes: moves.bytes, freedBytes: Math.max(0, size - moves.bytes) }
}

/** Twice: a flush under way may have begun before the last change. */
async function flushWhole(shard: Shard): Promise<void> {
  await shard.flush()
  await shard.flush()
}

type RecordItem = ScanItem & { readonly kind: 'record' }
type Fate = 'drop' | 'move' | 'forget'

function fateOf(
  shard: Shard,
  item: RecordItem,
  place: Place,
  options: CompactionOptions & { readonly isOldest: boolean },
): Fate {
  const { head } = item
  const isOld =
    shard.surelyNowMs - head.ballot.ticks / (TICKS_PER_SECOND / 1000) > options.reclaimAgeMs
  // In the oldest segment nothing older of the name can be left: what a tombstone covers was written before it.
  const isReclaimable = options.isOldest && isOld && options.reclaimsAlone !== false
  switch (head.type) {
    case RECORD_TYPES.putInline:
    case RECORD_TYPES.putBlob:
      return isCurrent(shard, head, place) ? 'move' : 'drop'
    case RECORD_TYPES.tombstone:
      if (!isCurrent(shard, head, place)) return 'drop'
      return isReclaimable && !isUnderWay(shard, head, options) ? 'forget' : 'move'
    case RECORD_TYPES.gone:
      if (!isCurrent(shard, head, place)) return 'drop'
      return options.isOldest && !isUnderWay(shard, head, options) ? 'forget' : 'move'
    case RECORD_TYPES.promise:
      if (!isPromised(shard, head)) return 'drop'
      return isOld ? 'forget' : 'move'
    case RECORD_TYPES.listRow:
      if (!isCurrentRow(shard, item, place)) return 'drop'
      if ((head.flags & RECORD_FLAGS.gone) !== 0) return options.isOldest ? 'forget' : 'move'
      return (head.flags & RECORD_FLAGS.deleted) !== 0 && isReclaimable ? 'forget' : 'move'
    case RECORD_TYPES.cut: {
      const cut = JSON.parse(item.meta) as Cut
      return shard.segmentIds.has(cut.segmentId) ? 'move' : 'drop'
    }
    case RECORD_TYPES.seal:
    case RECORD_TYPES.mark:
      return 'drop'
  }
}

function isCurrent(shard: Shard, head: RecordHead, place: Place): boolean {
  const current = shard.index.entry(registerOf(head))?.place
  return current !== undefined && isSamePlace(current, place)
}

function isCurrentRow(shard: Shard, item: RecordItem, place: Place): boolean {
  const { row } = rowOfRecord(item.head, item.meta, place.segmentId)
  const current = shard.index.row(item.head.hash, byteText(row.name))
  if (current === null || compareStamps(current.ballot, row.ballot) !== 0) return false
  return current.segmentId === place.segmentId && current.gone === row.gone
}

/** Whether the record still is what the index has of its register or row. */
function isStillCurrent(shard: Shard, item: RecordItem, place: Place): boolean {
  if (item.head.type === RECORD_TYPES.listRow) return isCurrentRow(shard, item, place)
  if (item.head.type === RECORD_TYPES.promise) return isPromised(shard, item.head)
  return item.head.type === RECORD_TYPES.cut || isCurrent(shard, item.head, place)
}

/** Whether a younger promise stands beside the record: it would go with the entry. */
function isUnderWay(shard: Shard, head: RecordHead, options: CompactionOptions): boolean {
  const promisedTicks = shard.index.entry(registerOf(head))?.promised.ticks ?? 0
  const youngTicks = (shard.surelyNowMs - options.reclaimAgeMs) * (TICKS_PER_SECOND / 1000)
  return promisedTicks > youngTicks
}

function isPromised(shard: Shard, head: RecordHead): boolean {
  const entry = shard.index.entry(registerOf(head))
  return entry !== null && compareStamps(entry.promised, head.ballot) === 0
}

function registerOf(head: RecordHead): RegisterId {
  const { kind, policy, placement, hash } = head
  return { kind, policy, placement, hash }
}

function forget(shard: Shard, item: RecordItem, place: Place): void {
  const { head, meta } = item
  if (!isStillCurrent(shard, item, place)) return
  if (head.type === RECORD_TYPES.tombstone || head.type === RECORD_TYPES.gone) {
    shard.index.forgetEntry(registerOf(head))
    return
  }
  if (head.type === RECORD_TYPES.promise) {
    shard.index.forgetPromise(registerOf(head), head.ballot)
    return
  }
  const { list, row } = rowOfRecord(head, meta, place.segmentId)
  shard.index.forgetRow({ hash: head.hash, placement: head.placement, name: list }, row)
}

async function moveRecord(shard: Shard, item: RecordItem, place: Place): Promise<void> {
  const { bytes } = await shard.readAt(place)
  const { head, meta } = item
  const isCurrentNow = () => isStillCurrent(shard, item, place)
  const apply = (to: Place) => {
    if (head.type === RECORD_TYPES.listRow) {
      const { list, row } = rowOfRecord(head, meta, to.segmentId)
      const listId = { hash: head.hash, placement: head.placement, name: list }
      shard.index.applyRow(listId, row, { isContainer: false })
      return
    }
    if (head.type === RECORD_TYPES.promise) {
      shard.index.applyPromise(registerOf(head), head.ballot, to)
      return
    }
    const entry = shard.index.entry(registerOf(head))
    if (entry === null || compareStamps(entry.ballot, head.ballot) !== 0) return
    shard.index.applyEntry(registerOf(head), { ...entry, place: to })
  }
  await shard.moveRecord({ head, meta, bytes }, { isCurrent: isCurrentNow, apply })
}

/** Damage that recovery has settled: the tail behind a cut, or a hole of a torn write. */
function isDead(item: ScanItem & { readonly kind: 'damage' }, cut: Cut | undefined): boolean {
  return cut?.holes.some(([from, to]) => item.from >= from && item.to <= to) ?? false
}

function describe(item: ScanItem & { readonly kind: 'damage' }, segmentId: number): string {
  return `damage in segment ${segmentId}, bytes ${item.from} to ${item.to}`
}

/**
 * Keeps a bounded number of moves under way, so that they share commits. One that failed is remembered until `finish`:
 * a segment may only go if every single one succeeded.
 */
class Moves {
  readonly #underWay = new Set<Promise<void>>()
  #failure: { readonly cause: unknown } | null = null
  bytes = 0

  /** Throws as `finish` does, so that no more is read than needed. */
  async add(bytes: number, move: Promise<void>): Promise<void> {
    this.bytes += bytes
    const tracked = move
      .catch((cause: unknown) => {
        this.#failure ??= { cause }
      })
      .finally(() => this.#underWay.delete(tracked))
    this.#underWay.add(tracked)
    if (this.#underWay.size >= MOVES_MAX) await Promise.race(this.#underWay)
    if (this.#failure !== null) await this.finish()
  }

  /** Throws if any move failed. */
  async finish(): Promise<void> {
    await Promise.all(this.#underWay)
    if (this.#failure !== null) throw this.#failure.cause
  }
}
