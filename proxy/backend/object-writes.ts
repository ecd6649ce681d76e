/**
 * Object writes: the object to its primaries and its row to the container's, both with a quorum before the answer.
 *
 *   unconditional put, delete   object and row in parallel (one round of group commits instead of two)
 *   conditional, post           the object first, its row only when it was accepted: a refused write leaves no row
 *
 * Rows are sent unconfirmed and confirmed, lazily, when both quorums hold. What is left half done by a failure stays
 * unconfirmed: listings compare such rows with the object before they show them, and the settler completes or removes
 * them when they are old enough that nobody can be at work on them any more.
 */
import type { Clock } from '../../common/clock.ts'
import { type Condition, evaluateCondition } from '../../common/condition.ts'
import type { ItemKey } from '../../common/item.ts'
import type { StampClock } from '../../common/stamp.ts'
import {
  INLINE_BYTES_MAX,
  type ItemInfo,
  type ItemMeta,
  type ItemWrite,
  type ListRow,
  type RowOutcome,
  type WriteAction,
  type WriteOutcome,
} from '../../common/storage-node.ts'
import type { BackendOutcome, ObjectPath } from './backend.ts'
import { noQuorum, noSuchContainer } from './backend-errors.ts'
import type { BackgroundJobs } from './background-jobs.ts'
import type { BackendCounters } from './counters.ts'
import type { NameKeys } from './name-keys.ts'
import type { RegisterReads } from './register-reads.ts'
import type { RegisterWrites } from './register-writes.ts'
import type { ReplicaMap } from './replica-map.ts'
import { justAbove, type Rows, rowOfObject, rowOfWrite } from './rows.ts'
import type { Settler } from './settler.ts'

export interface ObjectWritesOptions {
  readonly keys: NameKeys
  readonly replicas: ReplicaMap
  readonly reads: RegisterReads
  readonly writes: RegisterWrites
  readonly rows: Rows
  readonly settler: Settler
  readonly stamps: StampClock
  readonly jobs: BackgroundJobs
  readonly counters: BackendCounters
  readonly clock: Clock
  /** A write slower than this makes sure of its row again, because the settler may have taken it for abandoned. */
  readonly slowWriteMs: number
}

/** One change of an object, ready to be stamped. */
export interface ObjectChange {
  readonly path: ObjectPath
  readonly action: WriteAction
  readonly meta: ItemMeta
  readonly bytes: number
  readonly condition?: Condition
  readonly send: (write: ItemWrite) => Promise<WriteOutcome>
  /** Whether `send` may be called again with another write: a stream is sent only once. */
  readonly repeatable: boolean
}

/** Fresh stamps that one write may draw when newer ones were there before it. */
const RESTAMPS_MAX = 4
const NO_META: ItemMeta = Object.freeze({ headers: Object.freeze({}) })

export class ObjectWrites {
  readonly #options: ObjectWritesOptions

  constructor(options: ObjectWritesOptions) {
    this.#options = options
  }

  put(
    path: ObjectPath,
    put: { readonly meta: ItemMeta; readonly body: Uint8Array; readonly condition?: Condition },
  ): Promise<BackendOutcome> {
    const { body, meta, condition } = put
    if (body.length > INLINE_BYTES_MAX) throw new RangeError('an inline body of INLINE_BYTES_MAX')
    return this.change({
      path,
      action: 'put',
      meta,
      bytes: body.length,
      ...(condition === undefined ? {} : { condition }),
      send: (write) => this.#options.writes.send(write, body),
      repeatable: true,
    })
  }

  post(
    path: ObjectPath,
    post: { readonly meta: ItemMeta; readonly condition?: Condition },
  ): Promise<BackendOutcome> {
    return this.change({
      path,
      action: 'post',
      bytes: 0,
      ...post,
      send: (write) => this.#options.writes.send(write, null),
      repeatable: true,
    })
  }

  delete(path: ObjectPath, condition?: Condition): Promise<BackendOutcome> {
    return this.change({
      path,
      action: 'delete',
      meta: NO_META,
      bytes: 0,
      ...(condition === undefined ? {} : { condition }),
      send: (write) => this.#options.writes.send(write, null),
      repeatable: true,
    })
  }

  /**
   * Deletes the object if its X-Delete-At is still the given one: with the smallest ballot above the record that was
   * looked at, so that this very record goes and anything written since stays. (A condition would not do: to
   * conditions, an object that has expired is not there.) False if there was nothing to delete.
   */
  async expire(path: ObjectPath, deleteAt: number): Promise<boolean> {
    const { keys, reads, writes, rows } = this.#options
    const item = keys.object(path)
    const list = keys.container(path.account, path.container)
    const info = await reads.info(item)
    if (info === null || info.deleted) return false
    if (Number(info.meta.headers['x-delete-at']) !== deleteAt) return false
    const ballot = justAbove(info.ballot)
    const write = { ...writes.draw(item, 'delete', NO_META), stamp: ballot, ballot }
    const outcome = await writes.send(write, null)
    if (outcome.status === 'superseded') return false
    const row = await rows.put(list, rowOfWrite(write, path.object, 0))
    // A row that was settled before may lie above the object's own ballot.
    if (row.status === 'superseded') await this.#options.settler.settleObject(path)
    else rows.confirm(list, path.object, item, ballot)
    return true
  }

  /** Object and row, with a fresh stamp as often as that is safe and needed. */
  async change(change: ObjectChange): Promise<BackendOutcome> {
    const { keys, writes, stamps, counters, clock } = this.#options
    const item = keys.object(change.path)
    const list = keys.container(change.path.account, change.path.container)
    if (change.condition !== undefined || change.action === 'post') {
      const refused = await this.#refusedByQuorum(item, change)
      if (refused !== null) return refused
    }
    const startedMs = clock.monotonicMs()
    for (let round = 0; round <= RESTAMPS_MAX; round++) {
      const write = writes.draw(item, change.action, change.meta, change.condition)
      const outcome = await this.#writeBoth(list, write, change)
      if (outcome.status !== 'superseded') {
        const isSlow = clock.monotonicMs() - startedMs > this.#options.slowWriteMs
        if (isSlow && outcome.status === 'done')
          await this.#options.settler.settleObject(change.path)
        return outcome
      }
      stamps.observe(outcome.ballot)
      if (!change.repeatable) break
      counters.restamps++
    }
    throw noQuorum('newer writes are in the way')
  }

  #writeBoth(list: ItemKey, write: ItemWrite, change: ObjectChange): Promise<WriteOutcome> {
    return change.condition === undefined && change.action !== 'post'
      ? this.#writeTogether(list, write, change)
      : this.#writeInTurn(list, write, change)
  }

  async #writeTogether(
    list: ItemKey,
    write: ItemWrite,
    change: ObjectChange,
  ): Promise<WriteOutcome> {
    const name = change.path.object
    const rowing = this.#options.rows.put(list, rowOfWrite(write, name, change.bytes))
    // If the object fails first, nobody else would look at the row's failure.
    rowing.catch(ignore)
    const outcome = await change.send(write)
    if (outcome.status === 'superseded') return outcome
    return this.#finish(list, write, change, outcome, await rowing)
  }

  async #writeInTurn(list: ItemKey, write: ItemWrite, change: ObjectChange): Promise<WriteOutcome> {
    const outcome = await change.send(write)
    const row = rowAfter(write, change, outcome)
    if (row === null) return outcome
    return this.#finish(list, write, change, outcome, await this.#options.rows.put(list, row))
  }

  #finish(
    list: ItemKey,
    write: ItemWrite,
    change: ObjectChange,
    outcome: WriteOutcome,
    row: RowOutcome,
  ): WriteOutcome {
    if (row.status === 'not-found') {
      // The container went away under the write. Nobody may find the object when a container of that name returns.
      this.#options.jobs.add('orphan', () => this.#options.settler.removeOrphan(write))
      throw noSuchContainer()
    }
    this.#options.rows.confirm(list, change.path.object, write.item, write.ballot)
    return outcome
  }

  /**
   * With several replicas, writes that depend on the old value first read it with a quorum, which also brings lagging
   * replicas up to date: a replica that missed the last writes must not judge a condition. (Each replica judges once
   * more as it accepts. Two such writes at once may both be refused with 503; prepare/accept comes with recovery.)
   */
  async #refusedByQuorum(item: ItemKey, change: ObjectChange): Promise<BackendOutcome | null> {
    if (this.#options.replicas.primaries(item).length === 1) return null
    const info = await this.#options.reads.info(item)
    const current = info === null || info.deleted ? null : info
    if (change.action === 'post' && current === null) return { status: 'not-found' }
    if (change.condition === undefined) return null
    return evaluateCondition(change.condition, subjectOf(current)) === 'holds'
      ? null
      : { status: 'precondition-failed', current }
  }
}

/** The row of an accepted write; null if nothing was written. */
function rowAfter(write: ItemWrite, change: ObjectChange, outcome: WriteOutcome): ListRow | null {
  if (outcome.status === 'done') return rowOfObject(outcome.info, change.path.object)
  if (outcome.status === 'not-found' && change.action === 'delete') {
    return rowOfWrite(write, change.path.object, 0)
  }
  return null
}

function subjectOf(info: ItemInfo | null): Parameters<typeof evaluateCondition>[1] {
  if (info === null) return null
  const deleteAt = Number(info.meta.headers['x-delete-at'] ?? 0)
  return {
    etag: info.meta.etag ?? '',
    ticks: Math.max(info.stamp.ticks, info.metaStamp.ticks),
    ...(deleteAt > 0 ? { deleteAt } : {}),
  }
}

function ignore(): void {}
