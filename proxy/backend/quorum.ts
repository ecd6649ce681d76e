/**
 * What the answers of N replicas to one write add up to: pure decisions (docs: distribution.md 2.2, 2.6).
 *
 *   write quorum W = read quorum R = floor(N / 2) + 1, of the partition's primaries; handoffs never count. While a
 *   partition moves W is larger (common/ring/placement.ts, quorumOf): the group of replicas says.
 */
import assert from 'node:assert'
import { compareStamps, type Stamp, ZERO_STAMP } from '../../common/stamp.ts'
import type { RowOutcome, WriteAction, WriteOutcome } from '../../common/storage-node.ts'

/** A strict majority of the replicas. */
export function majorityOf(replicaCount: number): number {
  return (replicaCount >>> 1) + 1
}

/** Why a replica gave no outcome. */
export const FAILURES = [
  /** It was not reached, or it refused: nothing was written there. */
  'refused',
  /** The same, because it has no space. */
  'full',
  /** It was asked and did not answer: it may have written or not. */
  'unknown',
] as const
export type Failure = (typeof FAILURES)[number]

export type Reply<T> =
  | { readonly outcome: T }
  | { readonly failure: Failure; readonly error: unknown }

/** One entry for each replica, undefined while it has not answered. */
export type Replies<T> = readonly (Reply<T> | undefined)[]

export type WriteVerdict =
  /** W replicas have it, durably. */
  | { readonly verdict: 'done' }
  /** What was to be changed is not there; a deletion is recorded by W all the same. */
  | { readonly verdict: 'not-found' }
  | { readonly verdict: 'precondition-failed' | 'not-empty' }
  /**
   * Refused by promises or newer records and accepted nowhere: safe to try again above `ballot`. `isMajority`: so many
   * said so that a stamp above it is above everything that has completed.
   */
  | { readonly verdict: 'superseded'; readonly ballot: Stamp; readonly isMajority: boolean }
  /** Refused by newer ballots at some, accepted or perhaps accepted by others: to be recovered. */
  | { readonly verdict: 'contested'; readonly ballot: Stamp }
  /** No quorum, and nobody has it. */
  | { readonly verdict: 'refused' }
  | { readonly verdict: 'full' }
  /** No quorum, and somebody has it or may have it: nobody can know how it ends. */
  | { readonly verdict: 'indeterminate' }

/** The verdict on a write, or null while answers that matter are outstanding. */
export function judgeWrite(
  replies: Replies<WriteOutcome>,
  action: WriteAction,
  quorum: number,
): WriteVerdict | null {
  const count = tally(replies, action)
  if (count.accepted >= quorum) {
    return { verdict: count.done > 0 ? 'done' : 'not-found' }
  }
  const contested = { verdict: 'contested', ballot: count.ballot } as const
  const mayReach = count.accepted + count.pending >= quorum
  if (count.accepted > 0 && count.superseded > 0 && !mayReach) return contested
  // No early verdict on other failures: whether somebody accepted decides between a retry and a recovery.
  if (count.pending > 0) return null
  if (count.superseded > 0 && count.accepted + count.unknown > 0) return contested
  if (count.accepted > 0) return { verdict: 'indeterminate' }
  // One replica with rows is enough: an empty one beside it only lags.
  if (count.notEmpty > 0) return { verdict: 'not-empty' }
  if (count.preconditionFailed >= quorum) return { verdict: 'precondition-failed' }
  if (count.notFound >= quorum) return { verdict: 'not-found' }
  if (count.unknown > 0) return { verdict: 'indeterminate' }
  if (count.superseded > 0) {
    const isMajority = count.superseded >= quorum
    return { verdict: 'superseded', ballot: count.ballot, isMajority }
  }
  if (count.full >= quorum) return { verdict: 'full' }
  return { verdict: 'refused' }
}

export type RowVerdict = 'done' | 'not-found' | 'stale-settings' | 'refused' | 'full'

/**
 * The verdict on a row, or null while answers that matter are outstanding. A replica that holds a newer row of the
 * name counts: that row's own writer, or the settling of unconfirmed rows, answers for it.
 */
export function judgeRow(replies: Replies<RowOutcome>, quorum: number): RowVerdict | null {
  let accepted = 0
  let notFound = 0
  let stale = 0
  let full = 0
  let pending = 0
  for (const reply of replies) {
    if (reply === undefined) pending++
    else if ('failure' in reply) full += reply.failure === 'full' ? 1 : 0
    else if (reply.outcome.status === 'not-found') notFound++
    else if (reply.outcome.status === 'stale-settings') stale++
    else accepted++
  }
  if (accepted >= quorum) return 'done'
  if (notFound >= quorum) return 'not-found'
  if (accepted + pending >= quorum || notFound + pending >= quorum) return null
  // One that knows better is enough: what is current is asked for before the row is sent again.
  if (stale > 0) return 'stale-settings'
  return full >= quorum ? 'full' : 'refused'
}

export type ReadVerdict =
  /** Fewer than R replicas answered. */
  | { readonly verdict: 'no-quorum' }
  /** The newest record is held by W replicas: `holders` and `lagging` index the answers. */
  | ReadSides<'agreed'>
  /** It is not known to be: W must hold it before it may be shown. */
  | ReadSides<'incomplete'>

interface ReadSides<V extends string> {
  readonly verdict: V
  readonly newest: Stamp
  readonly holders: readonly number[]
  readonly lagging: readonly number[]
}

/**
 * What was read, judged by ballots: ZERO_STAMP for a replica that knows nothing, undefined for one that did not
 * answer.
 */
export function judgeRead(ballots: readonly (Stamp | undefined)[], quorum: number): ReadVerdict {
  let newest = ZERO_STAMP
  let answered = 0
  for (const ballot of ballots) {
    if (ballot === undefined) continue
    answered++
    if (compareStamps(ballot, newest) > 0) newest = ballot
  }
  if (answered < quorum) return { verdict: 'no-quorum' }
  const holders: number[] = []
  const lagging: number[] = []
  for (const [index, ballot] of ballots.entries()) {
    if (ballot === undefined) continue
    if (compareStamps(ballot, newest) === 0) holders.push(index)
    else lagging.push(index)
  }
  return {
    verdict: holders.length >= quorum ? 'agreed' : 'incomplete',
    newest,
    holders,
    lagging,
  }
}

interface WriteTally {
  readonly done: number
  readonly notFound: number
  readonly accepted: number
  readonly notEmpty: number
  readonly preconditionFailed: number
  readonly superseded: number
  readonly ballot: Stamp
  readonly full: number
  readonly unknown: number
  readonly pending: number
}

function tally(replies: Replies<WriteOutcome>, action: WriteAction): WriteTally {
  const statuses: Record<WriteOutcome['status'], number> = {
    done: 0,
    superseded: 0,
    'precondition-failed': 0,
    'not-found': 0,
    'not-empty': 0,
    'body-missing': 0,
  }
  const failures: Record<Failure, number> = { refused: 0, full: 0, unknown: 0 }
  let ballot = ZERO_STAMP
  let pending = 0
  for (const reply of replies) {
    if (reply === undefined) pending++
    else if ('failure' in reply) failures[reply.failure]++
    else {
      const { outcome } = reply
      statuses[outcome.status]++
      if (outcome.status === 'superseded' && compareStamps(outcome.ballot, ballot) > 0) {
        ballot = outcome.ballot
      }
    }
  }
  assert(replies.length > 0, 'a write has replicas')
  return {
    done: statuses.done,
    notFound: statuses['not-found'],
    // A delete of what a replica does not have is recorded there nevertheless.
    accepted: statuses.done + (action === 'delete' ? statuses['not-found'] : 0),
    notEmpty: statuses['not-empty'],
    preconditionFailed: statuses['precondition-failed'],
    superseded: statuses.superseded,
    ballot,
    full: failures.full,
    unknown: failures.unknown,
    pending,
  }
}
