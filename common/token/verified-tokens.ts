import type { TokenClaims } from './claims.ts'
import { verifyToken } from './signed-token.ts'
import type { VerifyingKeys } from './token-keys.ts'

const TOKENS_MAX = 2000

/**
 * Verifies signatures once: the claims of the last 2,000 tokens that were found to be signed by the keys in use. Other
 * keys, and all are verified again. What else a token must be is for the caller to judge each time, as with
 * `verifyToken`.
 */
export class VerifiedTokens {
  readonly #known = new Map<string, TokenClaims>()
  #keys: VerifyingKeys | null = null

  async verify(token: string, keys: VerifyingKeys): Promise<TokenClaims | null> {
    if (this.#keys !== keys) {
      this.#keys = keys
      this.#known.clear()
    }
    const known = this.#known.get(token)
    if (known !== undefined) return known
    const claims = await verifyToken(token, keys)
    if (claims !== null && this.#keys === keys) this.#remember(token, claims)
    return claims
  }

  #remember(token: string, claims: TokenClaims): void {
    if (this.#known.size >= TOKENS_MAX) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest)
        break
      }
    }
    this.#known.set(token, claims)
  }
}
