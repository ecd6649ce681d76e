import { Level } from 'level'
import { ServiceError, systemErrorCode } from '../errors.ts'
import type {
  StateRange,
  StateReader,
  StateRow,
  StateStore,
  StateTransaction,
  StateValue,
} from './state-store.ts'

/** Transactions that wait for their turn; more are refused with 503. */
const WAITING_MAX = 1024
/** After the name of the table, before the key of the row. */
const TABLE_END = '!'

type Database = Level<string, StateValue>

/** The embedded store in a folder, for one process. Throws 409 `StateInUse` if another one has it. */
export async function openLevelState(folder: string): Promise<StateStore> {
  const database: Database = new Level<string, StateValue>(folder, {
    keyEncoding: 'utf8',
    valueEncoding: 'json',
  })
  try {
    await database.open()
  } catch (error) {
    throw isLocked(error)
      ? new ServiceError('StateInUse', `${folder} is in use by another process`, {
          status: 409,
          cause: error,
        })
      : error
  }
  return new LevelState(database)
}

function isLocked(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return systemErrorCode(error) === 'LEVEL_LOCKED' || systemErrorCode(cause) === 'LEVEL_LOCKED'
}

/** Transactions run one after the other, so that each is alone; each ends with one synced batch. */
class LevelState implements StateStore {
  readonly #database: Database
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(database: Database) {
    this.#database = database
  }

  get(table: string, key: string): Promise<StateValue | undefined> {
    return this.#database.get(place(table, key))
  }

  scan(table: string, range: StateRange = {}): Promise<readonly StateRow[]> {
    return scanDatabase(this.#database, table, range)
  }

  transaction<T>(work: (transaction: StateTransaction) => Promise<T>): Promise<T> {
    if (this.#waiting >= WAITING_MAX) {
      throw new ServiceError('Busy', 'too many changes at once', {
        status: 503,
        retryAfterSeconds: 1,
      })
    }
    this.#waiting++
    const run = this.#last.then(() => this.#run(work))
    this.#last = run.then(
      () => this.#waiting--,
      () => this.#waiting--,
    )
    return run
  }

  async close(): Promise<void> {
    await this.#last
    await this.#database.close()
  }

  async #run<T>(work: (transaction: StateTransaction) => Promise<T>): Promise<T> {
    const transaction = new LevelTransaction(this)
    const result = await work(transaction)
    const operations = transaction.operations()
    if (operations.length > 0) await this.#database.batch(operations, { sync: true } as object)
    return result
  }
}

class LevelTransaction implements StateTransaction {
  readonly #store: StateReader
  /** By place; undefined for what was deleted. */
  readonly #changes = new Map<string, StateValue | undefined>()

  constructor(store: StateReader) {
    this.#store = store
  }

  async get(table: string, key: string): Promise<StateValue | undefined> {
    const at = place(table, key)
    return this.#changes.has(at) ? this.#changes.get(at) : this.#store.get(table, key)
  }

  async scan(table: string, range: StateRange = {}): Promise<readonly StateRow[]> {
    // Without the limit: changes may take rows away.
    const { limit, ...unlimited } = range
    const stored = await this.#store.scan(table, this.#changes.size === 0 ? range : unlimited)
    const rows = new Map(stored.map((row) => [row.key, row]))
    for (const [at, value] of this.#changes) {
      const key = keyIn(table, at)
      if (key === null || !isInRange(key, range)) continue
      if (value === undefined) rows.delete(key)
      else rows.set(key, { key, value })
    }
    const sorted = [...rows.values()].sort((a, b) => compareBytes(a.key, b.key))
    return limit === undefined ? sorted : sorted.slice(0, limit)
  }

  put(table: string, key: string, value: StateValue): void {
    this.#changes.set(place(table, key), value)
  }

  delete(table: string, key: string): void {
    this.#changes.set(place(table, key), undefined)
  }

  operations() {
    return [...this.#changes].map(([key, value]) =>
      value === undefined
        ? ({ type: 'del', key } as const)
        : ({ type: 'put', key, value } as const),
    )
  }
}

async function scanDatabase(
  database: Database,
  table: string,
  range: StateRange,
): Promise<readonly StateRow[]> {
  const { prefix = '', after, limit } = range
  const first = place(table, prefix)
  const start = after === undefined ? first : place(table, after)
  const rows: StateRow[] = []
  const bounds =
    after !== undefined && compareBytes(start, first) >= 0 ? { gt: start } : { gte: first }
  for await (const [at, value] of database.iterator({ ...bounds, limit: limit ?? -1 })) {
    if (!at.startsWith(first)) break
    rows.push({ key: at.slice(table.length + TABLE_END.length), value })
  }
  return rows
}

function place(table: string, key: string): string {
  return table + TABLE_END + key
}

function keyIn(table: string, at: string): string | null {
  return at.startsWith(table + TABLE_END) ? at.slice(table.length + TABLE_END.length) : null
}

function isInRange(key: string, { prefix = '', after }: StateRange): boolean {
  return key.startsWith(prefix) && (after === undefined || compareBytes(key, after) > 0)
}

/** As LevelDB and PostgreSQL's "C" order them: by bytes of UTF-8, which is not the order of UTF-16. */
function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
