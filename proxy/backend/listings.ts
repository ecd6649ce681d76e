/**
 * Listings of accounts and containers, read after write: what an acknowledged write put there is shown, what it
 * removed is not.
 *
 *   R replicas give the page -> they agree, all rows confirmed -> shown as it is (one replica: always agrees)
 *                            -> they do not -> the other replicas too -> merged by majority
 *   rows in doubt (no majority, or unconfirmed) -> the object's own register decides what is shown
 */
import type { ItemKey } from '../../common/item.ts'
import { isStaleRings } from '../../common/ring/ring-set.ts'
import { compareStamps } from '../../common/stamp.ts'
import type {
  ItemInfo,
  ListEntry,
  ListPage,
  ListQuery,
  ListRow,
} from '../../common/storage-node.ts'
import { noQuorum } from './backend-errors.ts'
import type { BackgroundJobs } from './background-jobs.ts'
import type { BackendCounters } from './counters.ts'
import { entryName, isRow, type MergedEntry, mergePages } from './listing-merge.ts'
import type { Reply } from './quorum.ts'
import type { RegisterReads } from './register-reads.ts'
import { askOne, type CallTiming } from './replica-calls.ts'
import { itemOf, type Replica, type ReplicaGroup, type ReplicaMap } from './replica-map.ts'
import { type Rows, rowMatches } from './rows.ts'

export interface ListingsOptions {
  readonly replicas: ReplicaMap
  readonly reads: RegisterReads
  readonly rows: Rows
  readonly timing: CallTiming
  readonly jobs: BackgroundJobs
  readonly counters: BackendCounters
}

/** What the rows of one list stand for. */
export interface RowSource {
  readonly list: ItemKey
  /** `info` is the list's own record. */
  readonly itemOf: (row: ListRow, info: ItemInfo) => ItemKey
  /** The row that the item's record makes; `row` is the one in doubt. */
  readonly rowOf: (info: ItemInfo, row: ListRow) => ListRow
}

/** Rows compared with their items at once. */
const PROBES_MAX = 32
/** Pages that may turn out to hold nothing to show before the listing gives up. */
const ROUNDS_MAX = 50

interface Round {
  readonly info: ItemInfo
  readonly entries: readonly ListEntry[]
  readonly horizon: string | null
}

export class Listings {
  readonly #options: ListingsOptions

  constructor(options: ListingsOptions) {
    this.#options = options
  }

  /** A page; null if there is no such account or container. 503 without a quorum. */
  async page(source: RowSource, query: ListQuery): Promise<ListPage | null> {
    const first = await this.#round(source, query)
    if (first === null) return null
    if (first.horizon === null || first.entries.length >= query.limit) return first
    return this.#fill(source, query, first)
  }

  /**
   * Rows that turned out not to be there leave gaps: pages go on until the limit or the end. A marker that is a subdir
   * goes on behind all of it.
   */
  async #fill(source: RowSource, query: ListQuery, first: Round): Promise<ListPage> {
    const entries = [...first.entries]
    let { horizon } = first
    for (let round = 0; horizon !== null && entries.length < query.limit; round++) {
      if (round === ROUNDS_MAX) throw noQuorum('too many rows of the listing are unsettled')
      const limit = query.limit - entries.length
      const next = await this.#round(source, {
        ...query,
        limit,
        marker: horizon,
      })
      if (next === null) break
      entries.push(...next.entries)
      horizon = next.horizon
    }
    return { info: first.info, entries }
  }

  #round(source: RowSource, query: ListQuery): Promise<Round | null> {
    return this.#options.replicas.fresh(() => this.#roundNow(source, query))
  }

  async #roundNow(source: RowSource, query: ListQuery): Promise<Round | null> {
    const group = this.#options.replicas.group(source.list)
    const [first, second] = group.replicas
    if (second !== undefined) return this.#quorumRound(source, query, group)
    const page = await first!.node.list(first!.device, itemOf(group, source.list), query)
    if (page === null) return null
    const isFull = page.entries.length >= query.limit && query.limit > 0
    const horizon = isFull ? entryName(page.entries.at(-1)!) : null
    if (page.entries.every(isSettled)) return { info: page.info, entries: page.entries, horizon }
    const merged = mergePages([page.entries], query, 1)
    const entries = await this.#resolve(source, page.info, merged.entries)
    return { info: page.info, entries, horizon }
  }

  async #quorumRound(
    source: RowSource,
    query: ListQuery,
    group: ReplicaGroup,
  ): Promise<Round | null> {
    const list = itemOf(group, source.list)
    const { quorum } = group
    let { pages, rest, errors } = await this.#collect(list, query, group.replicas, quorum)
    if (pages.length < quorum) {
      const cause = errors.find(isStaleRings) ?? errors[0]
      throw noQuorum('too few replicas answered the listing', cause)
    }
    if (agree(pages)) {
      const page = pages[0]!
      if (page === null) return null
      if (page.entries.every(isSettled) && isOneRecord(pages)) {
        const info = { ...page.info, ...statsOf(pages, quorum) }
        return { info, ...horizonAndEntries(page.entries, query) }
      }
    } else {
      const more = await this.#collect(list, query, rest, rest.length)
      pages = [...pages, ...more.pages]
    }
    // Whether the container is there, and what it says, is its register's business, which also brings replicas that lack
    // something of it up to date.
    const register = await this.#options.reads.info(list)
    if (register === null || register.deleted) return null
    const info = { ...register, ...statsOf(pages, quorum) }
    const merged = mergePages(
      pages.map((page) => page?.entries ?? []),
      query,
      quorum,
    )
    const entries = await this.#resolve(source, info, merged.entries)
    return { info, entries, horizon: merged.horizon }
  }

  /** Pages of up to `count` replicas, asking others for those that fail. */
  async #collect(
    list: ItemKey,
    query: ListQuery,
    replicas: readonly Replica[],
    count: number,
  ): Promise<{
    pages: (ListPage | null)[]
    rest: readonly Replica[]
    errors: readonly unknown[]
  }> {
    const order = [
      ...replicas.filter((replica) => replica.health.available()),
      ...replicas.filter((replica) => !replica.health.available()),
    ]
    const pages: (ListPage | null)[] = []
    const errors: unknown[] = []
    while (pages.length < count && order.length > 0) {
      const batch = order.splice(0, count - pages.length)
      const { replies } = await this.#ask(list, query, batch)
      for (const reply of replies) {
        if ('outcome' in reply) pages.push(reply.outcome)
        else errors.push(reply.error)
      }
    }
    return { pages, rest: order, errors }
  }

  async #ask(
    list: ItemKey,
    query: ListQuery,
    replicas: readonly Replica[],
  ): Promise<{ replies: readonly Reply<ListPage | null>[] }> {
    const replies = await Promise.all(
      replicas.map((replica) =>
        askOne(replica, () => replica.node.list(replica.device, list, query), this.#options.timing),
      ),
    )
    return { replies }
  }

  /** What of the merged entries is shown, a bounded number of doubtful ones being asked for at once. */
  async #resolve(
    source: RowSource,
    list: ItemInfo,
    merged: readonly MergedEntry[],
  ): Promise<ListEntry[]> {
    const shown: (ListEntry | null)[] = merged.map(({ entry }) => entry)
    const doubtful = [...merged.keys()].filter((index) => merged[index]!.doubtful)
    const work = async () => {
      for (let index = doubtful.pop(); index !== undefined; index = doubtful.pop()) {
        shown[index] = await this.#decide(source, list, merged[index]!)
      }
    }
    await Promise.all(Array.from({ length: Math.min(PROBES_MAX, doubtful.length) }, work))
    for (const [index, { uneven }] of merged.entries()) {
      const entry = shown[index]
      // The same row again to all: whoever has it or a newer one is not changed by it.
      if (uneven && entry && isRow(entry)) {
        this.#options.jobs.add('row repair', () => this.#options.rows.put(source.list, entry))
      }
    }
    return shown.filter((entry) => entry !== null)
  }

  async #decide(
    source: RowSource,
    list: ItemInfo,
    { entry, uneven }: MergedEntry,
  ): Promise<ListEntry | null> {
    const { reads, rows, counters } = this.#options
    if (!isRow(entry)) {
      const below = await this.page(source, { limit: 1, prefix: entry.subdir })
      return below !== null && below.entries.length > 0 ? entry : null
    }
    counters.rowsProbed++
    const info = await reads.info(source.itemOf(entry, list))
    if (info === null || info.deleted) return null
    if (!rowMatches(entry, info)) return source.rowOf(info, entry)
    // What some replicas lack is confirmed by the settler, when they have it.
    if (!uneven) rows.confirmRow(source.list, entry.name, entry.ballot)
    return { ...entry, confirmed: true }
  }
}

function isSettled(entry: ListEntry): boolean {
  return 'subdir' in entry || entry.confirmed
}

/** Whether all replicas gave the same page. */
function agree(pages: readonly (ListPage | null)[]): boolean {
  const [first, ...others] = pages
  if (first === null || first === undefined) return others.every((page) => page === null)
  return others.every(
    (page) =>
      page !== null &&
      page.entries.length === first.entries.length &&
      page.entries.every((entry, index) => isSameEntry(entry, first.entries[index]!)),
  )
}

/** Whether all replicas have the same record of the list itself: one that lags must not speak for it. */
function isOneRecord(pages: readonly (ListPage | null)[]): boolean {
  const [first, ...others] = pages.flatMap((page) => page?.info.ballot ?? [])
  return first !== undefined && others.every((ballot) => compareStamps(ballot, first) === 0)
}

function isSameEntry(a: ListEntry, b: ListEntry): boolean {
  if ('subdir' in a) return 'subdir' in b && a.subdir === b.subdir
  if ('subdir' in b) return false
  return a.name === b.name && compareStamps(a.ballot, b.ballot) === 0
}

function horizonAndEntries(
  entries: readonly ListEntry[],
  query: ListQuery,
): Pick<Round, 'entries' | 'horizon'> {
  const isFull = entries.length >= query.limit && query.limit > 0
  return { entries, horizon: isFull ? entryName(entries.at(-1)!) : null }
}

/** Of some replica, and with their digest if so many hold just these rows. */
function statsOf(pages: readonly (ListPage | null)[], quorum: number): Pick<ItemInfo, 'stats'> {
  const known = pages.flatMap((page) => page?.info.stats ?? [])
  const agreed = known.find(
    ({ digest }) => known.filter((other) => other.digest === digest).length >= quorum,
  )
  if (agreed !== undefined) return { stats: agreed }
  const [first] = known
  if (first === undefined) return {}
  const { digest: _, ...stats } = first
  return { stats }
}
