import { ServiceError } from '../../common/errors.ts'

/** Users without any other role have this one: a token needs one. It gives nothing but what ACLs give by its name. */
export const GUEST_ROLE = 'guest'

/** The roles that the groups of Swift's tempauth stand for. */
const ROLES_OF_GROUPS: Readonly<Record<string, string>> = {
  '.admin': 'member',
  '.reseller_admin': 'ResellerAdmin',
  '.reseller_reader': 'ResellerReader',
  service: 'service',
}

/** Roles that mean something: a group of tempauth, which is for ACLs only, must not become one. */
const POWERS = new Set(
  [
    'admin',
    'manager',
    'member',
    'reader',
    'service',
    'swiftoperator',
    'ResellerAdmin',
    'ResellerReader',
  ].map((name) => name.toLowerCase()),
)

/** The names of the roles for a user with these groups. Throws 400 for a group that has the name of a role with powers. */
export function rolesOfGroups(groups: readonly string[]): readonly string[] {
  const roles = groups.map((group) => {
    const role = ROLES_OF_GROUPS[group]
    if (role !== undefined) return role
    if (!POWERS.has(group.toLowerCase())) return group
    const message = `group "${group}" would give the powers of the role of that name; --role gives a role`
    throw new ServiceError('BadGroup', message, { status: 400 })
  })
  return roles.length === 0 ? [GUEST_ROLE] : [...new Set(roles)]
}

/** Whether the group can be taken over. */
export function isHarmlessGroup(group: string): boolean {
  return Object.hasOwn(ROLES_OF_GROUPS, group) || !POWERS.has(group.toLowerCase())
}
