import { Table } from '../../common/state/table.ts'

/** What a program signs in with instead of its user: for one project, with some of the user's roles. */
export interface ApplicationCredentialRow {
  readonly id: string
  readonly name: string
  readonly userId: string
  readonly projectId: string
  readonly description: string | null
  /** As `user-key.ts` makes it. */
  readonly secretHash: string
  /** The roles chosen, implied ones too; those count that the user still has. */
  readonly roleIds: readonly string[]
  /** As `parseExpiry` writes it. */
  readonly expiresAt: string | null
  /** May make other application credentials. */
  readonly unrestricted: boolean
  /** The calls that it may make, by their rules; all if null. */
  readonly accessRuleIds: readonly string[] | null
}

/** A call that application credentials of a user may be restricted to; several may share it. */
export interface AccessRuleRow {
  readonly id: string
  readonly userId: string
  readonly service: string
  readonly path: string
  readonly method: string
}

export const applicationCredentials = new Table<
  ApplicationCredentialRow,
  'name' | 'project' | 'rule'
>({
  name: 'application-credentials',
  keyOf: ({ id }) => [id],
  indexes: {
    name: { of: ({ userId, name }) => [[userId, name]], unique: true },
    project: { of: ({ projectId }) => [[projectId]] },
    rule: { of: ({ accessRuleIds }) => (accessRuleIds ?? []).map((id) => [id]) },
  },
})

export const accessRules = new Table<AccessRuleRow, 'call'>({
  name: 'access-rules',
  keyOf: ({ id }) => [id],
  indexes: {
    call: {
      of: ({ userId, service, method, path }) => [[userId, service, method, path]],
      unique: true,
    },
  },
})
