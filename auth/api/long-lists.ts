import { setImmediate as turn } from 'node:timers/promises'
import { type Answer, ok } from '../../common/http/route.ts'
import type { IdentityCall } from './identity-call.ts'
import { itemFilter, noSuchMarker, type Shown, wantedPage } from './list-filters.ts'
import { type ListOptions, linked, listedMax, pageOf } from './views.ts'

/** A list that may be long: a hundred thousand users, all members of a group. */
export interface LongList<Row> {
  /** The rows page by page, from behind `after` on. */
  readonly pages: (after?: Row) => AsyncIterable<readonly Row[]>
  /** The row of an item, if there is one. */
  readonly get: (id: string) => Promise<Row | undefined>
  /** Whether the caller may see it, and the query wants it; all if absent. */
  readonly isWanted?: (row: Row) => boolean
  readonly show: (row: Row) => Shown
}

/** Items written as JSON at once. */
const PIECE_ITEMS = 256

/**
 * 200 with a list, filtered as the query wants. The table is read in pages with everybody else's turn between them, and no
 * further than what is shown; a list that is sorted has to be read whole, but is not kept whole.
 */
export async function longListAnswer<Row>(
  call: IdentityCall,
  list: LongList<Row>,
  options: ListOptions,
): Promise<Answer> {
  const { name, collection = name } = options
  const { items, rest } = pageOf(call, await collect(call, list, options), name)
  const withLink = (item: Shown) => linked(call, collection, item)
  if (items.length <= PIECE_ITEMS) return ok({ [name]: items.map(withLink), ...rest })
  return { ...ok(await encodeList(items, { name, rest, withLink })), headers: JSON_TYPE }
}

const JSON_TYPE = { 'Content-Type': 'application/json' }

/** The items from the marker on, one more than are shown if there are more. */
async function collect<Row>(
  call: IdentityCall,
  { pages, get, isWanted = () => true, show }: LongList<Row>,
  { name, filters = [] }: ListOptions,
): Promise<readonly Shown[]> {
  const { marker, limit, order } = wantedPage(call.query)
  const most = listedMax(call, name)
  const enough = Math.min(limit ?? most, most) + 1
  const passes = itemFilter(call.query, filters)
  const shownOf = (row: Row): Shown | null => {
    if (!isWanted(row)) return null
    const item = show(row)
    return passes(item) ? item : null
  }
  const before = marker === null ? undefined : await get(marker)
  const last = before === undefined ? null : shownOf(before)
  if (marker !== null && last === null) throw noSuchMarker(marker)
  const found: Shown[] = []
  for await (const rows of pages(order === null ? before : undefined)) {
    for (const row of rows) {
      const item = shownOf(row)
      if (item === null) continue
      if (order !== null && last !== null && order(item, last) <= 0) continue
      found.push(item)
    }
    if (order === null && found.length >= enough) break
    if (order !== null && found.length >= 2 * enough) found.sort(order).splice(enough)
    await turn()
  }
  if (order !== null) found.sort(order)
  return found.slice(0, enough)
}

/** The answer as JSON, piece by piece: thousands of items at once would be a long time for all others. */
async function encodeList(
  items: readonly Shown[],
  answer: {
    readonly name: string
    readonly rest: object
    readonly withLink: (item: Shown) => Shown
  },
): Promise<Uint8Array> {
  const { name, rest, withLink } = answer
  const pieces: Buffer[] = [Buffer.from(`{${JSON.stringify(name)}:[`)]
  for (let at = 0; at < items.length; at += PIECE_ITEMS) {
    const text = JSON.stringify(items.slice(at, at + PIECE_ITEMS).map(withLink)).slice(1, -1)
    pieces.push(Buffer.from(at === 0 ? text : `,${text}`))
    await turn()
  }
  pieces.push(Buffer.from(`],${JSON.stringify(rest).slice(1)}`))
  return Buffer.concat(pieces)
}
