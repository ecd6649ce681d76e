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
  readonly send: (write: ItemWrite, current?: readonly boolean[]) => Promise<WriteOutcome>
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
      send: (write, current) => this.#options.writes.send(write, body, current),
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
      send: (write, current) => this.#options.writes.send(write, null, current),
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
      send: (write, current) => this.#options.writes.send(write, null, current),
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
    const startedMs = clock.monotonicMs()
    for (let round = 0; round <= RESTAMPS_MAX; round++) {
      const isDependent = change.condition !== undefined || change.action === 'post'
      const base = isDependent ? await this.#lookFirst(item, change) : INDEPENDENT
      if ('refused' in base) return base.refused
      const write = writes.draw(item, change.action, change.meta, base.condition)
      const outcome = isDependent
        ? await this.#writeInTurn(list, write, change, base.current)
        : await this.#writeTogether(list, write, change)
      if (isOvertaken(outcome, change)) continue
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

  async #writeInTurn(
    list: ItemKey,
    write: ItemWrite,
    change: ObjectChange,
    current: readonly boolean[] | undefined,
  ): Promise<WriteOutcome> {
    const outcome = await change.send(write, current)
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
   * With several replicas, writes that depend on the old value first look at all of them and bring those up to date
   * that lag; then one replica judges (RegisterWrites.send). This orders such writes among themselves. What it cannot
   * do is order them with plain writes of the same name at the same moment: that takes prepare and accept, which come
   * with the recovery protocol.
   */
  async #lookFirst(item: ItemKey, change: ObjectChange): Promise<Base> {
    if (this.#options.replicas.primaries(item).length === 1) return baseOf(change.condition)
    const { info, current } = await this.#options.reads.look(item)
    const live = info === null || info.deleted ? null : info
    if (change.action === 'post' && live === null) return { refused: { status: 'not-found' } }
    const { condition } = change
    if (condition !== undefined && evaluateCondition(condition, subjectOf(live)) !== 'holds') {
      return { refused: { status: 'precondition-failed', current: live } }
    }
    if (change.action !== 'post') return baseOf(condition, current)
    // Every replica merges into its own record, so it must be the one that was looked at.
    const etag = live?.meta.etag
    return baseOf(etag === undefined ? condition : { ifMatch: [etag] }, current)
  }
}

/** What a write starts from: the condition that replicas judge, and which of them are up to date. */
type Base =
  | { readonly refused: BackendOutcome }
  | {
      readonly condition: Condition | undefined
      readonly current: readonly boolean[] | undefined
    }

const INDEPENDENT: Base = { condition: undefined, current: undefined }

function baseOf(condition: Condition | undefined, current?: readonly boolean[]): Base {
  return { condition, current }
}

/** A post without a condition of the client's whose object was replaced while it was on its way. */
function isOvertaken(outcome: WriteOutcome, change: ObjectChange): boolean {
  return (
    outcome.status === 'precondition-failed' &&
    change.action === 'post' &&
    change.condition === undefined
  )
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
