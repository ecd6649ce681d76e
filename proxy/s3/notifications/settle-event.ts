/** What came of a change whose maker has not said it: it died, or could not know. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { type FoundObject, findObject, NULL_VERSION } from '../../swift/found-object.ts'
import { type ObjectPlace, objectPath } from '../../swift/object-access.ts'
import { lookForVersion } from '../object/find-for-s3.ts'
import type { S3Call } from '../s3-call.ts'
import { isRemoval, OUTCOMES } from './event-names.ts'
import type { PendingEvent } from './event-record.ts'
import type { ChangeOutcome } from './note-change.ts'

/** So long nobody asks: who makes the change will say it. */
export const SETTLE_AFTER_MS = 30_000
/** What has not come to anything by then is not looked at again: failures of an outage must not be asked about for ever. */
export const SETTLE_UNTIL_MS = 3_600_000

/**
 * By what the object is now. `unknown`: it is still as it was, and the change may yet be made; `nothing`: there is no such
 * bucket any more, and what was in it is gone. `call` is one of the process's own, for the event's object.
 */
export async function settledOutcome(
  call: S3Call,
  event: PendingEvent,
  bucket: ItemInfo | null,
): Promise<ChangeOutcome> {
  const { account, bucket: container, key: object, kind, version } = event
  const versionNamed = version !== undefined && { versionId: version }
  if (bucket === null) {
    if (!isRemoval(kind)) return { status: 'nothing' }
    return { status: 'done', name: OUTCOMES[kind][0], object: null, ...versionNamed }
  }
  const place = objectPath({ account, container, object }, bucket)
  const found = await lookForObject(call, place, version)
  if (isRemoval(kind)) {
    if (found !== null) return { status: 'unknown' }
    const isMarker = version === undefined && place.versions?.kind === 'objects'
    const name = OUTCOMES[kind][isMarker ? 1 : 0]
    return { status: 'done', name, object: null, ...versionNamed }
  }
  if (found === null || found.read.info.writeId === event.before) return { status: 'unknown' }
  const { version: versionId } = found
  const isNamed = versionId !== undefined && versionId !== NULL_VERSION
  return { status: 'done', name: kind, object: found.read.info, ...(isNamed && { versionId }) }
}

/** The live object or version, whoever may see it; null if there is none. */
export async function lookForObject(
  call: S3Call,
  place: ObjectPlace,
  version: string | undefined,
): Promise<FoundObject | null> {
  if (version === undefined) return findObject(call.exchange, place, { head: true, newest: true })
  return lookForVersion(call, place, { version, head: true })
}
