/** A write that depends on the old value, and what it makes of one: pure. */

import type { RecordHead } from '../../common/accept.ts'
import { type Condition, evaluateCondition } from '../../common/condition.ts'
import type { ItemKey } from '../../common/item.ts'
import { deleteAtOf, mergeMeta, subjectOf } from '../../common/item-meta.ts'
import type { Stamp } from '../../common/stamp.ts'
import type { ItemInfo, ItemMeta } from '../../common/storage-node.ts'
import type { BackendOutcome } from './backend.ts'
import { POLICY_HEADER } from './container-policy.ts'

export interface RegisterChange {
  readonly item: ItemKey
  readonly action: 'put' | 'post' | 'delete'
  readonly writeId: string
  readonly meta: ItemMeta
  /** Length of the body of a put. */
  readonly bytes: number
  readonly condition?: Condition
  /** Of a post: an object whose time has come is changed all the same. */
  readonly openExpired?: true
  /** The very record that is to be deleted, by its write id, whether it has expired or not. */
  readonly only?: string
}

export type Evaluation =
  | { readonly refused: BackendOutcome }
  /** What is to be accepted, and whether a live record was there before. */
  | { readonly record: RecordHead; readonly existed: boolean }

/** What the change makes of the current record under the ballot. Posts, and puts of lists that are there, merge. */
export function evaluateChange(
  change: RegisterChange,
  current: ItemInfo | null,
  at: { readonly ballot: Stamp; readonly nowMs: number },
): Evaluation {
  const { only, condition } = change
  if (only !== undefined) return deleteOnly(change, only, current, at.ballot)
  const live = liveOf(current, change.openExpired === true ? 0 : at.nowMs)
  if (condition !== undefined) {
    const outcome = evaluateCondition(condition, live && subjectOf(live))
    if (outcome !== 'holds') return { refused: { status: 'precondition-failed', current: live } }
  }
  switch (change.action) {
    case 'delete':
      if (live === null) return { refused: { status: 'not-found' } }
      return { record: tombstone(change, at.ballot), existed: true }
    case 'post':
      if (live === null) return { refused: { status: 'not-found' } }
      return { record: merged(change, live, at.ballot), existed: true }
    case 'put':
      if (live !== null && change.item.kind !== 'object') {
        return { record: merged(change, live, at.ballot), existed: true }
      }
      return { record: created(change, at.ballot), existed: live !== null }
  }
}

/** The record as a client sees it: null for a tombstone, and for an object whose time has come. */
function liveOf(current: ItemInfo | null, nowMs: number): ItemInfo | null {
  if (current === null || current.deleted) return null
  const deleteAt = deleteAtOf(current.meta.headers)
  return deleteAt > 0 && deleteAt <= nowMs / 1000 ? null : current
}

function deleteOnly(
  change: RegisterChange,
  writeId: string,
  current: ItemInfo | null,
  ballot: Stamp,
): Evaluation {
  if (current === null || current.deleted || current.writeId !== writeId) {
    return { refused: { status: 'precondition-failed', current } }
  }
  return { record: tombstone(change, ballot), existed: true }
}

function created({ writeId, meta, bytes }: RegisterChange, ballot: Stamp): RecordHead {
  return {
    stamp: ballot,
    metaStamp: ballot,
    ballot,
    writeId,
    dependent: true,
    deleted: false,
    bytes,
    meta,
  }
}

function tombstone(change: RegisterChange, ballot: Stamp): RecordHead {
  return { ...created(change, ballot), deleted: true, bytes: 0, meta: { headers: {} } }
}

function merged(change: RegisterChange, live: ItemInfo, ballot: Stamp): RecordHead {
  const { stamp, bytes } = live
  const meta = mergeMeta(change, live.meta)
  // A container that somebody else made meanwhile keeps the policy that it was made with.
  const policy = change.item.kind === 'object' ? undefined : live.meta.headers[POLICY_HEADER]
  const headers = policy === undefined ? meta.headers : { ...meta.headers, [POLICY_HEADER]: policy }
  return { ...created(change, ballot), stamp, bytes, meta: { ...meta, headers } }
}
