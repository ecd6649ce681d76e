import type { Change } from '../identity-parts.ts'
import type { ProjectRow } from '../tables/rows.ts'
import { assignments, groups, projects, roles, users } from '../tables/tables.ts'
import { deleteProjectRow } from './project-removal.ts'
import { deleteRoleRow } from './role-removal.ts'
import { deleteGroupRow, deleteUserRow } from './user-removal.ts'

/** Deletes a domain with its projects, users, groups and roles. */
export async function deleteDomainTree(changing: Change, domain: ProjectRow): Promise<void> {
  const { tx, revoke } = changing
  const { id } = domain
  for (const group of await groups.by(tx, 'domain', id)) await deleteGroupRow(changing, group.id)
  for (const user of await users.by(tx, 'domain', id)) await deleteUserRow(changing, user.id)
  for (const project of await projects.by(tx, 'domain', id)) {
    await deleteProjectRow(changing, project)
  }
  for (const role of await roles.by(tx, 'name', id)) await deleteRoleRow(changing, role.id)
  for (const row of await assignments.list(tx, { prefix: ['domain', id] })) {
    await assignments.delete(tx, ...assignments.keyOf(row))
  }
  await projects.delete(tx, id)
  await revoke({ domainId: id })
}
