import type { Clock } from '../clock.ts'
import { decodeRevocation, REVOCATIONS_PATH, Revocations } from '../token/revocation.ts'
import { unavailable } from './identity-http.ts'
import type { ServiceSession } from './service-session.ts'

export interface RevocationListOptions {
  readonly session: ServiceSession
  readonly clock: Clock
  /** With a list older than this nobody can tell whether a token is void. */
  readonly ageMaxMs?: number
}

const DEFAULTS = { ageMaxMs: 60_000 } satisfies Partial<RevocationListOptions>

/** The events that void tokens, as they were last read. */
export class RevocationList {
  readonly #options: Required<RevocationListOptions>
  #revocations = new Revocations([])
  #etag: string | null = null
  #text = ''
  /** Monotonic: when the list that we have was asked for. */
  #asOfMs = Number.NEGATIVE_INFINITY
  #revision = 0

  constructor(options: RevocationListOptions) {
    this.#options = { ...DEFAULTS, ...options }
  }

  /** Grows with each change of the list. */
  get revision(): number {
    return this.#revision
  }

  get revocations(): Revocations {
    return this.#revocations
  }

  /** Whether the list was read within its time. */
  get isFresh(): boolean {
    return this.#options.clock.monotonicMs() - this.#asOfMs <= this.#options.ageMaxMs
  }

  /** Reads the list. Throws a 5xx if it cannot be read or is not understood: the list stays as it was, and gets old. */
  async refresh(): Promise<void> {
    const { session, clock } = this.#options
    const askedMs = clock.monotonicMs()
    const answer = await session.send({
      method: 'GET',
      path: REVOCATIONS_PATH,
      ...(this.#etag !== null && { headers: { 'if-none-match': this.#etag } }),
    })
    if (answer.status === 304 && this.#etag !== null) {
      this.#asOfMs = askedMs
      return
    }
    const events = (answer.body as { readonly events?: unknown } | null)?.events
    if (answer.status !== 200 || !Array.isArray(events)) {
      throw unavailable(`its list of revocations is answered ${answer.status}`)
    }
    const text = JSON.stringify(events)
    if (text !== this.#text) {
      this.#revocations = new Revocations(events.map(decodeRevocation))
      this.#text = text
      this.#revision++
    }
    this.#etag = answer.header('etag')
    this.#asOfMs = askedMs
  }
}
