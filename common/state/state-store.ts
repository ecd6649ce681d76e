/** What JSON can hold: the values of rows. */
export type StateValue =
  | null
  | boolean
  | number
  | string
  | readonly StateValue[]
  | { readonly [name: string]: StateValue | undefined }

export interface StateRow {
  readonly key: string
  readonly value: StateValue
}

/** Rows of a table in the byte order of their keys' UTF-8. */
export interface StateRange {
  /** Only keys that begin with it. */
  readonly prefix?: string
  /** Only keys after it: where the page before ended. */
  readonly after?: string
  /** Rows at most; all by default. */
  readonly limit?: number
}

export interface StateReader {
  get(table: string, key: string): Promise<StateValue | undefined>
  scan(table: string, range?: StateRange): Promise<readonly StateRow[]>
}

/** Reads what it has written itself. */
export interface StateTransaction extends StateReader {
  put(table: string, key: string, value: StateValue): void
  delete(table: string, key: string): void
}

/**
 * The small state of the services: ordered tables of rows, in LevelDB (`level-state.ts`) or PostgreSQL
 * (`postgres-state.ts`). Both pass `test/support/state-contract.ts`.
 *
 * Names of tables are letters, digits, `.`, `-` and `_`. Keys are texts of up to 2 KiB, rows JSON of up to 1 MiB; NUL and
 * halves of surrogate pairs are refused with 400 (`state-row.ts`). 503 `StateUnavailable` is what a store that cannot be
 * reached answers; a transaction that got it while it was made durable may have been made, as a whole.
 */
export interface StateStore extends StateReader {
  /**
   * Runs `work` as if nothing else ran meanwhile (serializable), and makes its changes durable, all of them or, if it
   * throws, none. `work` may be run again where others were in the way, so it does nothing but read and change state,
   * and begins no transaction of its own. It is given up with 503 `TransactionTimeout` if it takes too long, and refused
   * with 503 `Busy` if too many wait.
   */
  transaction<T>(work: (transaction: StateTransaction) => Promise<T>): Promise<T>
  /** Waits for the transactions that have begun; later ones are refused. */
  close(): Promise<void>
}
