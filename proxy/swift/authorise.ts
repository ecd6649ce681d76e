/**
 * Who may do what, by the rules of Swift's tempauth, and of its keystoneauth for callers who have a project.
 * Everything here is pure; `access.ts` fetches what it needs.
 * The order: reseller admins and readers, the account's owner, then the container's ACL, then the account's.
 */
import type { ProjectRights } from '../../common/identity.ts'
import { needsService, prefixOf, type ResellerPrefix, serviceGroupOf } from '../reseller-prefix.ts'
import type { AccountAcl } from './account-acl.ts'
import { type ContainerAcl, referrerAllowed } from './acl.ts'
import type { SwiftPath } from './path.ts'

/** Who asks for what. */
export interface AccessRequest {
  readonly method: string
  readonly path: SwiftPath
  /** Empty if nobody has signed in. */
  readonly groups: readonly string[]
  readonly project?: ProjectRights | undefined
  /** The account is one of the caller's project. */
  readonly own?: boolean
  readonly referer: string | undefined
}

export interface Grant {
  /** The account's owner (or as good as): sees and sets ACLs and keys. */
  readonly owner: boolean
}

const OWNER: Grant = Object.freeze({ owner: true })
const GUEST: Grant = Object.freeze({ owner: false })

/** What the groups alone grant; null if it takes an ACL. */
export function grantByGroups(
  request: AccessRequest,
  prefixes: readonly ResellerPrefix[],
): Grant | null {
  const { groups, method, path } = request
  if (groups.length === 0) return null
  const account = path.account
  const reseller = prefixOf(account, prefixes)
  if (reseller === undefined) return null
  const ordinary = account !== reseller.prefix && account[reseller.prefix.length] !== '.'
  if (ordinary && groups.includes('.reseller_admin')) return OWNER
  const reading = method === 'GET' || method === 'HEAD'
  if (ordinary && reading && groups.includes('.reseller_reader')) return GUEST
  const makesAccount = path.container === undefined && (method === 'PUT' || method === 'DELETE')
  if (!makesAccount && administers(account, reseller, groups)) return OWNER
  // Readers of a project see all of its accounts but those of services.
  return reading && request.project?.reads.includes(account) === true ? GUEST : null
}

/** What the container's ACL (the read or the write one) grants. */
export function grantByContainerAcl(request: AccessRequest, acl: ContainerAcl): Grant | null {
  if (referrerAllowed(request.referer, acl.referrers)) {
    if (request.path.object !== undefined || acl.groups.includes('.rlistings')) return GUEST
  }
  if (acl.groups.some((member) => isMember(request.groups, member))) return GUEST
  // A role is the account's own: in another project the same role is somebody else's.
  const roles = request.own === true ? (request.project?.roles ?? []) : []
  return acl.groups.some((member) => roles.includes(member.toLowerCase())) ? GUEST : null
}

/**
 * What the container's ACL would grant by names of project and user. They say who it is only where names are unique, so
 * it takes a look at the account's domain.
 */
export function grantByNames(request: AccessRequest, acl: ContainerAcl): Grant | null {
  const names = request.project?.names ?? []
  return acl.groups.some((member) => isMember(names, member)) ? GUEST : null
}

/** Whether the account belongs to the caller's project, whatever its prefix. */
export function isOwnAccount(
  account: string,
  project: ProjectRights | undefined,
  prefixes: readonly ResellerPrefix[],
): boolean {
  const id = project?.id ?? null
  return id !== null && prefixes.some(({ prefix }) => account === prefix + id)
}

/** What the account's ACL grants. */
export function grantByAccountAcl(request: AccessRequest, acl: AccountAcl | null): Grant | null {
  if (acl === null || request.groups.length === 0) return null
  const isIn = (members: readonly string[]) => members.some((m) => request.groups.includes(m))
  if (isIn(acl.admin)) return OWNER
  const reading = request.method === 'GET' || request.method === 'HEAD'
  if (isIn(acl.readWrite) && (reading || request.path.container !== undefined)) return GUEST
  return isIn(acl.readOnly) && reading ? GUEST : null
}

/** An account that is for services as well takes one of them, too. */
function administers(
  account: string,
  reseller: ResellerPrefix,
  groups: readonly string[],
): boolean {
  if (!groups.includes(account)) return false
  if (!needsService(reseller)) return true
  const { requireGroup } = reseller
  const isService = requireGroup !== undefined && groups.includes(requireGroup)
  return isService || groups.includes(serviceGroupOf(reseller))
}

/** `account:user`, `account`, `*:user`, `account:*` or `*:*` against the caller's groups. */
function isMember(groups: readonly string[], member: string): boolean {
  if (groups.includes(member)) return !member.startsWith('.')
  if (!member.includes('*')) return false
  const colon = member.indexOf(':')
  if (colon < 0) return false
  const account = member.slice(0, colon)
  const user = member.slice(colon + 1)
  return groups.some((group) => {
    const at = group.indexOf(':')
    if (at < 0) return false
    return (
      (account === '*' || account === group.slice(0, at)) &&
      (user === '*' || user === group.slice(at + 1))
    )
  })
}
