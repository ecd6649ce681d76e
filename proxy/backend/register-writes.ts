/**
 * Writes of registers.
 *
 *   plain      put, delete without a condition: accept(ballot = stamp) at all primaries at once, no first phase. Refused
 *              and nowhere accepted -> `superseded`, a fresh stamp is safe; refused by some, perhaps accepted by
 *              others -> recovered by prepare and the four cases of register-decisions.ts
 *   dependent  conditions, POST, lists that merge: read, prepare, judge what was found, accept (CASPaxos)
 *
 * With one replica both are a single message to it: it judges conditions and merges by itself.
 */

import type { RecordHead } from '../../common/accept.ts'
import type { Condition } from '../../common/condition.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import { type Stamp, type StampClock, ZERO_STAMP } from '../../common/stamp.ts'
import type {
  ItemInfo,
  ItemMeta,
  ItemWrite,
  WriteAction,
  WriteOutcome,
} from '../../common/storage-node.ts'
import type { BackendOutcome } from './backend.ts'
import { devicesFull, noQuorum } from './backend-errors.ts'
import type { BackgroundJobs } from './background-jobs.ts'
import { ContestedNames } from './contested-names.ts'
import type { BackendCounters } from './counters.ts'
import { NameTurns } from './name-turns.ts'
import type { Accepted, Proposals, Send } from './proposals.ts'
import { judgeWrite, type Replies, type WriteVerdict } from './quorum.ts'
import { type Evaluation, evaluateChange, type RegisterChange } from './register-change.ts'
import { recoverPlain, resumeDependent } from './register-decisions.ts'
import type { RegisterReads } from './register-reads.ts'
import { bringUpToDate, recordOfWrite, repairTiming } from './repair.ts'
import {
  askAll,
  askOne,
  type CallTiming,
  causeOf,
  isAnyStale,
  type Round,
} from './replica-calls.ts'
import { itemOf, type Replica, type ReplicaGroup, type ReplicaMap } from './replica-map.ts'
import type { SloppyRegisters } from './sloppy-registers.ts'
import type { WriteIds } from './write-ids.ts'

export interface RegisterWritesOptions {
  readonly replicas: ReplicaMap
  readonly stamps: StampClock
  readonly writeIds: WriteIds
  readonly timing: CallTiming
  readonly jobs: BackgroundJobs
  readonly counters: BackendCounters
  readonly reads: RegisterReads
  readonly proposals: Proposals
  readonly sloppy: SloppyRegisters
}

/** How a plain write ended. */
export type Sent =
  /** `ballot`: under which the record was accepted last. */
  | { readonly status: 'written'; readonly outcome: BackendOutcome; readonly ballot: Stamp }
  /** Done, and outdone at once by a write of somebody else: there is nothing of ours to be listed. */
  | { readonly status: 'overtaken'; readonly outcome: BackendOutcome; readonly by: ItemInfo }
  /** Accepted nowhere: to be sent again with a stamp above `ballot`, if `isMajority` above all that has completed. */
  | { readonly status: 'superseded'; readonly ballot: Stamp; readonly isMajority: boolean }

/** How a dependent write ended: `record` is what was written, null if nothing was. */
export interface Changed {
  readonly outcome: BackendOutcome
  readonly record: ItemInfo | null
}

/** Where the body of a plain write is, and what is known of its stamp. */
export interface PlainSend {
  readonly bytes: number
  readonly send: Send
  /** A majority was asked before the stamp was drawn. */
  readonly isAboveCompleted: boolean
}

/** Handoffs tried for one absent primary. */
const HANDOFFS_TRIED_MAX = 4
/** Rounds that were answered while replicas were still outstanding; beyond it answers wait for all replicas. */
const UNSETTLED_ROUNDS_MAX = 1_000

export class RegisterWrites {
  readonly #options: RegisterWritesOptions
  readonly #turns = new NameTurns()
  readonly #contested: ContestedNames
  #unsettledRounds = 0

  constructor(options: RegisterWritesOptions) {
    this.#options = options
    this.#contested = new ContestedNames(options.timing.clock)
  }

  /** A plain write with a stamp newer than all that this proxy has drawn or seen; its ballot is its stamp. */
  draw(item: ItemKey, action: WriteAction, meta: ItemMeta, condition?: Condition): ItemWrite {
    const stamp = this.#options.stamps.next()
    const writeId = this.#options.writeIds.next()
    return condition === undefined
      ? { item, action, stamp, ballot: stamp, writeId, meta }
      : { item, action, stamp, ballot: stamp, writeId, meta, condition }
  }

  nextWriteId(): string {
    return this.#options.writeIds.next()
  }

  isReplicated(item: ItemKey): boolean {
    const { replicas } = this.#options
    return replicas.primaries(item).length > 1 || replicas.isSloppy(item)
  }

  /** With one replica: its word. */
  sendToOne(write: ItemWrite, body: Uint8Array | null): Promise<WriteOutcome> {
    const group = this.#options.replicas.group(write.item)
    const [first] = group.replicas
    return first!.node.write(first!.device, writeOf(group, write), body)
  }

  /** Writes of one name go one after the other. Rejects with `Busy` when too many wait. */
  inTurn<T>(item: ItemKey, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(item.name, work)
  }

  /** Before a plain write of a name that is contested: true if the next stamp will be above all that has completed. */
  async riseAbove(item: ItemKey, options: { readonly always?: boolean } = {}): Promise<boolean> {
    if (options.always !== true && !this.#contested.has(item.name)) return false
    const ballot = await this.#options.reads.newestBallot(item)
    if (ballot === null) return false
    this.#options.stamps.observe(ballot)
    return true
  }

  /**
   * A plain write to several replicas; resolves when a quorum has it. What nobody can know the end of is a 503, and
   * full devices a 507.
   */
  async sendPlain(write: ItemWrite, how: PlainSend): Promise<Sent> {
    const { replicas, sloppy } = this.#options
    if (replicas.isSloppy(write.item)) return sloppy.sendPlain(write, how)
    const { group, round, verdict } = await this.#ask(write, how.send)
    if (verdict.verdict === 'contested' || verdict.verdict === 'superseded') {
      this.#options.stamps.observe(verdict.ballot)
      this.#contested.add(write.item.name)
    }
    if (verdict.verdict === 'superseded') return { status: 'superseded', ...ofRefusal(verdict) }
    if (verdict.verdict === 'contested') return this.#recover(write, how, round.replies)
    const outcome = outcomeOf(verdict, round.replies)
    const record = recordOfWrite(write, how.bytes, write.ballot)
    await this.#follow(record, write.item, group.replicas, round)
    return { status: 'written', outcome, ballot: write.ballot }
  }

  /**
   * Sends a plain write to all replicas, and again by newer rings as long as nodes say that ours are too old: the same
   * write under the same ballot, which does no harm where it was taken already. What was not refused by everybody the
   * first time may be somewhere, whatever the answers are later.
   */
  async #ask(
    write: ItemWrite,
    send: Send,
  ): Promise<{ group: ReplicaGroup; round: Round<WriteOutcome>; verdict: WriteVerdict }> {
    const { replicas, timing } = this.#options
    let mayBeSomewhere = false
    for (;;) {
      const group = replicas.group(write.item)
      const sent = writeOf(group, write)
      const round = await askAll(
        group,
        (replica) => send(replica, sent),
        (replies) => judgeWrite(replies, write.action, group.quorum) !== null,
        timing,
      )
      // The verdict is taken now: replies that come later belong to the repair alone.
      const verdict = judgeWrite(round.replies, write.action, group.quorum)!
      const isDecided = ['done', 'not-found', 'precondition-failed', 'not-empty']
      if (isDecided.includes(verdict.verdict) || !isAnyStale(round.replies)) {
        return { group, round, verdict: mayBeSomewhere ? doubted(verdict) : verdict }
      }
      mayBeSomewhere ||= round.replies.some(mayHaveTaken)
      if (!(await replicas.refresh(group.epoch))) {
        return { group, round, verdict: mayBeSomewhere ? doubted(verdict) : verdict }
      }
    }
  }

  /** What was refused by some and accepted, perhaps, by others: never stamped anew, but brought to its end. */
  async #recover(write: ItemWrite, how: PlainSend, replies: Replies<WriteOutcome>): Promise<Sent> {
    const { proposals, counters } = this.#options
    const { item, writeId, stamp } = write
    const { isAboveCompleted, send } = how
    counters.contested++
    let existed = replies.some(
      (reply) =>
        reply !== undefined &&
        'outcome' in reply &&
        reply.outcome.status === 'done' &&
        reply.outcome.existed,
    )
    for await (const _ of proposals.attempts('the write may have happened or not')) {
      const prepared = await proposals.prepare(item)
      if (prepared === null) continue
      const { ballot, newest: found } = prepared
      const recovery = recoverPlain(found, { writeId, stamp, isAboveCompleted })
      if (recovery === 'unknown') throw noQuorum('the write may have happened or not')
      if (recovery === 'complete') {
        const accepted = await proposals.accept(item, found!, prepared)
        if (!accepted.isChosen) continue
        const outcome = plainOutcome(write, how.bytes, ballot, true)
        return { status: 'overtaken', outcome, by: { ...found!, ballot } }
      }
      if (recovery === 'propose') existed ||= found !== null && !found.deleted
      const record = recordOfWrite(write, how.bytes, ballot)
      const accepted = await proposals.accept(item, record, prepared, send)
      if (!accepted.isChosen) continue
      this.#fillIn(item, record, accepted)
      return { status: 'written', outcome: plainOutcome(write, how.bytes, ballot, existed), ballot }
    }
    throw noQuorum('the write may have happened or not')
  }

  /**
   * A write that depends on the old value, on several replicas. 503 without a quorum, and `WriteConflict` (503) if others
   * have built on what may have been ours: nobody can know.
   */
  async change(change: RegisterChange, send?: Send): Promise<Changed> {
    const { reads, proposals, stamps, timing, replicas, sloppy } = this.#options
    const { item, writeId } = change
    if (replicas.isSloppy(item)) return sloppy.change(change, send)
    const nowMs = timing.clock.nowMs()
    const seen = await reads.info(item)
    if (seen !== null) stamps.observe(seen.ballot)
    // What a read refuses needs no promises.
    const first = evaluateChange(change, seen, { ballot: ZERO_STAMP, nowMs })
    if ('refused' in first) return { outcome: first.refused, record: null }

    let proposedAt: Stamp | null = null
    let existed = first.existed
    for await (const _ of proposals.attempts('the write may have happened or not')) {
      const prepared = await proposals.prepare(item)
      if (prepared === null) continue
      const { ballot, newest: found } = prepared
      const step = resumeDependent(found, { writeId, proposedAt })
      if (step === 'conflict') throw writeConflict()
      const evaluation: Evaluation =
        step === 'finish'
          ? { record: found!, existed }
          : evaluateChange(change, found, { ballot, nowMs })
      if ('refused' in evaluation) {
        if (found === null || (prepared.isChosen && proposedAt === null)) {
          return { outcome: evaluation.refused, record: null }
        }
        // Only what is chosen can refuse, and nothing of ours may be left that is newer.
        const accepted = await proposals.accept(item, found, prepared)
        if (accepted.isChosen) return { outcome: evaluation.refused, record: null }
        continue
      }
      existed = evaluation.existed
      const accepted = await proposals.accept(item, evaluation.record, prepared, send)
      if (accepted.isChosen) {
        this.#fillIn(item, { ...evaluation.record, ballot }, accepted)
        const info = infoOf(item, evaluation.record, ballot)
        return { outcome: { status: 'done', info, existed }, record: info }
      }
      if (accepted.isNotEmpty) {
        // The rows may have gone meanwhile: then the tombstone that one replica took is completed all the same.
        const chosen = await proposals.complete(item, { over: true })
        const end = resumeDependent(chosen, { writeId, proposedAt: proposedAt ?? ballot })
        if (end === 'conflict') throw writeConflict()
        if (end === 'evaluate') return { outcome: { status: 'not-empty' }, record: null }
        return { outcome: { status: 'done', info: chosen!, existed }, record: chosen }
      }
      if (accepted.isAnywhere) proposedAt ??= ballot
      else if (accepted.isFull && proposedAt === null) throw devicesFull()
    }
    throw noQuorum('the write may have happened or not')
  }

  /** Deletes the very record, whatever else is true of it. The tombstone; null if something else is there by now. */
  async deleteOnly(item: ItemKey, only: string): Promise<ItemInfo | null> {
    const writeId = this.nextWriteId()
    const change = {
      item,
      action: 'delete',
      writeId,
      meta: { headers: {} },
      bytes: 0,
      only,
    } as const
    return (await this.change(change)).record
  }

  /** Sees to the replicas that have not answered yet or failed, in the background unless too much is there already. */
  async #follow(
    record: RecordHead,
    item: ItemKey,
    primaries: readonly Replica[],
    round: Round<WriteOutcome>,
  ): Promise<void> {
    this.#unsettledRounds++
    const followed = round.settled.then(() => {
      this.#unsettledRounds--
      this.#copyToHandoffs(record, item, primaries, round.replies)
    })
    if (this.#unsettledRounds > UNSETTLED_ROUNDS_MAX) await followed
  }

  #fillIn(item: ItemKey, record: RecordHead, { group, replies }: Accepted): void {
    this.#copyToHandoffs(record, item, group.replicas, replies)
  }

  /** For each primary that failed, one handoff is given the object for the repair to find. It never counts. */
  #copyToHandoffs(
    record: RecordHead,
    item: ItemKey,
    primaries: readonly Replica[],
    replies: Replies<WriteOutcome>,
  ): void {
    if (item.kind !== 'object') return
    const failedCount = replies.filter((reply) => reply !== undefined && 'failure' in reply).length
    const holder = replies.findIndex((reply) => isAccepted(reply, record.deleted))
    if (failedCount === 0 || holder < 0) return
    this.#options.jobs.add('handoff copy', () =>
      this.#fillHandoffs(item, record, primaries[holder]!, failedCount),
    )
  }

  async #fillHandoffs(
    item: ItemKey,
    record: RecordHead,
    source: Replica,
    copies: number,
  ): Promise<void> {
    const { replicas, timing, counters } = this.#options
    let missing = copies
    let tries = copies * HANDOFFS_TRIED_MAX
    for (const target of replicas.handoffs(item)) {
      if (missing === 0 || tries === 0) return
      tries--
      if (!target.health.available()) continue
      const order = { item, record, source, target, stale: null }
      const reply = await askOne(target, () => bringUpToDate(order), repairTiming(timing, record))
      if ('failure' in reply || !reply.outcome) continue
      missing--
      counters.handoffCopies++
    }
  }
}

function writeOf(group: ReplicaGroup, write: ItemWrite): ItemWrite {
  return group.epoch === 0 ? write : { ...write, item: itemOf(group, write.item) }
}

function mayHaveTaken(reply: Replies<WriteOutcome>[number]): boolean {
  if (reply === undefined) return true
  return 'failure' in reply ? reply.failure === 'unknown' : isAccepted(reply, true)
}

/** Of a write that may have been taken by devices that are not asked any more. */
function doubted(verdict: WriteVerdict): WriteVerdict {
  if (verdict.verdict === 'superseded') return { verdict: 'contested', ballot: verdict.ballot }
  return verdict.verdict === 'refused' || verdict.verdict === 'full'
    ? { verdict: 'indeterminate' }
    : verdict
}

function isAccepted(reply: Replies<WriteOutcome>[number], isDelete: boolean): boolean {
  if (reply === undefined || 'failure' in reply) return false
  const { status } = reply.outcome
  return status === 'done' || (isDelete && status === 'not-found')
}

function ofRefusal({ ballot, isMajority }: Extract<WriteVerdict, { verdict: 'superseded' }>) {
  return { ballot, isMajority }
}

/** Of a recovered write, as a replica would have answered it. */
function plainOutcome(
  write: ItemWrite,
  bytes: number,
  ballot: Stamp,
  existed: boolean,
): BackendOutcome {
  if (write.action === 'delete' && !existed) return { status: 'not-found' }
  return {
    status: 'done',
    info: infoOf(write.item, recordOfWrite(write, bytes, ballot), ballot),
    existed,
  }
}

function infoOf({ name, policy }: ItemKey, record: RecordHead, ballot: Stamp): ItemInfo {
  const { stamp, metaStamp, writeId, deleted, bytes, meta, dependent } = record
  const flag = dependent === true ? ({ dependent } as const) : {}
  return { name, policy, deleted, stamp, metaStamp, ballot, writeId, ...flag, bytes, meta }
}

type SimpleVerdict = Exclude<WriteVerdict, { readonly verdict: 'superseded' | 'contested' }>

function outcomeOf(verdict: SimpleVerdict, replies: Replies<WriteOutcome>): BackendOutcome {
  switch (verdict.verdict) {
    case 'done':
    case 'precondition-failed':
    case 'not-found':
    case 'not-empty':
      return bestOutcome(replies, verdict.verdict)
    case 'full':
      throw devicesFull(causeOf(replies))
    case 'refused':
      throw noQuorum('too few replicas took the write', causeOf(replies))
    case 'indeterminate':
      throw noQuorum('the write may have happened or not', causeOf(replies))
  }
}

/** Of the outcomes of that status, the one that knows of a record before, if there is one. */
function bestOutcome(
  replies: Replies<WriteOutcome>,
  status: Exclude<BackendOutcome['status'], 'superseded'>,
): BackendOutcome {
  let best: BackendOutcome = { status: 'not-found' }
  for (const reply of replies) {
    if (reply === undefined || 'failure' in reply) continue
    const { outcome } = reply
    if (outcome.status !== status || !isFinal(outcome)) continue
    if (best.status !== status || knowsBefore(outcome)) best = outcome
  }
  return best
}

function isFinal(outcome: WriteOutcome): outcome is BackendOutcome {
  return outcome.status !== 'superseded' && outcome.status !== 'body-missing'
}

function knowsBefore(outcome: WriteOutcome): boolean {
  if (outcome.status === 'done') return outcome.existed
  return outcome.status === 'precondition-failed' && outcome.current !== null
}

/** Others have built on what may have been ours. S3 answers 409 ConditionalRequestConflict. */
function writeConflict(): ServiceError {
  const message = 'other writes came between: this one may have happened or not'
  return new ServiceError('WriteConflict', message, { status: 503, retryAfterSeconds: 1 })
}
