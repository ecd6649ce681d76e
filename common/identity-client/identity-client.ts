import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { TokenClaims } from '../token/claims.ts'
import { IdentityHttp, type IdentityHttpOptions } from './identity-http.ts'
import { type IssuedToken, type PasswordCredentials, signInByPassword } from './password-sign-in.ts'
import { PublishedKeys } from './published-keys.ts'
import { RevocationList } from './revocation-list.ts'
import { ServiceSession } from './service-session.ts'
import { TokenValidator } from './token-validator.ts'

export interface IdentityClientOptions {
  /** Where the identity service is: `http://127.0.0.1:5000`, with or without `/v3`. */
  readonly url: string
  /** The service's own user. */
  readonly credentials: () => Promise<PasswordCredentials>
  readonly clock: Clock
  readonly log: Log
  /** How often keys and revocations are read: a revocation is seen within this, and a request. */
  readonly pollMs?: number
  readonly cachedTokensMax?: number
  readonly http?: Omit<IdentityHttpOptions, 'url' | 'clock'>
}

const DEFAULTS = { pollMs: 2000 } satisfies Partial<IdentityClientOptions>

/** A service that cannot judge tokens yet asks more often: the identity service is just being started. */
const UNREADY_POLL_MS = 100

/**
 * What a service needs of identity: who holds a token, a token of its own, and signing others in. Keys and revocations
 * are read in the background; a service that cannot read them goes on for a minute by those it has, then refuses tokens
 * with 503.
 */
export class IdentityClient {
  readonly http: IdentityHttp
  readonly session: ServiceSession
  readonly #options: Required<Pick<IdentityClientOptions, 'pollMs' | 'clock' | 'log'>>
  readonly #keys: PublishedKeys
  readonly #revocations: RevocationList
  readonly #validator: TokenValidator
  #cancel: () => void = () => {}
  #polling: Promise<void> = Promise.resolve()
  #closed = false
  #failing = false
  #answered = false

  private constructor(options: IdentityClientOptions) {
    const { url, credentials, clock, log, cachedTokensMax } = options
    this.#options = { pollMs: options.pollMs ?? DEFAULTS.pollMs, clock, log }
    this.http = new IdentityHttp({ ...options.http, url, clock })
    this.session = new ServiceSession({ http: this.http, clock, credentials })
    this.#keys = new PublishedKeys({ http: this.http, clock })
    this.#revocations = new RevocationList({ session: this.session, clock })
    this.#validator = new TokenValidator({
      keys: this.#keys,
      revocations: this.#revocations,
      clock,
      ...(cachedTokensMax !== undefined && { cachedTokensMax }),
    })
  }

  /** Asks for keys and revocations once, and goes on asking. An identity service that is not there yet is no failure. */
  static async open(options: IdentityClientOptions): Promise<IdentityClient> {
    const client = new IdentityClient(options)
    await client.#poll()
    client.#schedule()
    return client
  }

  /** Whether tokens can be judged: keys and revocations are known, and not too old. */
  get isReady(): boolean {
    return this.#keys.keys.size > 0 && this.#revocations.isFresh
  }

  /** Who holds the token; null if it is not good. Throws 503 if that cannot be told. See TokenValidator. */
  validate(token: string): TokenClaims | null | Promise<TokenClaims | null> {
    return this.#validator.validate(token)
  }

  /** A token for somebody else; null if the password is wrong. Throws 503 if that cannot be told. */
  signIn(credentials: PasswordCredentials): Promise<IssuedToken | null> {
    return signInByPassword(this.http, credentials)
  }

  /** Stops asking; waits for what is being asked. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancel()
    this.http.close()
    await this.#polling
  }

  #schedule(): void {
    if (this.#closed) return
    const { clock, pollMs } = this.#options
    const delayMs = this.isReady ? pollMs : Math.min(pollMs, UNREADY_POLL_MS)
    this.#cancel = clock.after(delayMs, () => {
      this.#polling = this.#poll().then(() => this.#schedule())
    })
  }

  async #poll(): Promise<void> {
    try {
      await Promise.all([this.#keys.refresh(), this.#revocations.refresh()])
      if (this.#failing) this.#options.log.info('identity service answers again')
      this.#failing = false
      this.#answered = true
    } catch (error) {
      const { log } = this.#options
      // Before the first answer it is being started, as we are.
      const say = this.#answered ? log.warn : log.info
      if (!this.#failing && !this.#closed) say('identity service cannot be asked', { error })
      this.#failing = true
    }
  }
}
