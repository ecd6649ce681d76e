import type { ItemInfo } from '../../common/storage-node.ts'
import { type Authority, type Exchange, refusal } from '../exchange.ts'
import { parseAcl } from './acl.ts'
import {
  type AccessRequest,
  type Grant,
  grantByAccountAcl,
  grantByContainerAcl,
  grantByGroups,
  prefixOf,
} from './authorise.ts'
import type { SwiftPath } from './path.ts'

/** Which of a container's ACLs speaks for the request; `none` for changes of containers and accounts. */
export type AclChoice = 'read' | 'write' | 'none'

/** What is asked for, where it is not what the request's own line says: the source of a copy. */
export interface AccessQuestion {
  readonly acl: AclChoice
  readonly method?: string
  readonly path?: SwiftPath
}

const NO_GROUPS: readonly string[] = []

/** What the caller may do by groups, or what was granted in their place: no ACL is looked at. */
export function groupGrant(exchange: Exchange, question: AccessQuestion): Grant | null {
  if (exchange.authority !== null) {
    return grantByAuthority(exchange.authority, question.path ?? exchange.path!)
  }
  return grantByGroups(accessRequest(exchange, question), exchange.proxy.settings.resellerPrefixes)
}

/** Lets the request go on, or ends it with a 401 (nobody signed in) or 403. */
export async function authorise(
  exchange: Exchange,
  question: AccessQuestion,
  container: ItemInfo | null,
): Promise<Grant> {
  const { proxy } = exchange
  const known = groupGrant(exchange, question)
  if (known !== null) return known
  if (exchange.authority !== null) throw refusal(401)
  const request = accessRequest(exchange, question)
  if (prefixOf(request.path.account, proxy.settings.resellerPrefixes) === undefined) {
    throw denied(exchange)
  }
  const grant =
    grantByContainerAcl(request, parseAcl(aclText(question.acl, container))) ??
    (request.groups.length === 0
      ? null
      : grantByAccountAcl(request, await proxy.accountAcls.get(request.path.account)))
  if (grant === null) throw denied(exchange)
  return grant
}

function grantByAuthority(authority: Authority, path: SwiftPath): Grant | null {
  const { account, container, owner } = authority
  if (path.account !== account) return null
  return container === undefined || path.container === container ? { owner } : null
}

export function denied(exchange: Exchange): Error {
  return refusal(exchange.caller === null ? 401 : 403)
}

function accessRequest(exchange: Exchange, question: AccessQuestion): AccessRequest {
  return {
    method: question.method ?? exchange.method,
    path: question.path ?? exchange.path!,
    groups: exchange.caller?.groups ?? NO_GROUPS,
    referer: exchange.header('referer'),
  }
}

function aclText(choice: AclChoice, container: ItemInfo | null): string | undefined {
  if (choice === 'none' || container === null) return undefined
  return container.meta.headers[choice === 'read' ? 'x-container-read' : 'x-container-write']
}
