import type { ItemInfo } from '../../common/storage-node.ts'
import type { ObjectPath } from '../backend/backend.ts'
import { type Exchange, refusal } from '../exchange.ts'
import { utf8Bytes } from '../wire-text.ts'
import { type AccessQuestion, authorise, groupGrant } from './access.ts'
import type { SwiftPath } from './path.ts'

/** The container of a request, from the cache; null if there is none. Costs no wait when cached. */
export function containerOf(
  exchange: Exchange,
  path: SwiftPath,
): ItemInfo | null | Promise<ItemInfo | null> {
  const { limits, backend } = exchange.proxy
  const container = path.container!
  if (utf8Bytes(container) > limits.containerNameBytesMax) return null
  if (utf8Bytes(path.account) > limits.accountNameBytesMax) return null
  return backend.cachedContainer(path.account, container)
}

/**
 * Where the object of a request lives, once the caller may go there: 401 or 403 if not, and 404 without a container,
 * in this order, so that strangers learn nothing.
 */
export async function accessObject(
  exchange: Exchange,
  question: AccessQuestion,
): Promise<ObjectPath> {
  const path = question.path ?? exchange.path!
  const cached = containerOf(exchange, path)
  const container = cached instanceof Promise ? await cached : cached
  if (groupGrant(exchange, question) === null) await authorise(exchange, question, container)
  if (container === null) throw refusal(404)
  return {
    account: path.account,
    container: path.container!,
    object: path.object!,
    policy: container.policy,
  }
}
