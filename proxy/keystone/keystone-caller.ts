import type { Caller, ProjectRights } from '../../common/identity.ts'
import type { InDomain, TokenClaims } from '../../common/token/claims.ts'
import { needsService, type ResellerPrefix, serviceGroupOf } from '../reseller-prefix.ts'
import { DEFAULT_DOMAIN_ID } from '../swift/project-domain.ts'
import type { KeystoneSettings } from './keystone-settings.ts'

/** As a service in the catalog, and in access rules. */
const SERVICE_TYPE = 'object-store'

/**
 * Whom a token of Keystone makes in the object store, by the rules of Swift's keystoneauth:
 *
 *   operator role          owns the project's accounts with the prefix: their names are among the groups
 *   reader role            reads them, but not those of services
 *   ResellerAdmin          owns every account
 *   any token              is `project id:user id` to ACLs; by names, too, if both are of the default domain
 *   any role               is its own name to ACLs of the project's accounts
 *   service role           opens accounts that are for services, too, if the token comes along with an owner's
 */
export function keystoneCaller(
  claims: TokenClaims,
  options: { readonly settings: KeystoneSettings; readonly prefixes: readonly ResellerPrefix[] },
): Caller {
  const { settings, prefixes } = options
  const { user, scope, applicationCredential } = claims
  const roles = claims.roles.map(({ name }) => name.toLowerCase())
  const has = (wanted: readonly string[]) =>
    wanted.some((name) => roles.includes(name.toLowerCase()))
  const project = scope.kind === 'project' ? scope : null
  const accountsWith = (rolesOf: (prefix: ResellerPrefix) => readonly string[]) =>
    prefixes.flatMap((prefix) =>
      project !== null && has(rolesOf(prefix)) ? [prefix.prefix + project.id] : [],
    )
  const account = project === null ? '' : `${prefixes[0]?.prefix ?? ''}${project.id}`
  const rules = applicationCredential?.accessRules
  return {
    user: `${project?.name ?? ''}:${user.name}`,
    account,
    groups: [
      `${project?.id ?? ''}:${user.id}`,
      ...accountsWith(({ operatorRoles }) => operatorRoles ?? settings.operatorRoles),
      ...(has(settings.resellerAdminRoles) ? ['.reseller_admin'] : []),
      ...(has(settings.systemReaderRoles) ? ['.reseller_reader'] : []),
    ],
    serviceGroups: prefixes
      .filter(needsService)
      .filter(({ serviceRoles }) => has(serviceRoles ?? settings.serviceRoles))
      .map(serviceGroupOf),
    project: rightsOf(project, {
      user,
      roles,
      // Readers see all accounts of the project but those of services.
      reads: accountsWith((prefix) =>
        needsService(prefix) ? [] : (prefix.readerRoles ?? settings.readerRoles),
      ),
      settings,
    }),
    expiresAtMs: claims.expiresAtMs,
    ...(rules !== undefined && { calls: rules.filter(({ service }) => service === SERVICE_TYPE) }),
  }
}

function rightsOf(
  project: InDomain | null,
  who: {
    readonly user: InDomain
    readonly roles: readonly string[]
    readonly reads: readonly string[]
    readonly settings: KeystoneSettings
  },
): ProjectRights {
  const { user, roles, reads, settings } = who
  return {
    id: project?.id ?? null,
    domainId: project?.domain.id ?? null,
    roles: roles.filter(isPlainRole),
    reads,
    names: settings.namesInAcls ? namesOf(project, user) : [],
  }
}

/** Roles are named by people: one that looks like a power of the store, or like a user, is none. */
function isPlainRole(role: string): boolean {
  return !/^\.|[:,*]/.test(role)
}

/** By name and id mixed, as ACLs may say it; nothing unless both names are unique, and can be told from ids. */
function namesOf(project: InDomain | null, user: InDomain): readonly string[] {
  if (user.domain.id !== DEFAULT_DOMAIN_ID) return []
  if (project !== null && project.domain.id !== DEFAULT_DOMAIN_ID) return []
  const users = [user.id, ...(isPlainName(user.name) ? [user.name] : [])]
  const projects = project === null ? [''] : [project.id]
  if (project !== null && isPlainName(project.name)) projects.push(project.name)
  return projects.flatMap((one) => users.map((other) => `${one}:${other}`)).slice(1)
}

/** A name with a colon could be another pair, one of hex digits another's id. */
function isPlainName(name: string): boolean {
  return name !== '' && !/[:,*]/.test(name) && !/^(?:[0-9a-f]{32}|[0-9a-f]{64})$/i.test(name)
}
