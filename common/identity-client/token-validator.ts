import type { Clock } from '../clock.ts'
import type { TokenClaims } from '../token/claims.ts'
import { keyIdOf, verifyToken } from '../token/signed-token.ts'
import { isCurrent } from '../token/token-time.ts'
import { unavailable } from './identity-http.ts'
import type { PublishedKeys } from './published-keys.ts'
import type { RevocationList } from './revocation-list.ts'

export interface TokenValidatorOptions {
  readonly keys: PublishedKeys
  readonly revocations: RevocationList
  readonly clock: Clock
  /** Tokens remembered with their claims, about 3 KiB each; beyond it the one remembered longest is forgotten. */
  readonly cachedTokensMax?: number
  /** Tokens being verified at once; more are refused with 503. */
  readonly verifyingMax?: number
}

const DEFAULTS = {
  cachedTokensMax: 10_000,
  verifyingMax: 1000,
} satisfies Partial<TokenValidatorOptions>

interface Known {
  readonly claims: TokenClaims
  readonly keyId: string
  /** Of keys and revocations together, when the token was last judged by them. */
  revision: number
  void: boolean
}

/**
 * Says who holds a token without asking anybody: by its signature when it is first seen, then from memory. A token that
 * is remembered is judged again when the keys or the revocations have changed.
 */
export class TokenValidator {
  readonly #options: Required<TokenValidatorOptions>
  readonly #known = new Map<string, Known>()
  readonly #verifying = new Map<string, Promise<TokenClaims | null>>()
  /** The token that came last: to compare a long text is cheaper than to hash it. */
  #last: { readonly token: string; readonly known: Known } | null = null

  constructor(options: TokenValidatorOptions) {
    this.#options = { ...DEFAULTS, ...options }
  }

  /**
   * The claims of a token that is good now; the same object as long as it is remembered. Null for one that is forged,
   * over, not yet good, revoked, or of a retired key. Throws 503 if the list of revocations is too old to tell.
   */
  validate(token: string): TokenClaims | null | Promise<TokenClaims | null> {
    if (this.#last !== null && this.#last.token === token) return this.#judge(this.#last.known)
    const known = this.#known.get(token)
    if (known !== undefined) {
      this.#last = { token, known }
      return this.#judge(known)
    }
    const keyId = keyIdOf(token)
    if (keyId === null) return null
    const running = this.#verifying.get(token)
    if (running !== undefined) return running
    if (this.#verifying.size >= this.#options.verifyingMax) {
      throw unavailable('too many new tokens at once')
    }
    const verifying = this.#verify(token, keyId).finally(() => this.#verifying.delete(token))
    this.#verifying.set(token, verifying)
    return verifying
  }

  async #verify(token: string, keyId: string): Promise<TokenClaims | null> {
    const keys = await this.#options.keys.withKey(keyId)
    // Nothing is known yet: whose key it is cannot be told.
    if (keys.size === 0) throw unavailable('its keys are not known yet')
    const claims = await verifyToken(token, keys)
    if (claims === null || !this.#isCurrent(claims)) return null
    const known: Known = { claims, keyId, revision: -1, void: false }
    const judged = this.#judge(known)
    this.#remember(token, known)
    return judged
  }

  #judge(known: Known): TokenClaims | null {
    const { keys, revocations } = this.#options
    const revision = keys.revision + revocations.revision
    if (known.revision !== revision) {
      known.void = !keys.keys.has(known.keyId) || revocations.revocations.voids(known.claims)
      known.revision = revision
    }
    if (known.void || !this.#isCurrent(known.claims)) return null
    if (!revocations.isFresh) throw unavailable('its list of revocations is too old')
    return known.claims
  }

  #isCurrent(claims: TokenClaims): boolean {
    return isCurrent(claims, this.#options.clock.nowMs())
  }

  #remember(token: string, known: Known): void {
    if (this.#known.size >= this.#options.cachedTokensMax) {
      const [oldest] = this.#known.keys()
      this.#known.delete(oldest!)
    }
    this.#known.set(token, known)
  }
}
