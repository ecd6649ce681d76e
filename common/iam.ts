/** AWS's identity and access management, as the object store sees it: who somebody is by it, and the calls of its API. */
import type { ConditionKeys } from './access-policy/policy-variables.ts'

/** Whom an access key of IAM's, a session of STS's, or a policy on a whole project makes. */
export interface IamPrincipal {
  /** `account`: an operator of the project; `user`; `session` of a role. */
  readonly kind: 'account' | 'user' | 'session'
  /** The storage account whose resources the policies are about: `AUTH_…`. */
  readonly account: string
  /** `arn:aws:iam::AUTH_…:user/ann`. */
  readonly arn: string
  /** All that policies may call them by, `arn` included: a session is its role, too. */
  readonly arns: readonly string[]
  /** `AIDA…`; of a session `AROA…:name`. */
  readonly userId: string
  readonly userName?: string
  /** What policies of their own, of their groups or their role say: JSON. */
  readonly policies: readonly string[]
  /** What the session was narrowed to: it may do only what these allow, too. */
  readonly sessionPolicies?: readonly string[]
  /** What bounds them, JSON: they may do only what it allows, too. */
  readonly boundary?: string
  /** Policies of the cloud's own account are about all accounts. */
  readonly isCloud: boolean
  readonly tags: readonly { readonly key: string; readonly value: string }[]
  /** The ARN of who has said who it is, of a session by a web identity. */
  readonly federated?: string
  /** Of a session: milliseconds since 1970. */
  readonly expiresAtMs?: number
  /** Of a session of one bucket: nothing else is open to it, whatever policies say. */
  readonly only?: BucketScope
}

/** What S3's CreateSession opens. */
export interface BucketScope {
  readonly bucket: string
  readonly isReadOnly: boolean
}

/** One call of the APIs of IAM and STS, whose signature was found good. */
export interface IamRequest {
  /** Null: nobody has signed. */
  readonly accessKey: string | null
  readonly sessionToken?: string
  readonly action: string
  readonly params: Readonly<Record<string, string>>
}

export interface IamResult {
  readonly [name: string]: IamValue
}
export type IamValue =
  | string
  | number
  | boolean
  | null
  | readonly IamValue[]
  | { readonly [name: string]: IamValue }

/** What came of it: the elements of the result, or an error in AWS's words. */
export type IamOutcome =
  | { readonly result: IamResult }
  | { readonly error: { readonly status: number; readonly code: string; readonly message: string } }

/** Who answers calls of IAM and STS. */
export interface IamService {
  /** Throws 503 if nobody can be asked. */
  call(request: IamRequest): Promise<IamOutcome>
  /** The storage accounts of the people who have each of the e-mail addresses. Throws 503 if nobody can be asked. */
  accountsOfEmails(emails: readonly string[]): Promise<Readonly<Record<string, readonly string[]>>>
}

/** What conditions may ask of whoever it is, by names in lower case. */
export function principalKeys(principal: Omit<IamPrincipal, 'policies'>): ConditionKeys {
  const { arn, userId, userName, account, kind, tags } = principal
  const known: Readonly<Record<string, readonly string[] | undefined>> = {
    'aws:principalarn': [arn],
    'aws:principalaccount': [account],
    'aws:userid': [userId],
    'aws:username': userName === undefined ? undefined : [userName],
    'aws:principaltype': [TYPES[kind]],
    'aws:tagkeys': tagKeys(tags),
    'sts:authentication': principal.expiresAtMs === undefined ? ['false'] : ['true'],
  }
  return (name) => {
    if (Object.hasOwn(known, name)) return known[name]
    return name.startsWith(PRINCIPAL_TAG)
      ? tagValues(tags, name.slice(PRINCIPAL_TAG.length))
      : undefined
  }
}

const TYPES = { account: 'Account', user: 'User', session: 'AssumedRole' } as const
const PRINCIPAL_TAG = 'aws:principaltag/'

type Tags = IamPrincipal['tags']

/** The values of a tag, whose key is asked for in lower case; undefined if there is none. */
export function tagValues(tags: Tags, key: string): readonly string[] | undefined {
  const values = tags.filter((tag) => tag.key.toLowerCase() === key).map(({ value }) => value)
  return values.length === 0 ? undefined : values
}

/** Undefined if there are none. */
export function tagKeys(tags: Tags): readonly string[] | undefined {
  return tags.length === 0 ? undefined : [...new Set(tags.map(({ key }) => key))]
}
