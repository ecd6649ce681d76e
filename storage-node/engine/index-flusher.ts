import type { Clock } from '../../common/clock.ts'
import type { KeyValue } from '../../common/key-value.ts'
import { flushIndex } from './index-flush.ts'
import { type ListId, Memtable } from './memtable.ts'
import type { LogPosition } from './record.ts'
import type { ShardIndex } from './shard-index.ts'
import type { ShardJournal } from './shard-journal.ts'
import type { ReportProblem } from './shard-problem.ts'

export interface IndexFlusherOptions {
  readonly clock: Clock
  readonly kv: KeyValue
  readonly index: ShardIndex
  readonly journal: ShardJournal
  readonly shard: number
  /** What the index below holds: every record before it. */
  readonly checkpoint: LogPosition
  /** Number of the last batch that the index took. */
  readonly lastBatch: number
  readonly report: ReportProblem
}

/** The index is flushed when so much has changed, or so long after the first change. */
const FLUSH_ENTRIES = 30_000
const FLUSH_LOG_BYTES = 64 * 1024 * 1024
const FLUSH_AFTER_MS = 5_000

/** Moves what changed in the index into the store below, now and then, and the checkpoint behind it. */
export class IndexFlusher {
  readonly #options: IndexFlusherOptions
  #loggedBytes = 0
  #lastBatch: number
  #flush: Promise<void> | null = null
  #cancelTimer: (() => void) | null = null
  /** Taken since the last flush, and before it: the account has the latter by now. */
  #recentLists: ListId[] = []
  #takenLists: readonly ListId[] = []
  #isClosing = false
  #flushPosition: LogPosition
  #checkpoint: LogPosition

  constructor(options: IndexFlusherOptions) {
    this.#options = options
    this.#lastBatch = options.lastBatch
    this.#flushPosition = options.checkpoint
    this.#checkpoint = options.checkpoint
  }

  /** Segments before this one are not needed by a restart. */
  get checkpointSegmentId(): number {
    return this.#checkpoint.segmentId
  }

  /** So many bytes more are in the log: they will be in the index in a moment. */
  noteLogged(bytes: number): void {
    this.#loggedBytes += bytes
    this.schedule()
  }

  /** Flushes at once if so much has changed, else soon. */
  schedule(): void {
    if (this.#isClosing || this.#flush !== null) return
    const { active } = this.#options.index
    if (active.size >= FLUSH_ENTRIES || this.#loggedBytes >= FLUSH_LOG_BYTES) {
      void this.flush().catch(() => {})
      return
    }
    this.#flushLater()
  }

  #flushLater(): void {
    if (this.#isClosing) return
    this.#cancelTimer ??= this.#options.clock.after(FLUSH_AFTER_MS, () => {
      this.#cancelTimer = null
      if (!this.#isClosing) void this.flush().catch(() => {})
    })
  }

  /** One flush; joins the one that is under way. */
  flush(): Promise<void> {
    const { index } = this.#options
    this.#flush ??= this.#flushNow().finally(() => {
      this.#flush = null
      if (index.active.size > 0 || index.flushing !== null) this.#flushLater()
    })
    return this.#flush
  }

  async #flushNow(): Promise<void> {
    const { kv, index, journal, shard, report } = this.#options
    this.#cancelTimer?.()
    this.#cancelTimer = null
    // A witness behind the last batch: should it be damaged later, it is known to have been durable.
    if (!this.#isClosing && index.active.size > 0) await journal.log.mark().catch(() => {})
    if (index.flushing === null) {
      index.flushing = index.active
      index.active = new Memtable()
      this.#flushPosition = journal.appliedUpTo
      this.#loggedBytes = 0
    }
    const recentLists = [...this.#recentLists]
    try {
      this.#lastBatch = await flushIndex({
        kv,
        index,
        shard,
        position: this.#flushPosition,
        lastBatch: this.#lastBatch,
        cuts: journal.cuts,
        retiring: journal.retiring,
        takenLists: this.#takenLists,
        recentLists,
      })
      this.#takenLists = recentLists
      this.#recentLists = this.#recentLists.slice(recentLists.length)
      this.#checkpoint = this.#flushPosition
      index.endFlush()
    } catch (cause) {
      // The numbers of the batches may have gone on: leave a gap only where one is.
      report({ kind: 'flush', message: 'the index cannot be flushed', cause })
      throw cause
    }
  }

  /** Lists whose totals changed; the caller reports them to their accounts. */
  takeChangedLists(limit: number): readonly ListId[] {
    const { changedLists } = this.#options.index
    const taken: ListId[] = []
    for (const [key, list] of changedLists) {
      if (taken.length === limit) break
      taken.push(list)
      changedLists.delete(key)
    }
    this.#recentLists.push(...taken)
    return taken
  }

  /** Begins no flush by itself any more. */
  close(): void {
    this.#isClosing = true
  }

  /** The last flushes; `withoutFlush`: only ends the one that is under way. */
  async end(options: { readonly withoutFlush: boolean }): Promise<void> {
    if (options.withoutFlush) await this.#flush?.catch(() => {})
    else await this.#flushAll()
    this.#cancelTimer?.()
  }

  /** Once for a flush under way or one that failed, once for what came since. */
  async #flushAll(): Promise<void> {
    await this.flush().catch(() => {})
    if (this.#options.index.active.size > 0) await this.flush().catch(() => {})
  }
}
