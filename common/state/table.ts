import { ServiceError } from '../errors.ts'
import type { StateRange, StateReader, StateTransaction, StateValue } from './state-store.ts'

/** A way to find rows by other values than their key. */
export interface TableIndex<Row> {
  /** The values under which a row is found, each as the parts of a key; several for a row with several of them. */
  readonly of: (row: Row) => readonly (readonly string[])[]
  /** No two rows have the same values: the second is refused with 409 `Duplicate`. */
  readonly unique?: boolean
}

export interface TableOptions<Row, Index extends string> {
  /** Names the rows in the store: letters and dashes. */
  readonly name: string
  /** The parts of a row's key. */
  readonly keyOf: (row: Row) => readonly string[]
  readonly indexes: Readonly<Record<Index, TableIndex<Row>>>
}

/** Rows of a table in the order of their keys. */
export interface TableRange {
  /** The first parts of their keys. */
  readonly prefix?: readonly string[]
  /** The key of the row before the first. */
  readonly after?: readonly string[]
  readonly limit?: number
}

/** Rows of a page. */
const PAGE_ROWS = 256

/** Ends each part of a key; where it stands in a part it is escaped. */
const END = '\u0001'
const ESCAPE = '\u0002'

/** Rows of one kind with their indexes, which change in the same transaction. */
export class Table<Row extends object, Index extends string = never> {
  readonly name: string
  readonly #options: TableOptions<Row, Index>

  constructor(options: TableOptions<Row, Index>) {
    this.name = options.name
    this.#options = options
  }

  /** The parts of the row's key, as `get` and `delete` take them. */
  keyOf(row: Row): readonly string[] {
    return this.#options.keyOf(row)
  }

  async get(reader: StateReader, ...key: readonly string[]): Promise<Row | undefined> {
    return (await reader.get(this.name, joinKey(key))) as Row | undefined
  }

  async list(reader: StateReader, range: TableRange = {}): Promise<readonly Row[]> {
    const rows = await reader.scan(this.name, rangeOf(range))
    return rows.map(({ value }) => value as unknown as Row)
  }

  /** The rows with these values in an index, or with values that begin with them. */
  async by(
    reader: StateReader,
    index: Index,
    ...values: readonly string[]
  ): Promise<readonly Row[]> {
    const found = await reader.scan(this.#indexName(index), { prefix: joinKey(values) })
    const keys = new Set(found.map(({ value }) => String(value)))
    const rows = await Promise.all([...keys].map((key) => reader.get(this.name, key)))
    // Outside a transaction a row may be deleted between the two reads.
    return rows.filter((row) => row !== undefined) as unknown as Row[]
  }

  /**
   * The rows in the order of their keys, a page at a time, so that a long table neither fills the memory nor keeps
   * others waiting; `after` is the row before the first. Outside a transaction each page is of its own moment: what is
   * there all the while comes once, what comes or goes meanwhile may be missing.
   */
  async *pages(
    reader: StateReader,
    { prefix, after }: { readonly prefix?: readonly string[]; readonly after?: Row } = {},
  ): AsyncGenerator<readonly Row[], void, undefined> {
    let last = after
    for (;;) {
      const rows = await this.list(reader, {
        limit: PAGE_ROWS,
        ...(prefix !== undefined && { prefix }),
        ...(last !== undefined && { after: this.keyOf(last) }),
      })
      if (rows.length > 0) yield rows
      if (rows.length < PAGE_ROWS) return
      last = rows.at(-1)!
    }
  }

  /** As `pages`, of the rows with these values in an index, or with values that begin with them, in its order. */
  async *pagesBy(
    reader: StateReader,
    index: Index,
    { values, after }: { readonly values: readonly string[]; readonly after?: Row },
  ): AsyncGenerator<readonly Row[], void, undefined> {
    const prefix = joinKey(values)
    let last = after === undefined ? undefined : this.#entryOf(index, prefix, after)
    for (;;) {
      const entries = await reader.scan(this.#indexName(index), {
        prefix,
        limit: PAGE_ROWS,
        ...(last !== undefined && { after: last }),
      })
      const rows = await Promise.all(
        entries.map(({ value }) => reader.get(this.name, String(value))),
      )
      const found = rows.filter((row) => row !== undefined) as unknown as Row[]
      if (found.length > 0) yield found
      if (entries.length < PAGE_ROWS) return
      last = entries.at(-1)!.key
    }
  }

  /** The one row with these values in a unique index. */
  async one(
    reader: StateReader,
    index: Index,
    ...values: readonly string[]
  ): Promise<Row | undefined> {
    const key = await reader.get(this.#indexName(index), joinKey(values))
    return key === undefined
      ? undefined
      : ((await reader.get(this.name, String(key))) as Row | undefined)
  }

  /** Writes a row, new or changed. Throws 409 `Duplicate` if another row has its values in a unique index. */
  async put(transaction: StateTransaction, row: Row): Promise<void> {
    const key = joinKey(this.#options.keyOf(row))
    const before = (await transaction.get(this.name, key)) as Row | undefined
    if (before !== undefined) this.#unindex(transaction, key, before)
    for (const index of this.#indexNames()) {
      for (const values of this.#options.indexes[index].of(row)) {
        await this.#index(transaction, { index, values, key })
      }
    }
    transaction.put(this.name, key, row as unknown as StateValue)
  }

  /** Deletes a row with its index entries; nothing if it is not there. */
  async delete(transaction: StateTransaction, ...parts: readonly string[]): Promise<void> {
    const key = joinKey(parts)
    const before = (await transaction.get(this.name, key)) as Row | undefined
    if (before === undefined) return
    this.#unindex(transaction, key, before)
    transaction.delete(this.name, key)
  }

  async #index(
    transaction: StateTransaction,
    entry: { readonly index: Index; readonly values: readonly string[]; readonly key: string },
  ): Promise<void> {
    const { index, values, key } = entry
    const at = this.#entryKey(index, values, key)
    const holder = await transaction.get(this.#indexName(index), at)
    if (holder !== undefined && holder !== key) throw duplicate(this.name, index)
    transaction.put(this.#indexName(index), at, key)
  }

  #unindex(transaction: StateTransaction, key: string, row: Row): void {
    for (const index of this.#indexNames()) {
      for (const values of this.#options.indexes[index].of(row)) {
        transaction.delete(this.#indexName(index), this.#entryKey(index, values, key))
      }
    }
  }

  /** The row's entry among those that begin so; undefined if it has none. */
  #entryOf(index: Index, prefix: string, row: Row): string | undefined {
    const key = joinKey(this.#options.keyOf(row))
    return this.#options.indexes[index]
      .of(row)
      .map((values) => this.#entryKey(index, values, key))
      .find((entry) => entry.startsWith(prefix))
  }

  /** Entries of an index that is not unique are told apart by the key of their row. */
  #entryKey(index: Index, values: readonly string[], key: string): string {
    return this.#options.indexes[index].unique ? joinKey(values) : joinKey(values) + key
  }

  #indexName(index: Index): string {
    return `${this.name}.${index}`
  }

  #indexNames(): readonly Index[] {
    return Object.keys(this.#options.indexes) as Index[]
  }
}

/** Parts in one text that sorts as they do, part by part. */
function joinKey(parts: readonly string[]): string {
  return parts.map((part) => escapePart(part) + END).join('')
}

function escapePart(part: string): string {
  return part.replaceAll(ESCAPE, `${ESCAPE}2`).replaceAll(END, `${ESCAPE}1`)
}

function rangeOf(range: TableRange): StateRange {
  const { prefix, after, limit } = range
  return {
    ...(prefix !== undefined && { prefix: joinKey(prefix) }),
    ...(after !== undefined && { after: joinKey(after) }),
    ...(limit !== undefined && { limit }),
  }
}

function duplicate(table: string, index: string): ServiceError {
  return new ServiceError('Duplicate', `another row of ${table} has the same ${index}`, {
    status: 409,
  })
}
