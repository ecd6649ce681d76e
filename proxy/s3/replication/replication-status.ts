/** How far a version's replication has come: what is kept of it beside the version, and x-amz-replication-status. */
import { type Soon, soon } from '../../../common/soon.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { S3_REPLICATION } from '../../swift/foreign-meta.ts'
import type { FoundObject } from '../../swift/found-object.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { containerOfVersions, parseVersionId } from '../../swift/versions/version-names.ts'
import type { S3Call } from '../s3-call.ts'
import { factsOf, type ReplicatedFacts, replicationOf, ruleFor } from './replication-rule.ts'

export const REPLICA = 'REPLICA'
/** Of a version that no rule is about, whatever it says: nobody is told of that. */
export const STAYS_HERE = 'STAYS'

/** Undefined: it waits, or stays. */
export function finalStatus({ meta }: Pick<ItemInfo, 'meta'>): string | undefined {
  return meta.headers[S3_REPLICATION] || undefined
}

/** The id that a version has at the other store; undefined if it is not there, or has none. */
export function idThere(info: Pick<ItemInfo, 'meta'>): string | undefined {
  return finalStatus(info)?.split(' ')[1]
}

/** PENDING is what a rule is about and nobody has brought to its end. */
export function replicationHeader(call: S3Call, found: FoundObject): Soon<readonly string[]> {
  if (isElsewhere(call, found.place)) return NOTHING
  const final = shownStatus(found.read.info)
  if (final !== undefined) return ['x-amz-replication-status', final]
  return soon(
    call.exchange.proxy.backend.cachedContainer(call.path.account, call.bucket),
    (bucket) => pendingHeader(call, bucket, found),
  )
}

const NOTHING: readonly string[] = []

function pendingHeader(
  call: S3Call,
  bucket: ItemInfo | null,
  { read: { info }, version }: FoundObject,
): readonly string[] {
  if (bucket === null || replicationOf(bucket) === null) return NOTHING
  const ticks = parseVersionId(version ?? '')?.ticks ?? info.stamp.ticks
  const status = replicationStatus(bucket, info, { key: call.key, isMarker: false, ticks })
  return status === undefined ? NOTHING : ['x-amz-replication-status', status]
}

/** Undefined for what stays. */
export function replicationStatus(
  bucket: ItemInfo | null,
  info: ItemInfo,
  version: Pick<ReplicatedFacts, 'key' | 'isMarker' | 'ticks'>,
): string | undefined {
  if (finalStatus(info) !== undefined) return shownStatus(info)
  const replication = bucket === null ? null : replicationOf(bucket)
  if (replication === null) return undefined
  return ruleFor(replication, factsOf(info, version)) === null ? undefined : 'PENDING'
}

function shownStatus(info: ItemInfo): string | undefined {
  const [status] = finalStatus(info)?.split(' ') ?? []
  return status === STAYS_HERE ? undefined : status
}

/** What was found is what a link leads to: its own bucket's affair. */
function isElsewhere({ bucket, key }: S3Call, { container, object }: ObjectPlace): boolean {
  const versions = containerOfVersions(container)
  return versions === null ? container !== bucket || object !== key : versions !== bucket
}
