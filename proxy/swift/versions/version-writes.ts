/**
 * Writes in a container that keeps versions. A version is an object of its own, under a name that nobody else has: it is
 * there for good before the name points to it. What the name points to is changed by compare-and-set on the record that
 * was looked at, so that no writer takes away what it has not seen:
 *
 *   PUT     version, then name -> version, unless a newer one is there already: then ours is an older version
 *   DELETE  delete marker, then the name goes, unless a newer version is there already
 *
 * Before the name is changed, an object from before versioning is copied to a version of its own.
 */
import { hash } from 'node:crypto'
import type { Condition } from '../../../common/condition.ts'
import { ServiceError } from '../../../common/errors.ts'
import type { ItemInfo, ItemMeta } from '../../../common/storage-node.ts'
import type { BackendOutcome, ObjectPost } from '../../backend/backend.ts'
import { LISTED } from '../../backend/rows.ts'
import { type Exchange, refusal } from '../../exchange.ts'
import { type Reply, statusReply } from '../../reply.ts'
import { formatListed, parseListed } from '../listed-traits.ts'
import type { ObjectPlace } from '../object-access.ts'
import { type ObjectDraft, storedInfo } from '../object-write.ts'
import { letPartsGo } from '../own-parts.ts'
import { checkUnlocked } from './check-lock.ts'
import { copyRecord } from './copy-record.ts'
import {
  checkCurrent,
  inTurn,
  ROUNDS_MAX,
  readCurrent,
  readUnchanged,
  tooContended,
  unlessChanged,
  untilUnchanged,
} from './current-object.ts'
import { DELETE_MARKER_TYPE, linkedVersion, placeForVersion, readVersion } from './find-version.ts'
import { linkMeta } from './link-meta.ts'
import { NULL_MARK } from './name-versions.ts'
import { defaultRetention, encodeRetention, RETENTION } from './object-lock.ts'
import { dropOlderNulls, leaveVersion, pointToNewest } from './remove-version.ts'
import type { Store, Stored } from './store-object.ts'
import {
  compareVersionIds,
  formatVersionId,
  parseVersionId,
  type VersionId,
  versionName,
} from './version-names.ts'

const EMPTY = new Uint8Array(0)
const MD5_OF_NOTHING = hash('md5', EMPTY, 'hex')

/** Stores the draft as a version and makes it current. */
export async function putVersion(
  exchange: Exchange,
  draft: ObjectDraft,
  store: Store,
): Promise<Stored> {
  const { place, condition } = draft
  const current = await readCurrent(exchange, place)
  checkCurrent(condition, current)
  const replica = exchange.versionRules?.replica
  const id = replica?.id ?? nextId(exchange, current)
  const where = await placeForVersion(exchange, place, id)
  // The time to vanish is the name's: versions stay.
  const { 'x-delete-at': deleteAt, ...headers } = draft.headers
  const added = withRetention(exchange, draft)
  const info = await storeUnlinked(exchange, { place, id }, () =>
    store({ ...draft, place: where, headers, added, condition: undefined }),
  )
  const link = { place, meta: linkMeta(info, { id, deleteAt }), id, condition }
  let known: ItemInfo | null | undefined = current
  await twice({
    change: () =>
      inTurn(exchange, place, async () => {
        const now = known === undefined ? await readCurrent(exchange, place) : known
        known = undefined
        if (replica === undefined) await makeCurrent(exchange, link, now)
        else await makeNewestCurrent(exchange, place, id)
      }),
    undo: () => drop(exchange, place, id),
  })
  return { info, headers: ['X-Object-Version-Id', formatVersionId(id)] }
}

/** Stores a version that nothing points to yet. If it is not known to be there it is to be gone: nobody else knows its name. */
async function storeUnlinked<T>(
  exchange: Exchange,
  { place, id }: { readonly place: ObjectPlace; readonly id: VersionId },
  store: () => Promise<T>,
): Promise<T> {
  try {
    return await store()
  } catch (error) {
    if (!isCertain(error)) await drop(exchange, place, id)
    throw error
  }
}

/**
 * Changes what the name points to. A failure that leaves open whether that was done is looked into once, by doing again
 * what is not done yet. What nobody can say then stays: the version is listed, and its writer was answered 5xx.
 */
async function twice(of: {
  readonly change: () => Promise<void>
  /** After a failure that says that nothing was changed. */
  readonly undo: () => Promise<void>
}): Promise<void> {
  try {
    await of.change()
  } catch (error) {
    if (isCertain(error)) {
      await of.undo()
      throw error
    }
    try {
      await of.change()
    } catch {
      throw error
    }
  }
}

/** Takes the version back, as far as that is possible now. */
async function drop(exchange: Exchange, place: ObjectPlace, id: VersionId): Promise<void> {
  try {
    await exchange.proxy.backend.deleteObject(await placeForVersion(exchange, place, id))
    // Who removed what was current may have taken this one for the newest meanwhile.
    await leaveVersion(exchange, place, id)
  } catch {
    // It stays in the listing.
  }
}

/** What joins the metadata, with the retention that the bucket gives where none came. */
function withRetention({ proxy }: Exchange, draft: ObjectDraft): () => Record<string, string> {
  const { versions } = draft.place
  const retention = versions?.kind === 'objects' ? versions.lock?.default : undefined
  return () => {
    const added = draft.added?.() ?? {}
    if (retention === undefined || RETENTION in added) return { ...added }
    const given = defaultRetention(retention, Math.floor(proxy.clock.nowMs()))
    return { ...added, [RETENTION]: encodeRetention(given) }
  }
}

/** Deletes the current object; a version without content, the delete marker, says since when. */
export function deleteCurrent(
  exchange: Exchange,
  place: ObjectPlace,
  condition: Condition | undefined,
): Promise<Reply> {
  return inTurn(exchange, place, () => markDeleted(exchange, place, condition))
}

async function markDeleted(
  exchange: Exchange,
  place: ObjectPlace,
  condition: Condition | undefined,
): Promise<Reply> {
  const before = await readCurrent(exchange, place)
  checkCurrent(condition, before)
  const replica = exchange.versionRules?.replica
  const id = replica?.id ?? nextId(exchange, before)
  const added = exchange.addedMeta?.() ?? {}
  await putMarker(exchange, place, { id, headers: added })
  await hide(exchange, place, { id, condition, keepsNull: true })
  const headers = ['X-Object-Version-Id', formatVersionId(id)]
  return statusReply(before === null ? 404 : 204, headers)
}

/**
 * The same while versioning is suspended, as S3 has it: the marker is the null version, and the one that there was goes.
 */
export function deleteSuspended(
  exchange: Exchange,
  place: ObjectPlace,
  condition: Condition | undefined,
): Promise<Reply> {
  return inTurn(exchange, place, async () => {
    const before = await readCurrent(exchange, place)
    checkCurrent(condition, before)
    const id = nextId(exchange, before)
    const added = exchange.addedMeta?.() ?? {}
    const isNull = { [NULL_MARK]: 'yes', [LISTED]: formatListed({ version_null: '1' }) }
    await putMarker(exchange, place, { id, headers: { ...added, ...isNull } })
    await hide(exchange, place, { id, condition, keepsNull: false })
    await dropOlderNulls(exchange, place, { than: id })
    return statusReply(before === null ? 404 : 204, ['X-Object-Version-Id', 'null'])
  })
}

async function putMarker(
  exchange: Exchange,
  place: ObjectPlace,
  marker: { readonly id: VersionId; readonly headers: ItemMeta['headers'] },
): Promise<void> {
  const { id, headers } = marker
  const meta: ItemMeta = { etag: MD5_OF_NOTHING, contentType: DELETE_MARKER_TYPE, headers }
  const where = await placeForVersion(exchange, place, id)
  await storeUnlinked(exchange, { place, id }, async () =>
    storedInfo(await exchange.proxy.backend.putObject(where, { meta, body: EMPTY })),
  )
}

/** The delete marker that takes a name away. */
interface Hiding {
  readonly id: VersionId
  readonly condition: Condition | undefined
  readonly keepsNull: boolean
}

/** After its delete marker the name goes. */
function hide(exchange: Exchange, place: ObjectPlace, by: Hiding): Promise<void> {
  return twice({
    change: () => takeNameAway(exchange, place, by),
    undo: () => drop(exchange, place, by.id),
  })
}

/** Looked at anew: a removal may have brought an older version back meanwhile. */
async function takeNameAway(exchange: Exchange, place: ObjectPlace, by: Hiding): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const current = await readCurrent(exchange, place)
    // What came in between is not what the condition was about.
    if (current !== null) checkCurrent(by.condition, current)
    if (isBehind(current, by.id)) return
    if (by.keepsNull) await keepNull(exchange, place, current)
    const condition = unlessChanged(current)
    const { status } = await exchange.proxy.backend.deleteObject(place, { condition })
    if (status === 'done' && current !== null && !by.keepsNull)
      await letPartsGo(exchange.proxy, place, current)
    if (status === 'done' || status === 'not-found') return
  }
  throw tooContended()
}

/** A plain write while versioning is suspended: it takes the place of the null version, wherever that is. */
export async function putSuspended(
  exchange: Exchange,
  draft: ObjectDraft,
  store: Store,
): Promise<Stored> {
  const { place } = draft
  const before = await readCurrent(exchange, place)
  const info = await store(draft)
  // A plain object that was there has taken that place already.
  const mayHaveNull = before === null || linkedVersion(before) !== null
  if (mayHaveNull) await dropOlderNulls(exchange, place, { than: nullId(info), made: info })
  return { info, headers: [] }
}

/** Makes an older version current again: `PUT ?version-id=`. */
export async function restoreVersion(
  exchange: Exchange,
  place: ObjectPlace,
  version: string,
): Promise<Stored> {
  const id = idOf(version)
  const found = await readVersion(exchange, place, { id, head: true })
  if (found === null) throw refusal(404, 'The specified version does not exist')
  const { info } = found.read
  const meta = linkMeta(info, { id, deleteAt: undefined })
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const current = await readCurrent(exchange, place)
    await keepNull(exchange, place, current)
    const put = { meta, body: EMPTY, condition: unlessChanged(current) }
    const outcome = await exchange.proxy.backend.putObject(place, put)
    if (outcome.status === 'precondition-failed') continue
    storedInfo(outcome)
    return { info, headers: ['X-Object-Version-Id', formatVersionId(id)] }
  }
  throw tooContended()
}

/** Deletes a version for good: `DELETE ?version-id=`. If it was the current one, the name is gone as well. */
export async function deleteVersion(
  exchange: Exchange,
  place: ObjectPlace,
  version: string,
): Promise<Reply> {
  const { backend } = exchange.proxy
  const id = idOf(version)
  const known = await readVersion(exchange, place, { id, head: true })
  if (known !== null) checkUnlocked(exchange, known.read.info)
  let now = 'null'
  for (let round = 0; ; round++) {
    if (round === ROUNDS_MAX) throw tooContended()
    const current = await readCurrent(exchange, place)
    const linked = current === null ? null : linkedVersion(current)
    if (linked === null) break
    now = formatVersionId(linked)
    if (compareVersionIds(linked, id) !== 0) break
    // The name first: it must not point to what is not there.
    const { status } = await backend.deleteObject(place, { condition: unlessChanged(current) })
    now = 'null'
    if (status === 'done' || status === 'not-found') break
  }
  const isRemoved = await removeUnlocked(exchange, place, id)
  const headers = ['X-Object-Version-Id', version, 'X-Object-Current-Version-Id', now]
  return statusReply(isRemoved ? 204 : 404, headers)
}

/** The very record that was seen without a lock; whoever locks it meanwhile is heard. False: there was none. */
async function removeUnlocked(
  exchange: Exchange,
  place: ObjectPlace,
  id: VersionId,
): Promise<boolean> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const found = await readVersion(exchange, place, { id, head: true })
    if (found === null) return false
    const { info } = found.read
    checkUnlocked(exchange, info)
    const condition = { ifWriteId: info.writeId }
    const { status } = await exchange.proxy.backend.deleteObject(found.place, { condition })
    if (status === 'done') await letPartsGo(exchange.proxy, place, info)
    if (status !== 'precondition-failed') return status === 'done'
  }
  throw tooContended()
}

/**
 * POST of an object that is a version: the version gets the metadata, and the name what it is listed by and when it
 * vanishes.
 */
export async function postVersion(
  exchange: Exchange,
  {
    place,
    version,
    post,
  }: { readonly place: ObjectPlace; readonly version: ObjectPlace; readonly post: ObjectPost },
): Promise<BackendOutcome> {
  const { backend } = exchange.proxy
  const { meta } = post
  const { 'x-delete-at': deleteAt, ...headers } = meta.headers
  const outcome = await backend.postObject(version, { ...post, meta: { ...meta, headers } })
  // Whether its time has come or not: the caller has looked at that.
  const read = outcome.status === 'done' ? await backend.readObject(place, { head: true }) : null
  const current = read?.info ?? null
  const linked = current === null ? null : linkedVersion(current)
  if (linked === null || versionName(place.object, linked) !== version.object) return outcome
  await backend.postObject(place, {
    ...post,
    meta: { ...meta, headers: deleteAt === undefined ? {} : { 'x-delete-at': deleteAt } },
    // A name that points to another version by now is none of ours.
    condition: unlessChanged(current),
  })
  return outcome
}

async function makeCurrent(
  exchange: Exchange,
  link: {
    readonly place: ObjectPlace
    readonly meta: ItemMeta
    readonly id: VersionId
    readonly condition: Condition | undefined
  },
  known: ItemInfo | null,
): Promise<void> {
  const { place, meta, id, condition } = link
  let current = known
  for (let round = 0; round < ROUNDS_MAX; round++) {
    if (current !== null && isLinkTo(current, id)) return
    checkCurrent(condition, current)
    if (current !== null && isNewer(current, id)) return
    await keepNull(exchange, place, current)
    const put = { meta, body: EMPTY, condition: unlessChanged(current) }
    const outcome = await exchange.proxy.backend.putObject(place, put)
    if (outcome.status !== 'precondition-failed') {
      storedInfo(outcome)
      return
    }
    current = await readCurrent(exchange, place)
  }
  throw tooContended()
}

/** Makes the replica current if it is to be: whoever has stored it may have died before it was. */
export function placeReplica(exchange: Exchange, place: ObjectPlace, id: VersionId): Promise<void> {
  return inTurn(exchange, place, () => makeNewestCurrent(exchange, place, id))
}

/** After a replica, which may be older than what is here already: a delete marker among that. */
function makeNewestCurrent(exchange: Exchange, place: ObjectPlace, id: VersionId): Promise<void> {
  return untilUnchanged(exchange, place, async (current) => {
    if (current !== null && (isLinkTo(current, id) || isNewer(current, id))) return true
    await keepNull(exchange, place, current)
    return pointToNewest(exchange, place, { from: current?.writeId ?? null })
  })
}

/** Copies an object from before versioning to a version of its own, by the time of its write. */
async function keepNull(
  exchange: Exchange,
  place: ObjectPlace,
  current: ItemInfo | null,
): Promise<void> {
  if (current === null || linkedVersion(current) !== null) return
  const { backend } = exchange.proxy
  const read = await readUnchanged(exchange, place, current)
  if (read === null) return
  const { meta } = read.info
  const where = await placeForVersion(exchange, place, nullId(read.info))
  const { 'x-delete-at': _, ...headers } = meta.headers
  const listed = formatListed({ ...parseListed(headers[LISTED] ?? ''), version_null: '1' })
  const kept = { ...meta, headers: { ...headers, [NULL_MARK]: 'yes', [LISTED]: listed } }
  storedInfo(await copyRecord(backend, read, { place: where, meta: kept }))
}

/** An id above the current version's, whatever the clocks say, that no other write draws. */
function nextId({ proxy }: Exchange, current: ItemInfo | null): VersionId {
  const linked = current === null ? null : linkedVersion(current)
  const last = Math.max(linked?.ticks ?? 0, current?.stamp.ticks ?? 0)
  const ticks = Math.max(Math.floor(proxy.clock.nowMs() * 100), last + 1)
  return { ticks, rest: Buffer.from(proxy.random.bytes(8)).toString('hex') }
}

/** Whether the current object is newer than the version: nothing is left to be done for that one. */
function isBehind(current: ItemInfo | null, id: VersionId): boolean {
  return current === null || isNewer(current, id)
}

function isLinkTo(current: ItemInfo, id: VersionId): boolean {
  const linked = linkedVersion(current)
  return linked !== null && compareVersionIds(linked, id) === 0
}

/** A plain object has the place of its time among the versions. */
function isNewer(current: ItemInfo, id: VersionId): boolean {
  return compareVersionIds(linkedVersion(current) ?? nullId(current), id) > 0
}

/** The id that a plain object is kept under. */
export function nullId({ stamp }: ItemInfo): VersionId {
  return { ticks: stamp.ticks, rest: stamp.proposer.toString(16).padStart(16, '0') }
}

/** Whether the failure says that the name does not point to the version: 5xx leave that open. */
function isCertain(error: unknown): boolean {
  return error instanceof ServiceError && error.status < 500
}

function idOf(version: string): VersionId {
  const id = parseVersionId(version)
  if (id === null) throw refusal(400, 'Invalid version parameter')
  return id
}
