import type { IamPrincipal, IamService } from './iam.ts'

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
  /** What the token adds to another's when it comes as X-Service-Token; all groups if absent. */
  readonly serviceGroups?: readonly string[]
  /** What counts in some accounts only; of callers from Keystone. */
  readonly project?: ProjectRights
  /** The only calls that the token is good for; all if absent. */
  readonly calls?: readonly AllowedCall[]
  /** Whom policies of AWS's IAM make of them; of callers of the S3 API. */
  readonly iam?: IamPrincipal
}

/** What a project's role gives in the accounts of the project, and names in those where they are unique. */
export interface ProjectRights {
  /** The project's accounts are called so, behind a reseller prefix; null for a token without a project. */
  readonly id: string | null
  readonly domainId: string | null
  /** In lower case; ACLs of the project's own accounts may name them. */
  readonly roles: readonly string[]
  /** Accounts of the project in which it reads everything. */
  readonly reads: readonly string[]
  /** As in groups, but by names: good in accounts of the domain in which names are unique. */
  readonly names: readonly string[]
}

/** One call, as access rules of application credentials have it. */
export interface AllowedCall {
  readonly method: string
  /** With `*` and `{name}` for one part between slashes, `**` for any number of them. */
  readonly path: string
}

export interface SignIn {
  readonly token: string
  /** `AUTH_test`. */
  readonly account: string
  readonly expiresAtMs: number
}

/** An access key's secret, and who signs with it. */
export interface S3Credential {
  readonly secret: string
  readonly caller: Caller
}

/** Who holds which access key. */
export interface S3Credentials {
  /**
   * Null if there is no such key. At once where it is remembered. Throws 400 `InvalidToken` or `ExpiredToken` for what
   * is wrong with the token of a session, 503 if nobody can tell.
   */
  find(accessKey: string, sessionToken?: string): S3Credential | null | Promise<S3Credential | null>
}

/** The door's view of identity: a users file (auth/user-identity.ts) or Keystone (proxy/keystone/). */
export interface Identity {
  /** Where the Keystone is whose tokens these are, for a 401; absent where there is none. */
  readonly keystoneUri?: string
  /** Of clients of S3; absent where nobody has any. */
  readonly accessKeys?: S3Credentials
  /** AWS's IAM and STS, for clients of S3; absent where there is none. */
  readonly iam?: IamService
  /** Who holds the token; null if it is unknown or has expired. Answers at once when it can: this is the hot path. */
  validate(token: string): Caller | null | Promise<Caller | null>
  /** Swift's v1 sign-in: user `account:name` and key; null if they do not match. Throws 503 if it cannot tell. */
  signIn(user: string, key: string): Promise<SignIn | null>
}
