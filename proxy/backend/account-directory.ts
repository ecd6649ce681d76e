/**
 * Which accounts there are: two listings like those of containers, under an account that no client can name. `accounts`
 * has a row for every account, for operators; `deleted` one for each that is marked, for the reaper.
 *
 *   an account is made       -> its register, then its row; a row that a crash left out comes with its next container
 *   an account is deleted    -> its row in `deleted`, then the mark in its register
 *   it is empty and old      -> its register's tombstone, then both rows go
 */
import type { ItemKey } from '../../common/item.ts'
import { type Stamp, type StampClock, TICKS_PER_SECOND } from '../../common/stamp.ts'
import type { ItemInfo, ListPage, ListQuery, ListRow } from '../../common/storage-node.ts'
import { noQuorum } from './backend-errors.ts'
import type { Listings, RowSource } from './listings.ts'
import type { NameKeys } from './name-keys.ts'
import type { Rows } from './rows.ts'

export interface AccountDirectoryOptions {
  readonly keys: NameKeys
  readonly rows: Rows
  readonly listings: Listings
  readonly stamps: StampClock
  /** Makes the register of a list that is not there. */
  readonly ensureList: (list: ItemKey) => Promise<void>
}

/** No reseller prefix begins with a dot, so no request gets here. */
const DIRECTORY = '.directory'
const LISTS = ['accounts', 'deleted'] as const
type ListName = (typeof LISTS)[number]
/** Accounts whose row this process knows to be there; beyond it they are forgotten and written once more. */
const NOTED_MAX = 10_000
/** A row that is there may have been stamped by a clock that is ahead, and is not seen if it is deleted. */
const AHEAD_SECONDS = [0, 1, 10, 60, 240] as const
const EMPTY_PAGE: Pick<ListPage, 'entries'> = { entries: [] }

export class AccountDirectory {
  readonly #options: AccountDirectoryOptions
  readonly #noted = new Set<string>()
  readonly #ready = new Set<ListName>()

  constructor(options: AccountDirectoryOptions) {
    this.#options = options
  }

  /** The account is there: makes sure of its row, once in this process. */
  async note(account: string): Promise<void> {
    if (this.#noted.has(account) || account === DIRECTORY) return
    await this.#put('accounts', account, false)
    if (this.#noted.size >= NOTED_MAX) this.#noted.clear()
    this.#noted.add(account)
  }

  noteDeleted(account: string): Promise<void> {
    return this.#put('deleted', account, false)
  }

  /** The account is not to be deleted after all. */
  forgetDeleted(account: string): Promise<void> {
    return this.#put('deleted', account, true)
  }

  /** There is no such account any more. */
  async forget(account: string): Promise<void> {
    this.#noted.delete(account)
    await this.#put('accounts', account, true)
    await this.#put('deleted', account, true)
  }

  /** Rows of accounts in the order of their names. */
  async list(name: ListName, query: ListQuery): Promise<readonly ListRow[]> {
    const { listings } = this.#options
    const page = (await listings.page(this.#source(name), query)) ?? EMPTY_PAGE
    return page.entries.flatMap((entry) => ('subdir' in entry ? [] : [entry]))
  }

  #source(name: ListName): RowSource {
    const { keys } = this.#options
    return {
      list: keys.container(DIRECTORY, name),
      itemOf: (row) => keys.account(row.name),
      rowOf: (info: ItemInfo, row) => ({ ...row, stamp: info.stamp, deleted: info.deleted }),
    }
  }

  /** Confirmed from the beginning: what it says is that an account may be there. */
  async #put(name: ListName, account: string, deleted: boolean): Promise<void> {
    const { keys, rows, stamps, ensureList } = this.#options
    const list = keys.container(DIRECTORY, name)
    if (!this.#ready.has(name)) await ensureList(list)
    this.#ready.add(name)
    for (const aheadSeconds of AHEAD_SECONDS) {
      const { ticks, proposer } = stamps.next()
      const stamp = { ticks: ticks + aheadSeconds * TICKS_PER_SECOND, proposer }
      const { status } = await rows.put(list, directoryRow(account, stamp, deleted))
      if (status === 'done') return
    }
    throw noQuorum(`the row of account ${account} cannot be written`)
  }
}

function directoryRow(name: string, stamp: Stamp, deleted: boolean): ListRow {
  const empty = { bytes: 0, etag: '', contentType: '', policy: 0 }
  const count = deleted ? 0 : 1
  return { name, stamp, metaStamp: stamp, ballot: stamp, deleted, count, ...empty, confirmed: true }
}
