import type { ItemInfo } from '../../common/storage-node.ts'
import { type Authority, type Exchange, refusal } from '../exchange.ts'
import { prefixOf } from '../reseller-prefix.ts'
import { type ContainerAcl, parseAcl, withoutPublic } from './acl.ts'
import {
  type AccessRequest,
  type Grant,
  grantByAccountAcl,
  grantByContainerAcl,
  grantByGroups,
  grantByNames,
  isOwnAccount,
} from './authorise.ts'
import { isForbidden } from './bucket-policy.ts'
import { ignoresPublic } from './foreign-meta.ts'
import type { SwiftPath } from './path.ts'
import { hasUniqueNames } from './project-domain.ts'

/** Which of a container's ACLs speaks for the request; `none` for changes of containers and accounts. */
export type AclChoice = 'read' | 'write' | 'none'

/** What is asked for, where it is not what the request's own line says: the source of a copy. */
export interface AccessQuestion {
  readonly acl: AclChoice
  readonly method?: string
  readonly path?: SwiftPath
  /** Of an object that the request was let see: its bucket's policy has no more to say. */
  readonly isPart?: boolean
}

const NO_GROUPS: readonly string[] = []

/** What the caller may do by groups, or what was granted in their place: no ACL is looked at. */
export function groupGrant(exchange: Exchange, question: AccessQuestion): Grant | null {
  if (exchange.authority !== null) {
    return grantByAuthority(exchange.authority, question.path ?? exchange.path!)
  }
  return callerGrant(exchange, question)
}

/** The same by the caller's own groups, whatever was granted in their place. */
export function callerGrant(exchange: Exchange, question: AccessQuestion): Grant | null {
  return grantByGroups(groupRequest(exchange, question), exchange.proxy.settings.resellerPrefixes)
}

/** Lets the request go on, or ends it with a 401 (nobody signed in) or 403. */
export async function authorise(
  exchange: Exchange,
  question: AccessQuestion,
  container: ItemInfo | null,
): Promise<Grant> {
  const grant = await grantFor(exchange, question, container)
  await refuseForbidden(exchange, question, container)
  return grant
}

/** A 401 or 403 for what the container's policy of S3's denies. */
export async function refuseForbidden(
  exchange: Exchange,
  question: AccessQuestion,
  container: ItemInfo | null,
): Promise<void> {
  if (await isForbidden(exchange, question, container)) throw denied(exchange)
}

async function grantFor(
  exchange: Exchange,
  question: AccessQuestion,
  container: ItemInfo | null,
): Promise<Grant> {
  const known = groupGrant(exchange, question)
  if (known !== null) return known
  if (exchange.authority !== null) throw refusal(401)
  return authoriseCaller(exchange, question, container)
}

/** The same for the caller himself, whatever was granted in his place. */
export async function authoriseCaller(
  exchange: Exchange,
  question: AccessQuestion,
  container: ItemInfo | null,
): Promise<Grant> {
  const { proxy } = exchange
  const known = callerGrant(exchange, question)
  if (known !== null) return known
  const request = accessRequest(exchange, question)
  if (prefixOf(request.path.account, proxy.settings.resellerPrefixes) === undefined) {
    throw denied(exchange)
  }
  const acl = aclOf(question.acl, container)
  const byNames = grantByNames(request, acl)
  const grant =
    grantByContainerAcl(request, acl) ??
    (byNames !== null && (await namesCount(exchange, request)) ? byNames : null) ??
    (request.groups.length === 0 ? null : await grantByAccount(exchange, request))
  if (grant === null) throw denied(exchange)
  return grant
}

/** By the account's ACL, which names the caller by ids, or by names where these count. */
async function grantByAccount(exchange: Exchange, request: AccessRequest): Promise<Grant | null> {
  const acl = await exchange.proxy.accountAcls.get(request.path.account)
  const byIds = grantByAccountAcl(request, acl)
  const names = request.project?.names ?? []
  if (byIds !== null || acl === null || names.length === 0) return byIds
  const byNames = grantByAccountAcl({ ...request, groups: names }, acl)
  return byNames !== null && (await namesCount(exchange, request)) ? byNames : null
}

function grantByAuthority(authority: Authority, path: SwiftPath): Grant | null {
  const { account, container, owner } = authority
  if (path.account !== account) return null
  return container === undefined || path.container === container ? { owner } : null
}

export function denied(exchange: Exchange): Error {
  return refusal(exchange.caller === null ? 401 : 403)
}

/** Whether the request's account is one of the caller's project. */
export function isOwn(exchange: Exchange, account: string): boolean {
  const { caller, proxy } = exchange
  return isOwnAccount(account, caller?.project, proxy.settings.resellerPrefixes)
}

/** What groups are judged by. */
function groupRequest(exchange: Exchange, question: AccessQuestion): AccessRequest {
  const { caller } = exchange
  return {
    method: question.method ?? exchange.method,
    path: question.path ?? exchange.path!,
    groups: caller?.groups ?? NO_GROUPS,
    referer: exchange.header('referer'),
    project: caller?.project,
  }
}

/** What ACLs are judged by, too. */
function accessRequest(exchange: Exchange, question: AccessQuestion): AccessRequest {
  const request = groupRequest(exchange, question)
  if (request.project === undefined) return request
  return { ...request, own: isOwn(exchange, request.path.account) }
}

/** Whether names in the account's ACLs mean users of the domain in which the caller's are unique. */
async function namesCount(exchange: Exchange, request: AccessRequest): Promise<boolean> {
  if (request.own === true) return true
  const account = await exchange.proxy.accountAcls.info(request.path.account)
  return account !== null && hasUniqueNames(account.meta.headers)
}

/** What S3 says of public grants counts for those of Swift's, too. */
function aclOf(choice: AclChoice, container: ItemInfo | null): ContainerAcl {
  if (choice === 'none' || container === null) return parseAcl(undefined)
  const { headers } = container.meta
  const acl = parseAcl(headers[choice === 'read' ? 'x-container-read' : 'x-container-write'])
  return ignoresPublic(headers) ? withoutPublic(acl) : acl
}
