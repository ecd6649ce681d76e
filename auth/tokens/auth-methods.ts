import { ServiceError } from '../../common/errors.ts'
import { askBeforeSignIn } from '../directories/before-sign-in.ts'
import { isDirectoryId } from '../directories/directory-tables.ts'
import { expecting, forbiddenAction, unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import type { OAuthRequest } from '../oauth1/oauth-signature.ts'
import { isLocked, letsIn } from '../passwords/lockout.ts'
import { mustChangeFirst } from '../passwords/password-rules.ts'
import type { UserRow } from '../tables/rows.ts'
import { byApplicationCredential } from './application-credential-method.ts'
import type { Reference, WantedScope } from './auth-request.ts'
import type { Delegation } from './delegation.ts'
import { byOAuth1 } from './oauth1-method.ts'
import { findUser } from './references.ts'
import { byTotp } from './totp-method.ts'
import { validateToken } from './validation.ts'

/** What a method has proven. */
export interface AuthProof {
  readonly userId: string
  /** How the earlier token was got, where one was used: its methods count too. */
  readonly methods?: readonly string[]
  /** The new token lives no longer. */
  readonly expiresAtMs?: number
  /** Audit id of the first token of the chain. */
  readonly auditChainId?: string
  /** Restricts what the new token is for: its scope is not for the client to choose. */
  readonly delegation?: Delegation
}

/** What a method may look at besides what it is given. */
export interface AuthContext {
  readonly wanted: WantedScope
  /** Set if a consumer of OAuth has signed the request. */
  readonly oauth: OAuthRequest | null
}

/** Proves who somebody is, or throws 401; 403 where the scope that is wanted is not to be had this way. */
export type AuthMethod = (
  parts: IdentityParts,
  payload: unknown,
  context: AuthContext,
) => Promise<AuthProof>

/** Every way to sign in; others add theirs. */
export const AUTH_METHODS: Readonly<Record<string, AuthMethod>> = {
  password: byPassword,
  token: byToken,
  application_credential: byApplicationCredential,
  totp: byTotp,
  oauth1: byOAuth1,
}

async function byPassword(parts: IdentityParts, payload: unknown): Promise<AuthProof> {
  const { user: reference } = payload as {
    readonly user?: Reference & { readonly password?: string }
  }
  if (reference === undefined) throw expecting('user', 'password')
  const { password } = reference
  if (password === undefined) throw expecting('password', 'user')
  await askBeforeSignIn(parts, reference)
  const user = await findUser(parts.state, reference)
  await checkPassword(parts, user, password)
  return { userId: user!.id }
}

/** Throws 401 unless it is the user's password, now, and not locked out; takes as long for users that are not there. */
export async function checkPassword(
  parts: IdentityParts,
  user: UserRow | undefined,
  password: string,
  { expiredIsGood = false }: { readonly expiredIsGood?: boolean } = {},
): Promise<void> {
  const { state, settings, clock } = parts
  const rules = settings.security
  const nowMs = clock.nowMs()
  if (user !== undefined && isDirectoryId(user.id)) {
    return checkDirectoryPassword(parts, user, password)
  }
  const current = user?.passwords[0]
  const matches = await parts.passwords.matches(password, current?.hash)
  // Not a word of a lockout: it would say that there is such a user.
  const letIn = await letsIn(state, user, { right: matches, rules, nowMs })
  if (!letIn || user === undefined || current === undefined) throw unauthorized('wrong password')
  const expired = current.expiresAtMs !== null && current.expiresAtMs <= nowMs
  if (!expiredIsGood && (expired || mustChangeFirst(user, rules))) throw passwordExpired(user)
}

/** Directories have rules of their own for passwords; guessing is held back here too. */
async function checkDirectoryPassword(
  { state, settings, clock, directories }: IdentityParts,
  user: UserRow,
  password: string,
): Promise<void> {
  const rules = settings.security
  const nowMs = clock.nowMs()
  // Of who is locked out the directory hears nothing: it may count, too.
  const locked = await isLocked(state, user, { rules, nowMs })
  const right = !locked && (await directories.passwordMatches(user.id, password))
  if (!(await letsIn(state, user, { right, rules, nowMs }))) throw unauthorized('wrong password')
}

/** A token that was got by a trust or for a consumer gets no other one; that of a credential one like itself. */
async function byToken(
  parts: IdentityParts,
  payload: unknown,
  { wanted }: AuthContext,
): Promise<AuthProof> {
  const { id } = payload as { readonly id: string }
  const { claims, delegation } = await validateToken(parts, id)
  if (delegation !== undefined && delegation.kind !== 'application-credential') {
    throw forbiddenAction('Using a delegated token to create another token')
  }
  if (delegation !== undefined && wanted.kind !== 'none') {
    throw forbiddenAction(
      'Using an application credential token to create a scoped token is not allowed',
    )
  }
  if (claims.scope.kind === 'system' && (wanted.kind === 'project' || wanted.kind === 'domain')) {
    throw forbiddenAction(
      'Using a system-scoped token to create a project-scoped or domain-scoped token is not allowed',
    )
  }
  return {
    userId: claims.user.id,
    methods: claims.methods,
    expiresAtMs: claims.expiresAtMs,
    auditChainId: claims.auditIds.at(-1)!,
    ...(delegation !== undefined && { delegation }),
  }
}

function passwordExpired(user: UserRow): ServiceError {
  const message = `The password is expired and needs to be changed for user: ${user.id}.`
  return new ServiceError('Unauthorized', message, { status: 401 })
}
