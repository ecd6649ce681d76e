/** A small identity service for the tests of its clients: real tokens and HTTP, nothing behind them. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { TokenClaims } from '../../common/token/claims.ts'
import { publishedKeys, rotated, type TokenKeySet } from '../../common/token/key-set.ts'
import {
  encodeRevocation,
  REVOCATIONS_PATH,
  type RevocationEvent,
} from '../../common/token/revocation.ts'
import { signToken } from '../../common/token/signed-token.ts'
import {
  generateTokenKey,
  importSigningKey,
  type PrivateJwk,
  TOKEN_KEYS_PATH,
} from '../../common/token/token-keys.ts'

export interface FakeUser {
  readonly password: string
  readonly claims: Omit<TokenClaims, 'auditIds' | 'issuedAtMs' | 'expiresAtMs'>
}

interface SignInBody {
  readonly auth: {
    readonly identity: {
      readonly password: { readonly user: { readonly name: string; readonly password: string } }
    }
    readonly scope: { readonly project: { readonly name: string } }
  }
}

/** Answers of the fake: for a request, something else than it would say; undefined lets it go on. */
export type Interference = (
  request: IncomingMessage,
  response: ServerResponse,
) => 'answered' | undefined

export class FakeIdentity {
  /** By `project:user`. */
  readonly users = new Map<string, FakeUser>()
  readonly events: RevocationEvent[] = []
  /** Requests by `METHOD path`. */
  readonly counts = new Map<string, number>()
  tokenLifeMs = 3_600_000
  interfere: Interference = () => undefined
  keys: TokenKeySet
  url = ''
  readonly #nowMs: () => number
  readonly #server = createServer((request, response) => {
    void this.#answer(request, response)
  })
  #issued = 0
  readonly #good = new Set<string>()

  private constructor(keys: TokenKeySet, nowMs: () => number) {
    this.keys = keys
    this.#nowMs = nowMs
  }

  static async start(nowMs: () => number): Promise<FakeIdentity> {
    const [primary, staged] = [await generateTokenKey(), await generateTokenKey()]
    const fake = new FakeIdentity({ primary, staged, secondaries: [] }, nowMs)
    await fake.listen(0)
    return fake
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve))
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async issue(
    claims: FakeUser['claims'],
    options: { readonly key?: PrivateJwk; readonly issuedAtMs?: number } = {},
  ): Promise<string> {
    const issuedAtMs = options.issuedAtMs ?? this.#nowMs()
    const expiresAtMs = issuedAtMs + this.tokenLifeMs
    const auditIds = [`audit-${++this.#issued}`]
    const signer = await importSigningKey(options.key ?? this.keys.primary)
    const token = await signToken({ ...claims, auditIds, issuedAtMs, expiresAtMs }, signer)
    this.#good.add(token)
    return token
  }

  /** Its tokens are no longer taken by the fake itself. */
  refuseTokens(): void {
    this.#good.clear()
  }

  async rotate(secondariesKept: number): Promise<void> {
    this.keys = rotated(this.keys, await generateTokenKey(), { secondariesKept })
  }

  count(request: string): number {
    return this.counts.get(request) ?? 0
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.split('?')[0]!
    const what = `${request.method} ${path}`
    this.counts.set(what, this.count(what) + 1)
    if (this.interfere(request, response) === 'answered') return
    const send = (status: number, body: unknown, headers: Record<string, string> = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(status === 304 ? undefined : JSON.stringify(body))
    }
    if (path === TOKEN_KEYS_PATH) return send(200, publishedKeys(this.keys))
    if (path === '/v3/auth/tokens') return this.#signIn(await text(request), send)
    if (!this.#good.has(String(request.headers['x-auth-token']))) return send(401, {})
    if (path !== REVOCATIONS_PATH) return send(404, {})
    const etag = `"${this.events.length}"`
    const isKnown = request.headers['if-none-match'] === etag
    send(isKnown ? 304 : 200, { events: this.events.map(encodeRevocation), links: {} }, { etag })
  }

  async #signIn(
    body: string,
    send: (status: number, body: unknown, headers?: Record<string, string>) => void,
  ): Promise<void> {
    const { identity, scope } = (JSON.parse(body) as SignInBody).auth
    const { name, password } = identity.password.user
    const user = this.users.get(`${scope.project.name}:${name}`)
    if (user === undefined || user.password !== password) return send(401, { error: {} })
    const token = await this.issue(user.claims)
    const expiresAt = new Date(this.#nowMs() + this.tokenLifeMs).toISOString()
    const { scope: given } = user.claims
    const project = given.kind === 'project' ? { id: given.id, name: given.name } : undefined
    send(201, { token: { expires_at: expiresAt, project } }, { 'x-subject-token': token })
  }
}
