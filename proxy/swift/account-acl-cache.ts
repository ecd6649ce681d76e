import type { ChangeMark } from '../../common/change-marks.ts'
import type { Clock } from '../../common/clock.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import type { Backend } from '../backend/backend.ts'
import { type AccountAcl, parseStoredAccountAcl } from './account-acl.ts'

const ENTRIES_MAX = 1000
const AGE_MAX_MS = 5000
/** Settings that are this old are not gone by before the account was asked again; as long as Swift's own cache. */
const SETTINGS_AGE_MAX_MS = 60_000

interface Entry {
  readonly info: ItemInfo | null
  readonly acl: AccountAcl | null
  readonly readAtMs: number
  readonly mark: ChangeMark
  /** When somebody began to look again. */
  askedAtMs: number
}

/**
 * Accounts as this process last changed them, and as they were at most a few seconds ago: ACLs for those who are let in by nothing else, keys, quotas. At most
 * 1,000 accounts for 5 seconds each (the oldest goes first): a right that is taken away at another proxy ends within 5
 * seconds, in this process at once.
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
    const entry = this.#fresh(account) ?? (await this.#load(account))
    return entry.acl
  }

  /** The account's metadata and totals; null if it does not exist. At once when it is known. */
  info(account: string): ItemInfo | null | Promise<ItemInfo | null> {
    const entry = this.#fresh(account)
    return entry === undefined ? this.#load(account).then(({ info }) => info) : entry.info
  }

  /**
   * The same for what no request should wait for or fail by: at once as it was up to a minute ago, while it is looked at
   * again; null for an account that cannot be read.
   */
  settings(account: string): ItemInfo | null | Promise<ItemInfo | null> {
    const known = this.#entries.get(account)
    const nowMs = this.#clock.monotonicMs()
    const isCurrent = known !== undefined && this.#backend.marks.isCurrent(known.mark)
    if (isCurrent && nowMs - known.askedAtMs < AGE_MAX_MS) return known.info
    const loading = this.#load(account).then(
      ({ info }) => info,
      () => known?.info ?? this.#noteUnreadable(account),
    )
    if (!isCurrent || nowMs - known.readAtMs > SETTINGS_AGE_MAX_MS) return loading
    known.askedAtMs = nowMs
    return known.info
  }

  #fresh(account: string): Entry | undefined {
    const known = this.#entries.get(account)
    if (known === undefined || !this.#backend.marks.isCurrent(known.mark)) return undefined
    return this.#clock.monotonicMs() - known.readAtMs < AGE_MAX_MS ? known : undefined
  }

  async #load(account: string): Promise<Entry> {
    const mark = this.#backend.marks.mark(account)
    const info = await this.#backend.readAccount(account)
    const readAtMs = this.#clock.monotonicMs()
    const acl = parseStoredAccountAcl(info?.meta.headers)
    const entry = { info, acl, readAtMs, mark, askedAtMs: readAtMs }
    this.#keep(account, entry)
    return entry
  }

  /** Nobody waits for it again in the next seconds; it is good for nothing but settings. */
  #noteUnreadable(account: string): null {
    const askedAtMs = this.#clock.monotonicMs()
    const mark = this.#backend.marks.mark(account)
    this.#keep(account, { info: null, acl: null, readAtMs: -Number.MAX_VALUE, mark, askedAtMs })
    return null
  }

  #keep(account: string, entry: Entry): void {
    this.#entries.delete(account)
    if (this.#entries.size >= ENTRIES_MAX) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest)
        break
      }
    }
    this.#entries.set(account, entry)
  }
}
