import type { PoolClient } from 'pg'
import type { StateChange } from './buffered-transaction.ts'
import { stateUnavailable } from './postgres-errors.ts'

/** One transaction on one connection; its statements go one after the other. */
export class PostgresSession {
  readonly #client: PoolClient
  readonly #relation: string
  #last: Promise<unknown> = Promise.resolve()
  #failure: unknown

  constructor(client: PoolClient, relation: string) {
    this.#client = client
    this.#relation = relation
  }

  /** The first failure of a statement: nothing counts after it, whatever the work made of it. */
  get failure(): unknown {
    return this.#failure
  }

  /**
   * The lock is one that all writers ask for: alone, a transaction cannot fail for another one's sake. It has to be taken
   * before the first read, which fixes what the transaction sees.
   */
  async begin({ alone }: { readonly alone: boolean }): Promise<void> {
    const lock = alone ? `; LOCK TABLE ${this.#relation} IN SHARE ROW EXCLUSIVE MODE` : ''
    await this.send(`BEGIN ISOLATION LEVEL SERIALIZABLE${lock}`)
  }

  async send(text: string, values?: readonly unknown[]): Promise<readonly (readonly string[])[]> {
    const sent = this.#last.then(async () => {
      if (this.#failure !== undefined) throw this.#failure
      try {
        return await this.#client.query<string[]>({
          text,
          rowMode: 'array',
          ...(values !== undefined && { values: [...values] }),
        })
      } catch (error) {
        this.#failure ??= error
        throw error
      }
    })
    this.#last = sent.catch(() => {})
    const { rows, command } = await sent
    // An aborted transaction answers COMMIT by a ROLLBACK.
    if (text === 'COMMIT' && command !== 'COMMIT') throw stateUnavailable(`COMMIT: ${command}`)
    return rows ?? []
  }

  async commit(changes: readonly StateChange[]): Promise<void> {
    const deleted = changes.filter(({ text }) => text === null)
    const written = changes.filter(({ text }) => text !== null)
    if (deleted.length > 0) {
      await this.send(
        `DELETE FROM ${this.#relation} AS row USING unnest($1::text[], $2::text[]) AS gone ` +
          '(table_name, key) WHERE row.table_name = gone.table_name AND row.key = gone.key',
        [deleted.map(({ table }) => table), deleted.map(({ key }) => key)],
      )
    }
    if (written.length > 0) {
      await this.send(
        `INSERT INTO ${this.#relation} (table_name, key, value) ` +
          'SELECT * FROM unnest($1::text[], $2::text[], $3::json[]) ' +
          'ON CONFLICT (table_name, key) DO UPDATE SET value = excluded.value',
        [
          written.map(({ table }) => table),
          written.map(({ key }) => key),
          written.map(({ text }) => text),
        ],
      )
    }
    await this.send('COMMIT')
  }

  /** Gives the connection back, closed if it is not known to be good. */
  async end({ committed, givenUp }: { readonly committed: boolean; readonly givenUp: boolean }) {
    if (committed) return this.#client.release()
    if (givenUp) return this.#client.release(true)
    try {
      await this.#last
      await this.#client.query('ROLLBACK')
      this.#client.release()
    } catch {
      this.#client.release(true)
    }
  }
}
