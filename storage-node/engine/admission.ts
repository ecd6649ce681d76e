/** Who is let in: the refusals of a shard that do not depend on what its registers hold. Null lets in. */
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import { STAMP_AHEAD_MAX_MS, type Stamp, TICKS_PER_SECOND } from '../../common/stamp.ts'
import type { ItemWrite } from '../../common/storage-node.ts'
import type { Learning } from '../learning.ts'
import type { RingGuard } from '../ring-guard.ts'
import type { RegisterId } from './memtable.ts'
import { registerIdOf } from './register.ts'
import type { SegmentLog } from './segment-log.ts'
import type { ShardIndex } from './shard-index.ts'

export interface AdmissionOptions {
  readonly clock: Clock
  readonly index: ShardIndex
  readonly log: SegmentLog
  /** What the shard has to learn before it votes; null if nothing. */
  readonly learning: Learning | null
  /** Refuses what comes by rings that are too old; absent: nothing. */
  readonly guard?: RingGuard | undefined
}

/** Beyond it the index cannot follow: writes are refused. */
const MEMTABLE_MAX = 400_000
const QUEUE_MAX = 20_000
const TICKS_PER_MS = TICKS_PER_SECOND / 1000

export class Admission {
  readonly #options: AdmissionOptions
  #learning: Learning | null
  #isClosing = false
  /** The furthest ballot that was found to be near enough so far: the clock is asked only beyond it. */
  #ticksNearEnough = 0

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#learning = options.learning
  }

  /** What it has to learn from replicas before it votes; null if it remembers everything. */
  get learning(): Learning | null {
    return this.#learning
  }

  /** Everything was learned, or there is nothing to learn: it votes as soon as nothing stands against it. */
  async endLearning(options: { readonly areAllHeard: boolean }): Promise<void> {
    if ((await this.#learning?.end(options)) === true) this.#learning = null
  }

  /** From now on every change is refused. */
  close(): void {
    this.#isClosing = true
  }

  get isClosing(): boolean {
    return this.#isClosing
  }

  /** By rings from before the last move of the partition: looked at in the same turn as what it guards. */
  stale(item: ItemKey): Promise<never> | null {
    const refusal = this.#options.guard?.refusalOf(item) ?? null
    return refusal === null ? null : Promise.reject(refusal)
  }

  assertNotStale(item: ItemKey): void {
    const refusal = this.#options.guard?.refusalOf(item) ?? null
    if (refusal !== null) throw refusal
  }

  /** What the register holds may have been lost, and is not learned yet. */
  unknown(id: RegisterId): Promise<never> | null {
    return this.#isUnknown(id) ? Promise.reject(this.#learning!.refusal()) : null
  }

  assertKnown(item: ItemKey): void {
    if (this.#learning !== null && this.#isUnknown(registerIdOf(item))) {
      throw this.#learning.refusal()
    }
  }

  #isUnknown(id: RegisterId): boolean {
    return this.#learning !== null && !this.#learning.knows(id)
  }

  /** A promise keeps no copy from who does not vote: its proposer is gone, and nobody counts the copy. */
  isPastPromises(id: RegisterId, { copy }: ItemWrite): boolean {
    return copy === true && this.#isUnknown(id) && this.#learning?.isQuiet === true
  }

  overload(): Promise<never> | null {
    if (this.#isClosing) {
      const message = 'the device is being closed'
      return Promise.reject(new ServiceError('DeviceOffline', message, { status: 503 }))
    }
    const { log, index } = this.#options
    if (log.queuedRecords < QUEUE_MAX && index.active.size < MEMTABLE_MAX) return null
    const message = 'too many writes are waiting for the device'
    return Promise.reject(new ServiceError('Busy', message, { status: 503, retryAfterSeconds: 1 }))
  }

  tooFarAhead({ ticks }: Stamp): Promise<never> | null {
    if (ticks <= this.#ticksNearEnough) return null
    this.#ticksNearEnough = (this.#options.clock.nowMs() + STAMP_AHEAD_MAX_MS) * TICKS_PER_MS
    if (ticks <= this.#ticksNearEnough) return null
    const message = 'the stamp is too far ahead of the clock of this node'
    return Promise.reject(new ServiceError('StampAhead', message, { status: 503 }))
  }
}
