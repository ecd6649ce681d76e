/**
 * Versions removed for good, as S3 has it: when the current one goes, the one before it is current again, and a delete
 * marker that goes brings back what it had hidden. What the name points to is moved first, by compare-and-set, so that
 * it never points to what is not there; then the version goes. Who finds that somebody has pointed to it meanwhile moves
 * the name again.
 */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { type Exchange, refusal } from '../../exchange.ts'
import type { ObjectPlace } from '../object-access.ts'
import { storedInfo } from '../object-write.ts'
import { letPartsGo } from '../own-parts.ts'
import { checkUnlocked } from './check-lock.ts'
import { inTurn, ROUNDS_MAX, readCurrent, tooContended, untilUnchanged } from './current-object.ts'
import { isDeleteMarker, linkedVersion, readVersion } from './find-version.ts'
import { linkMeta } from './link-meta.ts'
import { isNullVersion, type ListedVersion, nullVersions, versionsOfName } from './name-versions.ts'
import { compareVersionIds, type VersionId } from './version-names.ts'

const EMPTY = new Uint8Array(0)

/** Removes the version; what it was, or null if there was none. */
export function removeVersion(
  exchange: Exchange,
  place: ObjectPlace,
  id: VersionId,
): Promise<ItemInfo | null> {
  return inTurn(exchange, place, async () => {
    const gone = await removeInTurn(exchange, place, id)
    if (gone !== null) await letPartsGo(exchange.proxy, place, gone)
    return gone
  })
}

/** Removes the null version, wherever it is; what it was, or null if there was none. */
export function removeNull(exchange: Exchange, place: ObjectPlace): Promise<ItemInfo | null> {
  return inTurn(exchange, place, async () => {
    let removed = await removePlain(exchange, place)
    if (removed !== null) await letPartsGo(exchange.proxy, place, removed)
    for await (const { id } of nullVersions(exchange, place)) {
      const gone = await removeInTurn(exchange, place, id)
      if (gone !== null) await letPartsGo(exchange.proxy, place, gone)
      removed ??= gone
    }
    return removed
  })
}

/** Removes null versions that are older than the one that took their place: `made`, unless that is a delete marker. */
export async function dropOlderNulls(
  exchange: Exchange,
  place: ObjectPlace,
  { than, made }: { readonly than: VersionId; readonly made?: ItemInfo },
): Promise<void> {
  for await (const { id } of nullVersions(exchange, place)) {
    if (compareVersionIds(id, than) >= 0) continue
    const gone = await removeInTurn(exchange, place, id)
    if (gone !== null) await letPartsGo(exchange.proxy, place, gone, made)
  }
}

/** Lets the name point elsewhere if it points to the version, which is not there (any more). */
export function leaveVersion(exchange: Exchange, place: ObjectPlace, id: VersionId): Promise<void> {
  return untilUnchanged(exchange, place, async (current) => {
    if (!pointsTo(current, id)) return true
    return pointToNewest(exchange, place, { from: current!.writeId, except: id })
  })
}

async function removeInTurn(
  exchange: Exchange,
  place: ObjectPlace,
  id: VersionId,
): Promise<ItemInfo | null> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const found = await readVersion(exchange, place, { id, head: true })
    if (found === null) {
      await leaveVersion(exchange, place, id)
      return null
    }
    const { info } = found.read
    await checkRemovable(exchange, place, info)
    if (!(await moveAway(exchange, place, { id, info }))) continue
    const condition = { ifWriteId: info.writeId }
    const { status } = await exchange.proxy.backend.deleteObject(found.place, { condition })
    if (status === 'precondition-failed') continue
    await leaveVersion(exchange, place, id)
    return status === 'done' ? info : null
  }
  throw tooContended()
}

/** A 403 for a locked version. If it was locked while it was to go, the name points to it again. */
async function checkRemovable(
  exchange: Exchange,
  place: ObjectPlace,
  info: ItemInfo,
): Promise<void> {
  try {
    checkUnlocked(exchange, info)
  } catch (error) {
    const current = await readCurrent(exchange, place)
    const isLink = current === null || linkedVersion(current) !== null
    const newest = isLink ? await newestThere(exchange, place) : null
    const isCurrent = newest === null || newest.isMarker || pointsTo(current, newest.id)
    if (!isCurrent) await pointToNewest(exchange, place, { from: current?.writeId ?? null })
    throw error
  }
}

/** Before the version goes. False: the name was changed meanwhile. */
async function moveAway(
  exchange: Exchange,
  place: ObjectPlace,
  version: { readonly id: VersionId; readonly info: ItemInfo },
): Promise<boolean> {
  const { id, info } = version
  const current = await readCurrent(exchange, place)
  const keepsCurrent = exchange.versionRules?.keepsCurrent === true
  if (keepsCurrent && pointsTo(current, id)) throw refusal(412, 'the version is current')
  if (current === null) {
    if (!isDeleteMarker(info)) return true
    // Only the newest marker hides what is below.
    const newest = await newestThere(exchange, place)
    if (newest === null || compareVersionIds(newest.id, id) !== 0) return true
    return pointToNewest(exchange, place, { from: null, except: id })
  }
  if (!pointsTo(current, id)) return true
  return pointToNewest(exchange, place, { from: current.writeId, except: id })
}

/** Removes a plain object, which is the null version and current; what it was. */
async function removePlain(exchange: Exchange, place: ObjectPlace): Promise<ItemInfo | null> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const current = await readCurrent(exchange, place)
    if (current === null || linkedVersion(current) !== null) return null
    checkUnlocked(exchange, current)
    if (await pointToNewest(exchange, place, { from: current.writeId })) return current
  }
  throw tooContended()
}

/**
 * Lets the name point to the newest version besides `except`, or to nothing if that is a delete marker, as long as it is
 * what `from` says (a write's id; null: nothing). False: it was something else by then.
 */
export async function pointToNewest(
  exchange: Exchange,
  place: ObjectPlace,
  of: { readonly from: string | null; readonly except?: VersionId },
): Promise<boolean> {
  const { backend } = exchange.proxy
  let from = of.from
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const isFirst = round === 0
    const newest = await newestThere(exchange, place, of.except)
    if (newest === null || newest.isMarker) {
      if (from === null) return true
      const { status } = await backend.deleteObject(place, { condition: { ifWriteId: from } })
      return status !== 'precondition-failed' || !isFirst
    }
    const meta = linkMeta(newest.info, { id: newest.id, deleteAt: undefined })
    const put = { meta, body: EMPTY, condition: { ifWriteId: from } }
    const outcome = await backend.putObject(place, put)
    if (outcome.status === 'precondition-failed') return !isFirst
    from = storedInfo(outcome).writeId
    // A marker or another removal may have come in between, and has not seen the name as it is now.
    const now = await newestThere(exchange, place, of.except)
    if (now !== null && compareVersionIds(now.id, newest.id) === 0) return true
  }
  throw tooContended()
}

/**
 * The newest version of the name besides that one. While several go at once, the row of one that is gone is still listed: it is
 * none any more, and never will be, for its id is nobody else's.
 */
async function newestThere(
  exchange: Exchange,
  place: ObjectPlace,
  except?: VersionId,
): Promise<(ListedVersion & { readonly info: ItemInfo }) | null> {
  for await (const version of versionsOfName(exchange, place)) {
    const { id } = version
    if (except !== undefined && compareVersionIds(id, except) === 0) continue
    const found = await readVersion(exchange, place, { id, head: true })
    if (found !== null) return { ...version, info: found.read.info }
  }
  return null
}

function pointsTo(current: ItemInfo | null, id: VersionId): boolean {
  const linked = current === null ? null : linkedVersion(current)
  return linked !== null && compareVersionIds(linked, id) === 0
}

/** What S3 calls the version that was found: `null`, or its id. */
export function shownVersionId(info: ItemInfo, version: string): string {
  return isNullVersion(info) ? 'null' : version
}
