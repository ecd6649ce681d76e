/** Marks what was there before a bucket was replicated, a slice of it at a time. */
import { NULL_VERSION } from '../../swift/found-object.ts'
import { formatVersionId } from '../../swift/versions/version-names.ts'
import { bucketVersions, type SweptVersion } from '../lifecycle/bucket-lines.ts'
import type { S3Call } from '../s3-call.ts'
import type { MarkedBucket, ReplicationMarks } from './replication-marks.ts'
import { mayConcern, type Replication } from './replication-rule.ts'

/** Versions of a slice: those before are brought away first. */
const SLICE_MAX = 1_000
/** No more is marked while so many wait. */
const WAITING_MAX = 1_000

/** `call` is one of the process's own, for the bucket. Goes on where it has stopped, if a scan was asked for. */
export async function scanBucket(
  call: S3Call,
  {
    marks,
    replication,
    ...of
  }: MarkedBucket & { readonly marks: ReplicationMarks; readonly replication: Replication },
): Promise<void> {
  const scan = await marks.scan(of)
  if (scan === null) return
  const waiting = await marks.names(of, '', WAITING_MAX)
  if (waiting.length >= WAITING_MAX) return
  const at = { account: of.account, container: of.bucket }
  let looked = 0
  for await (const version of bucketVersions(call, at, scan.after)) {
    const { key } = version.facts
    looked++
    if (mayConcern(replication, key)) {
      const mark = { key, version: idOf(version) }
      await marks.add(of, mark, version.facts.writtenMs)
    }
    if (version.isLast && looked >= SLICE_MAX) {
      await marks.keepScan(of, scan.writeId, key)
      return
    }
  }
  await marks.keepScan(of, scan.writeId, null)
}

function idOf({ id }: SweptVersion): string {
  return id === null ? NULL_VERSION : formatVersionId(id)
}
