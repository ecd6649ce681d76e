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
 * in this order, so that strangers learn nothing. Costs no wait where the container is cached and groups suffice.
 */
export function accessObject(
  exchange: Exchange,
  question: AccessQuestion,
): ObjectPath | Promise<ObjectPath> {
  const path = question.path ?? exchange.path!
  const container = containerOf(exchange, path)
  if (!(container instanceof Promise) && groupGrant(exchange, question) !== null) {
    return objectPath(path, container)
  }
  return accessSlowly(exchange, question, container)
}

async function accessSlowly(
  exchange: Exchange,
  question: AccessQuestion,
  asked: ItemInfo | null | Promise<ItemInfo | null>,
): Promise<ObjectPath> {
  const container = await asked
  await authorise(exchange, question, container)
  return objectPath(question.path ?? exchange.path!, container)
}

function objectPath(path: SwiftPath, container: ItemInfo | null): ObjectPath {
  if (container === null) throw refusal(404)
  return {
    account: path.account,
    container: path.container!,
    object: path.object!,
    policy: container.policy,
  }
}
