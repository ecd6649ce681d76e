/** `PUT` with X-Symlink-Target: the object is a link. */
import { ServiceError } from '../../../common/errors.ts'
import { receiveUpTo } from '../../body.ts'
import { badRequest, type Exchange, refusal } from '../../exchange.ts'
import { SYNC_USER } from '../../layers/sync/sync-realms.ts'
import { Refusal } from '../../refusal.ts'
import type { Reply } from '../../reply.ts'
import { escapePath, unescapeUrl } from '../../wire-text.ts'
import { conditionOf, unquoteEtag } from '../condition-headers.ts'
import { SLO_BYTES, SLO_ETAG } from '../large/static-object.ts'
import { accessObject } from '../object-access.ts'
import {
  checkCondition,
  checkObjectName,
  contentTypeFor,
  createdReply,
  etagWantedBy,
  type ObjectDraft,
  requestObjectHeaders,
  storeBody,
} from '../object-write.ts'
import type { SwiftPath } from '../path.ts'
import { accountHeader, pathHeader } from '../path-header.ts'
import { checkQuotas } from '../quotas.ts'
import { type Stored, storeObject } from '../versions/store-object.ts'
import { followLink } from './follow-link.ts'
import { LINKS_MAX, type LinkTarget, linkHeaders, linkTarget, targetLocation } from './symlink.ts'

const EMPTY = Buffer.alloc(0)
const LINK_TYPE = 'application/symlink'

export async function putSymlink(exchange: Exchange): Promise<Reply> {
  const place = await accessObject(exchange, { acl: 'write' })
  checkObjectName(exchange, place.object)
  const link = wantedLink(exchange)
  await checkEmpty(exchange)
  const draft: ObjectDraft = {
    place,
    contentType: contentTypeFor(exchange, place.object, LINK_TYPE),
    headers: requestObjectHeaders(exchange),
    condition: conditionOf(exchange),
    etagWanted: etagWantedBy(exchange),
  }
  const { info, headers } = await storeLink(exchange, draft, link)
  return createdReply(info, headers)
}

/** Stores a link; a static one only if its target is there and has the ETag that is asked for. */
export async function storeLink(
  exchange: Exchange,
  draft: ObjectDraft,
  wanted: WantedLink,
): Promise<Stored> {
  const { place } = draft
  const pinned = wanted.etag === undefined ? null : await pin(exchange, draft, wanted.etag, wanted)
  const made: ObjectDraft = {
    ...draft,
    ...(pinned !== null && wanted.takesType ? { contentType: pinned.contentType } : {}),
    headers: { ...draft.headers, ...linkHeaders(pinned?.link ?? wanted.link) },
  }
  await checkQuotas(exchange, place, 0)
  await checkCondition(exchange, made)
  const store = (to: ObjectDraft) => storeBody(exchange, to, EMPTY)
  return storeObject(exchange, made, store, { repeatable: true })
}

export interface WantedLink {
  readonly link: LinkTarget
  /** Makes it a static link. */
  readonly etag?: string
  /** A static link has its target's content type, unless the request names one. */
  readonly takesType: boolean
}

function wantedLink(exchange: Exchange): WantedLink {
  const name = 'X-Symlink-Target'
  if (unescapeUrl(exchange.header('x-symlink-target') ?? '')?.startsWith('/') === true) {
    throw refusal(412, `${name} header must be of the form <container name>/<object name>`)
  }
  const named = pathHeader(exchange, name)
  const account = accountHeader(exchange, 'x-symlink-target-account')
  const self = exchange.path!
  if (isSame(self, { account: account ?? self.account, ...named })) {
    throw badRequest('Symlink cannot target itself')
  }
  const sent = exchange.text('x-symlink-target-etag')
  const etag = sent === undefined ? '' : unquoteEtag(sent.trim())
  if (/[;"\\]/.test(etag)) throw badRequest('Bad X-Symlink-Target-Etag format')
  const link = linkTarget({ account, ...named })
  const takesType = !exchange.headers['content-type']
  return etag === '' ? { link, takesType } : { link, etag, takesType }
}

function isSame(a: SwiftPath, b: SwiftPath): boolean {
  return a.account === b.account && a.container === b.container && a.object === b.object
}

/** What the copy of a link points to: the request may name another account or ETag. */
export function copiedLink(exchange: Exchange, { pin, ...link }: LinkTarget): WantedLink {
  const account = accountHeader(exchange, 'x-symlink-target-account')
  const sent = exchange.text('x-symlink-target-etag')
  const etag = sent === undefined ? pin?.etag : unquoteEtag(sent.trim())
  return {
    link: account === undefined ? link : { ...link, account: escapePath(account) },
    takesType: false,
    ...(etag === undefined ? {} : { etag }),
  }
}

async function checkEmpty(exchange: Exchange): Promise<void> {
  const length = exchange.headers['content-length']
  const isEmpty =
    length === undefined ? (await receiveUpTo(exchange, 0)) !== null : Number(length) === 0
  if (!isEmpty) throw badRequest('Symlink requests require a zero byte body')
}

/** What the link holds to. A link of another cluster's may come before its target does. */
async function pin(
  exchange: Exchange,
  draft: ObjectDraft,
  etag: string,
  wanted: WantedLink,
): Promise<{ readonly link: LinkTarget; readonly contentType: string }> {
  if (exchange.authority?.by !== SYNC_USER) return pinTarget(exchange, draft, etag, wanted)
  const bytes = exchange.header('x-symlink-target-bytes') ?? ''
  const seen = { etag, bytes: /^\d{1,15}$/.test(bytes) ? Number(bytes) : 0 }
  return { link: { ...wanted.link, pin: seen }, contentType: draft.contentType }
}

/** Looks whether the target has the ETag; dynamic links on the way count as objects. */
async function pinTarget(
  exchange: Exchange,
  { place }: ObjectDraft,
  etag: string,
  { link }: WantedLink,
): Promise<{ readonly link: LinkTarget; readonly contentType: string }> {
  const { account } = place
  const probe: LinkTarget = { ...link, pin: { etag, bytes: 0 } }
  const end = await followLink(
    exchange,
    { link: probe, account },
    {
      head: true,
      dynamic: false,
      // The link that is made is not one of the way.
      linksMax: LINKS_MAX + 1,
    },
  ).catch((error: unknown) => {
    if (!(error instanceof ServiceError) || error.status !== 404) throw error
    const headers = ['Content-Location', targetLocation(link, account)]
    throw new Refusal(409, 'X-Symlink-Target does not exist', headers)
  })
  const { bytes, meta } = end.read.info
  const sloBytes = meta.headers[SLO_BYTES]
  const sloEtag = meta.headers[SLO_ETAG]
  const pin = {
    etag,
    bytes: sloBytes === undefined ? bytes : Number(sloBytes),
    ...(sloEtag === undefined ? {} : { sloEtag }),
  }
  return { link: { ...link, pin }, contentType: meta.contentType ?? LINK_TYPE }
}
