import type { TokenClaims } from './claims.ts'

/** Clocks of two machines may differ this much: a token from further ahead is not believed. */
export const SKEW_ALLOWED_MS = 60_000

/** Whether the token is good at this time: not over, and not from the future but for the skew of clocks. */
export function isCurrent(
  claims: Pick<TokenClaims, 'issuedAtMs' | 'expiresAtMs'>,
  nowMs: number,
): boolean {
  return claims.issuedAtMs <= nowMs + SKEW_ALLOWED_MS && nowMs < claims.expiresAtMs
}
