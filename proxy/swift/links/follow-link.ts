import { ServiceError } from '../../../common/errors.ts'
import { type Exchange, refusal } from '../../exchange.ts'
import { Refusal } from '../../refusal.ts'
import { type FoundObject, findObject } from '../found-object.ts'
import { accessObject } from '../object-access.ts'
import { closeBody } from '../object-body.ts'
import type { SwiftPath } from '../path.ts'
import { LINKS_MAX, type LinkTarget, targetLocation, targetOf, targetPath } from './symlink.ts'

/** The object at the end of a way of links. */
export interface LinkEnd extends FoundObject {
  /** Its path, escaped. */
  readonly location: string
  readonly path: SwiftPath
}

export interface FollowOptions {
  readonly head: boolean
  /** Whether links that hold to no ETag are followed as well. */
  readonly dynamic: boolean
  /** LINKS_MAX if absent. */
  readonly linksMax?: number
}

/**
 * The object that the link leads to, in the given account, over further links. The caller needs access to each of them.
 * 409 if a target is not what a static link holds to, or the way is too long; errors name the place where they are.
 */
export async function followLink(
  exchange: Exchange,
  from: { readonly link: LinkTarget; readonly account: string },
  { head, dynamic, linksMax = LINKS_MAX }: FollowOptions,
): Promise<LinkEnd> {
  let { link, account } = from
  for (let count = 0; ; count++) {
    if (count >= linksMax) {
      const message = `Too many levels of symbolic links, maximum allowed is ${LINKS_MAX}`
      throw new ServiceError('LinkLoop', message, { status: 409 })
    }
    const location = targetLocation(link, account)
    const found = await openTarget(exchange, { link, account, location, head })
    const { meta } = found.read.info
    const next = targetOf(meta)
    const isFollowed = next !== null && (dynamic || next.pin !== undefined)
    const etag = next?.pin?.etag ?? meta.etag
    if (link.pin !== undefined && link.pin.etag !== etag) {
      await closeBody(found.read)
      throw conflict(location, isFollowed ? null : { etag, wanted: link.pin.etag })
    }
    if (!isFollowed) return { ...found, location, path: targetPath(link, account) }
    await closeBody(found.read)
    account = found.place.account
    link = next
  }
}

async function openTarget(
  exchange: Exchange,
  at: {
    readonly link: LinkTarget
    readonly account: string
    readonly location: string
    readonly head: boolean
  },
): Promise<FoundObject> {
  try {
    const path = targetPath(at.link, at.account)
    const place = await accessObject(exchange, { acl: 'read', method: 'GET', path })
    const found = await findObject(exchange, place, { head: at.head })
    if (found === null) throw refusal(404)
    return found
  } catch (error) {
    if (!(error instanceof ServiceError) || error.status >= 500 || error.status === 401) throw error
    throw new Refusal(error.status, error.message, ['Content-Location', at.location])
  }
}

function conflict(
  location: string,
  etags: { readonly etag: string | undefined; readonly wanted: string } | null,
): Refusal {
  const message =
    etags === null
      ? 'X-Symlink-Target-Etag headers do not match'
      : `Object Etag '${etags.etag}' does not match X-Symlink-Target-Etag header '${etags.wanted}'`
  return new Refusal(409, message, ['Content-Location', location])
}
