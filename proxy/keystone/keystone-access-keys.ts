/**
 * Access keys of S3's clients, as Keystone keeps them. A key's secret and a token of its holder are asked for once and
 * remembered; who the holder is, and whether he still may, the token says at each request as any other would. So what
 * voids tokens (a user disabled, a role taken away) voids the key as fast, and its own deletion is seen within seconds,
 * for it is asked about again that often.
 */
import { createHash } from 'node:crypto'
import { type ChangeMark, ChangeMarks } from '../../common/change-marks.ts'
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { IamPrincipal } from '../../common/iam.ts'
import type { Caller, S3Credential, S3Credentials } from '../../common/identity.ts'
import type { IdentityClient } from '../../common/identity-client/identity-client.ts'

export interface KeystoneAccessKeysOptions {
  readonly session: Pick<IdentityClient['session'], 'send'>
  /** Who a token makes in the object store. */
  readonly validate: (token: string) => Caller | null | Promise<Caller | null>
  /** Tells when IAM was changed by a thread of this process: what was answered before is asked for again. */
  readonly marks?: ChangeMarks
  readonly clock: Pick<Clock, 'monotonicMs' | 'nowMs'>
  /** After this an answer is asked for again. */
  readonly freshMs?: number
  /** As long as this it is used when the identity service does not answer. */
  readonly keptMs?: number
  /** Keys remembered, those that do not exist included; beyond it the one remembered longest is forgotten. */
  readonly keysMax?: number
  /** The same of the characters of their holders' policies, of which one key can have many. */
  readonly policyCharactersMax?: number
}

const DEFAULTS = {
  freshMs: 5_000,
  keptMs: 60_000,
  keysMax: 10_000,
  policyCharactersMax: 64 * 1024 * 1024,
} satisfies Partial<KeystoneAccessKeysOptions>

/** The name that changes of IAM are noted by. */
export const IAM_MARK = 'iam'

const PATH = '/v3/OS-SWIFTLET/access_key'
/** Longer ones are nobody's. */
const KEY_CHARS_MAX = 255
const TOKEN_CHARS_MAX = 65_536

/** What the identity service has said of a key. */
type Known =
  /** There is no such key, or its session's token is not good. */
  | { readonly refused: 'unknown' | 'InvalidToken' | 'ExpiredToken' }
  /** Of somebody of Keystone's: what he may, the token says. */
  | { readonly secret: string; readonly token: string; readonly principal?: IamPrincipal }
  /** Of IAM's users and sessions. */
  | { readonly secret: string; readonly token?: undefined; readonly principal: IamPrincipal }

interface Answer {
  readonly known: Known
  readonly askedMs: number
  readonly mark: ChangeMark
}

interface AskedKey {
  readonly accessKey: string
  readonly sessionToken: string | undefined
  /** Of both, as it is remembered. */
  readonly name: string
}

export class KeystoneAccessKeys implements S3Credentials {
  readonly #options: Required<Omit<KeystoneAccessKeysOptions, 'marks'>>
  readonly #marks: ChangeMarks
  readonly #answers = new Map<string, Answer>()
  #policyCharacters = 0
  readonly #asking = new Map<string, Promise<Answer>>()

  constructor(options: KeystoneAccessKeysOptions) {
    this.#options = { ...DEFAULTS, ...options }
    this.#marks = options.marks ?? new ChangeMarks()
  }

  find(
    accessKey: string,
    sessionToken?: string,
  ): S3Credential | null | Promise<S3Credential | null> {
    if (accessKey.length > KEY_CHARS_MAX) return null
    if (sessionToken !== undefined && sessionToken.length > TOKEN_CHARS_MAX)
      throw refusal('InvalidToken')
    const name = sessionToken === undefined ? accessKey : `${accessKey} ${digest(sessionToken)}`
    const asked = { accessKey, sessionToken, name }
    const answer = this.#answers.get(name)
    const ageMs = answer === undefined ? 0 : this.#options.clock.monotonicMs() - answer.askedMs
    const isFresh = ageMs <= this.#options.freshMs
    if (answer === undefined || !isFresh || !this.#marks.isCurrent(answer.mark))
      return this.#findAnew(asked)
    const found = this.#credentialOf(answer.known)
    if (found instanceof Promise) return found
    // A token that is over: another one is asked for.
    return found === null && !('refused' in answer.known) ? this.#findAnew(asked) : found
  }

  async #findAnew(asked: AskedKey): Promise<S3Credential | null> {
    const { known } = await this.#ask(asked)
    return this.#credentialOf(known)
  }

  #credentialOf(known: Known): S3Credential | null | Promise<S3Credential | null> {
    if ('refused' in known) {
      if (known.refused === 'unknown') return null
      throw refusal(known.refused)
    }
    const { secret, token, principal } = known
    if (token === undefined) return { secret, caller: this.#iamCaller(known.principal) }
    const withIam = (caller: Caller | null) =>
      caller && { secret, caller: principal === undefined ? caller : { ...caller, iam: principal } }
    const caller = this.#options.validate(token)
    return caller instanceof Promise ? caller.then(withIam) : withIam(caller)
  }

  /** Has nothing of its own in the store but what policies give. */
  #iamCaller(principal: IamPrincipal): Caller {
    const { account, userId, userName = userId, expiresAtMs } = principal
    const endMs = expiresAtMs ?? Number.POSITIVE_INFINITY
    if (endMs <= this.#options.clock.nowMs()) throw refusal('ExpiredToken')
    return {
      user: `${account}:${userName}`,
      account,
      groups: [`${account}:${userId}`],
      expiresAtMs: endMs,
      iam: principal,
    }
  }

  /** All who want to know of a key meanwhile wait for the same answer. */
  #ask(asked: AskedKey): Promise<Answer> {
    const asking = this.#asking.get(asked.name)
    if (asking !== undefined) return asking
    const answer = this.#askOnce(asked).finally(() => this.#asking.delete(asked.name))
    this.#asking.set(asked.name, answer)
    return answer
  }

  async #askOnce({ accessKey, sessionToken, name }: AskedKey): Promise<Answer> {
    const { session, clock, keptMs } = this.#options
    const askedMs = clock.monotonicMs()
    const mark = this.#marks.mark(IAM_MARK)
    try {
      const { status, body } = await session.send({
        method: 'POST',
        path: PATH,
        body: {
          access: accessKey,
          ...(sessionToken !== undefined && { session_token: sessionToken }),
        },
      })
      const answer = { known: readKey(status, body), askedMs, mark }
      this.#remember(name, answer)
      return answer
    } catch (error) {
      const last = this.#answers.get(name)
      if (last !== undefined && askedMs - last.askedMs <= keptMs) return last
      throw error
    }
  }

  #remember(name: string, answer: Answer): void {
    this.#forget(name)
    this.#answers.set(name, answer)
    this.#policyCharacters += policyCharacters(answer.known)
    const { keysMax, policyCharactersMax } = this.#options
    while (this.#answers.size > keysMax || this.#policyCharacters > policyCharactersMax) {
      const [oldest] = this.#answers.keys()
      this.#forget(oldest!)
    }
  }

  #forget(name: string): void {
    const answer = this.#answers.get(name)
    if (answer === undefined) return
    this.#answers.delete(name)
    this.#policyCharacters -= policyCharacters(answer.known)
  }
}

function policyCharacters(known: Known): number {
  const principal = 'refused' in known ? undefined : known.principal
  if (principal === undefined) return 0
  const { policies, sessionPolicies = [], boundary = '' } = principal
  return [...policies, ...sessionPolicies, boundary].reduce((sum, text) => sum + text.length, 0)
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}

function refusal(code: 'InvalidToken' | 'ExpiredToken'): ServiceError {
  return new ServiceError(code, 'the session token is not good', { status: 400 })
}

interface KeyBody {
  readonly access_key?: {
    readonly secret?: unknown
    readonly token?: unknown
    readonly principal?: IamPrincipal
  }
  readonly refused?: unknown
}

function readKey(status: number, body: unknown): Known {
  if (status === 404) return { refused: 'unknown' }
  const { access_key: key, refused } = (body ?? {}) as KeyBody
  if (refused === 'InvalidToken' || refused === 'ExpiredToken') return { refused }
  if (status === 200 && typeof key?.secret === 'string') {
    const { secret, token, principal } = key
    if (typeof token === 'string') return { secret, token, ...(principal && { principal }) }
    if (principal !== undefined) return { secret, principal }
  }
  throw new ServiceError('IdentityUnavailable', `an access key is answered ${status}`, {
    status: 503,
    retryAfterSeconds: 2,
  })
}
