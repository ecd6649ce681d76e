import type { ItemInfo } from '../../common/storage-node.ts'

/** Where an account's register keeps since when it is deleted: it stays as long as there is anything in it. */
export const DELETED_AT_HEADER = 'x-account-sysmeta-deleted-at'

/** Seconds since 1970 at which the account was deleted; null if it was not. */
export function deletedAtOf(info: Pick<ItemInfo, 'meta'>): number | null {
  const seconds = Number(info.meta.headers[DELETED_AT_HEADER] ?? Number.NaN)
  return Number.isSafeInteger(seconds) && seconds > 0 ? seconds : null
}
