/**
 * The two phases of CASPaxos towards the primaries of a name: prepare at a quorum, accept at a quorum. What is
 * proposed is decided by the caller (register-decisions.ts); here are the messages, the copying of bodies to replicas
 * that lack them, and the pauses between attempts.
 */

import { acceptOf, type RecordHead } from '../../common/accept.ts'
import type { ItemKey } from '../../common/item.ts'
import type { Random } from '../../common/random.ts'
import type { Stamp, StampClock } from '../../common/stamp.ts'
import type {
  ItemInfo,
  ItemWrite,
  PrepareOutcome,
  WriteOutcome,
} from '../../common/storage-node.ts'
import { devicesFull, noQuorum } from './backend-errors.ts'
import type { BackgroundJobs } from './background-jobs.ts'
import type { BackendCounters } from './counters.ts'
import type { Replies } from './quorum.ts'
import { isChosen, newestOf, type Promised, withoutTombstone } from './register-decisions.ts'
import { bringUpToDate, copyBody, repairTiming } from './repair.ts'
import { askAll, askOne, type CallTiming, causeOf, isAnyStale } from './replica-calls.ts'
import { itemOf, type Replica, type ReplicaGroup, type ReplicaMap } from './replica-map.ts'

export interface ProposalsOptions {
  readonly replicas: ReplicaMap
  readonly stamps: StampClock
  readonly timing: CallTiming
  readonly jobs: BackgroundJobs
  readonly counters: BackendCounters
  readonly random: Random
}

/** How an accept is sent to one replica. */
export type Send = (replica: Replica, write: ItemWrite) => Promise<WriteOutcome>

/** A ballot that was prepared, and the group that promised: what is accepted under it is accepted by these. */
export interface Prepared {
  readonly ballot: Stamp
  readonly group: ReplicaGroup
}

/** A quorum has promised; `promises` may be more. */
export interface Promises extends Prepared {
  readonly promises: readonly Promised[]
  readonly newest: ItemInfo | null
  /** A majority holds the newest record under one ballot. */
  readonly isChosen: boolean
}

export interface Accepted {
  /** A majority has the record, durably. */
  readonly isChosen: boolean
  /** Some replica has it, or may have it. */
  readonly isAnywhere: boolean
  /** A list was not deleted because it has rows. */
  readonly isNotEmpty: boolean
  /** A majority has no space. */
  readonly isFull: boolean
  readonly group: ReplicaGroup
  readonly replies: Replies<WriteOutcome>
}

/** `refused`: the replica has promised or accepted something newer, or its source changed meanwhile. */
export type RepairResult = 'done' | 'refused' | 'failed'

/** Attempts of one operation, and the time after which no further one is begun. */
const ATTEMPTS_MAX = 12
const ATTEMPTS_MS_MAX = 30_000
/** Pauses between attempts are random up to this, doubled each time up to the limit. */
const PAUSE_MS = 4
const PAUSE_MS_MAX = 250

export class Proposals {
  readonly #options: ProposalsOptions

  constructor(options: ProposalsOptions) {
    this.#options = options
  }

  /** Numbers the attempts of one operation, with pauses between them; throws a 503 after the last. */
  async *attempts(ended: string): AsyncGenerator<number, never, undefined> {
    const { timing, random } = this.#options
    const startedMs = timing.clock.monotonicMs()
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      if (attempt > 1) {
        if (timing.clock.monotonicMs() - startedMs > ATTEMPTS_MS_MAX) break
        const limitMs = Math.min(PAUSE_MS_MAX, PAUSE_MS * 2 ** attempt)
        await this.#pause(1 + random.below(limitMs))
      }
      yield attempt
    }
    throw noQuorum(ended)
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.timing.clock.after(ms, resolve)
    })
  }

  /**
   * Asks all primaries to promise a fresh ballot, above everything seen. Null if they have promised or accepted newer
   * ones (they are above the next ballot's now); throws a 503 if no majority can be reached. `all`: every primary is
   * waited for.
   */
  async prepare(item: ItemKey, options: { readonly all?: boolean } = {}): Promise<Promises | null> {
    const { replicas, stamps, timing, counters } = this.#options
    const group = replicas.group(item)
    const { quorum } = group
    const ballot = stamps.next()
    counters.prepares++
    const asked = itemOf(group, item)
    const round = await askAll<PrepareOutcome>(
      group,
      (replica) => replica.node.prepare(replica.device, asked, ballot),
      (replies) => options.all !== true && isPrepareDecided(replies, quorum),
      timing,
    )
    const promises: Promised[] = []
    let isSuperseded = false
    for (const [replica, reply] of round.replies.entries()) {
      if (reply === undefined || 'failure' in reply) continue
      const { outcome } = reply
      if (outcome.status === 'promised') promises.push({ replica, current: outcome.current })
      else {
        isSuperseded = true
        stamps.observe(outcome.ballot)
      }
    }
    if (promises.length < quorum) {
      if (isSuperseded) return null
      if (isAnyStale(round.replies) && (await replicas.refresh(group.epoch))) return null
      if (isFull(round.replies, quorum)) throw devicesFull(causeOf(round.replies))
      throw noQuorum('too few replicas answered the proposal', causeOf(round.replies))
    }
    const newest = newestOf(promises)
    return { ballot, group, promises, newest, isChosen: isChosen(promises, newest, quorum) }
  }

  /**
   * Has the record accepted under the ballot by a quorum. `send` gives replicas a body that we have ourselves; without
   * it they take the one that they have, and those that have none get a copy from one that has. The group is the one that
   * promised: where the rings have changed since, nodes refuse, and the ballot has to be prepared anew.
   */
  async accept(
    item: ItemKey,
    record: RecordHead,
    { ballot, group }: Prepared,
    send: Send = keepBody,
  ): Promise<Accepted> {
    const { replicas, stamps, timing } = this.#options
    const { quorum } = group
    const write = acceptOf(itemOf(group, item), record, ballot)
    const round = await askAll(
      group,
      (replica) => send(replica, write),
      (replies) => replies.filter((reply) => statusOf(reply) === 'done').length >= quorum,
      timing,
    )
    const replies = [...round.replies]
    await this.#copyToMissing(write, record, group, replies)
    let done = 0
    let unknown = 0
    let isNotEmpty = false
    for (const reply of replies) {
      if (reply === undefined || ('failure' in reply && reply.failure === 'unknown')) unknown++
      if (statusOf(reply) === 'done') done++
      if (statusOf(reply) === 'not-empty') isNotEmpty = true
      const outcome = reply !== undefined && 'outcome' in reply ? reply.outcome : null
      if (outcome?.status === 'superseded') stamps.observe(outcome.ballot)
    }
    if (done < quorum && isAnyStale(replies)) await replicas.refresh(group.epoch)
    return {
      isChosen: done >= quorum,
      isAnywhere: done + unknown > 0,
      isNotEmpty,
      isFull: isFull(replies, quorum),
      group,
      replies,
    }
  }

  /** Copies the body to replicas that lack it: at once while there is no majority, else in the background. */
  async #copyToMissing(
    write: ItemWrite,
    record: RecordHead,
    { replicas: primaries, quorum }: ReplicaGroup,
    replies: Replies<WriteOutcome>[number][],
  ): Promise<void> {
    const indexes = [...replies.keys()]
    const missing = indexes.filter((index) => statusOf(replies[index]) === 'body-missing')
    const holders = indexes.filter((index) => statusOf(replies[index]) === 'done')
    const source = primaries[holders[0] ?? -1]
    if (missing.length === 0 || source === undefined) return
    const { timing, jobs } = this.#options
    const copy = async (index: number) => {
      const target = primaries[index]!
      const call = async () => (await copyBody(write, source, target)) ?? MISSING
      replies[index] = await askOne(target, call, repairTiming(timing, record))
    }
    if (holders.length < quorum) await Promise.all(missing.map(copy))
    else for (const index of missing) jobs.add('read repair', () => copy(index))
  }

  /**
   * Makes sure that what is current is chosen, so that no later read goes back behind it. A tombstone that a list's
   * replicas refuse because of its rows, and that was not chosen, is taken back. `over`: accepted anew even if it is
   * chosen already, so that nothing that was left on a minority meanwhile is newer. Resolves with what is chosen.
   */
  async complete(
    item: ItemKey,
    options: { readonly over?: boolean } = {},
  ): Promise<ItemInfo | null> {
    let refused: ItemInfo | null = null
    for await (const _ of this.attempts('the newest record cannot be completed')) {
      const prepared = await this.prepare(item, { all: refused !== null })
      if (prepared === null) continue
      let { newest } = prepared
      if (newest === null || (prepared.isChosen && options.over !== true)) return newest
      if (refused !== null && newest.writeId === refused.writeId) {
        const { replicas, quorum } = prepared.group
        const of = { replicaCount: replicas.length, quorum }
        const before = withoutTombstone(prepared.promises, newest, of)
        if (before === null) return null
        newest = before ?? newest
      }
      const accepted = await this.accept(item, newest, prepared)
      if (accepted.isChosen) {
        this.#options.counters.completions++
        return newest
      }
      if (accepted.isNotEmpty) refused = newest
    }
    return null
  }

  /** Sends a replica the very accept that it missed. */
  async repair(order: {
    readonly item: ItemKey
    readonly record: ItemInfo
    readonly source: Replica
    readonly target: Replica
    readonly stale: ItemInfo | null
  }): Promise<RepairResult> {
    const { timing, counters } = this.#options
    const reply = await askOne(
      order.target,
      () => bringUpToDate(order),
      repairTiming(timing, order.record),
    )
    if ('failure' in reply) return 'failed'
    if (!reply.outcome) return 'refused'
    counters.readRepairs++
    return 'done'
  }
}

const MISSING: WriteOutcome = { status: 'body-missing' }

const keepBody: Send = (replica, write) => replica.node.write(replica.device, write, null)

function isPrepareDecided(replies: Replies<PrepareOutcome>, quorum: number): boolean {
  let promised = 0
  let pending = 0
  let superseded = 0
  for (const reply of replies) {
    if (reply === undefined) pending++
    else if ('outcome' in reply && reply.outcome.status === 'promised') promised++
    else if ('outcome' in reply) superseded++
  }
  return promised >= quorum || (superseded > 0 && promised + pending < quorum)
}

function statusOf(reply: Replies<WriteOutcome>[number]): WriteOutcome['status'] | null {
  return reply !== undefined && 'outcome' in reply ? reply.outcome.status : null
}

function isFull(replies: Replies<unknown>, quorum: number): boolean {
  const full = replies.filter((reply) => reply && 'failure' in reply && reply.failure === 'full')
  return full.length >= quorum
}
