import { ServiceError } from '../errors.ts'
import {
  checkKey,
  checkRange,
  compareKeys,
  encodeValue,
  TRANSACTION_BYTES_MAX,
  tooMuch,
} from './state-row.ts'
import type {
  StateRange,
  StateReader,
  StateRow,
  StateTransaction,
  StateValue,
} from './state-store.ts'

/** A row to write, or, without a text, to delete. */
export interface StateChange {
  readonly table: string
  readonly key: string
  /** The value as JSON; null deletes. */
  readonly text: string | null
}

/** Keeps changes until its store makes them durable all at once, and lays them over what it reads. */
export class BufferedTransaction implements StateTransaction {
  readonly #store: StateReader
  readonly #tables = new Map<string, Map<string, string | null>>()
  #bytes = 0
  #ended = false

  constructor(store: StateReader) {
    this.#store = store
  }

  async get(table: string, key: string): Promise<StateValue | undefined> {
    this.#assertOpen()
    checkKey(table, key)
    const text = this.#tables.get(table)?.get(key)
    if (text === undefined) return this.#store.get(table, key)
    return text === null ? undefined : (JSON.parse(text) as StateValue)
  }

  async scan(table: string, range: StateRange = {}): Promise<readonly StateRow[]> {
    this.#assertOpen()
    checkRange(table, range)
    const changes = [...(this.#tables.get(table) ?? [])].filter(([key]) => isInRange(key, range))
    if (changes.length === 0) return this.#store.scan(table, range)
    const { limit, ...rest } = range
    // As many more as may be taken away again.
    const wanted = limit === undefined ? rest : { ...rest, limit: limit + changes.length }
    const rows = layOver(await this.#store.scan(table, wanted), changes)
    return limit === undefined ? rows : rows.slice(0, limit)
  }

  put(table: string, key: string, value: StateValue): void {
    this.#change({ table, key, text: encodeValue(value) })
  }

  delete(table: string, key: string): void {
    this.#change({ table, key, text: null })
  }

  /** What is to be made durable. */
  changes(): readonly StateChange[] {
    return [...this.#tables].flatMap(([table, rows]) =>
      [...rows].map(([key, text]) => ({ table, key, text })),
    )
  }

  /** From here on every call throws: work that was given up, or goes on after its end, changes nothing. */
  end(): void {
    this.#ended = true
  }

  #change({ table, key, text }: StateChange): void {
    this.#assertOpen()
    checkKey(table, key)
    this.#bytes += table.length + key.length + (text?.length ?? 0)
    if (this.#bytes > TRANSACTION_BYTES_MAX) {
      throw tooMuch(`a change is larger than ${TRANSACTION_BYTES_MAX} bytes`)
    }
    const rows = this.#tables.get(table) ?? new Map<string, string | null>()
    this.#tables.set(table, rows.set(key, text))
  }

  #assertOpen(): void {
    if (this.#ended) throw new ServiceError('TransactionEnded', 'the transaction has ended')
  }
}

function layOver(
  stored: readonly StateRow[],
  changes: readonly (readonly [string, string | null])[],
): readonly StateRow[] {
  const rows = new Map(stored.map((row) => [row.key, row]))
  for (const [key, text] of changes) {
    if (text === null) rows.delete(key)
    else rows.set(key, { key, value: JSON.parse(text) as StateValue })
  }
  return [...rows.values()].sort((a, b) => compareKeys(a.key, b.key))
}

function isInRange(key: string, { prefix = '', after }: StateRange): boolean {
  return key.startsWith(prefix) && (after === undefined || compareKeys(key, after) > 0)
}
