import { Table } from '../../common/state/table.ts'

/** Wrong passwords since the last right one. */
export interface SignInFailuresRow {
  readonly userId: string
  readonly count: number
  readonly lastAtMs: number
}

export const signInFailures = new Table<SignInFailuresRow>({
  name: 'sign-in-failures',
  keyOf: ({ userId }) => [userId],
  indexes: {},
})
