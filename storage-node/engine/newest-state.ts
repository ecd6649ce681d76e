import type { Clock } from '../../common/clock.ts'
import type { ItemKey } from '../../common/item.ts'
import { compareStamps, maxStamp, type Stamp, ZERO_STAMP } from '../../common/stamp.ts'
import type { Entry } from './entry.ts'
import { type RegisterId, registerKey } from './memtable.ts'
import { isGone, isHeld } from './partition-digests.ts'
import type { Pending, PendingEntry } from './pending.ts'
import { isLive } from './register.ts'
import type { ShardIndex } from './shard-index.ts'
import { liveRows } from './totals.ts'

/** What is known of a register in this turn of the event loop. */
export interface KnownRegister {
  /** On its way to disk. */
  readonly pending: PendingEntry | undefined
  /** On disk. */
  readonly entry: Entry | null
}

/** The newest state known, on disk or on its way there: what the next write will find, and is decided by. */
export class NewestState {
  readonly #index: ShardIndex
  readonly #pending: Pending
  readonly #clock: Clock

  constructor(options: {
    readonly index: ShardIndex
    readonly pending: Pending
    readonly clock: Clock
  }) {
    this.#index = options.index
    this.#pending = options.pending
    this.#clock = options.clock
  }

  /** All that a write asks for; to be looked up once. */
  of(id: RegisterId): KnownRegister {
    return { pending: this.#pending.entry(registerKey(id)), entry: this.#index.entry(id) }
  }

  isLive(id: RegisterId): boolean {
    return this.isLiveNow(this.of(id))
  }

  isLiveNow({ pending, entry }: KnownRegister): boolean {
    return pending?.live ?? isLive(entry, this.#clock.nowMs() / 1000)
  }

  /** Whether the register was given away, or is being. */
  isGone(id: RegisterId): boolean {
    const pending = this.#pending.entry(registerKey(id))
    return pending === undefined ? isGone(this.#index.entry(id)) : pending.gone === true
  }

  /** Whether there is a record of the register, or is about to be. */
  isHeld(id: RegisterId): boolean {
    const pending = this.#pending.entry(registerKey(id))
    return pending === undefined ? isHeld(this.#index.entry(id)) : pending.gone !== true
  }

  /** Whether the list with this hash has rows that are not deleted. */
  hasLiveRows(hash: string): boolean {
    return liveRows(this.#index.totals(hash)) > 0 || this.#pending.hasLiveRows(hash)
  }

  /** The highest ballot that is accepted or promised. */
  barrier(id: RegisterId): Stamp {
    const entry = this.#index.entry(id)
    const pending = this.#pending.entry(registerKey(id))
    const accepted = maxStamp(pending?.ballot ?? ZERO_STAMP, entry?.ballot ?? ZERO_STAMP)
    return maxStamp(accepted, this.promised(id, entry))
  }

  /** The highest ballot that is promised; `entry` is what the index holds. */
  promised(id: RegisterId, entry: Entry | null): Stamp {
    const durable = entry?.promised ?? ZERO_STAMP
    const pending = this.#pending.promise(registerKey(id))
    return pending === undefined ? durable : maxStamp(pending, durable)
  }

  /** Below 0 if a newer row than one with this ballot is there, 0 if this very one is. `name` as listings order it. */
  rowOrder(list: ItemKey, name: string, ballot: Stamp): number {
    const pending = this.#pending.row(list.hash, name)
    const stored = this.#index.row(list.hash, name)
    // What was given away may come back.
    if (stored?.gone === true && pending === undefined) {
      return compareStamps(ballot, stored.ballot) < 0 ? -1 : 1
    }
    const newest = maxStamp(pending ?? ZERO_STAMP, stored?.ballot ?? ZERO_STAMP)
    return compareStamps(ballot, newest)
  }
}
