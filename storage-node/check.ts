/**
 * `swiftlet check`: walks a device that nobody uses and reports everything that is wrong with it. Every record of every
 * segment is verified, the index is compared with the log in both directions, the totals with the rows, and every
 * blob is read. Memory does not grow with the device. It is also the last step of every test of the engine.
 */
import type { Disk } from '../common/disk.ts'
import { ServiceError } from '../common/errors.ts'
import type { KeyValue } from '../common/key-value.ts'
import { systemRandom } from '../common/random.ts'
import { compareStamps } from '../common/stamp.ts'
import { type DeviceFormat, readFormat } from './device-format.ts'
import { BlobStore } from './engine/blob-store.ts'
import { decodeEntry, type Entry, NO_BLOB } from './engine/entry.ts'
import { loadCheckpoint, loadSegmentNotes } from './engine/index-flush.ts'
import { afterPrefix, byteText, entryKey, listKey, SPACES } from './engine/keys.ts'
import type { KeyValueOpener } from './engine/level-store.ts'
import {
  type Cut,
  decodeHead,
  decodeMeta,
  type LogPosition,
  RECORD_TYPES,
  type RecordHead,
} from './engine/record.ts'
import { recoverLog } from './engine/recovery.ts'
import { decodeRow, rowOfRecord } from './engine/row.ts'
import {
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  segmentName,
  segmentSeed,
} from './engine/segment-header.ts'
import { findSegments } from './engine/shard-open.ts'
import { decodeTotals, emptyTotals, liveRows, shiftTotals } from './engine/totals.ts'

export interface CheckOptions {
  readonly disk: Disk
  readonly opener: KeyValueOpener
  readonly directory: string
  /** Told how far it is: a word for the stage and a share from 0 to 1. */
  readonly progress?: (stage: string, share: number) => void
}

export interface CheckReport {
  /** What is wrong, one line each; at most PROBLEMS_MAX of them. */
  readonly problems: readonly string[]
  /** Problems beyond those listed. */
  readonly moreProblems: number
  /** Things that are not wrong but worth knowing: orphans of a crash, a torn tail not yet cut. */
  readonly remarks: readonly string[]
  readonly segments: number
  readonly records: number
  readonly entries: number
  readonly rows: number
  readonly blobs: number
}

const PROBLEMS_MAX = 1000
const PAGE = 1000

/** Checks the device in the folder. Throws a ServiceError if it is in use or no device at all. */
export async function checkDevice(options: CheckOptions): Promise<CheckReport> {
  const { disk, opener, directory } = options
  const format = await readFormat(disk, directory)
  if (format === null) throw new ServiceError('BadFormat', `${directory} is not a device`)
  const checker = new Checker(options, format)
  let kv: KeyValue | null = null
  try {
    kv = await opener.open(`${directory}/idx`)
  } catch (error) {
    if (error instanceof ServiceError) throw error
    checker.problem(`the index cannot be opened: ${String(error)}`)
  }
  try {
    return await checker.run(kv)
  } finally {
    await kv?.close()
  }
}

class Checker {
  readonly #options: CheckOptions
  readonly #format: DeviceFormat
  readonly #blobs: BlobStore
  readonly #problems: string[] = []
  readonly #remarks: string[] = []
  readonly #counts = { segments: 0, records: 0, entries: 0, rows: 0, blobs: 0, more: 0 }

  constructor(options: CheckOptions, format: DeviceFormat) {
    this.#options = options
    this.#format = format
    this.#blobs = new BlobStore({ ...options, random: systemRandom })
  }

  problem(text: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(text)
    else this.#counts.more++
  }

  async run(kv: KeyValue | null): Promise<CheckReport> {
    for (let shard = 0; shard < this.#format.shards; shard++) await this.#checkShard(shard, kv)
    if (kv !== null) {
      await this.#checkEntries(kv)
      await this.#checkRows(kv)
      await this.#findOrphans(kv)
    }
    const { more, ...counts } = this.#counts
    return { problems: this.#problems, moreProblems: more, remarks: this.#remarks, ...counts }
  }

  // --- the log against itself and against the index ----------------------------------------------------------------

  async #checkShard(shard: number, kv: KeyValue | null): Promise<void> {
    const { disk, directory, progress } = this.#options
    const segments = `${directory}/seg`
    const segmentIds = await findSegments(disk, segments, shard)
    const checkpoint = kv === null ? null : await loadCheckpoint(kv, shard)
    if (checkpoint === 'damaged') this.problem(`shard ${shard}: batches of the index are missing`)
    const flushedUpTo = checkpoint === 'damaged' || checkpoint === null ? null : checkpoint.position
    const { cuts, retiring } = await storedNotes(kv, shard)
    const filled = new Set<number>()
    const recovery = await recoverLog({
      disk,
      pathOf: (segmentId) => `${segments}/${segmentName(shard, segmentId)}`,
      deviceUuid: this.#format.uuid,
      shard,
      segmentIds,
      checkpoint: null,
      cuts,
      apply: (head, meta, place) => {
        this.#counts.records++
        filled.add(place.segmentId)
        const isFlushed = flushedUpTo !== null && isBefore(place, flushedUpTo)
        if (kv !== null && isFlushed && !retiring.has(place.segmentId)) {
          this.#compareRecord(kv, head, meta)
        }
        progress?.(`segments of shard ${shard}`, 1 - place.segmentId / (segmentIds.at(-1)! + 1))
      },
    })
    for (const segmentId of segmentIds) {
      await this.#checkHeader(shard, segmentId, { hasRecords: filled.has(segmentId) })
    }
    this.#counts.segments += segmentIds.length
    for (const { segmentId, from, to, cause } of recovery.damage) {
      const where = `${segmentName(shard, segmentId)} bytes ${from} to ${to}`
      this.problem(cause === 'rot' ? `damaged: ${where}` : `torn or damaged, never cut: ${where}`)
    }
    for (const { segmentId, offset } of recovery.newCuts) {
      this.#remarks.push(`${segmentName(shard, segmentId)} was not sealed; it ends at ${offset}`)
    }
  }

  /** It is durable before the first record is written. */
  async #checkHeader(
    shard: number,
    segmentId: number,
    { hasRecords }: { readonly hasRecords: boolean },
  ): Promise<void> {
    const { disk, directory } = this.#options
    const name = segmentName(shard, segmentId)
    const file = await disk.open(`${directory}/seg/${name}`, 'read')
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
    const count = await file.read(bytes, 0)
    await file.close()
    const header = count < SEGMENT_HEADER_BYTES ? null : decodeSegmentHeader(bytes)
    const isOurs = header?.deviceUuid === this.#format.uuid && header.segmentId === segmentId
    if (isOurs && header.shard === shard) return
    if (hasRecords) this.problem(`${name} has a damaged or foreign header`)
    else this.#remarks.push(`${name} has neither a header nor records: a crash cut its start short`)
  }

  /** Every flushed record must be in the index, or something newer. */
  #compareRecord(kv: KeyValue, head: RecordHead, meta: string): void {
    if (head.type === RECORD_TYPES.listRow) {
      this.#compareRow(kv, head, meta)
      return
    }
    const isPut = head.type === RECORD_TYPES.putInline || head.type === RECORD_TYPES.putBlob
    if (!isPut && head.type !== RECORD_TYPES.tombstone) return
    const value = kv.getSync(entryKey(SPACES.entry, head))
    const entry = value === undefined ? null : decodeEntry(value)
    // A tombstone may have been forgotten for good; a live record never is.
    if (value === undefined && !isPut) return
    if (value === undefined) this.problem(`not in the index: ${nameIn(meta)}`)
    else if (entry === null) this.problem(`damaged index entry: ${nameIn(meta)}`)
    else if (compareStamps(entry.ballot, head.ballot) < 0) {
      this.problem(`the index knows only an older record of ${nameIn(meta)}`)
    }
  }

  #compareRow(kv: KeyValue, head: RecordHead, meta: string): void {
    const { list, row } = rowOfRecord(head, meta, 0)
    const name = byteText(row.name)
    const live = kv.getSync(listKey(SPACES.row, head.hash, name))
    const dead = kv.getSync(listKey(SPACES.deletedRow, head.hash, name))
    const what = `row ${list}/${row.name}`
    if (live !== undefined && dead !== undefined) this.problem(`${what} is both live and deleted`)
    const value = live ?? dead
    if (value === undefined) {
      if (!row.deleted) this.problem(`not in the index: ${what}`)
      return
    }
    const stored = decodeRow(row.name, value)
    if (stored === null) this.problem(`damaged index entry: ${what}`)
    else if (compareStamps(stored.ballot, row.ballot) < 0) {
      this.problem(`the index knows only an older ${what}`)
    }
  }

  // --- the index against the log -----------------------------------------------------------------------------------

  async #checkEntries(kv: KeyValue): Promise<void> {
    for await (const [key, value] of range(kv, SPACES.entry)) {
      const entry = decodeEntry(value)
      const hash = key.toString('latin1', 8, 24)
      this.#counts.entries++
      if (entry === null) this.problem(`damaged index entry ${key.toString('hex')}`)
      else if (entry.type !== RECORD_TYPES.promise) await this.#checkEntry(hash, entry)
    }
  }

  async #checkEntry(hash: string, entry: Entry): Promise<void> {
    const shard = (hash.charCodeAt(0) * this.#format.shards) >> 8
    const { segmentId, offset, bytes: recordBytes } = entry.place
    const name = segmentName(shard, segmentId)
    const bytes = Buffer.alloc(recordBytes)
    const seed = segmentSeed(this.#format.uuid, shard, segmentId) | BigInt(offset)
    try {
      const file = await this.#options.disk.open(`${this.#options.directory}/seg/${name}`, 'read')
      await file.read(bytes, offset)
      await file.close()
    } catch (error) {
      this.problem(`the index leads to ${name}, which cannot be read: ${String(error)}`)
      return
    }
    const head = decodeHead(bytes, seed)
    const meta = head === null ? null : decodeMeta(bytes, head, seed)
    if (head === null || meta === null) this.problem(`no valid record in ${name} at ${offset}`)
    else if (head.hash !== hash || compareStamps(head.ballot, entry.ballot) !== 0) {
      this.problem(`another record than the index says in ${name} at ${offset}`)
    } else if (entry.blobId !== NO_BLOB) await this.#checkBlob(entry, nameIn(meta))
  }

  async #checkBlob(entry: Entry, name: string): Promise<void> {
    this.#counts.blobs++
    try {
      const reader = await this.#blobs.open(entry.blobId, entry.dataBytes)
      try {
        for await (const _piece of reader.stream(0, reader.bytes)) {
          // Reading verifies.
        }
      } finally {
        await reader.close()
      }
    } catch (error) {
      this.problem(`${name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  /** Rows in name order, so that the totals of a list are summed as it passes by. */
  async #checkRows(kv: KeyValue): Promise<void> {
    const seen = new Set<string>()
    for (const space of [SPACES.row, SPACES.deletedRow]) {
      let hash = ''
      let totals = emptyTotals()
      const finish = (): void => {
        if (hash !== '') this.#compareTotals(kv, space, hash, totals)
        if (hash !== '') seen.add(hash)
      }
      for await (const [key, value] of range(kv, space)) {
        const next = key.toString('latin1', 1, 17)
        if (next !== hash) {
          finish()
          hash = next
          totals = emptyTotals()
        }
        const row = decodeRow(key.toString('utf8', 17), value)
        if (row === null) this.problem(`damaged row ${key.toString('hex')}`)
        else shiftTotals(totals, null, row)
        this.#counts.rows++
      }
      finish()
    }
    for await (const [key, value] of range(kv, SPACES.stats)) {
      const hash = key.toString('latin1', 1, 17)
      const totals = decodeTotals(value)
      if (totals === null) this.problem(`damaged totals ${key.toString('hex')}`)
      else if (!seen.has(hash) && (liveRows(totals) !== 0 || totals.deletedRows !== 0)) {
        this.problem(`totals of a list without rows: ${key.toString('hex')}`)
      }
    }
  }

  #compareTotals(
    kv: KeyValue,
    space: number,
    hash: string,
    counted: ReturnType<typeof emptyTotals>,
  ): void {
    const value = kv.getSync(listKey(SPACES.stats, hash))
    const totals = value === undefined ? emptyTotals() : decodeTotals(value)
    if (totals === null) return
    const [stored, actual] =
      space === SPACES.deletedRow
        ? [
            `${totals.deletedRows} ${totals.deletedDigest}`,
            `${counted.deletedRows} ${counted.deletedDigest}`,
          ]
        : [canonical(totals), canonical(counted)]
    if (stored !== actual) {
      const list = Buffer.from(hash, 'latin1').toString('hex')
      this.problem(`totals of list ${list} say ${stored}, its rows are ${actual}`)
    }
  }

  async #findOrphans(kv: KeyValue): Promise<void> {
    const owned = new Set<string>()
    for await (const [, value] of range(kv, SPACES.entry)) {
      const entry = decodeEntry(value)
      if (entry !== null && entry.blobId !== NO_BLOB) owned.add(entry.blobId)
    }
    let orphans = 0
    for (let folder = 0; folder < 256; folder++) {
      for (const blobId of await this.#blobs.list(folder)) if (!owned.has(blobId)) orphans++
    }
    if (orphans > 0) this.#remarks.push(`${orphans} blobs without a record`)
  }
}

function canonical(totals: ReturnType<typeof emptyTotals>): string {
  const sorted = [...totals.byPolicy].sort(([a], [b]) => a - b)
  return JSON.stringify([
    ...sorted.map(([policy, { rows, objects, bytes }]) => [policy, rows, objects, bytes]),
    String(totals.liveDigest),
  ])
}

/** Where segments were cut, and which were about to be removed: what those hold the index may have forgotten. */
async function storedNotes(
  kv: KeyValue | null,
  shard: number,
): Promise<{ readonly cuts: Map<number, Cut>; readonly retiring: Set<number> }> {
  const cuts = new Map<number, Cut>()
  const retiring = new Set<number>()
  if (kv === null) return { cuts, retiring }
  for (const [segmentId, note] of await loadSegmentNotes(kv, shard)) {
    if (note.cut !== undefined) cuts.set(segmentId, note.cut)
    if (note.retiring === true) retiring.add(segmentId)
  }
  return { cuts, retiring }
}

async function* range(kv: KeyValue, space: number): AsyncGenerator<readonly [Buffer, Uint8Array]> {
  const prefix = Buffer.from([space])
  const iterator = kv.iterate({ gte: prefix, lt: afterPrefix(prefix) })
  try {
    for (;;) {
      const part = await iterator.next(PAGE)
      if (part.length === 0) return
      for (const [key, value] of part) yield [Buffer.from(key), value]
    }
  } finally {
    await iterator.close()
  }
}

function nameIn(meta: string): string {
  const { n } = JSON.parse(meta) as { readonly n?: string }
  return n ?? '(no name)'
}

function isBefore(a: LogPosition, b: LogPosition): boolean {
  return a.segmentId === b.segmentId ? a.offset < b.offset : a.segmentId < b.segmentId
}
