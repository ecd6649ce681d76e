import type { Condition } from '../../common/condition.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import type { StampClock } from '../../common/stamp.ts'
import type { ItemMeta, ItemWrite, WriteAction, WriteOutcome } from '../../common/storage-node.ts'
import { devicesFull, noQuorum } from './backend-errors.ts'
import type { BackgroundJobs } from './background-jobs.ts'
import type { BackendCounters } from './counters.ts'
import { judgeWrite, type Replies, type WriteVerdict } from './quorum.ts'
import { bringUpToDate, type RecordHead, recordOfWrite, repairTiming } from './repair.ts'
import { askAll, askOne, type CallTiming, failureOf, type Round } from './replica-calls.ts'
import type { Replica, ReplicaMap } from './replica-map.ts'
import type { WriteIds } from './write-ids.ts'

export interface RegisterWritesOptions {
  readonly replicas: ReplicaMap
  readonly stamps: StampClock
  readonly writeIds: WriteIds
  readonly timing: CallTiming
  readonly jobs: BackgroundJobs
  readonly counters: BackendCounters
}

/** How a write is sent to one replica. */
export type Send = (replica: Replica, write: ItemWrite) => Promise<WriteOutcome>

/** Handoffs tried for one absent primary. */
const HANDOFFS_TRIED_MAX = 4
/** Rounds that were answered while replicas were still outstanding; beyond it answers wait for all replicas. */
const UNSETTLED_ROUNDS_MAX = 1_000

/** Sends writes of registers to all primaries and waits for a majority of them. */
export class RegisterWrites {
  readonly #replicas: ReplicaMap
  readonly #stamps: StampClock
  readonly #writeIds: WriteIds
  readonly #timing: CallTiming
  readonly #jobs: BackgroundJobs
  readonly #counters: BackendCounters
  #unsettledRounds = 0

  constructor(options: RegisterWritesOptions) {
    this.#replicas = options.replicas
    this.#stamps = options.stamps
    this.#writeIds = options.writeIds
    this.#timing = options.timing
    this.#jobs = options.jobs
    this.#counters = options.counters
  }

  /** A plain write with a stamp newer than all that this proxy has drawn or seen; its ballot is its stamp. */
  draw(item: ItemKey, action: WriteAction, meta: ItemMeta, condition?: Condition): ItemWrite {
    const stamp = this.#stamps.next()
    const writeId = this.#writeIds.next()
    return condition === undefined
      ? { item, action, stamp, ballot: stamp, writeId, meta }
      : { item, action, stamp, ballot: stamp, writeId, meta, condition }
  }

  /**
   * Writes to all primaries; resolves when a majority has it. `superseded` means that no replica accepted it and a
   * fresh stamp may be tried; what nobody can know the end of is a 503, and full devices a 507.
   *
   * With `current` (what RegisterReads.look found) the write depends on the old value: one replica, the first in ring
   * order that can be reached and is up to date, judges it before the others get it, so that of several such writes
   * none is left on a minority by the way.
   */
  send(
    write: ItemWrite,
    body: Uint8Array | null,
    current?: readonly boolean[],
  ): Promise<WriteOutcome> {
    const primaries = this.#replicas.primaries(write.item)
    const first = primaries[0]!
    if (primaries.length === 1) return first.node.write(first.device, write, body)
    const send: Send = (replica, each) => replica.node.write(replica.device, each, body)
    const bytes = body === null ? 0 : body.length
    return this.sendBy(write, bytes, { sends: primaries.map(() => send), current })
  }

  /** The same for several replicas with a way of sending to each (streams that are open at them already). */
  async sendBy(
    write: ItemWrite,
    bytes: number,
    how: { readonly sends: readonly Send[]; readonly current?: readonly boolean[] | undefined },
  ): Promise<WriteOutcome> {
    const { sends, current } = how
    const primaries = this.#replicas.primaries(write.item)
    const call =
      current === undefined
        ? (replica: Replica, index: number) => sends[index]!(replica, write)
        : await this.#judgedFirst(write, primaries, sends, current)
    if (typeof call !== 'function') return call
    const round = await askAll(
      primaries,
      call,
      (replies) => judgeWrite(replies, write.action) !== null,
      this.#timing,
    )
    // The verdict is taken now: replies that come later belong to the repair alone.
    const outcome = outcomeOf(judgeWrite(round.replies, write.action)!, round.replies)
    await this.#follow(write, bytes, primaries, round)
    return outcome
  }

  /** The refusal of the replica that judges, or how to send to all after it has accepted. */
  async #judgedFirst(
    write: ItemWrite,
    primaries: readonly Replica[],
    sends: readonly Send[],
    current: readonly boolean[],
  ): Promise<WriteOutcome | ((replica: Replica, index: number) => Promise<WriteOutcome>)> {
    const missed = new Map<number, unknown>()
    for (const [judge, replica] of primaries.entries()) {
      if (!current[judge]) continue
      const reply = await askOne(replica, () => sends[judge]!(replica, write), this.#timing)
      if ('failure' in reply) {
        if (reply.failure === 'unknown') {
          throw noQuorum('the write may have happened or not', reply.error)
        }
        missed.set(judge, reply.error)
        continue
      }
      if (!isAccepted(reply, write.action)) return reply.outcome
      // Posts, and puts of accounts and containers, merge into what each replica has: they go only where that is the
      // same; others get the result later.
      const isMerge = write.action === 'post' || write.item.kind !== 'object'
      const { condition: _, ...plain } = write
      return async (other, index) => {
        if (index === judge) return reply.outcome
        if (missed.has(index)) throw missed.get(index)
        if (isMerge && !current[index]) {
          throw new ServiceError('Unreachable', `${other.label} is behind`, { status: 503 })
        }
        return sends[index]!(other, isMerge ? write : plain)
      }
    }
    const errors = [...missed.values()]
    if (errors.length > 0 && errors.every((error) => failureOf(error) === 'full')) {
      throw devicesFull(errors[0])
    }
    throw noQuorum('no replica that is up to date can be reached', errors[0])
  }

  /** Sees to the replicas that have not answered yet or failed, in the background unless too much is there already. */
  async #follow(
    write: ItemWrite,
    bytes: number,
    primaries: readonly Replica[],
    round: Round<WriteOutcome>,
  ): Promise<void> {
    this.#unsettledRounds++
    const followed = round.settled.then(() => {
      this.#unsettledRounds--
      if (write.item.kind === 'object') this.#copyToHandoffs(write, bytes, primaries, round.replies)
    })
    if (this.#unsettledRounds > UNSETTLED_ROUNDS_MAX) await followed
  }

  /** For each primary that failed, one handoff is given the record for the repair to find. It never counts. */
  #copyToHandoffs(
    write: ItemWrite,
    bytes: number,
    primaries: readonly Replica[],
    replies: Replies<WriteOutcome>,
  ): void {
    const failedCount = replies.filter((reply) => reply !== undefined && 'failure' in reply).length
    if (failedCount === 0) return
    const holder = replies.findIndex((reply) => isAccepted(reply, write.action))
    if (holder < 0) return
    const reply = replies[holder]!
    const done = 'outcome' in reply && reply.outcome.status === 'done' ? reply.outcome.info : null
    const record = done ?? recordOfWrite(write, bytes)
    this.#jobs.add('handoff copy', () =>
      this.#fillHandoffs(write.item, record, primaries[holder]!, failedCount),
    )
  }

  async #fillHandoffs(
    item: ItemKey,
    record: RecordHead,
    source: Replica,
    copies: number,
  ): Promise<void> {
    let missing = copies
    let tries = copies * HANDOFFS_TRIED_MAX
    for (const target of this.#replicas.handoffs(item)) {
      if (missing === 0 || tries === 0) return
      tries--
      if (!target.health.available()) continue
      const order = { item, record, source, target, stale: null }
      const reply = await askOne(
        target,
        () => bringUpToDate(order),
        repairTiming(this.#timing, record),
      )
      if ('failure' in reply || !reply.outcome) continue
      missing--
      this.#counters.handoffCopies++
    }
  }
}

function isAccepted(reply: Replies<WriteOutcome>[number], action: WriteAction): boolean {
  if (reply === undefined || 'failure' in reply) return false
  const { status } = reply.outcome
  return status === 'done' || (action === 'delete' && status === 'not-found')
}

function outcomeOf(verdict: WriteVerdict, replies: Replies<WriteOutcome>): WriteOutcome {
  switch (verdict.verdict) {
    case 'done':
    case 'precondition-failed':
    case 'not-found':
    case 'not-empty':
      return bestOutcome(replies, verdict.verdict)
    case 'superseded':
      return { status: 'superseded', ballot: verdict.ballot }
    case 'full':
      throw devicesFull(firstError(replies))
    case 'refused':
      throw noQuorum('too few replicas took the write', firstError(replies))
    case 'indeterminate':
      throw noQuorum('the write may have happened or not', firstError(replies))
  }
}

/** Of the outcomes of that status, the one that knows of a record before, if there is one. */
function bestOutcome(
  replies: Replies<WriteOutcome>,
  status: Exclude<WriteOutcome['status'], 'superseded'>,
): WriteOutcome {
  let best: WriteOutcome = { status: 'not-found' }
  for (const reply of replies) {
    if (reply === undefined || 'failure' in reply || reply.outcome.status !== status) continue
    if (best.status !== status || knowsBefore(reply.outcome)) best = reply.outcome
  }
  return best
}

function knowsBefore(outcome: WriteOutcome): boolean {
  if (outcome.status === 'done') return outcome.existed
  return outcome.status === 'precondition-failed' && outcome.current !== null
}

function firstError(replies: Replies<WriteOutcome>): unknown {
  for (const reply of replies) if (reply !== undefined && 'failure' in reply) return reply.error
  return undefined
}
