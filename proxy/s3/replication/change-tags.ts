import type { FoundObject } from '../../swift/found-object.ts'
import type { S3Place } from '../bucket/find-bucket.ts'
import { changeNoted } from '../object/change-noted.ts'
import { findForS3 } from '../object/find-for-s3.ts'
import { keepsVersions, versionOfFound } from '../object/version-id.ts'
import type { S3Call } from '../s3-call.ts'
import { marked } from './replication-layer.ts'
import { mayConcern, replicationOf } from './replication-rule.ts'

/** As changeNoted; and where the bucket is replicated, the tags are. */
export async function changeTags(
  call: S3Call,
  place: S3Place,
  { version, kind }: Parameters<typeof changeNoted>[2],
  change: Parameters<typeof changeNoted>[3],
): Promise<FoundObject> {
  const { account, container: bucket, object: key } = place
  const info = await call.exchange.proxy.backend.cachedContainer(account, bucket)
  const replication = info === null ? null : replicationOf(info)
  if (replication === null || !keepsVersions(place) || !mayConcern(replication, key)) {
    return changeNoted(call, place, { version, kind }, change)
  }
  // The very version: another may be the current one by the time somebody looks. Who may not see it is told so first.
  const found = await findForS3(call, place, { version, head: true })
  const mark = { kind: 'tags', key, version: found.version ?? versionOfFound(found) } as const
  const make = () => changeNoted(call, place, { version: mark.version, kind }, change)
  return marked(call.exchange, { account, bucket }, mark, make, () => mark.version)
}
