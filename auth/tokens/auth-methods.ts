import { ServiceError } from '../../common/errors.ts'
import type { TokenClaims } from '../../common/token/claims.ts'
import { expecting, unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { isLocked, noteSignIn } from '../passwords/lockout.ts'
import { mustChangeFirst } from '../passwords/password-rules.ts'
import type { UserRow } from '../tables/rows.ts'
import type { Reference } from './auth-request.ts'
import { findUser } from './references.ts'
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
  /** Restricts what the new token is for; set for application credentials. */
  readonly applicationCredential?: TokenClaims['applicationCredential']
  /** The project of an application credential. */
  readonly projectId?: string
}

/** Proves who somebody is, or throws 401. */
export type AuthMethod = (parts: IdentityParts, payload: unknown) => Promise<AuthProof>

/** Every way to sign in; others add theirs. */
export const AUTH_METHODS: Readonly<Record<string, AuthMethod>> = {
  password: byPassword,
  token: byToken,
}

async function byPassword(parts: IdentityParts, payload: unknown): Promise<AuthProof> {
  const { user: reference } = payload as {
    readonly user?: Reference & { readonly password?: string }
  }
  if (reference === undefined) throw expecting('user', 'password')
  const { password } = reference
  if (password === undefined) throw expecting('password', 'user')
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
  const current = user?.passwords[0]
  const matches = await parts.passwords.matches(password, current?.hash)
  if (user === undefined || current === undefined) throw unauthorized('no such user or password')
  if (await isLocked(state, user, { rules, nowMs })) throw lockedOut(user)
  await noteSignIn(state, user, { right: matches, rules, nowMs })
  if (!matches) throw unauthorized('wrong password')
  const expired = current.expiresAtMs !== null && current.expiresAtMs <= nowMs
  if (!expiredIsGood && (expired || mustChangeFirst(user, rules))) throw passwordExpired(user)
}

async function byToken(parts: IdentityParts, payload: unknown): Promise<AuthProof> {
  const { id } = payload as { readonly id: string }
  const { claims } = await validateToken(parts, id)
  if (claims.applicationCredential?.restricted) {
    throw unauthorized('a restricted application credential gets no other token')
  }
  return {
    userId: claims.user.id,
    methods: claims.methods,
    expiresAtMs: claims.expiresAtMs,
    auditChainId: claims.auditIds.at(-1)!,
  }
}

function lockedOut(user: UserRow): ServiceError {
  return new ServiceError('Unauthorized', `The account is locked for user: ${user.id}.`, {
    status: 401,
  })
}

function passwordExpired(user: UserRow): ServiceError {
  const message = `The password is expired and needs to be changed for user: ${user.id}.`
  return new ServiceError('Unauthorized', message, { status: 401 })
}
