/** DELETE of an object or of one of its versions. */

import type { IncomingHttpHeaders } from 'node:http'
import { replyHeader } from '../../reply.ts'
import { S3_REPLICATION } from '../../swift/foreign-meta.ts'
import { dropReply, innerExchange } from '../../swift/inner-exchange.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { REMOVED_MARKER } from '../../swift/object-post.ts'
import type { Replica } from '../../swift/versions/version-rules.ts'
import { versionRulesOf } from '../lock/lock-headers.ts'
import { REPLICA, STAYS_HERE } from '../replication/replication-status.ts'
import type { S3Call } from '../s3-call.ts'
import { failureOf } from './put-through-swift.ts'
import { keepsVersions } from './version-id.ts'

export interface DeleteWanted {
  /** Set: this very version, for good. */
  readonly version: string | undefined
  readonly condition: IncomingHttpHeaders
  /** Only what the name was then: a record of this write id. */
  readonly ifWriteId?: string
  /** Another store's delete marker. */
  readonly replica?: Replica | undefined
  /** By a rule of the bucket's: a delete marker of it stays here, where others are replicated. */
  readonly isByRule?: boolean
  /** A version that is current (again) stays. */
  readonly keepsCurrent?: boolean
}

export interface DeletedKey {
  /** What was removed is a delete marker, or what was made. */
  readonly isMarker: boolean
  /** The version that was removed, or the delete marker that was made; undefined where no versions are kept. */
  readonly versionId: string | undefined
}

/** Deletes the object (and so the parts that are its own); one that is not there is deleted already. */
export async function deleteKey(
  call: S3Call,
  place: ObjectPlace,
  wanted: DeleteWanted,
): Promise<DeletedKey> {
  const { version, condition } = wanted
  const { account, container, object } = place
  const inner = innerExchange(call.exchange, {
    method: 'DELETE',
    path: { account, container, object },
    headers: condition,
    ...(version !== undefined && { query: `version-id=${version}` }),
  })
  const { keepsCurrent, replica, isByRule } = wanted
  inner.versionRules = {
    ...versionRulesOf(call),
    ...(keepsCurrent === true && { keepsCurrent }),
    ...(replica !== undefined && { replica }),
  }
  const status = replica !== undefined ? REPLICA : isByRule === true ? STAYS_HERE : undefined
  if (status !== undefined) inner.addedMeta = () => ({ [S3_REPLICATION]: status })
  inner.onlyIfWriteId = wanted.ifWriteId
  const reply = await call.exchange.proxy.answerInner(inner)
  await dropReply(reply)
  const versionId = keepsVersions(place) ? replyHeader(reply, 'X-Object-Version-Id') : undefined
  // Of a version, or of what leaves a marker, it is an answer like another.
  if (reply.status >= 400 && reply.status !== 404) throw failureOf(reply)
  const isMarker =
    version === undefined
      ? versionId !== undefined
      : replyHeader(reply, REMOVED_MARKER) !== undefined
  return { isMarker, versionId }
}

export function deletedHeaders({ isMarker, versionId }: DeletedKey): string[] {
  return [
    ...(isMarker ? ['x-amz-delete-marker', 'true'] : []),
    ...(versionId === undefined ? [] : ['x-amz-version-id', versionId]),
  ]
}
