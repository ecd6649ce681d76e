import { Client, Pool, type PoolClient, type PoolConfig } from 'pg'
import { type Clock, systemClock } from '../clock.ts'
import { ServiceError } from '../errors.ts'
import { type Random, systemRandom } from '../random.ts'
import { BufferedTransaction } from './buffered-transaction.ts'
import { isConflict, postgresFailure, stateUnavailable } from './postgres-errors.ts'
import { PostgresReads } from './postgres-reads.ts'
import { prepareSchema, relationOf } from './postgres-schema.ts'
import { PostgresSession } from './postgres-session.ts'
import type {
  StateRange,
  StateRow,
  StateStore,
  StateTransaction,
  StateValue,
} from './state-store.ts'
import { busy, timedOut, withinTime } from './transaction-queue.ts'

export interface PostgresStateOptions {
  /** Whose rows: `identity`; each service has a table of its own. */
  readonly service?: string
  readonly clock?: Clock
  readonly random?: Random
  readonly connectionCountMax?: number
  /** Reads and transactions that wait for a connection; more are refused with 503. */
  readonly waitingMax?: number
  /** Longest wait for a connection. */
  readonly connectMsMax?: number
  /** Longest work of a transaction with all its repetitions, after which it is given up with 503. */
  readonly workMsMax?: number
  readonly statementMsMax?: number
}

const DEFAULTS = {
  service: 'state',
  clock: systemClock,
  random: systemRandom,
  connectionCountMax: 10,
  waitingMax: 1024,
  connectMsMax: 5_000,
  workMsMax: 10_000,
  statementMsMax: 10_000,
} satisfies Required<PostgresStateOptions>

/** Tries beside the others, and then with the lock that keeps other writers away. */
const TRIES_BESIDE = 5
const TRIES_ALONE = 3
/** Before the second try, at most; doubled each time. */
const BACKOFF_MS = 4

/**
 * The rows of a service in PostgreSQL; several processes may share them. `url` is
 * `postgres://user:password@host:5432/database`, or `…?host=/folder/of/socket`. Tables are made at first use. Throws 503
 * `StateUnavailable` where there is no server, 400 `BadConfig` for what is no URL; the password is in no message.
 */
export async function openPostgresState(
  url: string,
  options: PostgresStateOptions = {},
): Promise<StateStore> {
  const wanted = { ...DEFAULTS, ...options }
  const pool = openPool(url, wanted)
  try {
    await prepareSchema(pool, wanted.service)
  } catch (error) {
    await pool.end()
    throw postgresFailure(error)
  }
  return new PostgresState(pool, wanted)
}

function openPool(url: string, options: Required<PostgresStateOptions>): Pool {
  const { statementMsMax, workMsMax } = options
  // A server that has lost us lets go of our locks by itself.
  const idleMsMax = workMsMax + statementMsMax
  // Sequential scans, joins and bitmaps would lock, for the sake of being serializable, much more than what was asked for.
  const settings =
    'SET enable_seqscan = off; SET enable_bitmapscan = off; ' +
    'SET enable_hashjoin = off; SET enable_mergejoin = off; ' +
    `SET statement_timeout = ${statementMsMax}; SET lock_timeout = ${statementMsMax}; ` +
    `SET idle_in_transaction_session_timeout = ${idleMsMax}`
  const config: PoolConfig = {
    connectionString: url,
    max: options.connectionCountMax,
    connectionTimeoutMillis: options.connectMsMax,
    query_timeout: statementMsMax + 1_000,
    keepAlive: true,
    allowExitOnIdle: true,
    application_name: 'swiftlet',
    types: { getTypeParser: () => (text: unknown) => text } as NonNullable<PoolConfig['types']>,
    onConnect: (client) => client.query(settings) as unknown as void,
  }
  try {
    if (!/^postgres(ql)?:\/\//.test(url)) throw new TypeError('no URL of PostgreSQL')
    // Reads the URL; the pool would do so at its first connection.
    new Client(config)
    const pool = new Pool(config)
    // Connections that break while nobody uses them are gone from the pool; the next one tells what is wrong.
    pool.on('error', () => {})
    pool.on('connect', (client) => client.on('error', () => {}))
    return pool
  } catch {
    // Without a cause: errors about URLs hold them, with the password.
    throw new ServiceError('BadConfig', 'the URL of PostgreSQL cannot be read', { status: 400 })
  }
}

class PostgresState implements StateStore {
  readonly #pool: Pool
  readonly #options: Required<PostgresStateOptions>
  readonly #relation: string
  readonly #reads: PostgresReads
  readonly #running = new Set<Promise<unknown>>()
  #closing: Promise<void> | null = null

  constructor(pool: Pool, options: Required<PostgresStateOptions>) {
    this.#pool = pool
    this.#options = options
    this.#relation = relationOf(options.service)
    this.#reads = new PostgresReads(this.#relation, (text, values) => this.#send(text, values))
  }

  get(table: string, key: string): Promise<StateValue | undefined> {
    return this.#begin(() => this.#reads.get(table, key))
  }

  scan(table: string, range: StateRange = {}): Promise<readonly StateRow[]> {
    return this.#begin(() => this.#reads.scan(table, range))
  }

  transaction<T>(work: (transaction: StateTransaction) => Promise<T>): Promise<T> {
    return this.#begin(() => this.#transaction(work))
  }

  close(): Promise<void> {
    this.#closing ??= Promise.allSettled(this.#running).then(() => this.#pool.end())
    return this.#closing
  }

  /** The pool would leave those waiting that have no connection yet when it is closed. */
  async #begin<T>(run: () => Promise<T>): Promise<T> {
    if (this.#closing !== null) throw stateUnavailable('it is closed')
    const running = run()
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }

  async #transaction<T>(work: (transaction: StateTransaction) => Promise<T>): Promise<T> {
    const { clock, random, workMsMax } = this.#options
    const startMs = clock.monotonicMs()
    for (let tries = 1; ; tries++) {
      const limitMs = workMsMax - (clock.monotonicMs() - startMs)
      try {
        return await this.#try(work, { alone: tries > TRIES_BESIDE, limitMs })
      } catch (error) {
        const isLast = tries === TRIES_BESIDE + TRIES_ALONE
        if (!isConflict(error) || isLast) throw postgresFailure(error)
        await pause(clock, random.below(BACKOFF_MS * 2 ** tries))
      }
    }
  }

  async #try<T>(
    work: (transaction: StateTransaction) => Promise<T>,
    { alone, limitMs }: { readonly alone: boolean; readonly limitMs: number },
  ): Promise<T> {
    const { clock, workMsMax } = this.#options
    const session = new PostgresSession(await this.#connect(), this.#relation)
    const reads = new PostgresReads(this.#relation, (text, values) => session.send(text, values))
    const transaction = new BufferedTransaction(reads)
    const state = { committed: false, givenUp: false }
    const late = () => {
      state.givenUp = true
      return timedOut(workMsMax)
    }
    try {
      const result = await withinTime({ clock, ms: Math.max(limitMs, 0), late }, async () => {
        await session.begin({ alone })
        return work(transaction)
      })
      await session.commit(transaction.changes())
      state.committed = true
      return result
    } catch (error) {
      throw state.givenUp ? error : (session.failure ?? error)
    } finally {
      transaction.end()
      await session.end(state)
    }
  }

  async #send(text: string, values: readonly unknown[]): Promise<readonly (readonly string[])[]> {
    const client = await this.#connect()
    try {
      const { rows } = await client.query<string[]>({
        text,
        rowMode: 'array',
        values: [...values],
      })
      client.release()
      return rows
    } catch (error) {
      // Whether the connection is still good is not worth finding out.
      client.release(true)
      throw postgresFailure(error)
    }
  }

  async #connect(): Promise<PoolClient> {
    if (this.#pool.waitingCount >= this.#options.waitingMax) throw busy('too many requests at once')
    try {
      return await this.#pool.connect()
    } catch (error) {
      throw postgresFailure(error)
    }
  }
}

function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve)
  })
}
