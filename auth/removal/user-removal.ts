import type { StateTransaction } from '../../common/state/state-store.ts'
import type { Change } from '../identity-parts.ts'
import type { ActorKind } from '../tables/rows.ts'
import { signInFailures } from '../tables/sign-in-failures.ts'
import { assignments, groups, memberships, users } from '../tables/tables.ts'
import { deleteCredentialsOfUser } from './credential-removal.ts'
import { deleteCredentialsBy, deleteDelegationsOfUser } from './delegation-removal.ts'
import { deleteOAuthTokens } from './oauth1-removal.ts'

/** Something that belongs to a user and goes with it. */
export type UserCleaner = (changing: Change, userId: string) => Promise<void>

/** What else goes with a user; each kind of thing adds itself. */
const CLEANERS: readonly UserCleaner[] = [
  deleteDelegationsOfUser,
  deleteCredentialsOfUser,
  (changing, userId) => deleteOAuthTokens(changing, 'user', userId),
  (changing, userId) => removeAssignments(changing, 'user', userId),
  ({ tx }, userId) => leaveGroups(tx, userId),
  ({ tx }, userId) => signInFailures.delete(tx, userId),
]

/** Deletes a user with all that belongs to it and voids its tokens. */
export async function deleteUserRow(changing: Change, userId: string): Promise<void> {
  for (const clean of CLEANERS) await clean(changing, userId)
  await users.delete(changing.tx, userId)
  await changing.revoke({ userId })
}

/** Deletes a group with its assignments and voids the tokens of its members. */
export async function deleteGroupRow(changing: Change, groupId: string): Promise<void> {
  const { tx, revoke } = changing
  await removeAssignments(changing, 'group', groupId)
  for (const { userId } of await memberships.list(tx, { prefix: [groupId] })) {
    await memberships.delete(tx, groupId, userId)
    await revoke({ userId })
  }
  await groups.delete(tx, groupId)
}

async function removeAssignments(
  changing: Change,
  kind: ActorKind,
  actorId: string,
): Promise<void> {
  const { tx } = changing
  for (const row of await assignments.by(tx, 'actor', kind, actorId)) {
    await deleteCredentialsBy(changing, row)
    await assignments.delete(tx, ...assignments.keyOf(row))
  }
}

async function leaveGroups(tx: StateTransaction, userId: string): Promise<void> {
  for (const { groupId } of await memberships.by(tx, 'user', userId)) {
    await memberships.delete(tx, groupId, userId)
  }
}
