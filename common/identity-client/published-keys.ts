import type { Clock } from '../clock.ts'
import {
  importVerifyingKeys,
  parseJwks,
  TOKEN_KEYS_PATH,
  type VerifyingKeys,
} from '../token/token-keys.ts'
import type { IdentityHttp } from './identity-http.ts'
import { unavailable } from './identity-http.ts'

export interface PublishedKeysOptions {
  readonly http: IdentityHttp
  readonly clock: Clock
  /** A key that is not known is asked about no sooner than this after the list was last asked for. */
  readonly askAgainMs?: number
}

const DEFAULTS = { askAgainMs: 3000 } satisfies Partial<PublishedKeysOptions>

/** The public keys of the identity service, as they were last read. */
export class PublishedKeys {
  readonly #options: Required<PublishedKeysOptions>
  #keys: VerifyingKeys = new Map()
  #text = ''
  #askedMs = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | null = null
  #revision = 0

  constructor(options: PublishedKeysOptions) {
    this.#options = { ...DEFAULTS, ...options }
  }

  get keys(): VerifyingKeys {
    return this.#keys
  }

  /** Grows with each change of the keys. */
  get revision(): number {
    return this.#revision
  }

  /** Reads the list. Throws 503 if it cannot be read: the keys stay as they were. */
  refresh(): Promise<void> {
    this.#asking ??= this.#read().finally(() => {
      this.#asking = null
    })
    return this.#asking
  }

  /** The keys, read again if this one is not among them and it is time to ask. */
  async withKey(id: string): Promise<VerifyingKeys> {
    const { clock, askAgainMs } = this.#options
    if (this.#keys.has(id)) return this.#keys
    const isTime = clock.monotonicMs() - this.#askedMs >= askAgainMs
    if (isTime || this.#asking !== null) await this.refresh()
    return this.#keys
  }

  async #read(): Promise<void> {
    this.#askedMs = this.#options.clock.monotonicMs()
    const answer = await this.#options.http.send({ method: 'GET', path: TOKEN_KEYS_PATH })
    if (answer.status !== 200) throw unavailable(`its keys are answered ${answer.status}`)
    const list = parseJwks(answer.body)
    const text = JSON.stringify(list)
    if (text === this.#text) return
    this.#keys = await importVerifyingKeys(list)
    this.#text = text
    this.#revision++
  }
}
