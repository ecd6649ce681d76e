import type { Clock } from '../clock.ts'
import type { IdentityAnswer, IdentityHttp, IdentityRequest } from './identity-http.ts'
import { unavailable } from './identity-http.ts'
import { type IssuedToken, type PasswordCredentials, signInByPassword } from './password-sign-in.ts'

export interface ServiceSessionOptions {
  readonly http: IdentityHttp
  readonly clock: Clock
  /** Asked at each sign-in: the password may be changed while the service runs. */
  readonly credentials: () => Promise<PasswordCredentials>
}

/** A token is renewed when less than this of its life is left, or a tenth of it if it is shorter. */
const RENEW_BEFORE_MS = 300_000
const RENEW_BEFORE_PART = 0.1

/** A service's own token: got when it is first wanted, renewed before its end, and after a 401. */
export class ServiceSession {
  readonly #options: ServiceSessionOptions
  #issued: IssuedToken | null = null
  #renewAtMs = 0
  #signingIn: Promise<IssuedToken> | null = null

  constructor(options: ServiceSessionOptions) {
    this.#options = options
  }

  /** A token that is good for now. Throws 503 `IdentityUnavailable` if there is none to be had. */
  async token(): Promise<string> {
    if (this.#issued !== null && this.#options.clock.nowMs() < this.#renewAtMs) {
      return this.#issued.token
    }
    // All that want one meanwhile wait for the same.
    this.#signingIn ??= this.#signIn().finally(() => {
      this.#signingIn = null
    })
    return (await this.#signingIn).token
  }

  /** Says that a token of this session was refused: the next one wanted is a new one. */
  forget(token: string): void {
    if (this.#issued?.token === token) this.#issued = null
  }

  /** Sends a request with the session's token; once more with a new one if that is refused. */
  async send(request: IdentityRequest): Promise<IdentityAnswer> {
    const token = await this.token()
    const answer = await this.#sendWith(token, request)
    if (answer.status !== 401) return answer
    this.forget(token)
    return this.#sendWith(await this.token(), request)
  }

  #sendWith(token: string, request: IdentityRequest): Promise<IdentityAnswer> {
    const headers = { ...request.headers, 'x-auth-token': token }
    return this.#options.http.send({ ...request, headers })
  }

  async #signIn(): Promise<IssuedToken> {
    const { http, clock, credentials } = this.#options
    const who = await credentials()
    const startedMs = clock.nowMs()
    const issued = await signInByPassword(http, who)
    if (issued === null) throw unavailable(`service user ${who.user} may not sign in`)
    const lifeMs = issued.expiresAtMs - startedMs
    this.#renewAtMs = issued.expiresAtMs - Math.min(RENEW_BEFORE_MS, lifeMs * RENEW_BEFORE_PART)
    this.#issued = issued
    return issued
  }
}
