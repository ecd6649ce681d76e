import type { ItemInfo } from '../../../common/storage-node.ts'
import { type Exchange, refusal } from '../../exchange.ts'
import type { ObjectPlace } from '../object-access.ts'
import { isLocked } from './object-lock.ts'

/** A 403 for a version that is kept: it is neither removed nor changed. */
export function checkUnlocked(exchange: Exchange, info: ItemInfo): void {
  const nowMs = exchange.proxy.clock.nowMs()
  const bypassesGovernance = exchange.versionRules?.bypassesGovernance ?? false
  if (isLocked(info, { nowMs, bypassesGovernance })) {
    throw refusal(403, 'the version is protected by object lock')
  }
}

/** A 403 for a client's own write where the parts of versions lie that may be locked. */
export function checkNotSealed(exchange: Exchange, { versions }: ObjectPlace): void {
  if (versions?.kind === 'sealed' && exchange.versionRules === null) {
    throw refusal(403, 'what lies here belongs to objects of a bucket with object lock')
  }
}
