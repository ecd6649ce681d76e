/**
 * What a list holds, counted so that every row that was acknowledged before is in it. Replicas keep totals, but each may
 * lag in other rows: a write is acknowledged by a majority, not by all.
 *
 *   R replicas hold the same rows (equal digests) -> their totals: whatever was acknowledged is at one of them
 *   they do not -> all are asked, with the rows that changed lately
 *               -> W of them hold the same -> those totals
 *               -> else each adds the rows of the others to what it had when it was asked first -> W agree
 *   still not: replicas lag in rows from long ago -> the rows are counted by listing them
 */
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import { compareStamps } from '../../common/stamp.ts'
import type {
  CountedRow,
  ItemInfo,
  ListPage,
  ListQuery,
  ListRow,
  ListStats,
  PolicyStats,
  ListTotals as ReplicaTotals,
  TotalsQuery,
} from '../../common/storage-node.ts'
import { REPLICA_PAGE_MAX } from '../../common/wire/operations.ts'
import { noQuorum } from './backend-errors.ts'
import type { BackendCounters } from './counters.ts'
import type { Replies } from './quorum.ts'
import { askAll, type CallTiming, causeOf } from './replica-calls.ts'
import { itemOf, type Replica, type ReplicaGroup, type ReplicaMap } from './replica-map.ts'

export interface ListTotalsOptions {
  readonly replicas: ReplicaMap
  readonly timing: CallTiming
  readonly counters: BackendCounters
  /** A strict page of the list; null if it is not there. */
  readonly page: (list: ItemKey, query: ListQuery) => Promise<ListPage | null>
}

/** Comparisons before the rows are counted one by one. */
const COMPARISONS_MAX = 4
const PAGE_ROWS = 10_000
/** Beyond so many rows the answer is a 503: replication brings the replicas together meanwhile. */
const PAGES_MAX = 200
/** Lists that are counted row by row at once; more are 503. */
const COUNTINGS_MAX = 4

type Answers = Replies<ReplicaTotals | null>

export class ListTotals {
  readonly #options: ListTotalsOptions
  #countings = 0

  constructor(options: ListTotalsOptions) {
    this.#options = options
  }

  /** The list's record, as a read gave it, with totals that hold. 503 where nobody can know them now. */
  async settled(list: ItemKey, info: ItemInfo): Promise<ItemInfo> {
    if (info.stats?.digest !== undefined) return info
    for (let round = 0; round < COMPARISONS_MAX; round++) {
      // First without a wait for who is slow.
      const waitsForAll = round > 0
      const stats = await this.#options.replicas.fresh(() => this.#compare(list, { waitsForAll }))
      if (stats !== null) return { ...info, stats }
    }
    return { ...info, stats: await this.#count(list) }
  }

  async #compare(
    list: ItemKey,
    { waitsForAll }: { readonly waitsForAll: boolean },
  ): Promise<ListStats | null> {
    const group = this.#options.replicas.group(list)
    const enough = waitsForAll ? group.replicas.length : group.quorum
    const first = await this.#ask(list, group, () => ({ rows: [] }), enough)
    const agreed = agreedBy(first, group.quorum)
    if (agreed !== null) return agreed
    const rows = newestRows(first)
    const second = await this.#ask(list, group, (index) => {
      const answer = answerOf(first, index)
      return answer === null ? null : { asOf: answer.changes, rows }
    })
    return agreedBy(second, group.quorum)
  }

  async #ask(
    list: ItemKey,
    group: ReplicaGroup,
    queryOf: (index: number) => TotalsQuery | null,
    enough = group.replicas.length,
  ): Promise<Answers> {
    const asked = itemOf(group, list)
    const { replies } = await askAll<ReplicaTotals | null>(
      group,
      async (replica, index) => {
        const query = queryOf(index)
        return query === null ? null : totalsOf(replica, asked, query)
      },
      (answers) => answered(answers) >= enough || agreedBy(answers, group.quorum) !== null,
      this.#options.timing,
    )
    if (answered(replies) >= group.quorum) return replies
    throw noQuorum('too few replicas answered for totals', causeOf(replies))
  }

  /** Row by row, as a listing shows them. */
  async #count(list: ItemKey): Promise<ListStats> {
    if (this.#countings >= COUNTINGS_MAX) throw noQuorum('the replicas of a listing differ')
    this.#countings++
    this.#options.counters.totalsCounted++
    try {
      return await this.#countPages(list)
    } finally {
      this.#countings--
    }
  }

  async #countPages(list: ItemKey): Promise<ListStats> {
    const byPolicy: Record<string, PolicyStats> = {}
    let marker: string | undefined
    for (let left = PAGES_MAX; left > 0; left--) {
      const query = { limit: PAGE_ROWS, ...(marker !== undefined && { marker }) }
      const page = await this.#options.page(list, query)
      const rows = (page?.entries ?? []).filter((entry): entry is ListRow => 'name' in entry)
      for (const row of rows) byPolicy[row.policy] = plus(byPolicy[row.policy], row)
      marker = rows.at(-1)?.name
      if (rows.length < PAGE_ROWS) return sumOf(byPolicy)
    }
    throw noQuorum('the replicas of a long listing differ')
  }
}

/** A node of an earlier version is no broken one: it has no say. */
async function totalsOf(
  { node, device }: Replica,
  list: ItemKey,
  query: TotalsQuery,
): Promise<ReplicaTotals | null> {
  try {
    return await node.totals(device, list, query)
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'NoSuchOperation') return null
    throw error
  }
}

function answered(answers: Answers): number {
  return answers.filter((reply) => reply !== undefined && 'outcome' in reply).length
}

function answerOf(answers: Answers, index: number): ReplicaTotals | null {
  const reply = answers[index]
  return reply !== undefined && 'outcome' in reply ? reply.outcome : null
}

/** The totals of rows that so many replicas hold; null if there are none. */
function agreedBy(answers: Answers, quorum: number): ListStats | null {
  const counts = new Map<string, number>()
  for (const index of answers.keys()) {
    const stats = answerOf(answers, index)?.stats
    if (stats?.digest === undefined) continue
    const count = (counts.get(stats.digest) ?? 0) + 1
    if (count >= quorum) return stats
    counts.set(stats.digest, count)
  }
  return null
}

/** Of what changed lately anywhere the newest row of each name, and of those the youngest that fit into a request. */
function newestRows(answers: Answers): readonly CountedRow[] {
  const newest = new Map<string, CountedRow>()
  for (const index of answers.keys()) {
    for (const row of answerOf(answers, index)?.recent ?? []) {
      const known = newest.get(row.name)
      if (known === undefined || compareStamps(row.ballot, known.ballot) > 0) {
        newest.set(row.name, row)
      }
    }
  }
  const rows = [...newest.values()].sort((a, b) => compareStamps(b.ballot, a.ballot))
  return rows.slice(0, REPLICA_PAGE_MAX)
}

function plus(sum: PolicyStats | undefined, { count, bytes }: ListRow): PolicyStats {
  return {
    rows: (sum?.rows ?? 0) + 1,
    objects: (sum?.objects ?? 0) + count,
    bytes: (sum?.bytes ?? 0) + bytes,
  }
}

function sumOf(byPolicy: Readonly<Record<string, PolicyStats>>): ListStats {
  const sum = { rows: 0, objects: 0, bytes: 0 }
  for (const stats of Object.values(byPolicy)) {
    sum.rows += stats.rows
    sum.objects += stats.objects
    sum.bytes += stats.bytes
  }
  return { ...sum, byPolicy }
}
