import type { IdentityParts } from '../identity-parts.ts'
import type { Reference } from '../tokens/auth-request.ts'
import { findDomain } from '../tokens/references.ts'

/** Before somebody signs in by a password: what the directory says now counts. Throws 503 where it cannot be asked. */
export async function askBeforeSignIn(
  { directories, state }: IdentityParts,
  user: Reference,
): Promise<void> {
  if (user.id !== undefined) return directories.refreshUser(user.id, { now: true })
  const domain = await findDomain(state, user.domain)
  await directories.refreshUserByName(domain.id, user.name ?? '')
}
