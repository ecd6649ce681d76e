/**
 * Who renames an object holds a claim on it, kept with its record: so of several renames of one object one goes on, and a
 * client that asks again after a failure finds its own. Written under the condition that the record is still the one that was
 * looked at.
 */

import type { ItemInfo } from '../../../common/storage-node.ts'
import { S3_RENAME_CLAIM, S3_RENAMED, S3_SHARES_PARTS } from '../../swift/foreign-meta.ts'
import { uploadOf } from '../../swift/own-parts.ts'
import type { S3Place } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { checkSource } from './copy-source.ts'
import { findForS3 } from './find-for-s3.ts'
import { headObjectAt } from './write-condition.ts'

/** A claim whose holder is gone is free after that. */
const CLAIM_MS_MIN = 60_000
/** And so much longer for its bytes: slower than this nobody copies. */
const BYTES_PER_MS = 1_000
const ROUNDS_MAX = 8

/** In place of a claim's id: two names have the parts, and nobody knows any more which of them was first. */
const SHARED_FOR_GOOD = '*'

export interface ClaimedObject {
  readonly record: ItemInfo
  /** Its parts were its own before: whoever has put the mark there may take it away. */
  readonly ownedParts: boolean
}

/** Claims the object; NoSuchKey, PreconditionFailed by its conditions, or OperationAborted if somebody else has it. */
export async function claimObject(
  call: S3Call,
  place: S3Place,
  id: string,
): Promise<ClaimedObject> {
  const { backend, clock } = call.exchange.proxy
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const { info } = (await findForS3(call, place, { version: undefined, head: true })).read
    checkSource(call, info, 'x-amz-rename-source')
    if (isClaimed(info, clock.nowMs()) && claimHolder(info, id) !== 'self') break
    const untilMs = Math.ceil(clock.nowMs() + CLAIM_MS_MIN + info.bytes / BYTES_PER_MS)
    const mark = sharesParts(info)
    const shared = uploadOf(info) === undefined ? {} : { [S3_SHARES_PARTS]: markAfter(mark, id) }
    const headers = { ...info.meta.headers, ...shared, [S3_RENAME_CLAIM]: `${untilMs} ${id}` }
    const outcome = await backend.postObject(place, {
      meta: { headers },
      condition: { ifWriteId: info.writeId },
    })
    if (outcome.status === 'done') return { record: outcome.info, ownedParts: mark === undefined }
  }
  throw new S3Error('OperationAborted')
}

/** Whether somebody may be renaming it. */
export function isClaimed(info: ItemInfo, nowMs: number): boolean {
  return (claimOf(info)?.untilMs ?? 0) > nowMs
}

/** Who has marked the object's parts as those of two names; undefined: they are its own. */
export function sharesParts({ meta }: ItemInfo): string | undefined {
  return meta.headers[S3_SHARES_PARTS] || undefined
}

/** Somebody else's mark stays for good: another name may have the parts as well. */
function markAfter(mark: string | undefined, id: string): string {
  return mark === undefined || mark === id ? id : SHARED_FOR_GOOD
}

/** An object's headers without what a renaming that has not come to its end has left. */
export function unclaimedHeaders({ meta }: ItemInfo): Readonly<Record<string, string>> {
  const { [S3_RENAME_CLAIM]: _claim, ...headers } = meta.headers
  return headers
}

/** Whose claim it is: `nobody` also where the object was written anew. */
export function claimHolder(info: ItemInfo, id: string): 'self' | 'other' | 'nobody' {
  const claim = claimOf(info)
  if (claim === null) return 'nobody'
  return claim.id === id ? 'self' : 'other'
}

/**
 * Takes the marks of a renaming off, whatever else of the object was changed since; `parts`: its parts are its own (again). What
 * was written anew, or is another's, stays as it is.
 */
export async function dropClaim(
  call: S3Call,
  place: S3Place,
  {
    record,
    id,
    parts,
  }: { readonly record: ItemInfo; readonly id: string; readonly parts: boolean },
): Promise<void> {
  const { backend } = call.exchange.proxy
  let current: ItemInfo | null = record
  for (let round = 0; round < ROUNDS_MAX && current !== null; round++) {
    const marks = {
      ...(claimHolder(current, id) === 'self' && { [S3_RENAME_CLAIM]: '' }),
      ...(parts && sharesParts(current) === id && { [S3_SHARES_PARTS]: '' }),
    }
    if (Object.keys(marks).length === 0) return
    const { status } = await backend.postObject(place, {
      meta: { headers: { ...current.meta.headers, ...marks } },
      condition: { ifWriteId: current.writeId },
    })
    if (status === 'done') return
    current = await headObjectAt(call, place)
  }
}

/** An object's headers under its new name. */
export function renamedHeaders(
  info: ItemInfo,
  from: { readonly key: string; readonly token: string | undefined },
): Readonly<Record<string, string>> {
  const { [S3_RENAMED]: _renamed, ...headers } = unclaimedHeaders(info)
  return from.token === undefined
    ? headers
    : { ...headers, [S3_RENAMED]: `${from.token} ${from.key}` }
}

/** What the object was renamed from, if that was asked for with a token. */
export function renamedFrom({ meta }: ItemInfo): {
  readonly token: string
  readonly key: string
} | null {
  const match = /^(\S+) (.*)$/s.exec(meta.headers[S3_RENAMED] ?? '')
  return match === null ? null : { token: match[1]!, key: match[2]! }
}

function claimOf({ meta }: ItemInfo): { readonly untilMs: number; readonly id: string } | null {
  const match = /^(\d+) (\S+)$/.exec(meta.headers[S3_RENAME_CLAIM] ?? '')
  return match === null ? null : { untilMs: Number(match[1]), id: match[2]! }
}
