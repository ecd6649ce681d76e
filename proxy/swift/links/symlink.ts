/**
 * Symbolic links: what is stored of them, and what clients see of that. A link is an empty object whose metadata names its
 * target, escaped as it is shown; a static one holds to an ETag of the target.
 */
import type { ItemMeta } from '../../../common/storage-node.ts'
import { LISTED } from '../../backend/rows.ts'
import { escapePath, toWire, unescapeUrl } from '../../wire-text.ts'
import { formatListed } from '../listed-traits.ts'
import type { SwiftPath } from '../path.ts'

export const LINK_TARGET = 'x-object-sysmeta-symlink-target'
const LINK_ACCOUNT = 'x-object-sysmeta-symlink-target-account'
const LINK_ETAG = 'x-object-sysmeta-symlink-target-etag'
const LINK_BYTES = 'x-object-sysmeta-symlink-target-bytes'

/** All that makes an object a link. */
export const LINK_HEADERS = [LINK_TARGET, LINK_ACCOUNT, LINK_ETAG, LINK_BYTES] as const

/** Links that may lead to each other: Swift's symloop_max. */
export const LINKS_MAX = 2

/** What a link points to. */
export interface LinkTarget {
  /** `container/object`, escaped. */
  readonly target: string
  /** Escaped; absent: the link's own account. */
  readonly account?: string
  /** Of a static link: what the target has to be. */
  readonly pin?: {
    readonly etag: string
    readonly bytes: number
    /** Of a large object. */
    readonly sloEtag?: string
  }
}

export function linkTarget(path: {
  readonly account: string | undefined
  readonly container: string
  readonly object: string
}): LinkTarget {
  const target = escapePath(`${path.container}/${path.object}`)
  return path.account === undefined ? { target } : { target, account: escapePath(path.account) }
}

/** The metadata that makes an empty object a link. */
export function linkHeaders({ target, account, pin }: LinkTarget): Record<string, string> {
  const listed = formatListed({
    slo_etag: pin?.sloEtag,
    symlink_target: target,
    symlink_account: account,
    symlink_etag: pin?.etag,
    symlink_bytes: pin === undefined ? undefined : String(pin.bytes),
  })
  return {
    [LINK_TARGET]: target,
    ...(account === undefined ? {} : { [LINK_ACCOUNT]: account }),
    ...(pin === undefined ? {} : { [LINK_ETAG]: pin.etag, [LINK_BYTES]: String(pin.bytes) }),
    [LISTED]: listed,
  }
}

/** The target of an object that is a link; null if it is none. */
export function targetOf({ headers }: ItemMeta): LinkTarget | null {
  const target = headers[LINK_TARGET]
  if (target === undefined) return null
  const account = headers[LINK_ACCOUNT]
  const etag = headers[LINK_ETAG]
  return {
    target,
    ...(account === undefined ? {} : { account }),
    ...(etag === undefined ? {} : { pin: { etag, bytes: Number(headers[LINK_BYTES]) } }),
  }
}

/** Where the link leads, for one that lies in the given account. */
export function targetPath(link: LinkTarget, account: string): SwiftPath {
  const path = unescapeUrl(toWire(link.target)) ?? ''
  const slash = path.indexOf('/')
  return {
    account: link.account === undefined ? account : (unescapeUrl(toWire(link.account)) ?? account),
    container: path.slice(0, slash),
    object: path.slice(slash + 1),
  }
}

/** The same as a path of the API, escaped. */
export function targetLocation(link: LinkTarget, account: string): string {
  return `/v1/${link.account ?? escapePath(account)}/${link.target}`
}

/** What `symlink=get` shows. */
export function shownLink({ target, account, pin }: LinkTarget): string[] {
  const shown = ['X-Symlink-Target', target]
  if (account !== undefined) shown.push('X-Symlink-Target-Account', account)
  if (pin !== undefined) {
    shown.push('X-Symlink-Target-Etag', pin.etag, 'X-Symlink-Target-Bytes', String(pin.bytes))
  }
  return shown
}
