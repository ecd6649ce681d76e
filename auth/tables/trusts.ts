import { Table } from '../../common/state/table.ts'
import type { Extra } from './rows.ts'

/** Lets the trustee act with roles of the trustor on a project. */
export interface TrustRow {
  readonly id: string
  readonly trustorId: string
  readonly trusteeId: string
  /** Null: for nothing but the trustor's name. */
  readonly projectId: string | null
  /** Tokens say that they are the trustor's. */
  readonly impersonation: boolean
  readonly roleIds: readonly string[]
  /** As `parseExpiry` writes it. */
  readonly expiresAt: string | null
  /** Tokens that may still be got by it; any number if null. */
  readonly remainingUses: number | null
  /** The trust that gave the trustor what it gives on. */
  readonly redelegatedTrustId: string | null
  /** How often it may be given on. */
  readonly redelegationCount: number
  readonly extra: Extra
}

export const trusts = new Table<TrustRow, 'trustor' | 'trustee' | 'project' | 'source'>({
  name: 'trusts',
  keyOf: ({ id }) => [id],
  indexes: {
    trustor: { of: ({ trustorId }) => [[trustorId]] },
    trustee: { of: ({ trusteeId }) => [[trusteeId]] },
    project: { of: ({ projectId }) => (projectId === null ? [] : [[projectId]]) },
    source: {
      of: ({ redelegatedTrustId }) => (redelegatedTrustId === null ? [] : [[redelegatedTrustId]]),
    },
  },
})
