/** Accounts as S3's grants name them by e-mail: those of the users of Keystone who have the address. */
import { projectsOfUser } from '../assignments/reachable.ts'
import type { IdentityParts } from '../identity-parts.ts'
import type { UserRow } from '../tables/rows.ts'
import { users } from '../tables/tables.ts'
import { storageAccount } from './arns.ts'

/** The storage accounts behind each address, whatever its case; all users are read once for all of them. */
export async function accountsOfEmails(
  parts: IdentityParts,
  emails: readonly string[],
): Promise<Readonly<Record<string, readonly string[]>>> {
  const found = new Map(emails.map((email) => [email.toLowerCase(), new Set<string>()]))
  for await (const page of users.pages(parts.state)) {
    for (const user of page) {
      const { email } = user.extra
      const accounts = typeof email === 'string' ? found.get(email.toLowerCase()) : undefined
      if (accounts === undefined || !user.enabled) continue
      const projectId = await projectOf(parts, user)
      if (projectId !== null) accounts.add(storageAccount(parts, projectId))
    }
  }
  return Object.fromEntries(
    emails.map((email) => [email, [...(found.get(email.toLowerCase()) ?? [])]]),
  )
}

/** A user's own project: the default one, or the only one; null where that says nothing. */
async function projectOf(parts: IdentityParts, user: UserRow): Promise<string | null> {
  const reachable = await projectsOfUser(parts.state, user.id)
  const standard = reachable.find(({ id }) => id === user.defaultProjectId)
  const [only = null, ...others] = reachable
  return standard?.id ?? (others.length === 0 ? (only?.id ?? null) : null)
}
