/**
 * Versions of old: what is overwritten is copied to another container, under a name with its time. X-Versions-Location is a
 * stack, where a DELETE brings the last one back; X-History-Location keeps everything and marks deletions. What is
 * replaced is always what was copied: the write is a compare-and-set on it.
 */

import { hash } from 'node:crypto'
import type { Condition } from '../../../common/condition.ts'
import { ServiceError } from '../../../common/errors.ts'
import { formatTimestamp } from '../../../common/stamp.ts'
import type { ItemInfo, ItemMeta, ListRow } from '../../../common/storage-node.ts'
import { utf8Bytes } from '../../../common/utf8.ts'
import { type Exchange, refusal } from '../../exchange.ts'
import type { ObjectPlace } from '../object-access.ts'
import { type Commit, type ObjectDraft, storedInfo } from '../object-write.ts'
import { copyRecord } from './copy-record.ts'
import {
  checkCurrent,
  inTurn,
  ROUNDS_MAX,
  readCurrent,
  readUnchanged,
  tooContended,
  unlessChanged,
} from './current-object.ts'
import { DELETE_MARKER_TYPE } from './find-version.ts'
import type { Store } from './store-object.ts'
import type { LegacyVersions } from './version-settings.ts'

const MD5_OF_NOTHING = hash('md5', '', 'hex')
const EMPTY = new Uint8Array(0)
/** The write that a copy is of: another one may have the same time. */
const COPY_OF = 'x-object-sysmeta-version-of'
const PAGE_ROWS = 100

interface LegacyWrite {
  readonly draft: ObjectDraft
  readonly versions: LegacyVersions
  readonly store: Store
  readonly repeatable: boolean
}

/** Stores the draft once the object that it replaces was copied. */
export function storeOverOld(exchange: Exchange, write: LegacyWrite): Promise<ItemInfo> {
  if (!write.repeatable) return storeStreamed(exchange, write)
  return inTurn(exchange, write.draft.place, () => storeNow(exchange, write))
}

/**
 * A body that streams by is there only once, and may take its time: while it comes nobody is waited for. What it replaces
 * is looked at when all of it has come. Only who writes the name by another thread or proxy between that look and the
 * commit is in the way.
 */
async function storeStreamed(exchange: Exchange, write: LegacyWrite): Promise<ItemInfo> {
  const { draft, versions, store } = write
  const { place, condition } = draft
  const before = await readCurrent(exchange, place)
  checkCurrent(condition, before)
  // A large object takes a while to be copied: most often this is the one that will be replaced.
  await putAside(exchange, { place, versions, current: before })
  const committing = (commit: Commit) =>
    inTurn(exchange, place, async () => {
      const current = await readCurrent(exchange, place)
      checkCurrent(condition, current)
      await putAside(exchange, { place, versions, current })
      const outcome = await commit({ ...condition, ...unlessChanged(current) })
      if (outcome.status === 'precondition-failed') throw tooContended()
      return outcome
    })
  return store({ ...draft, committing })
}

async function storeNow(exchange: Exchange, write: LegacyWrite): Promise<ItemInfo> {
  const { draft, versions, store } = write
  const { place, condition } = draft
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const current = await readCurrent(exchange, place)
    checkCurrent(condition, current)
    await putAside(exchange, { place, versions, current })
    try {
      return await store({ ...draft, condition: { ...condition, ...unlessChanged(current) } })
    } catch (error) {
      // Another write came between.
      if (!(error instanceof ServiceError) || error.status !== 412) throw error
    }
  }
  throw tooContended()
}

/** Deletes the object: marks it in the history, or takes the last version from the stack. */
export async function deleteOverOld(
  exchange: Exchange,
  deletion: {
    readonly place: ObjectPlace
    readonly versions: LegacyVersions
    readonly condition: Condition | undefined
  },
): Promise<boolean> {
  const { place, versions, condition } = deletion
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const current = await readCurrent(exchange, place)
    checkCurrent(condition, current)
    const step = { place, versions, current }
    const done =
      versions.mode === 'history' ? await deleteInto(exchange, step) : await pop(exchange, step)
    if (done !== null) return done
  }
  throw tooContended()
}

interface Step {
  readonly place: ObjectPlace
  readonly versions: LegacyVersions
  readonly current: ItemInfo | null
}

/** Null: another write came between. False: there was nothing to delete. */
async function deleteInto(exchange: Exchange, step: Step): Promise<boolean | null> {
  const { place, current } = step
  await putAside(exchange, step)
  const ticks = Math.max(
    Math.floor(exchange.proxy.clock.nowMs() * 100),
    (current?.stamp.ticks ?? 0) + 1,
  )
  const marker: ItemMeta = { etag: MD5_OF_NOTHING, contentType: DELETE_MARKER_TYPE, headers: {} }
  const where = await archivePlace(exchange, step, formatTimestamp(ticks))
  storedInfo(await exchange.proxy.backend.putObject(where, { meta: marker, body: EMPTY }))
  return deleteKnown(exchange, place, current)
}

async function deleteKnown(
  exchange: Exchange,
  place: ObjectPlace,
  current: ItemInfo | null,
): Promise<boolean | null> {
  const condition = unlessChanged(current)
  const { status } = await exchange.proxy.backend.deleteObject(place, { condition })
  return status === 'precondition-failed' ? null : status === 'done' && current !== null
}

async function pop(exchange: Exchange, step: Step): Promise<boolean | null> {
  const { place, current } = step
  for await (const row of archived(exchange, step)) {
    if (row.contentType === DELETE_MARKER_TYPE) {
      // From a time of history: the object goes back to having been deleted, or to what was before that.
      if (current !== null) break
      return unmark(exchange, step, row)
    }
    const restored = await restore(exchange, step, row)
    if (restored !== 'missing') return restored === 'done' ? true : null
  }
  return deleteKnown(exchange, place, current)
}

/** Takes a delete marker away, and brings back the version before it if that is none. */
async function unmark(exchange: Exchange, step: Step, marker: ListRow): Promise<boolean | null> {
  for await (const row of archived(exchange, step)) {
    if (row.name >= marker.name) continue
    if (row.contentType === DELETE_MARKER_TYPE) break
    const restored = await restore(exchange, step, row)
    if (restored === 'conflict') return null
    if (restored === 'done') break
  }
  const { backend } = exchange.proxy
  const where = await placeOf(exchange, step, marker.name)
  return (await backend.deleteObject(where)).status === 'done'
}

/** Copies an old version over the current object, then removes it from the archive. */
async function restore(
  exchange: Exchange,
  { place, versions, current }: Step,
  row: ListRow,
): Promise<'done' | 'missing' | 'conflict'> {
  const { backend } = exchange.proxy
  const where = await placeOf(exchange, { place, versions }, row.name)
  const read = await backend.readObject(where, { sealed: true })
  if (read === null) return 'missing'
  const { [COPY_OF]: _, ...headers } = read.info.meta.headers
  const meta = { ...read.info.meta, headers }
  const condition = unlessChanged(current)
  const { status } = await copyRecord(backend, read, { place, meta, condition })
  if (status === 'precondition-failed') return 'conflict'
  await backend.deleteObject(where)
  return 'done'
}

/** The old versions of the object, the newest first. */
async function* archived(exchange: Exchange, step: Step): AsyncGenerator<ListRow> {
  const { place, versions } = step
  const prefix = archivePrefix(place.object)
  let marker: string | undefined
  for (;;) {
    const page = await exchange.proxy.backend.listContainer(place.account, versions.location, {
      limit: PAGE_ROWS,
      prefix,
      reverse: true,
      ...(marker === undefined ? {} : { marker }),
    })
    if (page === null) return
    for (const entry of page.entries) {
      if ('subdir' in entry) continue
      marker = entry.name
      yield entry
    }
    if (page.entries.length < PAGE_ROWS) return
  }
}

/** Copies the current object to the archive, once, whoever tries. */
async function putAside(exchange: Exchange, step: Step): Promise<void> {
  const { place, current } = step
  const { backend } = exchange.proxy
  if (current === null) return
  const time = formatTimestamp(current.stamp.ticks)
  for (let other = 0; other < ROUNDS_MAX; other++) {
    const suffix = other === 0 ? '' : `_${other.toString(16).padStart(16, '0')}`
    const where = await archivePlace(exchange, step, time + suffix)
    if ((await copiedWrite(exchange, where)) === current.writeId) return
    const read = await readUnchanged(exchange, place, current)
    if (read === null) return
    const { meta, writeId } = read.info
    const headers = { ...meta.headers, [COPY_OF]: writeId }
    const { status } = await copyRecord(backend, read, {
      place: where,
      meta: { ...meta, headers },
      condition: { ifNoneMatch: ['*'] },
    })
    if (status === 'done' || (await copiedWrite(exchange, where)) === writeId) return
  }
  throw tooContended()
}

/** The write that the archive's object is a copy of; undefined if there is no such copy. */
async function copiedWrite(exchange: Exchange, where: ObjectPlace): Promise<string | undefined> {
  const there = await exchange.proxy.backend.readObject(where, { head: true })
  return there?.info.meta.headers[COPY_OF]
}

function archivePrefix(object: string): string {
  return `${utf8Bytes(object).toString(16).padStart(3, '0')}${object}/`
}

function archivePlace(
  exchange: Exchange,
  step: Pick<Step, 'place' | 'versions'>,
  time: string,
): Promise<ObjectPlace> {
  return placeOf(exchange, step, archivePrefix(step.place.object) + time)
}

/** 412 if the archive is not there. */
async function placeOf(
  exchange: Exchange,
  { place, versions }: Pick<Step, 'place' | 'versions'>,
  object: string,
): Promise<ObjectPlace> {
  const { account } = place
  const info = await exchange.proxy.backend.cachedContainer(account, versions.location)
  if (info === null) throw refusal(412)
  const { policy, metaStamp } = info
  return {
    account,
    container: versions.location,
    object,
    policy,
    settings: metaStamp,
    versions: undefined,
  }
}
