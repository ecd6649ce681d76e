import { afterPrefix, checkKey, checkRange } from './state-row.ts'
import type { StateRange, StateReader, StateRow, StateValue } from './state-store.ts'

/** Sends one statement and gives its rows, every value as text. */
export type SendStatement = (
  text: string,
  values: readonly unknown[],
) => Promise<readonly (readonly string[])[]>

interface WantedRow {
  readonly table: string
  readonly key: string
  readonly resolve: (value: StateValue | undefined) => void
  readonly reject: (error: unknown) => void
}

/** Rows that one statement asks for. */
const GETS_MAX = 1000

/** Reads from the table of states; what is asked for at the same moment is one statement. */
export class PostgresReads implements StateReader {
  readonly #relation: string
  readonly #send: SendStatement
  #wanted: WantedRow[] = []

  constructor(relation: string, send: SendStatement) {
    this.#relation = relation
    this.#send = send
  }

  async get(table: string, key: string): Promise<StateValue | undefined> {
    checkKey(table, key)
    return new Promise((resolve, reject) => {
      this.#wanted.push({ table, key, resolve, reject })
      if (this.#wanted.length === 1) queueMicrotask(() => this.#sendWanted())
    })
  }

  async scan(table: string, range: StateRange = {}): Promise<readonly StateRow[]> {
    checkRange(table, range)
    const { where, values } = scanBounds(table, range)
    const order = `ORDER BY key LIMIT $${values.length + 1}`
    const rows = await this.#send(
      `SELECT key, value FROM ${this.#relation} WHERE ${where} ${order}`,
      [...values, range.limit ?? null],
    )
    return rows.map(([key, text]) => ({ key: key!, value: JSON.parse(text!) as StateValue }))
  }

  #sendWanted(): void {
    const wanted = this.#wanted
    this.#wanted = []
    for (let first = 0; first < wanted.length; first += GETS_MAX) {
      const some = wanted.slice(first, first + GETS_MAX)
      this.#getAll(some).catch((error: unknown) => {
        for (const { reject } of some) reject(error)
      })
    }
  }

  async #getAll(wanted: readonly WantedRow[]): Promise<void> {
    const rows = await this.#send(
      'SELECT wanted.place, row.value FROM ' +
        'unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (table_name, key, place) ' +
        `JOIN ${this.#relation} AS row ON row.table_name = wanted.table_name AND row.key = wanted.key`,
      [wanted.map(({ table }) => table), wanted.map(({ key }) => key)],
    )
    const found = new Map(rows.map(([at, text]) => [Number(at) - 1, text!]))
    for (const [index, { resolve }] of wanted.entries()) {
      const text = found.get(index)
      resolve(text === undefined ? undefined : (JSON.parse(text) as StateValue))
    }
  }
}

function scanBounds(table: string, { prefix = '', after }: StateRange) {
  const values = [table]
  const conditions = ['table_name = $1']
  const bound = (operator: string, value: string | undefined) => {
    if (value === undefined) return
    conditions.push(`key ${operator} $${values.push(value)}`)
  }
  bound('>=', prefix === '' ? undefined : prefix)
  bound('<', afterPrefix(prefix))
  bound('>', after)
  return { where: conditions.join(' AND '), values }
}
