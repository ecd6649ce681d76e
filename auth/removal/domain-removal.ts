import { forbidden } from '../errors.ts'
import type { Change } from '../identity-parts.ts'
import type { IdentitySettings } from '../settings.ts'
import type { ProjectRow } from '../tables/rows.ts'
import { assignments, groups, projects, roles, users } from '../tables/tables.ts'
import { deleteLimitsOfDomain } from './catalog-removal.ts'
import { deleteDirectory } from './directory-removal.ts'
import { deleteProjectRow } from './project-removal.ts'
import { deleteRoleRow } from './role-removal.ts'
import { deleteGroupRow, deleteUserRow } from './user-removal.ts'

/** Deletes a domain with its projects, users, groups and roles. Throws 403 while it is enabled, and for the default one. */
export async function deleteDomainTree(
  changing: Change,
  domain: ProjectRow,
  { defaultDomainId }: Pick<IdentitySettings, 'defaultDomainId'>,
): Promise<void> {
  const { tx, revoke } = changing
  const { id, enabled } = domain
  if (id === defaultDomainId) {
    throw forbidden('Cannot delete the default domain, please use another domain first.')
  }
  if (enabled) {
    throw forbidden('Cannot delete a domain that is enabled, please disable it first.')
  }
  await deleteDirectory(changing, id)
  for (const group of await groups.by(tx, 'domain', id)) await deleteGroupRow(changing, group.id)
  for (const user of await users.by(tx, 'domain', id)) await deleteUserRow(changing, user.id)
  for (const project of await projects.by(tx, 'domain', id)) {
    await deleteProjectRow(changing, project)
  }
  for (const role of await roles.by(tx, 'name', id)) await deleteRoleRow(changing, role.id)
  for (const row of await assignments.list(tx, { prefix: ['domain', id] })) {
    await assignments.delete(tx, ...assignments.keyOf(row))
  }
  await deleteLimitsOfDomain(changing, id)
  await projects.delete(tx, id)
  await revoke({ domainId: id })
}
