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
import type { Condition } from '../../common/condition.ts'
import type { ItemKey } from '../../common/item.ts'
import { isStaleRings } from '../../common/ring/ring-set.ts'
import type { Stamp, StampClock } from '../../common/stamp.ts'
import {
  INLINE_BYTES_MAX,
  type ItemMeta,
  type ItemWrite,
  type WriteAction,
  type WriteOutcome,
} from '../../common/storage-node.ts'
import type { BackendOutcome, ObjectPath, ObjectPost } from './backend.ts'
import { containerRemade, noQuorum, noSuchContainer } from './backend-errors.ts'
import type { BackgroundJobs } from './background-jobs.ts'
import type { BackendCounters } from './counters.ts'
import type { NameKeys } from './name-keys.ts'
import type { ObjectRowOutcome, ObjectRows } from './object-rows.ts'
import type { Send } from './proposals.ts'
import type { RegisterReads } from './register-reads.ts'
import type { RegisterWrites } from './register-writes.ts'
import type { ReplicaMap } from './replica-map.ts'
import { type Rows, rowOfObject, rowOfWrite } from './rows.ts'
import type { Settler } from './settler.ts'

export interface ObjectWritesOptions {
  readonly keys: NameKeys
  readonly reads: RegisterReads
  readonly replicas: ReplicaMap
  readonly writes: RegisterWrites
  readonly rows: Rows
  readonly objectRows: ObjectRows
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
  readonly action: Exclude<WriteAction, 'accept'>
  readonly meta: ItemMeta
  readonly bytes: number
  readonly condition?: Condition
  /** Of a post: an object whose time has come is changed all the same. */
  readonly openExpired?: true
  /** With one replica: sends the write with its body; `repeatable` if it may be called again after `superseded`. */
  readonly sendToOne: (write: ItemWrite) => Promise<WriteOutcome>
  readonly repeatable: boolean
  /** With several: sends it to one of them. Absent if there is no body to be sent. */
  readonly send?: Send
  /** A body that streams comes with time to ask what is there before its stamp is drawn. */
  readonly asksFirst?: boolean
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
      ...this.#sending(body),
      send: (replica, write) => replica.node.write(replica.device, write, body),
    })
  }

  post(path: ObjectPath, post: ObjectPost): Promise<BackendOutcome> {
    return this.change({ path, action: 'post', bytes: 0, ...post, ...this.#sending(null) })
  }

  delete(path: ObjectPath, condition?: Condition): Promise<BackendOutcome> {
    return this.change({
      path,
      action: 'delete',
      meta: NO_META,
      bytes: 0,
      ...(condition === undefined ? {} : { condition }),
      ...this.#sending(null),
    })
  }

  #sending(body: Uint8Array | null): Pick<ObjectChange, 'sendToOne' | 'repeatable'> {
    const { writes } = this.#options
    return { sendToOne: (write) => writes.sendToOne(write, body), repeatable: true }
  }

  /**
   * Deletes the object if its X-Delete-At is still the given one: the very record that was looked at goes, and anything
   * written since stays. (A condition would not do: to conditions, an object that has expired is not there.) False if
   * there was nothing to delete.
   */
  async expire(path: ObjectPath, deleteAt: number): Promise<boolean> {
    const { keys, reads, writes, rows, objectRows } = this.#options
    const item = keys.object(path)
    const list = keys.container(path.account, path.container)
    const info = await reads.info(item)
    if (info === null || info.deleted) return false
    if (Number(info.meta.headers['x-delete-at']) !== deleteAt) return false
    const record = await writes.deleteOnly(item, info.writeId)
    if (record === null) return false
    const row = rowOfObject(record, path.object)
    const { status } = await objectRows.put(path, list, row)
    // A row that was settled before may lie above the object's own ballot.
    if (status === 'superseded') await this.#options.settler.settleObject(path)
    else rows.confirm(list, path.object, row.ballot, { item, ballot: record.ballot })
    return true
  }

  /** Object and row, with a fresh stamp as often as that is safe and needed. */
  change(change: ObjectChange): Promise<BackendOutcome> {
    const { keys, writes, clock } = this.#options
    const item = keys.object(change.path)
    const list = keys.container(change.path.account, change.path.container)
    const startedMs = clock.monotonicMs()
    const changing = writes.isReplicated(item)
      ? writes.inTurn(item, () =>
          isDependent(change)
            ? this.#changeDependent(item, list, change)
            : this.#changePlain(item, list, change),
        )
      : this.#changeOneOrMore(item, list, change)
    return changing.then((outcome) => {
      const isSlow = clock.monotonicMs() - startedMs > this.#options.slowWriteMs
      if (!isSlow || outcome.status !== 'done') return outcome
      return this.#options.settler.settleObject(change.path).then(() => outcome)
    })
  }

  /** One replica decides, unless it says that there are more by now. */
  async #changeOneOrMore(
    item: ItemKey,
    list: ItemKey,
    change: ObjectChange,
  ): Promise<BackendOutcome> {
    const { replicas, stamps, counters } = this.#options
    const { epoch } = replicas.group(item)
    try {
      for (let round = 0; round <= RESTAMPS_MAX; round++) {
        const write = this.#drawn(item, change)
        const outcome = isDependent(change)
          ? await this.#writeInTurn(list, write, change)
          : await this.#writeTogether(list, write, change)
        if (outcome.status === 'body-missing') throw new TypeError('a write brings its body')
        if (outcome.status !== 'superseded') return outcome
        stamps.observe(outcome.ballot)
        if (!change.repeatable) break
        counters.restamps++
      }
    } catch (error) {
      if (!(error instanceof RefusedForItsRings)) throw error
      if (!(await replicas.refresh(epoch))) throw error.cause
      return this.change(change)
    }
    throw noQuorum('newer writes are in the way')
  }

  #drawn(item: ItemKey, change: ObjectChange): ItemWrite {
    const write = this.#options.writes.draw(item, change.action, change.meta, change.condition)
    return change.openExpired === true ? { ...write, openExpired: true } : write
  }

  async #writeTogether(
    list: ItemKey,
    write: ItemWrite,
    change: ObjectChange,
  ): Promise<WriteOutcome> {
    const name = change.path.object
    const row = rowOfWrite(write, name, change.bytes)
    const rowing = this.#options.objectRows.putOrDefer(change.path, list, row)
    // If the object fails first, nobody else would look at the row's failure.
    rowing.catch(ignore)
    const outcome = await sendToOne(change, write)
    if (outcome.status === 'superseded') return outcome
    this.#finish(list, name, ofWrite(write), await rowing)
    return outcome
  }

  async #writeInTurn(list: ItemKey, write: ItemWrite, change: ObjectChange): Promise<WriteOutcome> {
    const name = change.path.object
    const outcome = await sendToOne(change, write)
    const isRecorded = outcome.status === 'not-found' && change.action === 'delete'
    if (outcome.status !== 'done' && !isRecorded) return outcome
    const row =
      outcome.status === 'done' ? rowOfObject(outcome.info, name) : rowOfWrite(write, name, 0)
    const rowed = await this.#options.objectRows.putOrDefer(change.path, list, row)
    this.#finish(list, name, ofWrite(write), rowed)
    return outcome
  }

  /** Several replicas, whatever is there: both at once. */
  async #changePlain(item: ItemKey, list: ItemKey, change: ObjectChange): Promise<BackendOutcome> {
    const { writes, objectRows, counters } = this.#options
    const { action, meta, bytes, path, asksFirst = false } = change
    const send: Send = change.send ?? ((to, write) => to.node.write(to.device, write, null))
    let isAboveCompleted = await writes.riseAbove(item, { always: asksFirst })
    for (let round = 0; round <= RESTAMPS_MAX; round++) {
      const write = writes.draw(item, action, meta)
      const rowing = objectRows.putOrDefer(path, list, rowOfWrite(write, path.object, bytes))
      rowing.catch(ignore)
      const sent = await writes.sendPlain(write, { bytes, send, isAboveCompleted })
      if (sent.status === 'superseded') {
        isAboveCompleted = sent.isMajority
        counters.restamps++
        continue
      }
      const row = await rowing
      if (sent.status === 'overtaken') {
        // Ours is listed no more than it can be read; the other is both, though its own writer may be dead.
        await objectRows.putOrDefer(path, list, rowOfObject(sent.by, path.object))
        if (row.status === 'not-found') throw noSuchContainer()
        if (row.status === 'remade') throw containerRemade()
        return sent.outcome
      }
      const { writeId, ballot: rowBallot } = write
      this.#finish(
        list,
        path.object,
        { item, action, writeId, ballot: sent.ballot, rowBallot },
        row,
      )
      return sent.outcome
    }
    throw noQuorum('newer writes are in the way')
  }

  /** Several replicas, depending on what is there: the row follows what was decided. */
  async #changeDependent(
    item: ItemKey,
    list: ItemKey,
    change: ObjectChange,
  ): Promise<BackendOutcome> {
    const { writes, objectRows } = this.#options
    const { action, meta, bytes, path, condition, openExpired } = change
    const writeId = writes.nextWriteId()
    const register = {
      ...{ item, action, writeId, meta, bytes },
      ...(condition && { condition }),
      ...(openExpired && { openExpired }),
    }
    const { outcome, record } = await writes.change(register, change.send)
    if (record === null) return outcome
    const row = rowOfObject(record, path.object)
    const written = { item, action, writeId, ballot: record.ballot, rowBallot: row.ballot }
    this.#finish(list, path.object, written, await objectRows.putOrDefer(path, list, row))
    return outcome
  }

  #finish(list: ItemKey, name: string, written: Written, row: ObjectRowOutcome): void {
    const { jobs, settler, rows } = this.#options
    if (row.status === 'not-found' || row.status === 'remade') {
      // The container went away under the write. Nobody may find the object when a container of that name returns.
      jobs.add('orphan', () => settler.removeOrphan(written))
      throw row.status === 'remade' ? containerRemade() : noSuchContainer()
    }
    if (row.status === 'deferred') return
    rows.confirm(list, name, written.rowBallot, written)
  }
}

/** What was written: the ballot of the object's record, and that of its row. */
interface Written {
  readonly item: ItemKey
  readonly action: WriteAction
  readonly writeId: string
  readonly ballot: Stamp
  readonly rowBallot: Stamp
}

function ofWrite({ item, action, writeId, ballot }: ItemWrite): Written {
  return { item, action, writeId, ballot, rowBallot: ballot }
}

/** The one replica knows newer rings, by which it is not the only one: nothing was done. */
class RefusedForItsRings extends Error {}

function sendToOne(change: ObjectChange, write: ItemWrite): Promise<WriteOutcome> {
  return change.sendToOne(write).catch((error: unknown) => {
    throw isStaleRings(error) ? new RefusedForItsRings('stale rings', { cause: error }) : error
  })
}

function isDependent(change: ObjectChange): boolean {
  return change.condition !== undefined || change.action === 'post'
}

function ignore(): void {}
