import type { Change } from '../identity-parts.ts'
import { credentials, usedCodes } from '../tables/credentials.ts'

/** Deletes a credential with what is known of its use. */
export async function deleteCredential({ tx }: Pick<Change, 'tx'>, id: string): Promise<void> {
  await usedCodes.delete(tx, id)
  await credentials.delete(tx, id)
}

export async function deleteCredentialsOfUser(changing: Change, userId: string): Promise<void> {
  const rows = await credentials.by(changing.tx, 'user', userId)
  for (const { id } of rows) await deleteCredential(changing, id)
}

export async function deleteCredentialsOfProject(
  changing: Change,
  projectId: string,
): Promise<void> {
  const rows = await credentials.by(changing.tx, 'project', projectId)
  for (const { id } of rows) await deleteCredential(changing, id)
}
