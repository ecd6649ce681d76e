import { Level } from 'level'
import { xxh64OfText } from '../checksum.ts'
import { type Clock, systemClock } from '../clock.ts'
import { ServiceError, systemErrorCode } from '../errors.ts'
import { BufferedTransaction } from './buffered-transaction.ts'
import { ScanCache } from './scan-cache.ts'
import { checkKey, checkRange } from './state-row.ts'
import type {
  StateRange,
  StateRow,
  StateStore,
  StateTransaction,
  StateValue,
} from './state-store.ts'
import { TransactionQueue, timedOut, withinTime } from './transaction-queue.ts'

export interface LevelStateOptions {
  readonly clock?: Clock
  /** Transactions that wait for their turn; more are refused with 503. */
  readonly waitingMax?: number
  /** Longest wait for a turn, after which a transaction is refused with 503 and has not run. */
  readonly waitMsMax?: number
  /** Longest work of a transaction, after which it is given up with 503 and nothing of it is there. */
  readonly workMsMax?: number
}

const DEFAULTS = {
  clock: systemClock,
  waitingMax: 1024,
  waitMsMax: 30_000,
  workMsMax: 10_000,
} satisfies Required<LevelStateOptions>

/** After the name of the table, before the key of the row. Tables' names have none, so that what begins with it is ours. */
const TABLE_END = '!'
const VERSION_PLACE = '!version'
const VERSION = '1'
/**
 * Each transaction leaves its number here; the last ones are kept. LevelDB drops damaged parts of its log without a
 * word: a number that is missing between others says so. The log never holds as many transactions as are kept: one
 * takes more than 100 bytes, and two logs at most are alive, of WRITE_BUFFER_BYTES each.
 */
const COMMIT_PLACE = '!commit!'
const COMMITS_KEPT = 32_768
const COMMIT_DIGITS = 16
const WRITE_BUFFER_BYTES = 1024 * 1024
/** Hex digits of xxh64 before the JSON of a value. */
const CHECKSUM_CHARS = 16

type Database = Level<string, string>

/**
 * The embedded store in a folder, for one process. Throws 409 `StateInUse` if another one has it, 409 `StateTooNew` if
 * a newer version wrote it, 500 `StateDamaged` if transactions are missing from it.
 */
export async function openLevelState(
  folder: string,
  options: LevelStateOptions = {},
): Promise<StateStore> {
  const database: Database = new Level<string, string>(folder, {
    keyEncoding: 'utf8',
    valueEncoding: 'utf8',
    // An option of classic-level, which `level` does not type.
    ...({ writeBufferSize: WRITE_BUFFER_BYTES } as object),
  })
  const commits = await openDatabase(database, folder)
  return new LevelState({ database, folder, commits, options: { ...DEFAULTS, ...options } })
}

/** Opens and verifies; gives the number of the last transaction. */
async function openDatabase(database: Database, folder: string): Promise<number> {
  try {
    await database.open()
  } catch (error) {
    throw openFailure(error, folder)
  }
  try {
    await checkVersion(database, folder)
    return await lastCommit(database, folder)
  } catch (error) {
    await database.close()
    throw error
  }
}

async function checkVersion(database: Database, folder: string): Promise<void> {
  const version = await database.get(VERSION_PLACE)
  if (version === VERSION) return
  if (version !== undefined) {
    throw new ServiceError('StateTooNew', `${folder} has state of version ${version}`, {
      status: 409,
    })
  }
  const rows = await database.keys({ limit: 1 }).all()
  if (rows.length > 0) throw damaged(folder, 'it has rows, but no version')
  await database.put(VERSION_PLACE, VERSION, { sync: true } as object)
}

async function lastCommit(database: Database, folder: string): Promise<number> {
  const bounds = { gt: COMMIT_PLACE, lt: `${COMMIT_PLACE}~` }
  const places = await database.keys(bounds).all()
  const numbers = places.map((place) => Number(place.slice(COMMIT_PLACE.length)))
  const last = numbers.at(-1) ?? 0
  const first = numbers[0] ?? 1
  if (first !== Math.max(1, last - COMMITS_KEPT + 1) || numbers.length !== last - first + 1) {
    throw damaged(folder, `transactions before ${last} are missing`)
  }
  return last
}

/** Transactions run one after the other, so that each is alone; each ends with one synced batch. */
class LevelState implements StateStore {
  readonly #database: Database
  readonly #folder: string
  readonly #options: Required<LevelStateOptions>
  readonly #queue: TransactionQueue
  #scans = new ScanCache()
  #commits: number
  #broken = false
  #closing: Promise<void> | null = null

  constructor(parts: {
    readonly database: Database
    readonly folder: string
    readonly commits: number
    readonly options: Required<LevelStateOptions>
  }) {
    this.#database = parts.database
    this.#folder = parts.folder
    this.#commits = parts.commits
    this.#options = parts.options
    this.#queue = new TransactionQueue(parts.options)
  }

  async get(table: string, key: string): Promise<StateValue | undefined> {
    checkKey(table, key)
    const at = place(table, key)
    // At once: waking another thread for a row costs several times what finding it does.
    const stored = await this.#read(() => this.#database.getSync(at))
    return stored === undefined ? undefined : this.#decode(at, stored)
  }

  async scan(table: string, range: StateRange = {}): Promise<readonly StateRow[]> {
    checkRange(table, range)
    const bounds = scanBounds(table, range)
    const stored = await this.#scans.rows(table, JSON.stringify(range), () =>
      this.#read(() => this.#database.iterator(bounds).all()),
    )
    return stored.map(([bytes, text]) => {
      const at = bytes.toString()
      return { key: at.slice(table.length + TABLE_END.length), value: this.#decode(at, text) }
    })
  }

  async transaction<T>(work: (transaction: StateTransaction) => Promise<T>): Promise<T> {
    if (this.#closing !== null) throw unavailable('it is closed')
    return this.#queue.run(() => this.#run(work))
  }

  close(): Promise<void> {
    this.#closing ??= this.#queue.drained().then(() => this.#database.close())
    return this.#closing
  }

  async #run<T>(work: (transaction: StateTransaction) => Promise<T>): Promise<T> {
    const { clock, workMsMax: ms } = this.#options
    if (this.#broken) await this.#reopen()
    const transaction = new BufferedTransaction(this)
    try {
      const result = await withinTime({ clock, ms, late: () => timedOut(ms) }, () =>
        work(transaction),
      )
      await this.#commit(transaction)
      return result
    } finally {
      transaction.end()
    }
  }

  async #commit(transaction: BufferedTransaction): Promise<void> {
    const changes = transaction.changes()
    const operations = changes.map(({ table, key, text }) => {
      const at = place(table, key)
      if (text === null) return { type: 'del', key: at } as const
      return { type: 'put', key: at, value: checksum(at, text) + text } as const
    })
    if (operations.length === 0) return
    const number = this.#commits + 1
    const marks = [
      { type: 'put', key: commitPlace(number), value: '' } as const,
      { type: 'del', key: commitPlace(number - COMMITS_KEPT) } as const,
    ]
    try {
      await this.#database.batch([...operations, ...marks], { sync: true } as object)
    } catch (error) {
      // The log may have part of it: what LevelDB wrote behind that could not be read again.
      this.#broken = true
      throw unavailable(`a change could not be written: ${(error as Error).message}`, error)
    } finally {
      for (const { table } of changes) this.#scans.noteChange(table)
    }
    this.#commits = number
  }

  /** LevelDB begins another log, behind what it can read of the one that failed. */
  async #reopen(): Promise<void> {
    try {
      await this.#database.close()
      this.#commits = await openDatabase(this.#database, this.#folder)
      // The change that failed may have been seen, and be gone now.
      this.#scans = new ScanCache()
      this.#broken = false
    } catch (error) {
      throw unavailable('it cannot be opened again', error)
    }
  }

  async #read<T>(read: () => T | Promise<T>): Promise<T> {
    try {
      return await read()
    } catch (error) {
      const code = systemErrorCode(error)
      if (code === 'LEVEL_CORRUPTION') throw damaged(this.#folder, (error as Error).message, error)
      if (code?.endsWith('_NOT_OPEN')) throw unavailable('it is closed', error)
      throw error
    }
  }

  #decode(at: string, stored: string): StateValue {
    const text = stored.slice(CHECKSUM_CHARS)
    if (stored.slice(0, CHECKSUM_CHARS) !== checksum(at, text)) {
      throw damaged(this.#folder, `the row ${JSON.stringify(at)} is not what was written`)
    }
    return JSON.parse(text) as StateValue
  }
}

/** In bytes: 0xff is in no text, so that a prefix and it are behind all that begin with the prefix. */
function scanBounds(table: string, { prefix = '', after, limit }: StateRange) {
  const first = Buffer.from(place(table, prefix))
  const start = after === undefined ? null : Buffer.from(place(table, after))
  return {
    keyEncoding: 'buffer',
    ...(start !== null && Buffer.compare(start, first) >= 0 ? { gt: start } : { gte: first }),
    lt: Buffer.concat([first, Buffer.of(0xff)]),
    limit: limit ?? -1,
  } as const
}

function place(table: string, key: string): string {
  return table + TABLE_END + key
}

function commitPlace(number: number): string {
  return COMMIT_PLACE + String(Math.max(number, 0)).padStart(COMMIT_DIGITS, '0')
}

/** Over the place too: a value that turns up elsewhere is noticed. */
function checksum(at: string, text: string): string {
  return xxh64OfText(`${at}\0${text}`).toString(16).padStart(CHECKSUM_CHARS, '0')
}

function openFailure(error: unknown, folder: string): unknown {
  const cause = error instanceof Error ? error.cause : undefined
  const code = systemErrorCode(cause) ?? systemErrorCode(error)
  if (code === 'LEVEL_LOCKED') {
    return new ServiceError('StateInUse', `${folder} is in use by another process`, {
      status: 409,
      cause: error,
    })
  }
  return code === 'LEVEL_CORRUPTION' ? damaged(folder, String(cause ?? error), error) : error
}

function damaged(folder: string, what: string, cause?: unknown): ServiceError {
  return new ServiceError('StateDamaged', `the state in ${folder} is damaged: ${what}`, { cause })
}

function unavailable(why: string, cause?: unknown): ServiceError {
  return new ServiceError('StateUnavailable', `the state cannot be used: ${why}`, {
    status: 503,
    retryAfterSeconds: 1,
    cause,
  })
}
