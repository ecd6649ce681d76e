/**
 * Puts rows and objects in step after a failure: each name's object register is the truth, its row an index entry.
 *
 *   unconfirmed item  -> its row is written again (a live one, or a deleted one for a tombstone)
 *   unconfirmed row   -> given to all replicas and confirmed if the object agrees; replaced by the object's row if it
 *                        is another version; replaced by a deleted row if there is no such object
 *
 * A replacement's ballot is close above the row that it replaces: it outdoes exactly that row, and every write that is
 * still on its way outdoes the replacement. Only what has been unconfirmed for longer than any write may
 * take is settled; younger ones are somebody's work in progress.
 */
import { type ItemKey, splitName } from '../../common/item.ts'
import { compareStamps, maxStamp, type Stamp } from '../../common/stamp.ts'
import type { ItemInfo, ListRow, Unconfirmed, WriteAction } from '../../common/storage-node.ts'
import type { ObjectPath } from './backend.ts'
import type { BackendCounters } from './counters.ts'
import type { MisplacedObjects } from './misplaced-objects.ts'
import type { NameKeys } from './name-keys.ts'
import type { ObjectRows } from './object-rows.ts'
import type { RegisterReads } from './register-reads.ts'
import type { RegisterWrites } from './register-writes.ts'
import type { Replica, ReplicaMap } from './replica-map.ts'
import { justAbove, type Rows, rowMatches, rowOfObject } from './rows.ts'

export interface SettlerOptions {
  readonly keys: NameKeys
  readonly replicas: ReplicaMap
  readonly reads: RegisterReads
  readonly writes: RegisterWrites
  readonly rows: Rows
  readonly objectRows: ObjectRows
  readonly misplaced: MisplacedObjects
  readonly counters: BackendCounters
  /** The container of a row, maybe as it was a few seconds ago; null if there is none. */
  readonly containerOf: (
    account: string,
    container: string,
  ) => ItemInfo | null | Promise<ItemInfo | null>
  /** Writes a container's row in its account from the container's register. */
  readonly syncAccountRow: (account: string, container: string) => Promise<unknown>
}

/**
 * Replacements take odd ballots and renewals of a write's own row even ones, so that the two never meet: a node takes a
 * row with the ballot of the one it has for the same row.
 */
const RENEWAL_STEPS = 2
/** Settlements of one row that may lie above each other: each crash in the middle of one adds one. */
const SETTLEMENTS_MAX = 16

export class Settler {
  readonly #options: SettlerOptions

  constructor(options: SettlerOptions) {
    this.#options = options
  }

  /** Settles one finding of a storage node; `at` is its device, which may be a handoff. */
  async settle(finding: Unconfirmed, at: Replica): Promise<void> {
    const { syncAccountRow, keys, rows, counters } = this.#options
    const name = finding.kind === 'row' ? finding.list : finding.info.name
    const { account, container, object } = splitName(name)
    counters.settled++
    if (finding.kind === 'item') {
      const { policy, ballot } = finding.info
      const item = keys.of({ account, container, object, policy })
      if (finding.refused) await this.#options.reads.renew(item)
      let settled: ItemInfo | null
      if (container === undefined) settled = await this.#newest(item)
      else if (object === undefined) {
        settled = await this.#newest(item)
        await syncAccountRow(account, container)
      } else settled = await this.settleObject({ account, container, object, policy })
      // A copy that lags: what it is in doubt about is settled. One that is newer than what its primaries have is still to
      // come to them, from a device that is none of them, and its row with it.
      if (settled !== null && compareStamps(settled.ballot, ballot) >= 0) {
        at.node.confirm(at.device, { kind: 'item', item, ballot })
      }
    } else if (container === undefined) {
      await syncAccountRow(account, finding.row.name)
      rows.confirmRow(keys.account(account), finding.row.name, finding.row.ballot)
    } else {
      await this.#settleRow(account, container, finding.row)
    }
  }

  /**
   * Makes the object's row say what the object's record says, then confirms both. Resolves with that record; null if there is
   * none, or it is left for later.
   */
  async settleObject(path: ObjectPath): Promise<ItemInfo | null> {
    const { keys, rows, objectRows, replicas, misplaced } = this.#options
    const item = keys.object(path)
    const list = keys.container(path.account, path.container)
    const info = await this.#newest(item)
    if (info === null) return null
    let ballot = info.metaStamp
    for (let attempt = 0; attempt < SETTLEMENTS_MAX; attempt++) {
      const row = { ...rowOfObject(info, path.object), ballot }
      const outcome = await objectRows.put(path, list, row)
      if (outcome.status === 'remade' && replicas.isSloppy(item)) {
        // It may have been acknowledged without its row.
        if (!(await misplaced.move(path, info))) return null
      }
      if (outcome.status === 'not-found' || outcome.status === 'remade') {
        const { writeId } = info
        await this.removeOrphan({
          item,
          writeId,
          ballot: info.ballot,
          action: info.deleted ? 'delete' : 'put',
        })
        return info
      }
      if (outcome.status === 'done') {
        rows.confirmRow(list, path.object, ballot)
        break
      }
      // What is above may be an earlier settlement (then we rise over it) or a real write (then it stays above).
      ballot = justAbove(ballot, RENEWAL_STEPS)
    }
    this.#confirmItem(item, info.ballot)
    return info
  }

  /**
   * The container of a written object is gone: removes the object, and nothing newer than it, so that it does not come
   * to light when a container of the name is made again.
   */
  async removeOrphan(orphan: Orphan): Promise<void> {
    const { writes, counters } = this.#options
    if (orphan.action === 'delete') return this.#confirmItem(orphan.item, orphan.ballot)
    const tombstone = await writes.deleteOnly(orphan.item, orphan.writeId)
    if (tombstone === null) return
    counters.orphansRemoved++
    this.#confirmItem(orphan.item, tombstone.ballot)
  }

  async #settleRow(account: string, container: string, row: ListRow): Promise<void> {
    const { keys, rows, objectRows, containerOf } = this.#options
    const current = await containerOf(account, container)
    if (current === null) return
    // A row of an earlier container with another policy says nothing of this one's object.
    const path = { account, container, object: row.name, policy: current.policy }
    const item = keys.object(path)
    const list = keys.container(account, container)
    const info = await this.#newest(item)
    if (info !== null && rowMatches(row, info)) {
      // Known to one replica alone it would be forgotten as settled, and not be listed.
      const outcome = await objectRows.put(path, list, row)
      if (outcome.status === 'not-found' || outcome.status === 'remade') return
      rows.confirmRow(list, row.name, row.ballot)
      // Who has a newer row doubts that one.
      if (outcome.status === 'done') this.#confirmItem(item, info.ballot)
      return
    }
    const replacement = replacementOf(row, info)
    const outcome = await objectRows.put(path, list, replacement)
    if (outcome.status === 'not-found' || outcome.status === 'remade') return
    rows.confirmRow(list, row.name, replacement.ballot)
  }

  /**
   * What is in doubt may be held by a replica that a read would not ask; left alone it would come to light with the
   * first read that does, long after everybody has forgotten the write.
   */
  async #newest(item: ItemKey): Promise<ItemInfo | null> {
    const read = await this.#options.reads.read(item, { head: true, newest: true })
    return read === null ? null : read.info
  }

  #confirmItem(item: ItemKey, ballot: Stamp): void {
    for (const replica of this.#options.replicas.holders(item)) {
      replica.node.confirm(replica.device, { kind: 'item', item, ballot })
    }
  }
}

/** A record of an object whose container is gone. */
export interface Orphan {
  readonly item: ItemKey
  readonly action: WriteAction
  readonly writeId: string
  readonly ballot: Stamp
}

/** The row that takes the place of one whose object is another version, or is not there. */
export function replacementOf(row: ListRow, info: ItemInfo | null): ListRow {
  const above = justAbove(row.ballot, row.ballot.proposer % 2 === 0 ? 1 : 2)
  if (info === null) return { ...row, deleted: true, bytes: 0, count: 0, ballot: above }
  const own = rowOfObject(info, row.name)
  const isNewer = compareStamps(own.ballot, row.ballot) > 0
  return isNewer ? own : { ...own, ballot: maxStamp(above, own.ballot) }
}
