/**
 * What the log of a shard says after a start. Segments are read from the newest to the oldest, because a newer one
 * knows where an older one ends (CUT) and up to where it was durable (durableUpTo). Applying records needs no order:
 * the index keeps the one with the highest ballot.
 *
 * Damage is one of two things. Below a position that a later record knew to be durable it is rot of something that
 * may have been acknowledged: it is reported and stays where it is, to be repaired from a replica. Otherwise it is a
 * torn write of a batch that was never acknowledged: it is noted as dead, for good, by a CUT record that must be
 * durable before anything is served - else the next crash would take the same torn bytes for rot, because newer
 * segments carry a durableUpTo beyond them. Valid records behind torn ones are kept: nobody was promised that they
 * are not there, and should the medium have lost the last acknowledged batch, they are all that is left of it.
 */
import type { Disk } from '../../common/disk.ts'
import { type Cut, type LogPosition, type Place, RECORD_TYPES, type RecordHead } from './record.ts'
import { SEGMENT_HEADER_BYTES, segmentSeed } from './segment-header.ts'
import { type ScanItem, scanSegment } from './segment-scan.ts'

export interface Damage {
  readonly segmentId: number
  readonly from: number
  readonly to: number
  /** `rot`: of data that was durable. `ambiguous`: a torn write, or rot of the very last batch. */
  readonly cause: 'rot' | 'ambiguous'
  /** The index was told of the record that stood there: only its body is damaged. */
  readonly isKnown: boolean
}

/** Bytes [from, to) of a segment. */
export interface Stretch {
  readonly segmentId: number
  readonly from: number
  readonly to: number
}

/** The end of a segment, and the damaged stretches [from, to) in it. */
export interface Tail extends Stretch {
  readonly damaged: readonly (readonly [number, number])[]
}

export interface RecoveryReport {
  readonly records: number
  readonly damage: readonly Damage[]
  /** Where segments that were not sealed end; to be written as CUT records before serving. */
  readonly newCuts: readonly Cut[]
  /** Bytes that no later record vouches for: to be written again and synced before serving. */
  readonly unproven: readonly Tail[]
  /** All known cuts by segment, the new ones included. */
  readonly cuts: ReadonlyMap<number, Cut>
}

export interface RecoveryOptions {
  readonly disk: Disk
  readonly pathOf: (segmentId: number) => string
  readonly deviceUuid: string
  readonly shard: number
  /** Ids of the segments that exist, in any order. */
  readonly segmentIds: readonly number[]
  /** Replay begins here; null: from the very beginning. */
  readonly checkpoint: LogPosition | null
  /** Cuts known from earlier recoveries. */
  readonly cuts?: ReadonlyMap<number, Cut>
  /** Called for each valid record, in no particular order. */
  readonly apply: (head: RecordHead, meta: string, place: Place) => void
  /** Awaited now and then, to let the index be flushed during a long replay. */
  readonly pause?: () => Promise<void>
}

/** So many records are applied between two pauses. */
const PAUSE_RECORDS = 4096

/** Scans the log behind the checkpoint and applies every record that counts. */
export async function recoverLog(options: RecoveryOptions): Promise<RecoveryReport> {
  const state: RecoveryState = {
    durable: { segmentId: 0, offset: 0 },
    cuts: new Map(options.cuts ?? []),
    damage: [],
    newCuts: [],
    unproven: [],
    records: 0,
  }
  const newestFirst = [...options.segmentIds].sort((a, b) => b - a)
  for (const segmentId of newestFirst) {
    if (options.checkpoint !== null && segmentId < options.checkpoint.segmentId) break
    await recoverSegment(segmentId, options, state)
  }
  return state
}

interface RecoveryState {
  durable: LogPosition
  readonly cuts: Map<number, Cut>
  readonly damage: Damage[]
  readonly newCuts: Cut[]
  readonly unproven: Tail[]
  records: number
}

async function recoverSegment(
  segmentId: number,
  options: RecoveryOptions,
  state: RecoveryState,
): Promise<void> {
  const { disk, pathOf, deviceUuid, shard, checkpoint } = options
  const known = state.cuts.get(segmentId)
  const damaged: DamageItem[] = []
  // A checkpoint may stand before a segment that was made after it.
  const checkpointed = checkpoint?.segmentId === segmentId ? checkpoint.offset : 0
  const start = Math.max(SEGMENT_HEADER_BYTES, checkpointed)
  let validEnd = start
  let lastFrom = start
  let isSealed = false
  const items = scanSegment({
    disk,
    path: pathOf(segmentId),
    seed: segmentSeed(deviceUuid, shard, segmentId),
    from: start,
    ...(known !== undefined && { to: known.offset }),
  })
  for await (const item of items) {
    if (item.kind === 'damage') {
      if (!isInHole(item, known)) damaged.push(item)
      continue
    }
    isSealed = item.head.type === RECORD_TYPES.seal
    lastFrom = item.offset
    validEnd = item.offset + item.head.recordBytes
    applyItem(item, segmentId, options, state)
    if (state.records % PAUSE_RECORDS === 0) await options.pause?.()
  }
  const torn = judgeDamage(damaged, { segmentId, validEnd }, options, state)
  if (torn.length === 0 && known !== undefined) return
  if (torn.length === 0 && isSealed) {
    // Everything before a seal was durable when it was written; the seal itself may be in the page cache only.
    const isProven = isBefore({ segmentId, offset: validEnd - 1 }, state.durable)
    if (!isProven) state.unproven.push({ segmentId, from: lastFrom, to: validEnd, damaged: [] })
    return
  }
  const cut: Cut = {
    segmentId,
    offset: known?.offset ?? Math.max(validEnd, rotEnd(segmentId, state)),
    holes: [...(known?.holes ?? []), ...torn],
  }
  const proven = state.durable.segmentId === segmentId ? state.durable.offset : 0
  const from = state.durable.segmentId > segmentId ? validEnd : Math.max(start, proven)
  if (from < validEnd) {
    const inside = damaged.filter((item) => item.to > from && item.from < validEnd)
    const clipped = inside.map((item) => [Math.max(from, item.from), item.to] as const)
    state.unproven.push({ segmentId, from, to: validEnd, damaged: clipped })
  }
  state.newCuts.push(cut)
  state.cuts.set(segmentId, cut)
}

type DamageItem = ScanItem & { readonly kind: 'damage' }

function applyItem(
  item: ScanItem & { readonly kind: 'record' },
  segmentId: number,
  options: RecoveryOptions,
  state: RecoveryState,
): void {
  const { head, meta, offset } = item
  if (isBefore(state.durable, head.durableUpTo)) state.durable = head.durableUpTo
  if (head.type === RECORD_TYPES.cut) noteCut(state, JSON.parse(meta) as Cut)
  state.records++
  options.apply(head, meta, { segmentId, offset, bytes: head.recordBytes })
}

/** Cuts only grow: a later one of the same segment has all the holes of an earlier one. */
function noteCut(state: RecoveryState, cut: Cut): void {
  const known = state.cuts.get(cut.segmentId)
  if (known === undefined || cut.holes.length > known.holes.length) {
    state.cuts.set(cut.segmentId, cut)
  }
}

/**
 * Reports the damage; returns the stretches that are torn writes with valid records behind them. A record of which only
 * the body has rotted is applied all the same: it fails when it is read, where an older version in its place would be
 * taken for the newest.
 */
function judgeDamage(
  damaged: readonly DamageItem[],
  segment: { readonly segmentId: number; readonly validEnd: number },
  options: RecoveryOptions,
  state: RecoveryState,
): (readonly [number, number])[] {
  const holes: (readonly [number, number])[] = []
  const { segmentId, validEnd } = segment
  for (const { from, to, record, isUnreadable } of damaged) {
    if (isUnreadable === true || isBefore({ segmentId, offset: from }, state.durable)) {
      state.damage.push({ segmentId, from, to, cause: 'rot', isKnown: record !== undefined })
      const place = { segmentId, offset: from, bytes: to - from }
      if (record !== undefined) options.apply(record.head, record.meta, place)
    } else if (from < validEnd) {
      state.damage.push({ segmentId, from, to, cause: 'ambiguous', isKnown: false })
      holes.push([from, to])
    }
    // Else it is the tail behind the last valid record: what a crash ordinarily leaves.
  }
  return holes
}

/** The end of the segment's last rotten stretch: the scrubber is to find it again. */
function rotEnd(segmentId: number, state: RecoveryState): number {
  const rotten = state.damage.filter((d) => d.segmentId === segmentId && d.cause === 'rot')
  return Math.max(0, ...rotten.map(({ to }) => to))
}

function isInHole(item: DamageItem, cut: Cut | undefined): boolean {
  return cut?.holes.some(([from, to]) => item.from >= from && item.to <= to) ?? false
}

function isBefore(a: LogPosition, b: LogPosition): boolean {
  return a.segmentId === b.segmentId ? a.offset < b.offset : a.segmentId < b.segmentId
}
