/**
 * Does to a version what its bucket's rules want. The listing may be old by now: the version is read, judged once more, and
 * deleted under the condition that it is still what was judged. Everything else is the DELETE of S3's own clients, with
 * object lock, delete markers, parts and whoever is told of deletions.
 */

import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { refuseReadOnly } from '../../layers/read-only.ts'
import { isExpired } from '../../swift/expiry.ts'
import type { FoundObject } from '../../swift/found-object.ts'
import { OBJECT_MANIFEST } from '../../swift/large/dynamic-object.ts'
import { SLO_BYTES, STATIC_LARGE_OBJECT } from '../../swift/large/static-object.ts'
import { targetOf } from '../../swift/links/symlink.ts'
import { accessObject, type ObjectPlace } from '../../swift/object-access.ts'
import { uploadOf } from '../../swift/own-parts.ts'
import { isDeleteMarker, linkedVersion, readVersion } from '../../swift/versions/find-version.ts'
import { isLocked } from '../../swift/versions/object-lock.ts'
import { compareVersionIds, formatVersionId } from '../../swift/versions/version-names.ts'
import { deleteKey } from '../object/delete-key.ts'
import { classOfObject } from '../object/storage-class.ts'
import type { S3Call } from '../s3-call.ts'
import { tagsOfObject } from '../tagging/tag-set.ts'
import type { SweptVersion } from './bucket-lines.ts'
import { type MoveSettings, moveFor } from './lifecycle-moves.ts'
import type { LifecycleRule } from './lifecycle-rule.ts'
import {
  type LifecycleStep,
  type LifecycleTime,
  stepFor,
  type VersionFacts,
} from './lifecycle-steps.ts'
import { moveObject, type PlacedRecord } from './move-object.ts'

/** `locked`: object lock keeps it, or its account takes no writes; `changed`: it is not any more what the listing says. */
export type StepOutcome = LifecycleStep | 'move' | 'locked' | 'changed'

/** `call` is one of the process's own for the version's name. */
export async function takeStep(
  call: S3Call,
  version: SweptVersion,
  by: {
    readonly rules: readonly LifecycleRule[]
    readonly time: LifecycleTime
    readonly moves: MoveSettings
  },
): Promise<StepOutcome> {
  const { rules, time } = by
  const place = await accessObject(call.exchange, { acl: 'write', method: 'DELETE' })
  const isCurrent = version.facts.supersededMs === null && !version.facts.isMarker
  const found = isCurrent
    ? await currentOf(call, place, version)
    : await olderOf(call, place, version)
  if (found === null) return 'changed'
  const facts = factsNow(version.facts, found.record.info)
  const step = stepFor(rules, facts, time)
  if (step === null) {
    const storageClass = moveFor(rules, facts, time, by.moves)
    if (storageClass === null) return 'changed'
    const { record, link } = found
    const { account } = place
    await refuseReadOnly(call.exchange.proxy, { account, isDeletion: false })
    return (await moveObject(call, { record, link, storageClass })) ? 'move' : 'changed'
  }
  // A marker may still be made over what is locked: the version stays.
  const isForGood = step !== 'expire' || place.versions?.kind !== 'objects'
  const lock = { nowMs: time.nowMs, bypassesGovernance: false }
  if (isForGood && isLocked(found.record.info, lock)) return 'locked'
  await deleteKey(call, place, {
    version: found.version,
    condition: {},
    isByRule: true,
    ...(found.writeId !== undefined && { ifWriteId: found.writeId }),
    ...(step === 'drop' && { keepsCurrent: true }),
  })
  return step
}

interface Found {
  readonly record: PlacedRecord
  /** The name's record, where that only points to the version. */
  readonly link?: PlacedRecord
  /** Undefined: what the name is now. */
  readonly version: string | undefined
  /** Of the name's record. */
  readonly writeId?: string
}

/** The version as what the name is; null if it is that no more. */
async function currentOf(
  call: S3Call,
  place: ObjectPlace,
  swept: SweptVersion,
): Promise<Found | null> {
  const { backend, clock } = call.exchange.proxy
  const read = await backend.readObject(place, { head: true })
  if (read === null || isExpired(read.info, clock)) return null
  const {
    info,
    info: { writeId },
  } = read
  const id = linkedVersion(info)
  if (id === null || swept.id === null) {
    const isSame = id === null && swept.id === null && info.stamp.ticks === swept.ticks
    return isSame ? { record: { place, info }, version: undefined, writeId } : null
  }
  if (compareVersionIds(id, swept.id) !== 0) return null
  const version = await readVersion(call.exchange, place, { id, head: true })
  if (version === null) return null
  const link = { place, info }
  return { record: recordOf(version), link, version: undefined, writeId }
}

/** A version or marker by its id, which no other write ever has; a plain object that is not current is none. */
async function olderOf(
  call: S3Call,
  place: ObjectPlace,
  { id }: SweptVersion,
): Promise<Found | null> {
  if (id === null) return null
  const found = await readVersion(call.exchange, place, { id, head: true })
  return found === null ? null : { record: recordOf(found), version: formatVersionId(id) }
}

function recordOf({ place, read }: Omit<FoundObject, 'version'>): PlacedRecord {
  return { place, info: read.info }
}

/** Where it stands among the others is the listing's to say, all else is what was read. */
function factsNow(listed: VersionFacts, info: ItemInfo): VersionFacts {
  const { headers } = info.meta
  const whole = headers[STATIC_LARGE_OBJECT] === undefined ? undefined : headers[SLO_BYTES]
  const isOlder = listed.supersededMs !== null
  return {
    ...listed,
    bytes: whole === undefined ? info.bytes : Number(whole),
    tags: tagsOfObject(info),
    isMarker: isDeleteMarker(info),
    storageClass: movableClass(info),
    writtenMs: isOlder ? listed.writtenMs : (info.stamp.ticks / TICKS_PER_SECOND) * 1000,
  }
}

function movableClass(info: ItemInfo): string | null {
  const { headers } = info.meta
  const standsForOthers =
    targetOf(info.meta) !== null ||
    headers[OBJECT_MANIFEST] !== undefined ||
    (headers[STATIC_LARGE_OBJECT] !== undefined && uploadOf(info) === undefined)
  return standsForOthers ? null : classOfObject(info)
}
