/**
 * Reads everything that is stored, slowly, and compares it with its checksums and with the index, so that rot is found
 * while there is still something to repair it from. It runs on the owner's thread: verifying 256 MiB costs about a
 * quarter of a second of CPU in slices of a few milliseconds, less than sending its records to another thread would.
 */
import type { Clock } from '../common/clock.ts'
import type { Disk } from '../common/disk.ts'
import { compareStamps } from '../common/stamp.ts'
import { ownerOf } from './blob-meta.ts'
import type { Device } from './device.ts'
import { decodeEntry, type Entry } from './engine/entry.ts'
import { afterPrefix, byteText, SPACES } from './engine/keys.ts'
import type { RegisterId } from './engine/memtable.ts'
import { registerIdOfKey } from './engine/partition-digests.ts'
import { RECORD_TYPES } from './engine/record.ts'
import { rowOfRecord } from './engine/row.ts'
import { segmentName } from './engine/segment-header.ts'
import { type ScanItem, scanSegment } from './engine/segment-scan.ts'
import type { Shard } from './engine/shard.ts'
import type { Throttle } from './throttle.ts'

export interface ScrubOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly throttle: Throttle
  /** Ends the pass early. */
  readonly signal: AbortSignal
  /** Blobs without a record, and when they were first seen (monotonic milliseconds): kept from pass to pass. */
  readonly orphans: Map<string, number>
}

export interface ScrubReport {
  readonly bytes: number
  readonly damaged: number
  readonly orphansQuarantined: number
}

/**
 * A blob without a record is left alone until it has been seen so long ago: its write may still be under way. The
 * write's stamp says nothing of its age, for replication brings old ones.
 */
const ORPHAN_AGE_MS = 6 * 3600 * 1000
/** So many are remembered; the others have their turn when these are gone. */
const ORPHANS_MAX = 10_000
const BLOB_FOLDERS = 256

/** One pass over the device. Damage is noted at the device. */
export async function scrubDevice(device: Device, options: ScrubOptions): Promise<ScrubReport> {
  const report = { bytes: 0, damaged: 0, orphansQuarantined: 0 }
  for (const [number, shard] of device.shards) {
    for (const segmentId of [...shard.segmentIds]) {
      if (options.signal.aborted) return report
      if (segmentId === shard.log.activeSegmentId || !shard.segmentIds.has(segmentId)) continue
      await scrubSegment(device, { number, shard, segmentId }, options, report)
    }
  }
  const orphans = new Set<string>()
  for (let folder = 0; folder < BLOB_FOLDERS; folder++) {
    for (const blobId of await device.blobs.list(folder)) {
      if (options.signal.aborted) return report
      const fate = await scrubBlob(device, blobId, options, report)
      if (fate === 'orphan') orphans.add(blobId)
    }
  }
  for (const blobId of options.orphans.keys()) {
    if (!orphans.has(blobId)) options.orphans.delete(blobId)
  }
  return report
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

async function scrubSegment(
  device: Device,
  segment: { readonly number: number; readonly shard: Shard; readonly segmentId: number },
  options: ScrubOptions,
  report: Mutable<ScrubReport>,
): Promise<void> {
  const { number, shard, segmentId } = segment
  const path = `${device.directory}/seg/${segmentName(number, segmentId)}`
  if ((await options.disk.sizeOf(path)) === null) {
    // Perhaps compaction was quicker; if not, a removal could not be made durable, or the file is lost.
    if (!shard.segmentIds.has(segmentId) || shard.index.use.liveBytes(segmentId) === 0) return
    report.damaged++
    device.note({ kind: 'damage', message: `${path} is gone` })
    return
  }
  const cut = shard.cuts.get(segmentId)
  const range = cut === undefined ? {} : { to: cut.offset }
  const scan = { disk: options.disk, path, seed: shard.seedOf(segmentId), ...range }
  const damagedBefore = report.damaged
  for await (const item of scanSegment(scan)) {
    const isLeaving = !shard.segmentIds.has(segmentId) || shard.retiring.has(segmentId)
    if (options.signal.aborted || isLeaving) return
    const bytes = item.kind === 'record' ? item.head.recordBytes : item.to - item.from
    report.bytes += bytes
    await options.throttle.take(bytes)
    if (shard.retiring.has(segmentId)) return
    if (item.kind === 'record') compareWithIndex(device, shard, item, segmentId)
    else if (!cut?.holes.some(([from, to]) => item.from >= from && item.to <= to)) {
      report.damaged++
      device.note({
        kind: 'damage',
        message: `${path} is damaged, bytes ${item.from} to ${item.to}`,
      })
    }
  }
  if (report.damaged > damagedBefore) await findDamagedItems(device, shard, segmentId)
}

/** Which registers' records were hit: a walk over the index, for the rare segment that is damaged. */
async function findDamagedItems(device: Device, shard: Shard, segmentId: number): Promise<void> {
  await shard.flush()
  for await (const [id, entry] of storedEntries(device)) {
    if (entry?.place.segmentId !== segmentId) continue
    if (device.shards.get(device.shardNumberOf(id.hash)) !== shard) continue
    if (!(await device.isReadable(id))) device.noteDamagedItem(id)
  }
}

/** What the log has, the index must have, or something newer: a flipped key in LevelDB simply vanishes. */
function compareWithIndex(
  device: Device,
  shard: Shard,
  item: ScanItem & { readonly kind: 'record' },
  segmentId: number,
): void {
  const { head, meta } = item
  if (head.type === RECORD_TYPES.putInline || head.type === RECORD_TYPES.putBlob) {
    const entry = shard.index.entry(head)
    if (entry !== null && compareStamps(entry.ballot, head.ballot) >= 0) return
    device.note({ kind: 'index', message: 'the index has lost a record of the log' })
  } else if (head.type === RECORD_TYPES.listRow) {
    const { row } = rowOfRecord(head, meta, segmentId)
    const stored = shard.index.row(head.hash, byteText(row.name))
    const isKnown = stored !== null && compareStamps(stored.ballot, row.ballot) >= 0
    if (isKnown || row.deleted) return
    device.note({ kind: 'index', message: 'the index has lost a row of the log' })
  }
}

async function scrubBlob(
  device: Device,
  blobId: string,
  options: ScrubOptions,
  report: Mutable<ScrubReport>,
): Promise<'orphan' | 'known'> {
  try {
    const { dataBytes, meta } = await device.blobs.inspect(blobId)
    const { id } = ownerOf(meta)
    const shard = device.shards.get(device.shardNumberOf(id.hash))
    if (shard === undefined) return 'known' // Another thread scrubs it.
    if (shard.index.entry(id)?.blobId !== blobId) {
      if (await quarantineOrphan(device, blobId, options)) report.orphansQuarantined++
      return 'orphan'
    }
    const reader = await device.blobs.open(blobId, dataBytes)
    try {
      for await (const piece of reader.stream(0, dataBytes)) {
        report.bytes += piece.length
        await options.throttle.take(piece.length)
        if (options.signal.aborted) return 'known'
      }
    } finally {
      await reader.close()
    }
  } catch (cause) {
    // An upload under way or cut short by a crash has no footer either: damage only if a record refers to it.
    const item = await findOwner(device, blobId)
    // It may have been replaced while it was read, or have got its footer and its record since.
    if (item === null || (await device.isReadable(item))) return 'known'
    report.damaged++
    device.note({ kind: 'damage', message: `blob ${blobId} cannot be verified`, cause, item })
  }
  return 'known'
}

/** The register that has or had a record that refers to the blob: a walk over the index, for the rare blob that does not say whose it is. */
async function findOwner(device: Device, blobId: string): Promise<RegisterId | null> {
  for (const shard of device.shards.values()) {
    for (const memtable of [shard.index.active, shard.index.flushing]) {
      for (const { id, entry } of memtable?.entries.values() ?? []) {
        if (entry.blobId === blobId) return id
      }
    }
  }
  for await (const [id, entry] of storedEntries(device)) {
    if (entry?.blobId === blobId) return id
  }
  return null
}

/** Every register in the index's store; null for an entry that is damaged. */
async function* storedEntries(device: Device): AsyncGenerator<readonly [RegisterId, Entry | null]> {
  const prefix = Buffer.from([SPACES.entry])
  const iterator = device.store.iterate({ gte: prefix, lt: afterPrefix(prefix) })
  try {
    for (;;) {
      const part = await iterator.next(1000)
      if (part.length === 0) return
      for (const [key, value] of part) {
        const bytes = Buffer.from(key.buffer, key.byteOffset, key.length)
        yield [registerIdOfKey(bytes), decodeEntry(value)]
      }
    }
  } finally {
    await iterator.close()
  }
}

/** Nothing is moved while something is damaged: the lost record may have been the owner. */
async function quarantineOrphan(
  device: Device,
  blobId: string,
  { clock, orphans }: ScrubOptions,
): Promise<boolean> {
  const nowMs = clock.monotonicMs()
  const sinceMs = orphans.get(blobId)
  if (sinceMs === undefined && orphans.size < ORPHANS_MAX) orphans.set(blobId, nowMs)
  if (sinceMs === undefined || nowMs - sinceMs < ORPHAN_AGE_MS || device.hasDamage) return false
  await device.blobs.quarantine(blobId)
  return true
}
