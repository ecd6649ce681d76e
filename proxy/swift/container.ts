import { formatTimestamp } from '../../common/stamp.ts'
import type { ItemInfo, ListQuery } from '../../common/storage-node.ts'
import { isLonger, utf8Bytes } from '../../common/utf8.ts'
import { type Exchange, refusal } from '../exchange.ts'
import { settingChanges, settingHeaders } from '../layers/kept-settings.ts'
import { type Reply, statusReply } from '../reply.ts'
import { listingType } from './accept.ts'
import { type AccessQuestion, authorise, groupGrant, refuseForbidden } from './access.ts'
import { ensureAccount } from './account.ts'
import { cleanAcl, isPublic, parseAcl } from './acl.ts'
import type { Grant } from './authorise.ts'
import { refusesPublic } from './foreign-meta.ts'
import { lastModified } from './http-date.ts'
import { listPath } from './list-path.ts'
import { listQueryOf } from './listing-query.ts'
import { renderContainer } from './listing-render.ts'
import { listingReply, summaryReply } from './listing-reply.ts'
import { checkMergedMeta, isInternalHeader, listHeaders, titleCase } from './metadata.ts'
import { containerOf } from './object-access.ts'
import { checkContainerQuotas } from './quotas.ts'
import { listVersions } from './versions/list-versions.ts'
import {
  changeVersions,
  checkNoVersions,
  removeVersionsContainer,
  withBytesElsewhere,
} from './versions/version-container.ts'
import { shownVersions, versionsOf } from './versions/version-settings.ts'

/** What only the account's owner sees and sets. */
const OWNER_HEADERS = new Set([
  'x-container-read',
  'x-container-write',
  'x-container-sync-key',
  'x-container-sync-to',
  'x-container-meta-temp-url-key',
  'x-container-meta-temp-url-key-2',
])

const READ: AccessQuestion = { acl: 'read' }
const CHANGE: AccessQuestion = { acl: 'none' }

/** GET of a container: its objects. */
export async function listContainer(exchange: Exchange): Promise<Reply> {
  const { proxy } = exchange
  const { account, container } = namesOf(exchange)
  const query = listQueryOf(exchange, proxy.limits.containerListingMax)
  const type = listingType(exchange)
  const grant = await grantFor(exchange)
  if (nameTooLong(exchange, container)) throw refusal(404)
  if (exchange.query.has('versions')) {
    const page = await listVersions(exchange, { account, container, query })
    if (page === null) throw refusal(404)
    await refuseForbidden(exchange, READ, page.info)
    const info = await withBytesElsewhere(exchange, page.info)
    const headers = containerHeaders(exchange, info, grant)
    return listingReply(exchange, { body: page.body, type: 'application/json', headers })
  }
  const list = (wanted: ListQuery) => {
    // A `path=` listing takes many: none for a client that went away.
    if (exchange.res.destroyed) throw refusal(499)
    return proxy.backend.listContainer(account, container, wanted)
  }
  const path = exchange.query.get('path')
  const page = path === undefined ? await list(query) : await listPath(list, path, query)
  if (page === null) throw refusal(404)
  await refuseForbidden(exchange, READ, page.info)
  const body = renderContainer({ account, container }, page.entries, type)
  return listingReply(exchange, {
    body,
    type,
    headers: containerHeaders(exchange, await withBytesElsewhere(exchange, page.info), grant),
  })
}

export async function headContainer(exchange: Exchange): Promise<Reply> {
  const { account, container } = namesOf(exchange)
  const type = listingType(exchange)
  const grant = await grantFor(exchange)
  const info = nameTooLong(exchange, container)
    ? null
    : await exchange.proxy.backend.readContainer(account, container, { totals: true })
  if (info === null) throw refusal(404)
  await refuseForbidden(exchange, READ, info)
  const shown = await withBytesElsewhere(exchange, info)
  return summaryReply(exchange, { type, headers: containerHeaders(exchange, shown, grant) })
}

/** PUT of a container: 201 if it is new, 202 if its metadata was merged into what is there. */
export async function putContainer(exchange: Exchange): Promise<Reply> {
  const { backend, policies, limits } = exchange.proxy
  const { account, container } = namesOf(exchange)
  const grant = await authorise(exchange, CHANGE, null)
  const headers = changesOf(exchange, grant)
  const policyName = exchange.text('x-storage-policy')
  const policy = policyName ? policies.requested(policyName) : undefined
  const nameBytes = utf8Bytes(container)
  if (nameBytes > limits.containerNameBytesMax) {
    const { containerNameBytesMax } = limits
    return {
      ...statusReply(400),
      body: `Container name length of ${nameBytes} longer than ${containerNameBytesMax}`,
    }
  }
  const current = await backend.readContainer(account, container)
  await refuseChange(exchange, current, headers)
  if (current === null) await ensureAccount(exchange, account)
  else if (policy !== undefined && current.policy !== policy.index) throw refusal(409)
  checkMergedMeta('container', { current: current?.meta.headers ?? {}, changes: headers, limits })
  const index = policy?.index ?? current?.policy ?? policies.default.index
  const versions = await changeVersions(exchange, { account, container, current, policy: index })
  const outcome = await backend.putContainer(account, container, {
    meta: { headers: { ...headers, ...versions.headers } },
    policy: index,
  })
  if (outcome.status !== 'done') {
    await versions.undo()
    throw refusal(outcome.status === 'not-found' ? 404 : 409)
  }
  await versions.settled()
  return statusReply(outcome.existed ? 202 : 201)
}

export async function postContainer(exchange: Exchange): Promise<Reply> {
  const { backend, limits } = exchange.proxy
  const { account, container } = namesOf(exchange)
  const grant = await authorise(exchange, CHANGE, null)
  const headers = changesOf(exchange, grant)
  const current = nameTooLong(exchange, container)
    ? null
    : await backend.readContainer(account, container)
  if (current === null) throw refusal(404)
  await refuseChange(exchange, current, headers)
  checkMergedMeta('container', { current: current.meta.headers, changes: headers, limits })
  const { policy } = current
  const versions = await changeVersions(exchange, { account, container, current, policy })
  const meta = { headers: { ...headers, ...versions.headers } }
  const outcome = await backend.postContainer(account, container, meta)
  if (outcome.status !== 'done') {
    await versions.undo()
    throw refusal(404)
  }
  await versions.settled()
  return statusReply(204)
}

export async function deleteContainer(exchange: Exchange): Promise<Reply> {
  const { account, container } = namesOf(exchange)
  await authorise(exchange, CHANGE, null)
  if (nameTooLong(exchange, container)) throw refusal(404)
  const { backend } = exchange.proxy
  const current = await backend.readContainer(account, container)
  await refuseForbidden(exchange, CHANGE, current)
  const isVersioned = versionsOf(current?.meta.headers ?? {})?.kind === 'objects'
  if (isVersioned) await checkNoVersions(exchange, { account, container })
  const outcome = await backend.deleteContainer(account, container)
  if (outcome.status === 'not-empty') throw refusal(409)
  if (outcome.status !== 'done') throw refusal(404)
  if (isVersioned) await removeVersionsContainer(exchange, { account, container })
  return statusReply(204)
}

function namesOf(exchange: Exchange): { readonly account: string; readonly container: string } {
  const path = exchange.path!
  return { account: path.account, container: path.container! }
}

/** What the caller may see; owners need no ACL, so the container is not fetched for them twice. */
async function grantFor(exchange: Exchange): Promise<Grant> {
  const grant = groupGrant(exchange, READ)
  if (grant !== null) return grant
  return authorise(exchange, READ, await containerOf(exchange, exchange.path!))
}

/** What S3's policy of the container denies, and an ACL for everybody that its public access block refuses. */
async function refuseChange(
  exchange: Exchange,
  current: ItemInfo | null,
  changes: Readonly<Record<string, string>>,
): Promise<void> {
  if (current === null) return
  await refuseForbidden(exchange, CHANGE, current)
  if (!refusesPublic(current.meta.headers)) return
  const isOpened = ['x-container-read', 'x-container-write'].some((name) =>
    isPublic(parseAcl(changes[name])),
  )
  if (isOpened) throw refusal(403, "The container's public access block refuses public ACLs")
}

function nameTooLong(exchange: Exchange, container: string): boolean {
  return isLonger(container, exchange.proxy.limits.containerNameBytesMax)
}

/** The metadata that the request sets: ACLs in their short form, and only by the owner. */
function changesOf(exchange: Exchange, grant: Grant): Record<string, string> {
  const headers = listHeaders('container', exchange.headers, exchange.proxy.limits)
  checkContainerQuotas(headers)
  Object.assign(headers, settingChanges(exchange, 'container'))
  const read = headers['x-container-read']
  const write = headers['x-container-write']
  if (read !== undefined) headers['x-container-read'] = cleanAcl('read', read)
  if (write !== undefined) headers['x-container-write'] = cleanAcl('write', write)
  if (!grant.owner) for (const name of OWNER_HEADERS) delete headers[name]
  return headers
}

function containerHeaders(exchange: Exchange, info: ItemInfo, grant: Grant): string[] {
  const policy = exchange.proxy.policies.byIndex(info.policy)
  const out = [
    'X-Container-Object-Count',
    String(info.stats?.objects ?? 0),
    'X-Container-Bytes-Used',
    String(info.stats?.bytes ?? 0),
    'X-Timestamp',
    formatTimestamp(info.stamp.ticks),
    'X-Put-Timestamp',
    formatTimestamp(info.metaStamp.ticks),
    'Last-Modified',
    lastModified(info.metaStamp.ticks),
    'Accept-Ranges',
    'bytes',
  ]
  if (policy !== undefined) out.push('X-Storage-Policy', policy.name)
  out.push(...settingHeaders(exchange, info, 'container'))
  out.push(...shownVersions(info.meta.headers))
  for (const [name, value] of Object.entries(info.meta.headers)) {
    const hidden = isInternalHeader(name) || (!grant.owner && OWNER_HEADERS.has(name))
    if (!hidden && value !== '') out.push(titleCase(name), value)
  }
  return out
}
