import type { Change } from '../identity-parts.ts'
import { assignments, impliedRoles, roles } from '../tables/tables.ts'
import { deleteCredentialsBy } from './delegation-removal.ts'

/** Deletes a role with its assignments and what it implies or is implied by; tokens that have it are void. */
export async function deleteRoleRow(changing: Change, roleId: string): Promise<void> {
  const { tx, revoke } = changing
  for (const row of await assignments.by(tx, 'role', roleId)) {
    await deleteCredentialsBy(changing, row)
    await assignments.delete(tx, ...assignments.keyOf(row))
  }
  const rules = [
    ...(await impliedRoles.list(tx, { prefix: [roleId] })),
    ...(await impliedRoles.by(tx, 'implied', roleId)),
  ]
  for (const { priorId, impliedId } of rules) {
    await impliedRoles.delete(tx, priorId, impliedId)
    // Who had it by this role has it no longer.
    await revoke({ roleId: impliedId })
  }
  await roles.delete(tx, roleId)
  await revoke({ roleId })
}
