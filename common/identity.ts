/** Who makes a request, as far as the object store needs to know. */
export interface Caller {
  /** For logs: `account:user`. */
  readonly user: string
  /** The storage account the user signed in to: `AUTH_test`. */
  readonly account: string
  /**
   * What ACLs are matched against, as Swift's tempauth has them: `test:tester`, `test`, the storage account's name if
   * the user administers it, and `.reseller_admin`, `.reseller_reader` where given.
   */
  readonly groups: readonly string[]
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number
}

export interface SignIn {
  readonly token: string
  /** `AUTH_test`. */
  readonly account: string
  readonly expiresAtMs: number
}

/** The door's view of identity: filled by auth/ (a users file now, the identity service later). */
export interface Identity {
  /** Who holds the token; null if it is unknown or has expired. Answers at once when it can: this is the hot path. */
  validate(token: string): Caller | null | Promise<Caller | null>
  /** Swift's v1 sign-in: user `account:name` and key; null if they do not match. Throws 503 if it cannot tell. */
  signIn(user: string, key: string): Promise<SignIn | null>
}
