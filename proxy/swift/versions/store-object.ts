import type { ItemInfo } from '../../../common/storage-node.ts'
import type { Exchange } from '../../exchange.ts'
import type { ObjectDraft } from '../object-write.ts'
import { replacingParts } from '../own-parts.ts'
import { checkNotSealed } from './check-lock.ts'
import { storeOverOld } from './legacy-versions.ts'
import { putSuspended, putVersion } from './version-writes.ts'

/** Writes a body, wherever the draft says. */
export type Store = (draft: ObjectDraft) => Promise<ItemInfo>

export interface Stored {
  readonly info: ItemInfo
  /** For the answer. */
  readonly headers: readonly string[]
}

const NO_HEADERS: readonly string[] = Object.freeze([])

/**
 * Stores an object as its container wants it: as a version, or after what it replaces was put aside, or just so.
 * `repeatable`: the store may be asked again, because the body is still there.
 */
export async function storeObject(
  exchange: Exchange,
  draft: ObjectDraft,
  store: Store,
  options: { readonly repeatable: boolean },
): Promise<Stored> {
  checkNotSealed(exchange, draft.place)
  const { versions } = draft.place
  if (versions?.kind === 'objects' && versions.enabled) return putVersion(exchange, draft, store)
  if (versions?.kind === 'legacy') {
    const info = await storeOverOld(exchange, { draft, versions, store, ...options })
    return { info, headers: NO_HEADERS }
  }
  const over = draft.place.mayHaveParts === true ? overParts(exchange, draft) : draft
  if (versions?.kind === 'objects') return putSuspended(exchange, over, store)
  return { info: await store(over), headers: NO_HEADERS }
}

/** The same where the name may be that of an object whose parts go with it. */
function overParts({ proxy }: Exchange, draft: ObjectDraft): ObjectDraft {
  const { place, condition } = draft
  return {
    ...draft,
    committing: (commit) => replacingParts(proxy, place, { condition, commit }),
  }
}
