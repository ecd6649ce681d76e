import { createHmac } from 'node:crypto'
import type { Clock } from '../common/clock.ts'
import type { Caller, Identity, SignIn } from '../common/identity.ts'
import type { Random } from '../common/random.ts'
import { Attempts, type AttemptsOptions } from './attempts.ts'
import { decodeToken, encodeToken } from './token.ts'
import { groupsOf, USER_NAME_CHARS_MAX, type User, type Users } from './user.ts'
import { verifyKey } from './user-key.ts'

export interface UserIdentityOptions {
  /** The users as they are now; another map after a change. */
  readonly users: () => Users
  /** Secrets of 32 bytes: the first signs tokens, each is accepted. */
  readonly tokenKeys: readonly Uint8Array[]
  /** Of storage accounts; an administrator owns his with each. */
  readonly prefixes?: readonly string[]
  readonly clock: Clock
  readonly random: Random
  /** How long a token is good for. */
  readonly tokenLifeSeconds?: number
  /** Tokens remembered with their caller; beyond it the one remembered longest is forgotten. */
  readonly cachedTokensMax?: number
  readonly attempts?: Omit<AttemptsOptions, 'monotonicMs'>
}

const DEFAULTS = {
  tokenLifeSeconds: 86_400,
  cachedTokensMax: 10_000,
} satisfies Partial<UserIdentityOptions>

/** A key nobody has, so that an unknown user costs the time of a known one. */
const NOBODYS_KEY = `scrypt$8192$8$1$${'A'.repeat(22)}$${'A'.repeat(43)}`

/** The v1 sign-in over a map of users: the Identity of a store without an identity service. */
export class UserIdentity implements Identity {
  readonly #users: () => Users
  readonly #tokenKeys: readonly Uint8Array[]
  readonly #prefixes: readonly string[] | undefined
  readonly #clock: Clock
  readonly #tokenLifeSeconds: number
  readonly #cachedTokensMax: number
  readonly #attempts: Attempts
  /** Valid for `#cachedFor` only. */
  readonly #callers = new Map<string, Caller>()
  #cachedFor: Users | null = null
  /** Keys that were right, as a keyed digest that is worthless outside this process; by user version. */
  readonly #rightKeys = new Map<string, string>()
  readonly #digestKey: Uint8Array

  constructor(options: UserIdentityOptions) {
    const { users, tokenKeys, clock, random, tokenLifeSeconds, cachedTokensMax, attempts } = {
      ...DEFAULTS,
      ...options,
    }
    this.#users = users
    this.#tokenKeys = tokenKeys
    this.#prefixes = options.prefixes
    this.#clock = clock
    this.#tokenLifeSeconds = tokenLifeSeconds
    this.#cachedTokensMax = cachedTokensMax
    this.#attempts = new Attempts({ ...attempts, monotonicMs: () => clock.monotonicMs() })
    this.#digestKey = random.bytes(32)
  }

  validate(token: string): Caller | null {
    const users = this.#users()
    if (users !== this.#cachedFor) {
      this.#callers.clear()
      this.#cachedFor = users
    }
    const caller = this.#callers.get(token) ?? this.#read(token, users)
    return caller !== null && caller.expiresAtMs > this.#clock.nowMs() ? caller : null
  }

  async signIn(name: string, key: string): Promise<SignIn | null> {
    // Nobody has such a name, and thousands of them would fill the memory of failed attempts.
    if (name.length > USER_NAME_CHARS_MAX) return null
    const user = this.#users().get(name)
    if (!(await this.#matches(name, user, key)) || user === undefined) return null
    const expiresAtSeconds = Math.floor(this.#clock.nowMs() / 1000) + this.#tokenLifeSeconds
    const claims = { user: user.name, version: user.version, expiresAtSeconds }
    return {
      token: encodeToken(claims, this.#tokenKeys[0]!),
      account: user.account,
      expiresAtMs: expiresAtSeconds * 1000,
    }
  }

  #read(token: string, users: Users): Caller | null {
    const claims = decodeToken(token, this.#tokenKeys)
    const user = claims === null ? undefined : users.get(claims.user)
    if (claims === null || user === undefined || user.version !== claims.version) return null
    const caller = {
      user: user.name,
      account: user.account,
      groups: groupsOf(user, this.#prefixes),
      expiresAtMs: claims.expiresAtSeconds * 1000,
    }
    remember(this.#callers, token, caller, this.#cachedTokensMax)
    return caller
  }

  /** A client that signs in for every command pays for scrypt once, and is let in however often others fail. */
  async #matches(name: string, user: User | undefined, key: string): Promise<boolean> {
    const digest = createHmac('sha256', this.#digestKey).update(key).digest('base64')
    if (user !== undefined && this.#rightKeys.get(user.version) === digest) return true
    const matches = await this.#attempts.run(name, () => verifyKey(key, user?.key ?? NOBODYS_KEY))
    if (matches && user !== undefined) {
      remember(this.#rightKeys, user.version, digest, this.#cachedTokensMax)
    }
    return matches
  }
}

function remember<V>(cache: Map<string, V>, key: string, value: V, entriesMax: number): void {
  if (cache.size >= entriesMax) {
    const [oldest] = cache.keys()
    cache.delete(oldest!)
  }
  cache.set(key, value)
}
