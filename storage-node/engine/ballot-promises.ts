/** The first of the two phases of CASPaxos: a shard promises to accept nothing below a ballot. */
import type { ItemKey } from '../../common/item.ts'
import { compareStamps, type Stamp, ZERO_STAMP } from '../../common/stamp.ts'
import type { PrepareOutcome } from '../../common/storage-node.ts'
import { type RegisterId, registerKey } from './memtable.ts'
import { encodeRecord, RECORD_TYPES, type RecordDraft } from './record.ts'
import { registerIdOf } from './register.ts'
import type { ShardParts } from './shard-parts.ts'

export class BallotPromises {
  readonly #options: ShardParts

  constructor(options: ShardParts) {
    this.#options = options
  }

  /** Promises, durably, to accept nothing below the ballot, and says what was accepted last. */
  async prepare(item: ItemKey, ballot: Stamp): Promise<PrepareOutcome> {
    const { admission, newest, reads } = this.#options
    const id = registerIdOf(item)
    const refusal =
      admission.stale(item) ??
      admission.unknown(id) ??
      admission.overload() ??
      admission.tooFarAhead(ballot)
    if (refusal !== null) return refusal
    const barrier = newest.barrier(id)
    if (compareStamps(ballot, barrier) < 0) return { status: 'superseded', ballot: barrier }
    await this.#commit(item, id, ballot)
    // Everything that was on its way before the promise is durable and visible by now.
    const read = await reads.read(item, { body: false })
    if (read === null) return { status: 'promised', current: null }
    const { stats: _, ...current } = read.info
    if (compareStamps(current.ballot, ballot) > 0) {
      return { status: 'superseded', ballot: current.ballot }
    }
    return { status: 'promised', current }
  }

  #commit(item: ItemKey, id: RegisterId, ballot: Stamp): Promise<void> {
    const { ballots, pending, journal, index } = this.#options
    const key = registerKey(id)
    const record = encodeRecord(promiseDraft(item, ballot))
    ballots.saw(ballot)
    pending.setPromise(key, ballot)
    return journal.append(record, {
      apply: (place) => index.applyPromise(id, ballot, place),
      end: () => pending.clearPromise(key, ballot),
    })
  }
}

function promiseDraft(item: ItemKey, ballot: Stamp): RecordDraft {
  const { kind, policy, placement, hash } = registerIdOf(item)
  return {
    type: RECORD_TYPES.promise,
    flags: 0,
    kind,
    policy,
    hash,
    placement,
    stamp: ZERO_STAMP,
    metaStamp: ZERO_STAMP,
    ballot,
    writeId: '0'.repeat(16),
    dataBytes: 0,
    meta: '',
    data: null,
  }
}
