import { ChangeMarks } from '../../common/change-marks.ts'
import type { IamService } from '../../common/iam.ts'
import type { Caller, Identity, S3Credentials, SignIn } from '../../common/identity.ts'
import type { IdentityClient } from '../../common/identity-client/identity-client.ts'
import type { TokenClaims } from '../../common/token/claims.ts'
import type { ResellerPrefix } from '../reseller-prefix.ts'
import { KeystoneAccessKeys, type KeystoneAccessKeysOptions } from './keystone-access-keys.ts'
import { keystoneCaller } from './keystone-caller.ts'
import { KeystoneIam } from './keystone-iam.ts'
import type { KeystoneSettings } from './keystone-settings.ts'

export interface KeystoneIdentityOptions {
  readonly client: Pick<IdentityClient, 'validate' | 'signIn'>
  /** The service's own session and clock, to ask for access keys by; absent: there are none. */
  readonly keys?: Pick<KeystoneAccessKeysOptions, 'session' | 'clock' | 'marks'>
  readonly settings: KeystoneSettings
  /** The first one is that of the accounts that users are signed in to. */
  readonly prefixes: readonly ResellerPrefix[]
  /** Where clients find the Keystone: `http://127.0.0.1:5000`. */
  readonly publicUri: string
}

/** Longer names and keys are nobody's. */
const SIGN_IN_CHARS_MAX = 1024

/** The Identity of a store behind Keystone: tokens are validated in this process, only sign-ins are asked about. */
export class KeystoneIdentity implements Identity {
  readonly keystoneUri: string
  readonly accessKeys?: S3Credentials
  readonly iam?: IamService
  readonly #options: KeystoneIdentityOptions
  /** The client gives the same claims for a token as long as it remembers it. */
  readonly #callers = new WeakMap<TokenClaims, Caller>()

  constructor(options: KeystoneIdentityOptions) {
    this.#options = options
    this.keystoneUri = options.publicUri
    if (options.keys === undefined) return
    const validate = (token: string) => this.validate(token)
    const { marks = new ChangeMarks() } = options.keys
    this.accessKeys = new KeystoneAccessKeys({ ...options.keys, marks, validate })
    this.iam = new KeystoneIam(options.keys.session, marks)
  }

  validate(token: string): Caller | null | Promise<Caller | null> {
    const claims = this.#options.client.validate(token)
    return claims instanceof Promise
      ? claims.then((found) => this.#callerOf(found))
      : this.#callerOf(claims)
  }

  /** `project:user`, both of the default domain. */
  async signIn(name: string, key: string): Promise<SignIn | null> {
    const { client, settings, prefixes } = this.#options
    const colon = name.indexOf(':')
    if (colon < 1 || Math.max(name.length, key.length) > SIGN_IN_CHARS_MAX) return null
    const issued = await client.signIn({
      project: name.slice(0, colon),
      user: name.slice(colon + 1),
      password: key,
      domain: settings.defaultDomainName,
    })
    if (issued === null) return null
    const { token, projectId, expiresAtMs } = issued
    return { token, account: `${prefixes[0]?.prefix ?? ''}${projectId}`, expiresAtMs }
  }

  #callerOf(claims: TokenClaims | null): Caller | null {
    if (claims === null) return null
    const known = this.#callers.get(claims)
    if (known !== undefined) return known
    const caller = keystoneCaller(claims, this.#options)
    this.#callers.set(claims, caller)
    return caller
  }
}
