import type { StateReader } from '../../common/state/state-store.ts'
import type { TokenClaims, TokenScope } from '../../common/token/claims.ts'
import { effectiveRoles, groupIdsOf, type RoleTarget } from '../assignments/effective-roles.ts'
import { unauthorized } from '../errors.ts'
import type { ProjectRow, RoleRow, UserRow } from '../tables/rows.ts'
import { projects, users } from '../tables/tables.ts'
import { type Delegation, delegatedRoles } from './delegation.ts'

/** What a token is for, with its row as it is now. */
export type SubjectScope =
  | { readonly kind: 'unscoped' }
  | { readonly kind: 'project'; readonly project: ProjectRow; readonly domain: ProjectRow }
  | { readonly kind: 'domain'; readonly domain: ProjectRow }
  | { readonly kind: 'system' }

/** The holder of a token as state knows it now. */
export interface TokenSubject {
  readonly claims: TokenClaims
  readonly user: UserRow
  readonly userDomain: ProjectRow
  readonly scope: SubjectScope
  readonly roles: readonly RoleRow[]
  /** What the holder got it by, if it is good for less than the holder is. */
  readonly delegation?: Delegation
}

/** The user with its domain; 401 if one of them is not there or disabled. */
export async function enabledUser(
  reader: StateReader,
  userId: string,
): Promise<{ readonly user: UserRow; readonly userDomain: ProjectRow }> {
  const user = await users.get(reader, userId)
  if (user === undefined) throw unauthorized('no such user')
  if (!user.enabled) throw unauthorized('the user is disabled')
  return { user, userDomain: await enabledDomain(reader, user.domainId) }
}

/** The domain; 401 if it is not there or disabled. */
export async function enabledDomain(reader: StateReader, id: string): Promise<ProjectRow> {
  const domain = await projects.get(reader, id)
  if (domain === undefined || !domain.isDomain) throw unauthorized('no such domain')
  if (!domain.enabled) throw unauthorized('the domain is disabled')
  return domain
}

/** The project with its domain as a scope; 401 if one of them is not there or disabled. */
export async function projectScope(
  reader: StateReader,
  project: ProjectRow | undefined,
): Promise<SubjectScope> {
  if (project === undefined) throw unauthorized('no such project')
  if (!project.enabled) throw unauthorized('the project is disabled')
  if (project.isDomain) return { kind: 'domain', domain: project }
  return { kind: 'project', project, domain: await enabledDomain(reader, project.domainId!) }
}

/** The rows behind the scope of a token. */
export async function scopeOfClaims(reader: StateReader, scope: TokenScope): Promise<SubjectScope> {
  switch (scope.kind) {
    case 'unscoped':
      return { kind: 'unscoped' }
    case 'system':
      return { kind: 'system' }
    case 'domain':
      return { kind: 'domain', domain: await enabledDomain(reader, scope.id) }
    case 'project':
      return projectScope(reader, await projects.get(reader, scope.id))
  }
}

/**
 * The user's roles in a scope, of a delegation those that it gives; 401 if there are none, but for the unscoped. 403 if
 * somebody who trusted the user has not the roles any more.
 */
export async function rolesInScope(
  reader: StateReader,
  userId: string,
  scope: SubjectScope,
  delegation?: Delegation,
): Promise<readonly RoleRow[]> {
  const target = roleTarget(scope)
  if (target === null) return []
  const holder = { userId, groupIds: await groupIdsOf(reader, userId) }
  const roles =
    delegation === undefined
      ? await effectiveRoles(reader, holder, target)
      : await delegatedRoles(reader, delegation, { userId, target })
  if (roles.length === 0) throw unauthorized('no role in the scope')
  return roles
}

function roleTarget(scope: SubjectScope): RoleTarget | null {
  switch (scope.kind) {
    case 'unscoped':
      return null
    case 'system':
      return { kind: 'system' }
    case 'domain':
      return { kind: 'domain', domain: scope.domain }
    case 'project':
      return { kind: 'project', project: scope.project }
  }
}

/** The scope as a token says it. */
export function claimsScope(scope: SubjectScope): TokenScope {
  switch (scope.kind) {
    case 'unscoped':
    case 'system':
      return { kind: scope.kind }
    case 'domain':
      return { kind: 'domain', id: scope.domain.id, name: scope.domain.name }
    case 'project': {
      const { project, domain } = scope
      return {
        kind: 'project',
        id: project.id,
        name: project.name,
        domain: { id: domain.id, name: domain.name },
      }
    }
  }
}
