/**
 * What a proposer makes of what it finds: pure decisions (docs/decisions/quorum-and-rows.md, distribution.md 2.2).
 *
 * A record is made once, at `createdAt`, and may be accepted under several ballots. Chosen records follow each other in
 * the order of their creation: a plain write is only proposed again over a record that is older than itself, and what
 * depends on an older record is made at the ballot under which that one was read.
 */
import { compareStamps, type Stamp, ZERO_STAMP } from '../../common/stamp.ts'
import type { ItemInfo } from '../../common/storage-node.ts'

/** When the record was made; of one that a POST made, the POST. */
export function createdAt(record: { readonly metaStamp: Stamp }): Stamp {
  return record.metaStamp
}

/** What one replica promised on: its record, or null if it has none. */
export interface Promised {
  readonly replica: number
  readonly current: ItemInfo | null
}

/** The current record: the one with the highest ballot; null if there is none. */
export function newestOf(promises: readonly Promised[]): ItemInfo | null {
  let newest: ItemInfo | null = null
  for (const { current } of promises) {
    if (current === null) continue
    if (newest === null || compareStamps(current.ballot, newest.ballot) > 0) newest = current
  }
  return newest
}

/** Whether a quorum holds the record under one and the same ballot: then it is chosen already. */
export function isChosen(
  promises: readonly Promised[],
  record: ItemInfo | null,
  quorum: number,
): boolean {
  const ballot = record?.ballot ?? ZERO_STAMP
  const holders = promises.filter(
    ({ current }) => compareStamps(current?.ballot ?? ZERO_STAMP, ballot) === 0,
  )
  return holders.length >= quorum
}

/** A plain write that was refused by some replicas and accepted, perhaps, by others. */
export interface PlainWrite {
  readonly writeId: string
  readonly stamp: Stamp
  /** A majority was asked before the stamp was drawn, so it is above everything that had completed by then. */
  readonly isAboveCompleted: boolean
}

/**
 * `finish`    our own record is the newest: success once a majority has it
 * `propose`   ours was never chosen, and under its old ballot it cannot be any more: propose it again
 * `complete`  a plain write came after ours: complete that one; ours counts as having been just before it
 * `unknown`   it came before ours began, or has made something out of ours: nobody can tell
 */
export const PLAIN_RECOVERIES = ['finish', 'propose', 'complete', 'unknown'] as const
export type PlainRecovery = (typeof PLAIN_RECOVERIES)[number]

/** What becomes of a plain write, `found` being the newest record that a majority has promised on. */
export function recoverPlain(found: ItemInfo | null, own: PlainWrite): PlainRecovery {
  if (found === null) return 'propose'
  if (found.writeId === own.writeId) return 'finish'
  if (compareStamps(createdAt(found), own.stamp) < 0) return 'propose'
  return found.dependent === true || !own.isAboveCompleted ? 'unknown' : 'complete'
}

/**
 * `finish`    our own record is the newest
 * `evaluate`  ours is nowhere, or was never chosen: judge the condition on what was found
 * `conflict`  ours may have been chosen and outdone, or made into something else: nobody can tell
 */
export const DEPENDENT_RECOVERIES = ['finish', 'evaluate', 'conflict'] as const
export type DependentRecovery = (typeof DEPENDENT_RECOVERIES)[number]

/** The next step of a write that depends on the old value; `proposedAt`: when ours was first accepted somewhere, if so. */
export function resumeDependent(
  found: ItemInfo | null,
  own: { readonly writeId: string; readonly proposedAt: Stamp | null },
): DependentRecovery {
  if (found?.writeId === own.writeId) return 'finish'
  if (found === null || own.proposedAt === null) return 'evaluate'
  return compareStamps(createdAt(found), own.proposedAt) > 0 ? 'conflict' : 'evaluate'
}

/**
 * The newest record apart from a tombstone that replicas refused because of rows; null if there is none, undefined if
 * the tombstone may have been chosen. It was not if so many replicas never accepted it that no quorum is left.
 */
export function withoutTombstone(
  promises: readonly Promised[],
  tombstone: ItemInfo,
  { replicaCount, quorum }: { readonly replicaCount: number; readonly quorum: number },
): ItemInfo | null | undefined {
  const made = createdAt(tombstone)
  // Ballots only rise: what is below its first one was never the tombstone.
  const never = promises.filter(
    ({ current }) => current === null || compareStamps(current.ballot, made) < 0,
  )
  if (never.length <= replicaCount - quorum) return undefined
  return newestOf(promises.filter(({ current }) => current?.writeId !== tombstone.writeId))
}
