import type { Clock } from '../../common/clock.ts'
import type { Backend } from '../backend/backend.ts'
import { type AccountAcl, parseStoredAccountAcl } from './account-acl.ts'

const ENTRIES_MAX = 1000
const AGE_MAX_MS = 5000

interface Entry {
  readonly acl: AccountAcl | null
  readonly untilMs: number
}

/**
 * Account ACLs for those who are let in by nothing else. At most 1,000 accounts for 5 seconds each (the oldest goes
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
    const known = this.#entries.get(account)
    if (known !== undefined && known.untilMs > this.#clock.monotonicMs()) return known.acl
    const info = await this.#backend.readAccount(account)
    const acl = parseStoredAccountAcl(info?.meta.headers)
    this.#entries.delete(account)
    if (this.#entries.size >= ENTRIES_MAX) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest)
        break
      }
    }
    this.#entries.set(account, { acl, untilMs: this.#clock.monotonicMs() + AGE_MAX_MS })
    return acl
  }

  /** After a change of the account by this proxy. */
  forget(account: string): void {
    this.#entries.delete(account)
  }
}
