import { Table } from '../../common/state/table.ts'
import { sealedBy } from '../secrets/secret-keys.ts'

/** What AWS's IAM knows in an account; `account` stands for a whole project, of which the cloud's own account speaks. */
export type IamKind = 'user' | 'group' | 'role' | 'account'

/** A user, a group or a role. Names are unique in any case. */
export interface IamEntityRow {
  /** The project that is the account. */
  readonly projectId: string
  readonly kind: IamKind
  /** The name in lower case. */
  readonly nameKey: string
  readonly name: string
  /** `/division/`. */
  readonly path: string
  /** `AIDA…`: never given twice. */
  readonly id: string
  readonly createdMs: number
  readonly tags: readonly IamTag[]
  /** Policies of its own, by name: JSON as it was sent. */
  readonly inline: Readonly<Record<string, string>>
  /** Policies that others share: ARNs of AWS's, ids of the account's own. */
  readonly attached: readonly string[]
  /** One of those that it may do no more than, if it is bounded. */
  readonly boundary?: string
  /** Ids of the groups that a user is in. */
  readonly groups: readonly string[]
  readonly role: IamRolePart | null
}

export interface IamTag {
  readonly key: string
  readonly value: string
}

export interface IamRolePart {
  /** Who may take the role on: JSON as it was sent. */
  readonly trust: string
  readonly description: string
  readonly maxSessionSeconds: number
}

export const iamEntities = new Table<IamEntityRow, 'id' | 'member' | 'policy'>({
  name: 'iam-entities',
  keyOf: ({ projectId, kind, nameKey }) => [projectId, kind, nameKey],
  indexes: {
    id: { of: ({ id }) => [[id]], unique: true },
    member: { of: ({ groups }) => groups.map((group) => [group]) },
    // Of the account's own policies alone: AWS's were attached before there was this index, and are never deleted.
    policy: {
      of: ({ attached, boundary }) =>
        [...new Set([...attached, ...(boundary === undefined ? [] : [boundary])])]
          .filter(isOwnPolicy)
          .map((id) => [id]),
    },
  },
})

/** What ids of the account's own policies begin with. */
export const OWN_POLICY_BEGINNING = 'ANPA'

/** Whether a policy that somebody has is one of the account's own. */
export function isOwnPolicy(ref: string): boolean {
  return ref.startsWith(OWN_POLICY_BEGINNING)
}

/** A policy of the account's own, that its users, groups and roles may share. Names are unique in any case. */
export interface IamPolicyRow {
  readonly projectId: string
  /** The name in lower case. */
  readonly nameKey: string
  readonly name: string
  readonly path: string
  /** `ANPA…`: never given twice. Holders keep it, so that no setting that changes ARNs takes a policy from them. */
  readonly id: string
  readonly description: string
  readonly tags: readonly IamTag[]
  readonly createdMs: number
  readonly updatedMs: number
  readonly defaultVersion: number
  /** The number that was given last: none comes twice. */
  readonly lastVersion: number
  /** What the default version says, without white space: with the row, so that what holds is read in one go. */
  readonly text: string
}

export const iamPolicies = new Table<IamPolicyRow, 'id'>({
  name: 'iam-policies',
  keyOf: ({ projectId, nameKey }) => [projectId, nameKey],
  indexes: { id: { of: ({ id }) => [[id]], unique: true } },
})

/** A version of a policy. */
export interface IamPolicyVersionRow {
  /** The policy's id. */
  readonly policyId: string
  readonly number: number
  /** JSON as it was sent. */
  readonly document: string
  readonly createdMs: number
}

export const iamPolicyVersions = new Table<IamPolicyVersionRow>({
  name: 'iam-policy-versions',
  keyOf: ({ policyId, number }) => policyVersionKey(policyId, number),
  indexes: {},
})

/** In the order of the numbers. */
export function policyVersionKey(policyId: string, number: number): readonly [string, string] {
  return [policyId, String(number).padStart(10, '0')]
}

/** An access key of a user of IAM's. */
export interface IamKeyRow {
  /** The access key itself: `AKIA…`. */
  readonly id: string
  readonly projectId: string
  /** The user's id. */
  readonly userId: string
  readonly sealedSecret: string
  readonly active: boolean
  readonly createdMs: number
}

export const iamKeys = new Table<IamKeyRow, 'user' | 'project' | 'key'>({
  name: 'iam-keys',
  keyOf: ({ id }) => [id],
  indexes: {
    user: { of: ({ userId }) => [[userId]] },
    project: { of: ({ projectId }) => [[projectId]] },
    key: { of: ({ sealedSecret }) => [[sealedBy(sealedSecret)]] },
  },
})

/** Somebody else who says who people are, by OpenID Connect. */
export interface IamProviderRow {
  readonly projectId: string
  /** Without its scheme: `accounts.example.com/realms/x`. */
  readonly name: string
  readonly url: string
  readonly clientIds: readonly string[]
  readonly thumbprints: readonly string[]
  readonly createdMs: number
}

export const iamProviders = new Table<IamProviderRow>({
  name: 'iam-providers',
  keyOf: ({ projectId, name }) => [projectId, name],
  indexes: {},
})
