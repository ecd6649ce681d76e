import { formatTimestamp, type Stamp } from '../../common/stamp.ts'
import type { ItemInfo, ListPage } from '../../common/storage-node.ts'
import { isLonger, utf8Bytes } from '../../common/utf8.ts'
import { deletedAtOf } from '../backend/account-status.ts'
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { settingChanges, settingHeaders } from '../layers/kept-settings.ts'
import type { ProxySettings } from '../proxy-context.ts'
import { type Reply, statusReply } from '../reply.ts'
import { listingType } from './accept.ts'
import { authorise, isOwn } from './access.ts'
import {
  ACCOUNT_ACL_HEADER,
  ACCOUNT_ACL_SYSMETA,
  cleanAccountAcl,
  showAccountAcl,
} from './account-acl.ts'
import type { Grant } from './authorise.ts'
import { listQueryOf } from './listing-query.ts'
import { renderAccount } from './listing-render.ts'
import { listingReply, summaryReply } from './listing-reply.ts'
import { checkMergedMeta, isInternalHeader, listHeaders, titleCase } from './metadata.ts'
import { queryOfUrl } from './path.ts'
import { PROJECT_DOMAIN_HEADER, PROJECT_DOMAIN_SHOWN, projectDomainOf } from './project-domain.ts'
import { accountQuotaChanges, accountQuotaHeaders } from './quotas.ts'
import { withHiddenBytes, withoutReserved } from './versions/hidden-containers.ts'

/** What only the account's owner sees. */
const OWNER_HEADERS = new Set(['x-account-meta-temp-url-key', 'x-account-meta-temp-url-key-2'])

/** GET of an account: its containers. */
export async function listAccount(exchange: Exchange): Promise<Reply> {
  const { proxy } = exchange
  const { account } = exchange.path!
  const grant = await authorise(exchange, { acl: 'none' }, null)
  checkAccountName(exchange, account)
  const query = withoutReserved(listQueryOf(exchange, proxy.limits.accountListingMax))
  const type = listingType(exchange)
  const page = (await proxy.backend.listAccount(account, query)) ?? notYetThere(exchange)
  if (deletedAtOf(page.info) !== null) return deletedReply(410)
  const policies = (proxy.settings.s3?.storageClasses ?? []).map(({ policy }) => policy)
  const of = { account, policies: [...new Set(policies)] }
  const entries = await withHiddenBytes(proxy.backend, of, page.entries)
  const body = renderAccount(account, entries, { type, policies: proxy.policies })
  return listingReply(exchange, { body, type, headers: accountHeaders(exchange, page.info, grant) })
}

export async function headAccount(exchange: Exchange): Promise<Reply> {
  const { account } = exchange.path!
  const grant = await authorise(exchange, { acl: 'none' }, null)
  checkAccountName(exchange, account)
  const type = listingType(exchange)
  const read = exchange.proxy.backend.readAccount(account, { totals: true })
  const info = (await read) ?? notYetThere(exchange).info
  if (deletedAtOf(info) !== null) return deletedReply(410)
  return summaryReply(exchange, { type, headers: accountHeaders(exchange, info, grant) })
}

export async function postAccount(exchange: Exchange): Promise<Reply> {
  const { backend, limits } = exchange.proxy
  const { account } = exchange.path!
  const acl = requestedAcl(exchange)
  await authorise(exchange, { acl: 'none' }, null)
  checkAccountName(exchange, account)
  const headers = listHeaders('account', exchange.headers, limits)
  if (acl !== undefined) headers[ACCOUNT_ACL_SYSMETA] = acl
  Object.assign(headers, accountQuotaChanges(exchange), settingChanges(exchange, 'account'))
  const current = await backend.readAccount(account)
  if (current !== null && deletedAtOf(current) !== null) return deletedReply(404)
  checkMergedMeta('account', { current: current?.meta.headers ?? {}, changes: headers, limits })
  Object.assign(headers, projectDomain(exchange, account, current))
  if (current === null) await ensureAccount(exchange, account)
  const outcome = await backend.postAccount(account, { headers })
  if (outcome.status !== 'done') throw refusal(404)
  return withAcl(statusReply(204), outcome.info)
}

/** PUT of an account, by reseller admins. */
export async function putAccount(exchange: Exchange): Promise<Reply> {
  const { backend, limits } = exchange.proxy
  const { account } = exchange.path!
  const acl = requestedAcl(exchange)
  await authorise(exchange, { acl: 'none' }, null)
  checkAccountName(exchange, account)
  const headers = listHeaders('account', exchange.headers, limits)
  if (acl !== undefined) headers[ACCOUNT_ACL_SYSMETA] = acl
  Object.assign(headers, accountQuotaChanges(exchange), settingChanges(exchange, 'account'))
  const current = await backend.readAccount(account)
  if (current !== null && deletedAtOf(current) !== null) {
    return { ...deletedReply(403), body: 'Recently deleted' }
  }
  checkMergedMeta('account', { current: current?.meta.headers ?? {}, changes: headers, limits })
  Object.assign(headers, projectDomain(exchange, account, current))
  const outcome = await backend.putAccount(account, { headers })
  if (outcome.status !== 'done') throw refusal(409)
  return withAcl(statusReply(outcome.existed ? 202 : 201), outcome.info)
}

/** DELETE of an account, by reseller admins: it is gone at once, and the reaper empties it. */
export async function deleteAccount(exchange: Exchange): Promise<Reply> {
  const { backend } = exchange.proxy
  const { account } = exchange.path!
  await authorise(exchange, { acl: 'none' }, null)
  // Somebody who mistyped a query meant for a container would lose the whole account.
  if (queryOfUrl(exchange.url) !== '') throw refusal(400)
  const outcome = await backend.deleteAccount(account)
  if (outcome.status === 'done') return deletedReply(204)
  return (await backend.readAccount(account)) === null ? statusReply(404) : deletedReply(404)
}

/**
 * Makes the account if it is not there yet and the cluster creates accounts by themselves; else a 404. A 403 if it is there and has
 * no room for another container.
 */
export async function ensureAccount(exchange: Exchange, account: string): Promise<void> {
  const { backend, settings, limits } = exchange.proxy
  if (isLonger(account, limits.accountNameBytesMax)) throw refusal(404)
  const totals = settings.containersPerAccountMax > 0
  const current = await backend.readAccount(account, { totals })
  if (current !== null && deletedAtOf(current) !== null) throw refusal(404)
  if (current !== null) return checkContainerCount(settings, account, current)
  if (!settings.accountAutocreate) throw refusal(404)
  await backend.putAccount(account, { headers: projectDomain(exchange, account, null) })
}

/** A 403 if the account has as many containers as it may. */
function checkContainerCount(settings: ProxySettings, account: string, info: ItemInfo): void {
  const { containersPerAccountMax: most, containersPerAccountWhitelist: free } = settings
  const isFull = most > 0 && (info.stats?.rows ?? 0) >= most
  if (isFull && !free.includes(account)) throw refusal(403, `Reached container limit of ${most}`)
}

/** The header that notes whose names the account's ACLs may hold; none where there is nothing to note. */
function projectDomain(
  exchange: Exchange,
  account: string,
  current: ItemInfo | null,
): Record<string, string> {
  const domain = projectDomainOf({
    account: current?.meta.headers ?? null,
    project: exchange.caller?.project,
    own: isOwn(exchange, account),
  })
  return domain === undefined ? {} : { [PROJECT_DOMAIN_HEADER]: domain }
}

/** Of an account that is marked: the reaper empties it, and its name is not free yet. */
function deletedReply(status: number): Reply {
  return statusReply(status, ['X-Account-Status', 'Deleted'])
}

function checkAccountName(exchange: Exchange, account: string): void {
  const { accountNameBytesMax } = exchange.proxy.limits
  const bytes = utf8Bytes(account)
  if (bytes > accountNameBytesMax) {
    throw badRequest(`Account name length of ${bytes} longer than ${accountNameBytesMax}`)
  }
}

/** The ACL to store; checked before anything else, as the one who checks it is who let the caller in. */
function requestedAcl(exchange: Exchange): string | undefined {
  const text = exchange.text(ACCOUNT_ACL_HEADER)
  return text === undefined ? undefined : cleanAccountAcl(text)
}

/** An account that nothing was ever written to looks empty, where accounts are created by themselves. */
function notYetThere(exchange: Exchange): ListPage {
  if (!exchange.proxy.settings.accountAutocreate) throw refusal(404)
  const stamp: Stamp = { ticks: Math.floor(exchange.proxy.clock.nowMs() * 100), proposer: 0 }
  const info: ItemInfo = {
    name: `/${exchange.path!.account}`,
    policy: 0,
    deleted: false,
    stamp,
    metaStamp: stamp,
    ballot: stamp,
    writeId: '0'.repeat(16),
    bytes: 0,
    meta: { headers: {} },
  }
  return { info, entries: [] }
}

function withAcl(reply: Reply, info: ItemInfo): Reply {
  const acl = showAccountAcl(info.meta.headers[ACCOUNT_ACL_SYSMETA])
  if (acl !== undefined) reply.headers.push(titleCase(ACCOUNT_ACL_HEADER), acl)
  return reply
}

function accountHeaders(exchange: Exchange, info: ItemInfo, grant: Grant): string[] {
  const out = [
    'X-Account-Container-Count',
    String(info.stats?.rows ?? 0),
    'X-Account-Object-Count',
    String(info.stats?.objects ?? 0),
    'X-Account-Bytes-Used',
    String(info.stats?.bytes ?? 0),
    'X-Timestamp',
    formatTimestamp(info.stamp.ticks),
    'X-Put-Timestamp',
    formatTimestamp(info.metaStamp.ticks),
    'Accept-Ranges',
    'bytes',
    ...policyHeaders(exchange, info),
    ...accountQuotaHeaders(info, exchange.proxy.policies),
    ...settingHeaders(exchange, info, 'account'),
  ]
  for (const [name, value] of Object.entries(info.meta.headers)) {
    const hidden = isInternalHeader(name) || (!grant.owner && OWNER_HEADERS.has(name))
    if (!hidden && value !== '') out.push(titleCase(name), value)
  }
  const domain = info.meta.headers[PROJECT_DOMAIN_HEADER]
  if (domain !== undefined && domain !== '') out.push(PROJECT_DOMAIN_SHOWN, domain)
  const acl = grant.owner ? showAccountAcl(info.meta.headers[ACCOUNT_ACL_SYSMETA]) : undefined
  if (acl !== undefined) out.push(titleCase(ACCOUNT_ACL_HEADER), acl)
  return out
}

function policyHeaders(exchange: Exchange, info: ItemInfo): string[] {
  const out: string[] = []
  for (const [index, stats] of Object.entries(info.stats?.byPolicy ?? {})) {
    const policy = exchange.proxy.policies.byIndex(Number(index))
    if (policy === undefined) continue
    const head = `X-Account-Storage-Policy-${titleCase(policy.name.toLowerCase())}`
    out.push(`${head}-Container-Count`, String(stats.rows))
    out.push(`${head}-Object-Count`, String(stats.objects))
    out.push(`${head}-Bytes-Used`, String(stats.bytes))
  }
  return out
}
