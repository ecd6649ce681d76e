import assert from 'node:assert'
import type { Clock } from '../../common/clock.ts'
import type { Disk } from '../../common/disk.ts'
import { byteText } from './keys.ts'
import { registerKey } from './memtable.ts'
import type { Pending } from './pending.ts'
import {
  type Cut,
  type EncodedRecord,
  type LogPosition,
  type Place,
  RECORD_TYPES,
  type RecordHead,
  reencodeRecord,
} from './record.ts'
import { rowOfRecord } from './row.ts'
import type { SegmentFiles } from './segment-files.ts'
import { segmentSeed } from './segment-header.ts'
import { type CommitWatch, SegmentLog } from './segment-log.ts'
import type { SegmentUse } from './segment-use.ts'
import type { ReportProblem } from './shard-problem.ts'

export interface ShardJournalOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly files: SegmentFiles
  readonly directory: string
  readonly deviceUuid: string
  readonly shard: number
  readonly segmentBytesMax: number
  /** Told of each batch; absent: nobody. */
  readonly commits?: CommitWatch | undefined
  /** Of the segments found at the start. */
  readonly segmentIds: readonly number[]
  /** The first segment id that was never used. */
  readonly nextSegmentId: number
  readonly newCuts: readonly Cut[]
  readonly cuts: ReadonlyMap<number, Cut>
  readonly retiring: ReadonlySet<number>
  readonly pending: Pending
  readonly use: SegmentUse
  readonly report: ReportProblem
  /** Told of each record that is durable, by its bytes, before the index has it. */
  readonly onLogged: (bytes: number) => void
}

/** The log of a shard with what it consists of: its segments, where they were cut, and how far the index follows. */
export class ShardJournal {
  readonly #options: ShardJournalOptions
  readonly #log: SegmentLog
  readonly #segmentIds: Set<number>
  readonly #cuts: Map<number, Cut>
  readonly #seeds = new Map<number, bigint>()
  readonly #retiring: Set<number>
  /** Every record before it is in a memtable or below. */
  #applied: LogPosition

  constructor(options: ShardJournalOptions) {
    this.#options = options
    this.#segmentIds = new Set(options.segmentIds)
    this.#cuts = new Map(options.cuts)
    this.#retiring = new Set(options.retiring)
    this.#applied = { segmentId: options.nextSegmentId, offset: 0 }
    // The checkpoint will move beyond their records: the index has to keep them.
    for (const segmentId of options.cuts.keys()) options.use.touch(segmentId)
    this.#log = new SegmentLog({
      ...options,
      cuts: options.newCuts,
      onCut: (cut) => {
        this.#cuts.set(cut.segmentId, cut)
        options.use.touch(cut.segmentId)
      },
    })
  }

  get log(): SegmentLog {
    return this.#log
  }

  /** Every record before it is in the index. */
  get appliedUpTo(): LogPosition {
    return this.#applied
  }

  get segmentIds(): ReadonlySet<number> {
    return this.#segmentIds
  }

  get cuts(): ReadonlyMap<number, Cut> {
    return this.#cuts
  }

  /** Segments about to be removed: the index may have forgotten what they hold. */
  get retiring(): ReadonlySet<number> {
    return this.#retiring
  }

  /** The segment is about to be removed; the next flush makes that durable. */
  retire(segmentId: number): void {
    this.#retiring.add(segmentId)
    this.#options.use.touch(segmentId)
  }

  seedOf(segmentId: number): bigint {
    let seed = this.#seeds.get(segmentId)
    if (seed === undefined) {
      seed = segmentSeed(this.#options.deviceUuid, this.#options.shard, segmentId)
      this.#seeds.set(segmentId, seed)
    }
    return seed
  }

  /** Makes the outcome of recovery durable. */
  async begin(): Promise<void> {
    await this.#log.begin()
    const active = this.#log.activeSegmentId
    if (active === null) return
    this.#segmentIds.add(active)
    this.#applied = this.#log.durable
  }

  /**
   * Appends a record. When it is durable `apply` has the index follow, and its result is that of the promise; `end` is
   * told in any case, in the same turn.
   */
  append<T>(
    record: EncodedRecord,
    then: { readonly apply: (place: Place) => T; readonly end: () => void },
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#log.append(record, (error, place) => {
        try {
          if (place === null) throw this.#reportFailure(error)
          this.#logged(place)
          resolve(then.apply(place))
        } catch (failure) {
          // Also when the index turns out to be damaged: the log must go on.
          reject(failure)
        } finally {
          then.end()
        }
      })
    })
  }

  /**
   * Copies a live record to the head of the log; `apply` lets the index follow. Nothing happens if the record is not
   * current any more when its turn comes. A copy must never lie behind the record that replaced it: once that one (a
   * tombstone, say) was reclaimed, a rebuilt index would take the copy for the newest. So what is on its way to the log
   * is let pass, and between the last look and the append there is no turn.
   */
  async moveRecord(
    old: { readonly head: RecordHead; readonly meta: string; readonly bytes: Buffer },
    options: { readonly isCurrent: () => boolean; readonly apply: (place: Place) => void },
  ): Promise<void> {
    const { head, bytes } = old
    while (options.isCurrent() && this.#isReplacedSoon(head, old.meta)) await this.#log.mark()
    if (!options.isCurrent()) return
    const record = reencodeRecord(bytes, head)
    await new Promise<void>((resolve, reject) => {
      this.#log.append(record, (error, place) => {
        try {
          if (place === null) throw error
          this.#logged(place)
          options.apply(place)
          resolve()
        } catch (failure) {
          reject(failure)
        }
      })
    })
  }

  #isReplacedSoon(head: RecordHead, meta: string): boolean {
    const { pending } = this.#options
    if (head.type !== RECORD_TYPES.listRow) return pending.entry(registerKey(head)) !== undefined
    const { row } = rowOfRecord(head, meta, 0)
    return pending.row(head.hash, byteText(row.name)) !== undefined
  }

  /**
   * The segment holds nothing alive and no checkpoint needs it: remove its file. It counts as there until that is
   * durable: a tombstone in a later segment may be all that covers its records.
   */
  async removeSegment(segmentId: number): Promise<void> {
    assert(segmentId !== this.#log.activeSegmentId, 'the active segment stays')
    const { disk, files, directory, use } = this.#options
    await disk.remove(files.pathOf(segmentId))
    await disk.syncDirectory(directory)
    await files.drop(segmentId)
    this.#segmentIds.delete(segmentId)
    this.#cuts.delete(segmentId)
    this.#retiring.delete(segmentId)
    use.drop(segmentId)
  }

  #logged(place: Place): void {
    this.#segmentIds.add(place.segmentId)
    this.#applied = { segmentId: place.segmentId, offset: place.offset + place.bytes }
    this.#options.onLogged(place.bytes)
  }

  #reportFailure(cause: unknown): unknown {
    this.#options.report({ kind: 'device', message: 'a batch could not be written', cause })
    return cause
  }

  /** Resolves when everything that was on its way to the log is durable and visible, or never will be. */
  async fence(): Promise<void> {
    await this.#log.mark().catch(() => {})
  }
}
