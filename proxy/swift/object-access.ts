import { ServiceError } from '../../common/errors.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import { isLonger } from '../../common/utf8.ts'
import type { ObjectPath } from '../backend/backend.ts'
import { type Exchange, refusal } from '../exchange.ts'
import { type AccessQuestion, authorise, denied, groupGrant } from './access.ts'
import { forbidsObject, mayBeForbidden } from './bucket-policy.ts'
import { S3_HAS_UPLOADS } from './foreign-meta.ts'
import type { SwiftPath } from './path.ts'
import { type Versions, versionsOf } from './versions/version-settings.ts'

/** Where an object lives, and whether its versions are kept. */
export interface ObjectPlace extends ObjectPath {
  readonly versions: Versions | undefined
  /** Its container has had multipart uploads of S3's: objects may have parts of their own. */
  readonly mayHaveParts?: boolean
  /** Set: 401 or 403 for an object that the container's policy does not let the request see. */
  readonly refuseObject?: (object: ItemInfo) => void
}

/** The container of a request, from the cache; null if there is none. Costs no wait when cached. */
export function containerOf(
  exchange: Exchange,
  path: SwiftPath,
): ItemInfo | null | Promise<ItemInfo | null> {
  const { limits, backend } = exchange.proxy
  const container = path.container!
  if (isLonger(container, limits.containerNameBytesMax)) return null
  if (isLonger(path.account, limits.accountNameBytesMax)) return null
  return backend.cachedContainer(path.account, container)
}

/**
 * Where the object of a request lives, once the caller may go there: 401 or 403 if not, and 404 without a container,
 * in this order, so that strangers learn nothing. Costs no wait where the container is cached and groups suffice.
 */
export function accessObject(
  exchange: Exchange,
  question: AccessQuestion,
): ObjectPlace | Promise<ObjectPlace> {
  const path = question.path ?? exchange.path!
  const container = containerOf(exchange, path)
  if (!(container instanceof Promise) && !mayBeForbidden(path, container)) {
    if (groupGrant(exchange, question) !== null) return placed(exchange, question, container)
  }
  return accessSlowly(exchange, question, container)
}

async function accessSlowly(
  exchange: Exchange,
  question: AccessQuestion,
  asked: ItemInfo | null | Promise<ItemInfo | null>,
): Promise<ObjectPlace> {
  const container = await authorised(exchange, question, await asked)
  const place = placed(exchange, question, container)
  const forbids = forbidsObject(exchange, question, container)
  if (forbids === undefined) return place
  return {
    ...place,
    refuseObject(object) {
      if (forbids(object)) throw denied(exchange)
    },
  }
}

function placed(
  exchange: Exchange,
  question: AccessQuestion,
  container: ItemInfo | null,
): ObjectPlace {
  const place = objectPath(question.path ?? exchange.path!, container)
  if (question.path === undefined) exchange.policyIndex = place.policy
  return place
}

/** The container, once the caller may do there what is asked: 401 or 403 if not. Null if there is none. */
export async function accessContainer(
  exchange: Exchange,
  question: AccessQuestion,
): Promise<ItemInfo | null> {
  const path = question.path ?? exchange.path!
  return authorised(exchange, question, await containerOf(exchange, path))
}

/**
 * An ACL that was taken away must not let another write in: it is read as it is now, not as it was some seconds ago. So is
 * one that does not let a reader in, who may have been given access just now.
 */
async function authorised(
  exchange: Exchange,
  question: AccessQuestion,
  known: ItemInfo | null,
): Promise<ItemInfo | null> {
  const path = question.path ?? exchange.path!
  const { backend } = exchange.proxy
  if (known === null || groupGrant(exchange, question) !== null) {
    await authorise(exchange, question, known)
    return known
  }
  if (question.acl === 'read') {
    const isIn = await authorise(exchange, question, known).then(() => true, isRefused)
    if (isIn) return known
  }
  const container = await backend.readContainer(path.account, path.container!)
  await authorise(exchange, question, container)
  return container
}

/** False where access is refused; throws what is anything else. */
export function isRefused(error: unknown): false {
  if (error instanceof ServiceError && (error.status === 401 || error.status === 403)) return false
  throw error
}

/**
 * Does the write where the object of a request lives; once more, with everything looked at anew, if the container was
 * deleted and made again with another storage policy meanwhile.
 */
export async function writeInPlace<T>(
  exchange: Exchange,
  question: AccessQuestion,
  write: (place: ObjectPlace) => Promise<T>,
): Promise<T> {
  try {
    return await write(await accessObject(exchange, question))
  } catch (error) {
    if (!isContainerRemade(error)) throw error
    return write(await accessObject(exchange, question))
  }
}

/** Whether nothing was written because the container has another storage policy by now. */
export function isContainerRemade(error: unknown): boolean {
  return error instanceof ServiceError && error.code === 'ContainerRemade'
}

/** The place in a container that was found; 404 where there is none. Nobody's rights are asked for. */
export function objectPath(path: SwiftPath, container: ItemInfo | null): ObjectPlace {
  if (container === null) throw refusal(404)
  return {
    account: path.account,
    container: path.container!,
    object: path.object!,
    policy: container.policy,
    settings: container.metaStamp,
    versions: versionsOf(container.meta.headers),
    mayHaveParts: container.meta.headers[S3_HAS_UPLOADS] !== undefined,
  }
}
