/**
 * Parts that an object has for itself alone: those of S3's multipart uploads. Whoever takes its record away for good, by whichever API,
 * lets them go, an hour later, for who is reading them. It must be the very record that was looked at: an object that was renamed
 * meanwhile has its parts under another name.
 */
import { forEachParallel } from '../../common/bounded-parallel.ts'
import type { Condition } from '../../common/condition.ts'
import type { ItemInfo, ListRow } from '../../common/storage-node.ts'
import type { Backend, BackendOutcome, ObjectPath } from '../backend/backend.ts'
import type { ProxyContext } from '../proxy-context.ts'
import { PARTS_MAX, partsPrefix } from '../s3/multipart/upload-names.ts'
import { deleteAtIn } from './expiry.ts'
import { S3_SHARES_PARTS, S3_UPLOAD, SEGMENTS_SUFFIX } from './foreign-meta.ts'
import { STATIC_LARGE_OBJECT } from './large/static-object.ts'
import type { Commit } from './object-write.ts'

type Context = Pick<ProxyContext, 'backend' | 'clock' | 'log'>

const KEPT_SECONDS = 3600
const PARALLEL_MAX = 8
/** Writes of others between the look and the commit. */
const ROUNDS_MAX = 16

/** The upload whose parts the object is made of; undefined if its bytes are its own. */
export function uploadOf({ meta }: ItemInfo): string | undefined {
  return meta.headers[STATIC_LARGE_OBJECT] === undefined ? undefined : meta.headers[S3_UPLOAD]
}

/** The upload whose parts go with the object: none where another name may have them, too. */
export function ownUploadOf(info: ItemInfo): string | undefined {
  return info.meta.headers[S3_SHARES_PARTS] ? undefined : uploadOf(info)
}

/**
 * Commits a write or deletion of a name in a container without versions. If that has taken the place of an object with parts of its
 * own, they go, unless the new object is made of them.
 */
export async function replacingParts(
  context: Context,
  place: ObjectPath,
  change: { readonly condition: Condition | undefined; readonly commit: Commit },
): Promise<BackendOutcome> {
  const { condition, commit } = change
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const before = await recordAt(context.backend, place)
    const upload = before === null ? undefined : ownUploadOf(before)
    if (before === null || upload === undefined) return commit(condition)
    // Who says that nothing may be there means it.
    const only: Condition = { ifWriteId: before.writeId, ...condition }
    const outcome = await commit(only)
    const isOthers = outcome.status === 'precondition-failed' && condition?.ifWriteId === undefined
    if (isOthers && (await recordAt(context.backend, place))?.writeId !== before.writeId) continue
    if (outcome.status === 'done' && only.ifWriteId === before.writeId)
      await letPartsGo(context, place, before, outcome.info)
    return outcome
  }
  return commit(condition)
}

async function recordAt(backend: Backend, place: ObjectPath): Promise<ItemInfo | null> {
  const read = await backend.readObject(place, { head: true })
  return read?.info ?? null
}

/** The record is gone, and `made` in its place, which may be made of the same parts. `place` is that of the name, not of a version. */
export async function letPartsGo(
  context: Context,
  place: ObjectPath,
  gone: ItemInfo,
  made?: ItemInfo,
): Promise<void> {
  const upload = ownUploadOf(gone)
  if (upload === undefined || (made !== undefined && uploadOf(made) === upload)) return
  const parts = { ...place, container: place.container + SEGMENTS_SUFFIX }
  try {
    const rows = await partsOf(context.backend, parts, upload)
    await expireNames(
      context,
      parts,
      rows.map(({ name }) => name),
    )
  } catch (error) {
    // The change is made: what cannot be let go now stays until the bucket goes.
    const { account, container, object } = place
    context.log.warn('parts not let go', { account, container, object, upload, error })
  }
}

/** An upload's parts in their order: there are at most 10,000. */
export async function partsOf(
  backend: Backend,
  { account, container }: Pick<ObjectPath, 'account' | 'container'>,
  upload: string,
): Promise<readonly ListRow[]> {
  const query = { prefix: partsPrefix(upload), limit: PARTS_MAX }
  const page = await backend.listContainer(account, container, query)
  return (page?.entries ?? []).filter((entry): entry is ListRow => !('subdir' in entry))
}

/** Lets parts go when nobody can be reading them any more. */
export async function expireNames(
  { backend, clock }: Pick<Context, 'backend' | 'clock'>,
  container: Omit<ObjectPath, 'object'>,
  names: readonly string[],
): Promise<void> {
  const headers = { 'x-delete-at': deleteAtIn(clock, KEPT_SECONDS) }
  await forEachParallel(names, PARALLEL_MAX, async (object) => {
    await backend.postObject({ ...container, object }, { meta: { headers } })
  })
}
