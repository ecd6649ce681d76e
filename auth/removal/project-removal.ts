import type { StateTransaction } from '../../common/state/state-store.ts'
import type { Change } from '../identity-parts.ts'
import type { ProjectRow } from '../tables/rows.ts'
import { assignments, projects, users } from '../tables/tables.ts'
import { deletePlaceOfProject } from './catalog-removal.ts'
import { deleteCredentialsOfProject } from './credential-removal.ts'
import { deleteDelegationsFor } from './delegation-removal.ts'
import { deleteIamAccount } from './iam-removal.ts'
import { deleteOAuthTokens } from './oauth1-removal.ts'

/** Something that belongs to a project and goes with it. */
export type ProjectCleaner = (changing: Change, projectId: string) => Promise<void>

/** What else goes with a project; each kind of thing adds itself. */
const CLEANERS: readonly ProjectCleaner[] = [
  deleteDelegationsFor,
  deleteCredentialsOfProject,
  deletePlaceOfProject,
  (changing, projectId) => deleteOAuthTokens(changing, 'project', projectId),
  ({ tx }, projectId) => removeAssignments(tx, projectId),
  ({ tx }, projectId) => forgetDefault(tx, projectId),
  ({ tx }, projectId) => deleteIamAccount(tx, projectId),
]

/** Deletes a project with all that belongs to it and voids the tokens for it. */
export async function deleteProjectRow(changing: Change, { id }: ProjectRow): Promise<void> {
  for (const clean of CLEANERS) await clean(changing, id)
  await projects.delete(changing.tx, id)
  await changing.revoke({ projectId: id })
}

async function removeAssignments(tx: StateTransaction, projectId: string): Promise<void> {
  for (const row of await assignments.list(tx, { prefix: ['project', projectId] })) {
    await assignments.delete(tx, ...assignments.keyOf(row))
  }
}

async function forgetDefault(tx: StateTransaction, projectId: string): Promise<void> {
  for (const user of await users.by(tx, 'defaultProject', projectId)) {
    await users.put(tx, { ...user, defaultProjectId: null })
  }
}
