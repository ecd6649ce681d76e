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
  /** ARNs of policies that others share. */
  readonly attached: readonly string[]
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

export const iamEntities = new Table<IamEntityRow, 'id' | 'member'>({
  name: 'iam-entities',
  keyOf: ({ projectId, kind, nameKey }) => [projectId, kind, nameKey],
  indexes: {
    id: { of: ({ id }) => [[id]], unique: true },
    member: { of: ({ groups }) => groups.map((group) => [group]) },
  },
})

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
