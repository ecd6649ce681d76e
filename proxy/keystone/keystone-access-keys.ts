/**
 * Access keys of S3's clients, as Keystone keeps them. A key's secret and a token of its holder are asked for once and
 * remembered; who the holder is, and whether he still may, the token says at each request as any other would. So what
 * voids tokens (a user disabled, a role taken away) voids the key as fast, and its own deletion is seen within seconds,
 * for it is asked about again that often.
 */
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { Caller, S3Credential, S3Credentials } from '../../common/identity.ts'
import type { IdentityClient } from '../../common/identity-client/identity-client.ts'

export interface KeystoneAccessKeysOptions {
  readonly session: Pick<IdentityClient['session'], 'send'>
  /** Who a token makes in the object store. */
  readonly validate: (token: string) => Caller | null | Promise<Caller | null>
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** After this an answer is asked for again. */
  readonly freshMs?: number
  /** As long as this it is used when the identity service does not answer. */
  readonly keptMs?: number
  /** Keys remembered, those that do not exist included; beyond it the one remembered longest is forgotten. */
  readonly keysMax?: number
}

const DEFAULTS = {
  freshMs: 5_000,
  keptMs: 60_000,
  keysMax: 10_000,
} satisfies Partial<KeystoneAccessKeysOptions>

const PATH = '/v3/OS-SWIFTLET/access_key'
/** Longer ones are nobody's. */
const KEY_CHARS_MAX = 255

/** What the identity service has said of a key; no secret: there is no such key. */
interface Answer {
  readonly known: { readonly secret: string; readonly token: string } | null
  readonly askedMs: number
}

export class KeystoneAccessKeys implements S3Credentials {
  readonly #options: Required<KeystoneAccessKeysOptions>
  readonly #answers = new Map<string, Answer>()
  readonly #asking = new Map<string, Promise<Answer>>()

  constructor(options: KeystoneAccessKeysOptions) {
    this.#options = { ...DEFAULTS, ...options }
  }

  find(accessKey: string): S3Credential | null | Promise<S3Credential | null> {
    if (accessKey.length > KEY_CHARS_MAX) return null
    const answer = this.#answers.get(accessKey)
    const ageMs = answer === undefined ? 0 : this.#options.clock.monotonicMs() - answer.askedMs
    if (answer === undefined || ageMs > this.#options.freshMs) return this.#findAnew(accessKey)
    if (answer.known === null) return null
    const { secret, token } = answer.known
    const caller = this.#options.validate(token)
    if (caller instanceof Promise) return caller.then((found) => found && { secret, caller: found })
    return caller === null ? this.#findAnew(accessKey) : { secret, caller }
  }

  async #findAnew(accessKey: string): Promise<S3Credential | null> {
    const { known } = await this.#ask(accessKey)
    if (known === null) return null
    const { secret, token } = known
    const caller = await this.#options.validate(token)
    return caller === null ? null : { secret, caller }
  }

  /** All who want to know of a key meanwhile wait for the same answer. */
  #ask(accessKey: string): Promise<Answer> {
    const asking = this.#asking.get(accessKey)
    if (asking !== undefined) return asking
    const answer = this.#askOnce(accessKey).finally(() => this.#asking.delete(accessKey))
    this.#asking.set(accessKey, answer)
    return answer
  }

  async #askOnce(accessKey: string): Promise<Answer> {
    const { session, clock, keptMs } = this.#options
    const askedMs = clock.monotonicMs()
    try {
      const { status, body } = await session.send({
        method: 'POST',
        path: PATH,
        body: { access: accessKey },
      })
      const answer = { known: status === 404 ? null : readKey(status, body), askedMs }
      this.#remember(accessKey, answer)
      return answer
    } catch (error) {
      const last = this.#answers.get(accessKey)
      if (last !== undefined && askedMs - last.askedMs <= keptMs) return last
      throw error
    }
  }

  #remember(accessKey: string, answer: Answer): void {
    this.#answers.delete(accessKey)
    if (this.#answers.size >= this.#options.keysMax) {
      const [oldest] = this.#answers.keys()
      this.#answers.delete(oldest!)
    }
    this.#answers.set(accessKey, answer)
  }
}

function readKey(
  status: number,
  body: unknown,
): { readonly secret: string; readonly token: string } {
  const key = (body as { readonly access_key?: Record<string, unknown> } | null)?.access_key
  if (status === 200 && typeof key?.secret === 'string' && typeof key.token === 'string') {
    return { secret: key.secret, token: key.token }
  }
  throw new ServiceError('IdentityUnavailable', `an access key is answered ${status}`, {
    status: 503,
    retryAfterSeconds: 2,
  })
}
