import type { ItemKey } from '../../common/item.ts'
import { compareStamps, type Stamp, type StampClock, TICKS_PER_SECOND } from '../../common/stamp.ts'
import type { ItemInfo, ItemMeta, ListRow, WriteAction } from '../../common/storage-node.ts'
import { DELETED_AT_HEADER, deletedAtOf } from './account-status.ts'
import type { BackendOutcome } from './backend.ts'
import { noQuorum, noSuchAccount } from './backend-errors.ts'
import { containerInfo, POLICY_HEADER, policyOf } from './container-policy.ts'
import type { BackendCounters } from './counters.ts'
import type { ListTotals } from './list-totals.ts'
import type { NameKeys } from './name-keys.ts'
import type { RegisterReads } from './register-reads.ts'
import type { RegisterWrites } from './register-writes.ts'
import { askAll, type CallTiming } from './replica-calls.ts'
import { itemOf, type ReplicaMap } from './replica-map.ts'
import { type Rows, rowOfContainer } from './rows.ts'

export interface ContainersOptions {
  readonly keys: NameKeys
  readonly replicas: ReplicaMap
  readonly reads: RegisterReads
  readonly writes: RegisterWrites
  readonly rows: Rows
  readonly totals: ListTotals
  readonly stamps: StampClock
  readonly timing: CallTiming
  readonly counters: BackendCounters
  /** Whether the container has anything to list. */
  readonly hasRows: (list: ItemKey) => Promise<boolean>
  /** Told of accounts that are there. */
  readonly noteAccount: (account: string) => void
}

type ListAction = Exclude<WriteAction, 'accept'>

const RESTAMPS_MAX = 4
const SYNC_ROUNDS_MAX = 6
const NO_META: ItemMeta = Object.freeze({ headers: Object.freeze({}) })

/** Registers of accounts and containers, and the containers' rows in their accounts. */
export class Containers {
  readonly #options: ContainersOptions

  constructor(options: ContainersOptions) {
    this.#options = options
  }

  /** Its totals may lag if they are not asked for. */
  async readAccount(account: string, { totals = false } = {}): Promise<ItemInfo | null> {
    const list = this.#options.keys.account(account)
    const info = live(await this.#options.reads.info(list))
    return info === null || !totals ? info : this.#options.totals.settled(list, info)
  }

  changeAccount(account: string, action: ListAction, meta = NO_META): Promise<BackendOutcome> {
    return this.#change(this.#options.keys.account(account), action, meta)
  }

  /** Marks the account as deleted at that second; `not-found` if it is not there or marked already. */
  async markAccount(account: string, deletedAtSeconds: number): Promise<BackendOutcome> {
    const info = await this.readAccount(account)
    if (info === null || deletedAtOf(info) !== null) return { status: 'not-found' }
    return this.changeAccount(account, 'post', {
      headers: { [DELETED_AT_HEADER]: String(deletedAtSeconds) },
    })
  }

  /** Makes the register of a list that no account has. */
  async ensureList(list: ItemKey): Promise<void> {
    if (live(await this.#options.reads.info(list)) === null)
      await this.#change(list, 'put', NO_META)
  }

  async readContainer(
    account: string,
    container: string,
    { totals = false } = {},
  ): Promise<ItemInfo | null> {
    const { reads, keys } = this.#options
    const list = keys.container(account, container)
    const info = live(await reads.info(list))
    if (info === null) return null
    // Rows older than their container are refused: what this proxy writes there must be younger, whatever its clock.
    this.#options.stamps.observe(info.stamp)
    return containerInfo(totals ? await this.#options.totals.settled(list, info) : info)
  }

  /**
   * The same for an object's sake: without a quorum, what any replica says of a container whose policy is sloppy. Its
   * objects are written on all the same, as in Swift.
   */
  async readSettings(account: string, container: string): Promise<ItemInfo | null> {
    try {
      return await this.readContainer(account, container)
    } catch (error) {
      const info = live(await this.#anyReplica(this.#options.keys.container(account, container)))
      if (info === null) throw error
      const settings = containerInfo(info)
      const isSloppy = this.#options.replicas.isSloppy({ kind: 'object', policy: settings.policy })
      if (!isSloppy) throw error
      this.#options.stamps.observe(info.stamp)
      return settings
    }
  }

  /** The newest record among the primaries that answer. */
  async #anyReplica(item: ItemKey): Promise<ItemInfo | null> {
    const { replicas, timing } = this.#options
    if (!replicas.hasSloppyPolicies) return null
    const group = replicas.group(item)
    const asked = itemOf(group, item)
    const { replies } = await askAll(
      group,
      (replica) => replica.node.read(replica.device, asked, { head: true }),
      () => false,
      timing,
    )
    let newest: ItemInfo | null = null
    for (const reply of replies) {
      const info = reply !== undefined && 'outcome' in reply ? reply.outcome?.info : undefined
      if (info === undefined) continue
      if (newest === null || compareStamps(info.ballot, newest.ballot) > 0) newest = info
    }
    return newest
  }

  async putContainer(
    account: string,
    container: string,
    put: { readonly meta: ItemMeta; readonly policy: number },
  ): Promise<BackendOutcome> {
    const { keys, reads } = this.#options
    const item = keys.container(account, container)
    // A container's policy is set when it is made, and stays.
    const exists = live(await reads.info(item)) !== null
    const headers = exists ? {} : { [POLICY_HEADER]: String(put.policy) }
    const meta = { ...put.meta, headers: { ...put.meta.headers, ...headers } }
    const outcome = await this.#change(item, 'put', meta)
    if ((await this.syncAccountRow(account, container)) === 'no-account') throw noSuchAccount()
    return withPolicy(outcome)
  }

  async postContainer(account: string, container: string, meta: ItemMeta): Promise<BackendOutcome> {
    const item = this.#options.keys.container(account, container)
    const outcome = await this.#change(item, 'post', meta)
    if (outcome.status === 'done') this.#confirmItem(item, outcome.info.ballot)
    return withPolicy(outcome)
  }

  async deleteContainer(account: string, container: string): Promise<BackendOutcome> {
    const item = this.#options.keys.container(account, container)
    const outcome = await this.#change(item, 'delete', NO_META)
    if (outcome.status === 'done') await this.syncAccountRow(account, container)
    return withPolicy(outcome)
  }

  /**
   * Makes the container's row in its account say what the container's register says: present with these totals, or
   * deleted. Every change of the register and every report of totals ends with it. It reads, writes the row with a
   * fresh ballot, and reads again until nothing changed meanwhile: so whoever writes the row last has seen the
   * register after writing, and a report of totals cannot bring the row of a deleted container back.
   */
  async syncAccountRow(
    account: string,
    container: string,
  ): Promise<'done' | 'no-account' | 'no-container'> {
    const { keys, reads, rows, stamps } = this.#options
    const item = keys.container(account, container)
    const list = keys.account(account)
    let info = await reads.info(item)
    for (let round = 0; round < SYNC_ROUNDS_MAX; round++) {
      if (info === null) return 'no-container'
      const ballot = await this.#rowBallot(list, container, round)
      const row = rowOfContainer(info, { name: container, policy: policyOf(info), ballot })
      const { status } = await rows.put(list, row)
      if (status === 'not-found') {
        this.#confirmItem(item, info.ballot)
        return 'no-account'
      }
      const after = await reads.info(item)
      if (status === 'done' && after !== null && isSameState(info, after)) {
        rows.confirmRow(list, container, ballot)
        this.#confirmItem(item, after.ballot)
        this.#options.counters.totalsWritten++
        this.#options.noteAccount(account)
        return 'done'
      }
      stamps.observe(ballot)
      info = after
    }
    throw noQuorum(`the row of container ${container} keeps changing`)
  }

  /** A ballot above the row that is there: refused rounds look at it, or jump when it is deleted and not to be seen. */
  async #rowBallot(list: ItemKey, name: string, round: number): Promise<Stamp> {
    const { stamps } = this.#options
    if (round === 0) return stamps.next()
    const seen = await this.#newestRow(list, name)
    if (seen !== null) {
      stamps.observe(seen.ballot)
      return stamps.next()
    }
    const { ticks, proposer } = stamps.next()
    return { ticks: ticks + TICKS_PER_SECOND * (round - 1), proposer }
  }

  async #newestRow(list: ItemKey, name: string): Promise<ListRow | null> {
    const { replicas, timing } = this.#options
    const group = replicas.group(list)
    const asked = itemOf(group, list)
    const { replies } = await askAll(
      group,
      (replica) => replica.node.list(replica.device, asked, { limit: 1, prefix: name }),
      () => false,
      timing,
    )
    let newest: ListRow | null = null
    for (const reply of replies) {
      if (reply === undefined || 'failure' in reply) continue
      const entry = reply.outcome?.entries[0]
      if (entry === undefined || 'subdir' in entry || entry.name !== name) continue
      if (newest === null || compareStamps(entry.ballot, newest.ballot) > 0) newest = entry
    }
    return newest
  }

  #change(item: ItemKey, action: ListAction, meta: ItemMeta): Promise<BackendOutcome> {
    const { writes, replicas } = this.#options
    if (!writes.isReplicated(item)) {
      // The one replica refused: nothing was done, and by newer rings there may be two.
      return replicas.fresh(() =>
        writes.isReplicated(item)
          ? this.#change(item, action, meta)
          : this.#changeOne(item, action, meta),
      )
    }
    return writes.inTurn(item, () => this.#changeReplicated(item, action, meta))
  }

  /**
   * A replica that lags may hold no rows and let itself be deleted where the others refuse: the listing is asked before. One
   * that lags with rows refuses by itself, and is no majority.
   */
  async #changeReplicated(
    item: ItemKey,
    action: ListAction,
    meta: ItemMeta,
  ): Promise<BackendOutcome> {
    const { reads, writes, hasRows } = this.#options
    if (action === 'delete') {
      if (live(await reads.info(item)) === null) return { status: 'not-found' }
      if (await hasRows(item)) return { status: 'not-empty' }
    }
    const writeId = writes.nextWriteId()
    return (await writes.change({ item, action, writeId, meta, bytes: 0 })).outcome
  }

  async #changeOne(item: ItemKey, action: ListAction, meta: ItemMeta): Promise<BackendOutcome> {
    const { writes, stamps, counters } = this.#options
    for (let round = 0; round <= RESTAMPS_MAX; round++) {
      const outcome = await writes.sendToOne(writes.draw(item, action, meta), null)
      if (outcome.status === 'body-missing') throw new TypeError('a list has no body')
      if (outcome.status !== 'superseded') return outcome
      stamps.observe(outcome.ballot)
      counters.restamps++
    }
    throw noQuorum('newer writes are in the way')
  }

  #confirmItem(item: ItemKey, ballot: Stamp): void {
    for (const replica of this.#options.replicas.primaries(item)) {
      replica.node.confirm(replica.device, { kind: 'item', item, ballot })
    }
  }
}

function isSameState(before: ItemInfo, after: ItemInfo): boolean {
  return before.deleted === after.deleted && compareStamps(before.stamp, after.stamp) === 0
}

function live(info: ItemInfo | null): ItemInfo | null {
  return info === null || info.deleted ? null : info
}

function withPolicy(outcome: BackendOutcome): BackendOutcome {
  return outcome.status === 'done' ? { ...outcome, info: containerInfo(outcome.info) } : outcome
}
