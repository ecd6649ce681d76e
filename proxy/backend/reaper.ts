/**
 * Empties accounts that were deleted, as Swift's account-reaper does: objects, then containers, some of each account in
 * every pass, at a steady pace. An account that is empty stays marked (410 Gone) until deletions are forgotten; then its
 * register becomes a tombstone, and the name is free again.
 */
import { forEachParallel } from '../../common/bounded-parallel.ts'
import type { Clock } from '../../common/clock.ts'
import type { Log } from '../../common/log.ts'
import type { ItemInfo, ListRow } from '../../common/storage-node.ts'
import type { AccountDirectory } from './account-directory.ts'
import { deletedAtOf } from './account-status.ts'
import type { Backend } from './backend.ts'
import type { BackendCounters } from './counters.ts'
import type { Pace } from './pace.ts'

export interface ReaperOptions {
  readonly directory: AccountDirectory
  readonly backend: Pick<
    Backend,
    | 'readAccount'
    | 'listAccount'
    | 'readContainer'
    | 'listContainer'
    | 'deleteContainer'
    | 'deleteObject'
  >
  /** Makes an empty account's register a tombstone; false if it is not empty. */
  readonly removeAccount: (account: string) => Promise<boolean>
  readonly clock: Clock
  readonly pace: Pace
  readonly log: Log
  readonly counters: BackendCounters
  /** From the deletion of an account to the first deletion in it: Swift's delay_reaping. */
  readonly delayMs: number
  /** From the deletion to the end of the mark. */
  readonly reclaimMs: number
}

/** Accounts looked at in one pass, containers of each, objects of each. */
const ACCOUNTS_MAX = 50
const CONTAINERS_MAX = 10
const OBJECTS_MAX = 500
const CONCURRENCY_MAX = 4
/** A row whose account is not marked belongs to a deletion under way, or to one that failed long ago. */
const UNMARKED_MS_MAX = 600_000
/** Swift's reap_warn_after: what cannot be emptied for so long is said in the log. */
const WARN_AFTER_MS = 30 * 24 * 3600 * 1000

export class Reaper {
  readonly #options: ReaperOptions
  #marker = ''
  #waiting = 0

  constructor(options: ReaperOptions) {
    this.#options = options
  }

  /** Deleted accounts that the last pass found not empty. */
  get waiting(): number {
    return this.#waiting
  }

  /** Some of each deleted account; true if there was anything to delete. */
  async pass(): Promise<boolean> {
    const { directory, log } = this.#options
    const query = { limit: ACCOUNTS_MAX, ...(this.#marker !== '' && { marker: this.#marker }) }
    const rows = await directory.list('deleted', query)
    this.#marker = rows.length < ACCOUNTS_MAX ? '' : rows.at(-1)!.name
    let waiting = 0
    for (const row of rows) {
      try {
        if (await this.#reap(row)) waiting++
      } catch (error) {
        waiting++
        log.warn('account not reaped', { account: row.name, error })
      }
    }
    this.#waiting = waiting
    return waiting > 0
  }

  /** True if the account had anything in it. */
  async #reap(row: ListRow): Promise<boolean> {
    const { directory, backend, removeAccount, clock, delayMs, reclaimMs, counters, log } =
      this.#options
    const account = row.name
    const info = await backend.readAccount(account)
    const nowMs = clock.nowMs()
    if (info === null) {
      await directory.forget(account)
      return false
    }
    const deletedAt = deletedAtOf(info)
    if (deletedAt === null) {
      if (nowMs - row.stamp.ticks / 100 > UNMARKED_MS_MAX) await directory.forgetDeleted(account)
      return false
    }
    const ageMs = nowMs - deletedAt * 1000
    if (ageMs < delayMs) return false
    const page = await backend.listAccount(account, { limit: CONTAINERS_MAX })
    const containers = page?.entries.flatMap((entry) => ('subdir' in entry ? [] : [entry.name]))
    if (containers !== undefined && containers.length > 0) {
      if (ageMs > delayMs + WARN_AFTER_MS) {
        log.warn('account not empty yet', { account, containers: page?.info.stats?.rows })
      }
      for (const container of containers) await this.#empty(account, container)
      return true
    }
    if (ageMs < reclaimMs || !(await removeAccount(account))) return false
    await directory.forget(account)
    counters.accountsReaped++
    return false
  }

  async #empty(account: string, container: string): Promise<void> {
    const { backend, counters } = this.#options
    const info = await backend.readContainer(account, container)
    if (info === null) return
    const page = await backend.listContainer(account, container, { limit: OBJECTS_MAX })
    const names = page?.entries.flatMap((entry) => ('subdir' in entry ? [] : [entry.name])) ?? []
    const failures: unknown[] = []
    await forEachParallel(names, CONCURRENCY_MAX, async (object) => {
      await this.#delete(account, { container, info }, object).catch((error) => {
        failures.push(error)
      })
    })
    if (failures.length > 0) throw failures[0]
    if (names.length === OBJECTS_MAX) return
    const outcome = await backend.deleteContainer(account, container)
    if (outcome.status === 'done') counters.containersReaped++
  }

  async #delete(
    account: string,
    of: { readonly container: string; readonly info: ItemInfo },
    object: string,
  ): Promise<void> {
    const { backend, pace, counters } = this.#options
    const { container, info } = of
    await pace.take()
    const { policy, metaStamp: settings } = info
    const outcome = await backend.deleteObject({ account, container, object, policy, settings })
    if (outcome.status === 'done') counters.objectsReaped++
  }
}
