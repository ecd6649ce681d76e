import type { Change } from '../identity-parts.ts'
import { accessRules, applicationCredentials } from '../tables/application-credentials.ts'
import type { AssignmentRow } from '../tables/rows.ts'
import { memberships } from '../tables/tables.ts'
import { trusts } from '../tables/trusts.ts'

/** Deletes an application credential; its tokens are void. */
export async function deleteApplicationCredential(
  { tx, revoke }: Change,
  id: string,
): Promise<void> {
  await applicationCredentials.delete(tx, id)
  await revoke({ applicationCredentialId: id })
}

/** Deletes a trust and those that it was given on by; their tokens are void. */
export async function deleteTrust(changing: Change, id: string): Promise<void> {
  const { tx, revoke } = changing
  for (const row of await trusts.by(tx, 'source', id)) await deleteTrust(changing, row.id)
  await trusts.delete(tx, id)
  await revoke({ trustId: id })
}

/** Deletes the application credentials of a user, or those for one project. */
export async function deleteCredentialsOf(
  changing: Change,
  userId: string,
  projectId?: string,
): Promise<void> {
  for (const row of await applicationCredentials.by(changing.tx, 'name', userId)) {
    if (projectId !== undefined && row.projectId !== projectId) continue
    await deleteApplicationCredential(changing, row.id)
  }
}

/** What a user has given to programs and to others, or got from them, goes with it. */
export async function deleteDelegationsOfUser(changing: Change, userId: string): Promise<void> {
  const { tx } = changing
  await deleteCredentialsOf(changing, userId)
  for (const { id } of await accessRules.by(tx, 'call', userId)) await accessRules.delete(tx, id)
  const given = await trusts.by(tx, 'trustor', userId)
  const got = await trusts.by(tx, 'trustee', userId)
  for (const { id } of [...given, ...got]) await deleteTrust(changing, id)
}

/** What is for a project alone goes with it. */
export async function deleteDelegationsFor(changing: Change, projectId: string): Promise<void> {
  const { tx } = changing
  for (const { id } of await applicationCredentials.by(tx, 'project', projectId)) {
    await deleteApplicationCredential(changing, id)
  }
  for (const { id } of await trusts.by(tx, 'project', projectId)) await deleteTrust(changing, id)
}

/** A role taken away takes the application credentials for the project with it, as they stood for what was had. */
export async function deleteCredentialsBy(changing: Change, row: AssignmentRow): Promise<void> {
  if (row.targetKind !== 'project' || row.inherited) return
  if (row.actorKind === 'user') return deleteCredentialsOf(changing, row.actorId, row.targetId)
  for (const { userId } of await memberships.list(changing.tx, { prefix: [row.actorId] })) {
    await deleteCredentialsOf(changing, userId, row.targetId)
  }
}
