/** What another Swiftlet brings: versions with the ids that they have there. */
import type { Soon } from '../../../common/soon.ts'
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { Reply } from '../../reply.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { parseVersionId, type VersionId } from '../../swift/versions/version-names.ts'
import type { Replica } from '../../swift/versions/version-rules.ts'
import { placeReplica } from '../../swift/versions/version-writes.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { lookForVersion } from '../object/find-for-s3.ts'
import { noSuchVersion } from '../object/version-id.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'

/** The id of the version at its source. With `x-amz-` at its beginning it is signed, or refused. */
export const SOURCE_VERSION = 'x-amz-replication-source-version-id'
/** Asks whether the version is here; what is here takes its place among the others. No body comes with it. */
export const IS_HERE = 'x-amz-replication-is-here'
/** A clock elsewhere may be ahead; ids of a time far away would be newer than all to come. */
const AHEAD_MS_MAX = 24 * 3_600_000

/**
 * The replica that the request brings; undefined: it is a request like others. Takes a right of its own, and a bucket that keeps
 * versions; OperationAborted for what is there already.
 */
export function replicaOfRequest(
  call: S3Call,
  action: 's3:ReplicateObject' | 's3:ReplicateDelete',
): Soon<Replica | undefined> {
  const text = call.header(SOURCE_VERSION)
  return text === undefined ? undefined : enterNewReplica(call, action, text)
}

async function enterNewReplica(
  call: S3Call,
  action: 's3:ReplicateObject' | 's3:ReplicateDelete',
  text: string,
): Promise<Replica> {
  const { place, id } = await enterReplica(call, action, text)
  if (action === 's3:ReplicateObject' && (await isHere(call, place, text))) {
    throw new S3Error('OperationAborted', 'The version is here already.')
  }
  return { id }
}

/** Answers who asks by IS_HERE: NoSuchVersion if it is not. */
export async function answerIsHere(call: S3Call): Promise<Reply> {
  const text = call.header(SOURCE_VERSION) ?? ''
  const { place, id } = await enterReplica(call, 's3:ReplicateObject', text)
  if (!(await isHere(call, place, text))) throw noSuchVersion(place.object, text)
  // Who has stored it may have died before the name pointed to it.
  await placeReplica(call.exchange, place, id)
  return emptyReply(200)
}

async function enterReplica(
  call: S3Call,
  action: 's3:ReplicateObject' | 's3:ReplicateDelete',
  text: string,
): Promise<{ readonly place: ObjectPlace; readonly id: VersionId }> {
  const place = await enterObject(call, { action, acl: 'none', method: 'PUT' })
  if (place.versions?.kind !== 'objects' || !place.versions.enabled) {
    throw new S3Error('InvalidRequest', 'Replicas are kept in buckets that keep versions.')
  }
  return { place, id: checkedId(call, text) }
}

function checkedId(call: S3Call, text: string): VersionId {
  const id = parseVersionId(text)
  const nowMs = call.exchange.proxy.clock.nowMs()
  const writtenMs = id === null ? Number.POSITIVE_INFINITY : (id.ticks / TICKS_PER_SECOND) * 1000
  if (id !== null && writtenMs <= nowMs + AHEAD_MS_MAX) return id
  throw new S3Error('InvalidArgument', 'Invalid version id specified', {
    ArgumentName: SOURCE_VERSION,
    ArgumentValue: text,
  })
}

async function isHere(call: S3Call, place: ObjectPlace, version: string): Promise<boolean> {
  return (await lookForVersion(call, place, { version, head: true })) !== null
}
