import type { ItemKey } from '../../common/item.ts'
import { compareStamps, type Stamp } from '../../common/stamp.ts'
import type {
  ItemInfo,
  ItemMeta,
  ItemWrite,
  ListRow,
  RowOutcome,
} from '../../common/storage-node.ts'
import { devicesFull, noQuorum } from './backend-errors.ts'
import type { BackgroundJobs } from './background-jobs.ts'
import { judgeRow, type Replies } from './quorum.ts'
import { askAll, type CallTiming, causeOf } from './replica-calls.ts'
import { itemOf, type ReplicaMap } from './replica-map.ts'

/** Metadata of an object that goes into its row: what listings show of it besides the plain columns. */
export const LISTED = 'x-object-sysmeta-listed'
/** Metadata of an object that is listed with another ETag than its own. */
export const LISTED_ETAG = 'x-object-sysmeta-listed-etag'
/** Between the content type and that, in a row's content type. No header value has it. */
export const LISTED_MARK = '\0'

/** The row of an object's record, whatever its state; not confirmed. */
export function rowOfObject(info: ItemInfo, name: string): ListRow {
  return new NewRow({
    name,
    stamp: info.stamp,
    metaStamp: info.metaStamp,
    // Rows follow each other as their records were made, whatever ballot a record was accepted under again.
    ballot: info.metaStamp,
    deleted: info.deleted,
    bytes: info.bytes,
    count: info.deleted ? 0 : 1,
    etag: etagOf(info.meta),
    contentType: contentTypeOf(info.meta),
    policy: info.policy,
  })
}

/** The row of a put or delete that is about to be made. */
export function rowOfWrite(write: ItemWrite, name: string, bytes: number): ListRow {
  const deleted = write.action === 'delete'
  return new NewRow({
    name,
    stamp: write.stamp,
    metaStamp: write.stamp,
    ballot: write.ballot,
    deleted,
    bytes: deleted ? 0 : bytes,
    count: deleted ? 0 : 1,
    etag: etagOf(write.meta),
    contentType: contentTypeOf(write.meta),
    policy: write.item.policy,
  })
}

/** The row of a container in its account: its own stamps, its totals, and the ballot of this report. */
export function rowOfContainer(
  info: ItemInfo,
  of: { readonly name: string; readonly policy: number; readonly ballot: Stamp },
): ListRow {
  return new NewRow({
    name: of.name,
    stamp: info.stamp,
    metaStamp: info.metaStamp,
    ballot: of.ballot,
    deleted: info.deleted,
    bytes: info.deleted ? 0 : (info.stats?.bytes ?? 0),
    count: info.deleted ? 0 : (info.stats?.objects ?? 0),
    etag: '',
    contentType: '',
    policy: of.policy,
  })
}

/**
 * A row that nobody has confirmed. A class, as V8 goes on making objects of a literal in the shape it first had: from the
 * first container of 2 GiB on, each would be made with small numbers and rebuilt at once (0.8 us of a PUT's 85).
 */
class NewRow implements ListRow {
  readonly name: string
  readonly stamp: Stamp
  readonly metaStamp: Stamp
  readonly ballot: Stamp
  readonly deleted: boolean
  readonly bytes: number
  readonly count: number
  readonly etag: string
  readonly contentType: string
  readonly policy: number
  readonly confirmed = false

  constructor(row: Omit<ListRow, 'confirmed'>) {
    this.name = row.name
    this.stamp = row.stamp
    this.metaStamp = row.metaStamp
    this.ballot = row.ballot
    this.deleted = row.deleted
    this.bytes = row.bytes
    this.count = row.count
    this.etag = row.etag
    this.contentType = row.contentType
    this.policy = row.policy
  }
}

function etagOf({ etag = '', headers }: ItemMeta): string {
  return headers[LISTED_ETAG] ?? etag
}

function contentTypeOf({ contentType = '', headers }: ItemMeta): string {
  const listed = headers[LISTED]
  return listed === undefined ? contentType : contentType + LISTED_MARK + listed
}

/** Whether the row says what the record says; ballots may differ after a settlement. */
export function rowMatches(row: ListRow, info: ItemInfo | null): boolean {
  if (info === null) return false
  return (
    row.deleted === info.deleted &&
    compareStamps(row.stamp, info.stamp) === 0 &&
    compareStamps(row.metaStamp, info.metaStamp) === 0
  )
}

/**
 * A ballot close above the given one: it outdoes exactly what has that ballot, and every real write that came or comes
 * later still wins. Proxies draw their own with the low eight bits of the proposer clear, which leaves these free.
 */
export function justAbove(ballot: Stamp, steps = 1): Stamp {
  return ballot.proposer + steps <= 0xffff_ffff
    ? { ticks: ballot.ticks, proposer: ballot.proposer + steps }
    : { ticks: ballot.ticks + 1, proposer: steps }
}

export interface RowsOptions {
  readonly replicas: ReplicaMap
  readonly timing: CallTiming
  readonly jobs: BackgroundJobs
  /** Brings the replicas of an account or container that lag up to date. */
  readonly repairList: (list: ItemKey) => Promise<unknown>
}

/** A row and the epoch of the settings that it was made under, if it depends on any. */
interface SentRow {
  readonly row: ListRow
  readonly settings: Stamp | undefined
}

/** Rows of listings on the primaries of their account or container. */
export class Rows {
  readonly #replicas: ReplicaMap
  readonly #timing: CallTiming
  readonly #jobs: BackgroundJobs
  readonly #repairList: (list: ItemKey) => Promise<unknown>

  constructor(options: RowsOptions) {
    this.#replicas = options.replicas
    this.#timing = options.timing
    this.#jobs = options.jobs
    this.#repairList = options.repairList
  }

  /**
   * Resolves when a majority has the row or a newer one; `superseded` if any of these has a newer one, `not-found`
   * if a majority has no such account or container, `stale-settings` if no majority takes it because some know newer
   * settings of the container. 503 without a quorum, 507 when the devices are full.
   */
  put(list: ItemKey, row: ListRow, settings?: Stamp): Promise<RowOutcome> {
    return this.#replicas.fresh(() => {
      const group = this.#replicas.group(list)
      const [first, second] = group.replicas
      if (second !== undefined) return this.#putQuorum(list, { row, settings }, true)
      return first!.node.putRow(first!.device, itemOf(group, list), row, settings)
    })
  }

  /** Notes on both sides that the row and the item behind it have their quorums. Lazy; never fails. */
  confirm(
    list: ItemKey,
    name: string,
    rowBallot: Stamp,
    { item, ballot }: { readonly item: ItemKey; readonly ballot: Stamp },
  ): void {
    this.confirmRow(list, name, rowBallot)
    for (const replica of this.#replicas.holders(item)) {
      replica.node.confirm(replica.device, { kind: 'item', item, ballot })
    }
  }

  confirmRow(list: ItemKey, name: string, ballot: Stamp): void {
    for (const replica of this.#replicas.primaries(list)) {
      replica.node.confirm(replica.device, { kind: 'row', list, name, ballot })
    }
  }

  async #putQuorum(list: ItemKey, sent: SentRow, mayRepair: boolean): Promise<RowOutcome> {
    const group = this.#replicas.group(list)
    const asked = itemOf(group, list)
    const { replies } = await askAll(
      group,
      (replica) => replica.node.putRow(replica.device, asked, sent.row, sent.settings),
      (partial) => judgeRow(partial, group.quorum) !== null,
      this.#timing,
    )
    const verdict = judgeRow(replies, group.quorum)!
    const lagging = has(replies, 'not-found')
    if (verdict === 'done') {
      if (lagging) this.#jobs.add('list repair', () => this.#repairList(list))
      return { status: has(replies, 'superseded') ? 'superseded' : 'done' }
    }
    if (verdict === 'not-found' || verdict === 'stale-settings') return { status: verdict }
    if (verdict === 'full') throw devicesFull()
    // Replicas that missed the container's creation stand in the way of a quorum: give it to them, once.
    if (lagging && mayRepair) {
      await this.#repairList(list)
      return this.#putQuorum(list, sent, false)
    }
    throw noQuorum('too few replicas took the row', causeOf(replies))
  }
}

function has(replies: Replies<RowOutcome>, status: RowOutcome['status']): boolean {
  return replies.some(
    (reply) => reply !== undefined && 'outcome' in reply && reply.outcome.status === status,
  )
}
