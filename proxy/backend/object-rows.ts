/**
 * Rows of objects, each under the container's settings as its writer knew them. Settings are cached by proxies; a
 * container replica refuses a row that was made under older ones than it has, and then they are read again here:
 *
 *   the same policy      -> the row is sent again under the new epoch
 *   another policy       -> the container was deleted and made again: the object is in nobody's container (`remade`)
 *   no container         -> `not-found`
 */
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import type { ItemInfo, ListRow, RowOutcome } from '../../common/storage-node.ts'
import type { ObjectPath } from './backend.ts'
import { noQuorum } from './backend-errors.ts'
import type { BackendCounters } from './counters.ts'
import { withDeadline } from './replica-calls.ts'
import type { Rows } from './rows.ts'

/** The container of an object as the backend shows it: `policy` is that of its objects. */
type Settings = Pick<ItemInfo, 'policy' | 'metaStamp'>

export interface ObjectRowsOptions {
  readonly rows: Rows
  readonly clock: Clock
  readonly counters: BackendCounters
  readonly isSloppy: (policy: number) => boolean
  /** The container's settings, maybe a few seconds old; null if there is none. */
  readonly settings: (path: ObjectPath) => Settings | null | Promise<Settings | null>
  /** The same as they are now; what was known of them is forgotten. */
  readonly currentSettings: (path: ObjectPath) => Promise<Settings | null>
}

/** `deferred`: the settler will put it. `remade`: the container has another storage policy by now. */
export type ObjectRowOutcome =
  | Exclude<RowOutcome, { readonly status: 'stale-settings' }>
  | { readonly status: 'remade' }
  | { readonly status: 'deferred' }

/** How long a writer of a sloppy policy waits for its row: Swift's container_update_timeout. */
const DEFER_MS = 1_000

/** Changes of one container's settings that one row is carried through. */
const RENEWALS_MAX = 4

export class ObjectRows {
  readonly #options: ObjectRowsOptions

  constructor(options: ObjectRowsOptions) {
    this.#options = options
  }

  /** Puts the row of an object into its container's list. 503 without a quorum, 507 when the devices are full. */
  put(path: ObjectPath, list: ItemKey, row: ListRow): Promise<ObjectRowOutcome> {
    const { settings } = path
    if (settings === undefined) return this.#putAsKnown(path, list, row)
    return this.#options.rows
      .put(list, row, settings)
      .then((outcome) =>
        outcome.status === 'stale-settings' ? this.#putRenewed(path, list, row) : outcome,
      )
  }

  /**
   * The same for a writer whom an object of a sloppy policy lets go without: the object stays unconfirmed, and the
   * settler puts its row.
   */
  putOrDefer(path: ObjectPath, list: ItemKey, row: ListRow): Promise<ObjectRowOutcome> {
    const putting = this.put(path, list, row)
    return this.#options.isSloppy(path.policy) ? this.#orDefer(putting) : putting
  }

  async #orDefer(putting: Promise<ObjectRowOutcome>): Promise<ObjectRowOutcome> {
    const { clock, counters } = this.#options
    try {
      return await withDeadline(putting, clock, DEFER_MS)
    } catch (error) {
      if (!(error instanceof ServiceError) || error.status < 500) throw error
      counters.rowsDeferred++
      return { status: 'deferred' }
    }
  }

  /** By what is known of the container: for daemons, who were told of no settings. */
  async #putAsKnown(path: ObjectPath, list: ItemKey, row: ListRow): Promise<ObjectRowOutcome> {
    const known = await this.#options.settings(path)
    return known === null || known.policy !== path.policy
      ? this.#putRenewed(path, list, row)
      : this.put({ ...path, settings: known.metaStamp }, list, row)
  }

  async #putRenewed(path: ObjectPath, list: ItemKey, row: ListRow): Promise<ObjectRowOutcome> {
    for (let round = 0; round < RENEWALS_MAX; round++) {
      const current = await this.#options.currentSettings(path)
      if (current === null) return { status: 'not-found' }
      if (current.policy !== path.policy) return { status: 'remade' }
      const outcome = await this.#options.rows.put(list, row, current.metaStamp)
      if (outcome.status !== 'stale-settings') return outcome
    }
    throw noQuorum(`the settings of container ${path.container} keep changing`)
  }
}
