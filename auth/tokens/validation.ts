import { ServiceError } from '../../common/errors.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import type { TokenClaims } from '../../common/token/claims.ts'
import { SKEW_ALLOWED_MS } from '../../common/token/token-time.ts'
import { unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { delegationOfClaims } from './delegation.ts'
import { enabledUser, rolesInScope, scopeOfClaims, type TokenSubject } from './token-subject.ts'

/**
 * The holder of a token as state knows it now: roles and names are those of today. Throws 401 for a token that is
 * forged, over, revoked, or whose holder, scope or roles are gone.
 *
 * `expiredMs`: how long it may be over already, for services that finish long work.
 */
export async function validateToken(
  parts: IdentityParts,
  token: string,
  { expiredMs = 0 }: { readonly expiredMs?: number } = {},
): Promise<TokenSubject> {
  const claims = await parts.verified.verify(token, parts.keys().verifying)
  if (claims === null) throw unauthorized('not a token of ours')
  const nowMs = parts.clock.nowMs()
  if (claims.issuedAtMs > nowMs + SKEW_ALLOWED_MS) throw unauthorized('the token is of the future')
  if (claims.expiresAtMs + expiredMs <= nowMs) throw unauthorized('the token is over')
  if (parts.revocations.voids(claims)) throw unauthorized('the token is revoked')
  await parts.directories.keepFresh(claims.user.id)
  return subjectOf(parts.state, claims, nowMs)
}

async function subjectOf(
  reader: StateReader,
  claims: TokenClaims,
  nowMs: number,
): Promise<TokenSubject> {
  const [{ user, userDomain }, scope, delegation] = await Promise.all([
    enabledUser(reader, claims.user.id),
    scopeOfClaims(reader, claims.scope),
    delegationOfClaims(reader, claims, nowMs),
  ])
  const roles = await rolesOf(() => rolesInScope(reader, user.id, scope, delegation))
  return { claims, user, userDomain, scope, roles, ...(delegation !== undefined && { delegation }) }
}

/** A token whose roles were taken from those who gave them on is as good as none. */
async function rolesOf<T>(find: () => Promise<T>): Promise<T> {
  try {
    return await find()
  } catch (error) {
    if (error instanceof ServiceError && error.status === 403) throw unauthorized(error.message)
    throw error
  }
}
