import type { Clock } from '../../common/clock.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import type { Backend } from '../backend/backend.ts'
import { type AccountAcl, parseStoredAccountAcl } from './account-acl.ts'

const ENTRIES_MAX = 1000
const AGE_MAX_MS = 5000

interface Entry {
  readonly info: ItemInfo | null
  readonly acl: AccountAcl | null
  readonly untilMs: number
}

/**
 * Accounts as they were at most a few seconds ago: ACLs for those who are let in by nothing else, keys, quotas. At most 1,000 accounts for 5 seconds each (the oldest goes
 * first): a right that is taken away at another proxy ends within 5 seconds, at this one at once.
 */
export class AccountAclCache {
  readonly #backend: Backend
  readonly #clock: Clock
  readonly #entries = new Map<string, Entry>()

  constructor(options: { readonly backend: Backend; readonly clock: Clock }) {
    this.#backend = options.backend
    this.#clock = options.clock
  }

  /** Null if the account does not exist or has no ACL. */
  async get(account: string): Promise<AccountAcl | null> {
    const entry = this.#entryOf(account)
    return (entry instanceof Promise ? await entry : entry).acl
  }

  /** The account's settings and, as of that moment, totals; null if it does not exist. At once when it is known. */
  info(account: string): ItemInfo | null | Promise<ItemInfo | null> {
    const entry = this.#entryOf(account)
    return entry instanceof Promise ? entry.then(({ info }) => info) : entry.info
  }

  #entryOf(account: string): Entry | Promise<Entry> {
    const known = this.#entries.get(account)
    return known !== undefined && known.untilMs > this.#clock.monotonicMs()
      ? known
      : this.#load(account)
  }

  async #load(account: string): Promise<Entry> {
    const info = await this.#backend.readAccount(account)
    const acl = parseStoredAccountAcl(info?.meta.headers)
    const entry = { info, acl, untilMs: this.#clock.monotonicMs() + AGE_MAX_MS }
    this.#entries.delete(account)
    if (this.#entries.size >= ENTRIES_MAX) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest)
        break
      }
    }
    this.#entries.set(account, entry)
    return entry
  }

  /** After a change of the account by this proxy. */
  forget(account: string): void {
    this.#entries.delete(account)
  }
}
