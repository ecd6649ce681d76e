import assert from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import type { KeyValue, KeyValueOperation } from '../../common/key-value.ts'
import type { ListEntry, ListQuery } from '../../common/storage-node.ts'
import { SimKeyValueStore } from '../../test/support/sim-kv.ts'
import { byteText, listKey, SPACES } from './keys.ts'
import { listPage } from './listing.ts'
import type { RowSlot } from './memtable.ts'
import { encodeRow, type StoredRow } from './row.ts'
import { SortedMap } from './sorted-map.ts'

const LIST = 'the-list-is-this'
const OTHER_LIST = 'the-list-is-thiu'

function rowOf(name: string, options: Partial<StoredRow> = {}): StoredRow {
  const stamp = { ticks: 170_000_000_000_000, proposer: 1 }
  return {
    name,
    stamp,
    metaStamp: stamp,
    ballot: stamp,
    deleted: false,
    bytes: 3,
    count: 1,
    etag: 'd41d8cd98f00b204e9800998ecf8427e',
    contentType: 'text/plain',
    policy: 0,
    confirmed: true,
    gone: false,
    segmentId: 1,
    recordBytes: 300,
    ...options,
  }
}

/** What is known of a name in one layer: a live row, a deleted one, or that it was forgotten. */
type Known = 'live' | 'deleted' | 'forgotten'

/** Newest first; the store below has the last layer. */
interface Layers {
  readonly active: ReadonlyMap<string, Known>
  readonly flushing: ReadonlyMap<string, Known>
  readonly stored: ReadonlyMap<string, Known>
}

async function storeOf(names: ReadonlyMap<string, Known>): Promise<KeyValue> {
  const kv = new SimKeyValueStore({ seed: 1, turnsMax: 1 }).open()
  const operations: KeyValueOperation[] = [LIST, OTHER_LIST].map((hash) => {
    const row = rowOf('of another list')
    return { type: 'put', key: listKey(SPACES.deletedRow, hash, 'x'), value: encodeRow(row) }
  })
  const stranger = listKey(SPACES.row, OTHER_LIST, 'a')
  operations.push({ type: 'put', key: stranger, value: encodeRow(rowOf('a')) })
  for (const [name, known] of names) {
    if (known === 'forgotten') continue
    const deleted = known === 'deleted'
    const key = listKey(deleted ? SPACES.deletedRow : SPACES.row, LIST, byteText(name))
    operations.push({ type: 'put', key, value: encodeRow(rowOf(name, { deleted })) })
  }
  await kv.batch(operations, { sync: true })
  return kv
}

function memtableOf(names: ReadonlyMap<string, Known>): SortedMap<RowSlot> {
  const rows = new SortedMap<RowSlot>()
  for (const [name, known] of names) {
    const row = known === 'forgotten' ? null : rowOf(name, { deleted: known === 'deleted' })
    rows.add(byteText(name), { row, before: null })
  }
  return rows
}

const damaged = (what: string): never => {
  throw new Error(`damaged: ${what}`)
}

async function listOf(layers: Layers, query: ListQuery): Promise<string[]> {
  const kv = await storeOf(layers.stored)
  const memtables = [memtableOf(layers.active), memtableOf(layers.flushing)]
  return shown(await listPage({ kv, listHash: LIST, memtables, damaged }, query))
}

/** Rows as their names, folders with a mark before them. */
function shown(entries: readonly ListEntry[]): string[] {
  return entries.map((entry) => ('subdir' in entry ? `> ${entry.subdir}` : entry.name))
}

/** Order of code points, which is the order of UTF-8 bytes; the order of JavaScript's strings is another. */
function compareNames(a: string, b: string): number {
  const [left, right] = [Array.from(a), Array.from(b)]
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const order = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!
    if (order !== 0) return order
  }
  return left.length - right.length
}

function liveNames({ active, flushing, stored }: Layers): string[] {
  const all = new Map([...stored, ...flushing, ...active])
  return [...all].filter(([, known]) => known === 'live').map(([name]) => name)
}

/**
 * Swift's listing, said as simply as possible: filter, sort, roll up, cut. Where Swift is at odds with itself - with
 * `path` it leaves out a name right behind a folder, and on the way back a folder's marker object - the same is listed
 * in both directions.
 */
function expected(names: readonly string[], query: ListQuery): string[] {
  const { limit, marker = '', endMarker = '', path, reverse = false } = query
  const folder = path === undefined || path === '' ? '' : `${path.replace(/\/+$/, '')}/`
  const prefix = path === undefined ? (query.prefix ?? '') : folder
  const delimiter = path === undefined ? (query.delimiter ?? '') : '/'
  const [above, below] = reverse ? [endMarker, marker] : [marker, endMarker]
  const entries: string[] = []
  const sorted = names
    .filter((name) => name.startsWith(prefix))
    .filter((name) => above === '' || compareNames(name, above) > 0)
    .filter((name) => below === '' || compareNames(name, below) < 0)
    .sort(compareNames)
  for (const name of reverse ? sorted.reverse() : sorted) {
    const cut = delimiter === '' ? -1 : name.indexOf(delimiter, prefix.length)
    const top = cut < 0 ? name : name.slice(0, cut + delimiter.length)
    if (path !== undefined) {
      if (name !== prefix && top === name) entries.push(name)
    } else if (cut < 0) {
      entries.push(name)
    } else if (top !== above && entries.at(-1) !== `> ${top}`) {
      entries.push(`> ${top}`)
    }
  }
  return entries.slice(0, limit)
}

const layer = (...names: readonly string[]): ReadonlyMap<string, Known> =>
  new Map(names.map((name) => [name, 'live']))
const EMPTY: ReadonlyMap<string, Known> = new Map()
const stored = (...names: readonly string[]): Layers => ({
  active: EMPTY,
  flushing: EMPTY,
  stored: layer(...names),
})

const PHOTOS = ['a', 'photos/', 'photos/1', 'photos/2/', 'photos/2/x', 'photos/3/y', 'photos0', 'z']

interface Case {
  readonly what: string
  readonly names: readonly string[]
  readonly query: Partial<ListQuery>
  readonly entries: readonly string[]
}

const CASES: readonly Case[] = [
  { what: 'nothing in an empty list', names: [], query: {}, entries: [] },
  { what: 'nothing for limit 0', names: PHOTOS, query: { limit: 0 }, entries: [] },
  {
    what: 'U+FFFD before a surrogate pair, as UTF-8 has it and UTF-16 does not',
    names: ['\u{1f600}', '\ufffd', '\ud7ff', 'é', 'z'],
    query: {},
    entries: ['z', 'é', '\ud7ff', '\ufffd', '\u{1f600}'],
  },
  {
    what: 'a marker between them cuts between them',
    names: ['\u{1f600}', '\ufffd'],
    query: { marker: '\ufffd' },
    entries: ['\u{1f600}'],
  },
  {
    what: 'folders are rolled up',
    names: PHOTOS,
    query: { delimiter: '/' },
    entries: ['a', '> photos/', 'photos0', 'z'],
  },
  {
    what: 'a folder that is the marker was shown before',
    names: PHOTOS,
    query: { delimiter: '/', marker: 'photos/' },
    entries: ['photos0', 'z'],
  },
  {
    what: 'a marker inside a folder shows the folder',
    names: PHOTOS,
    query: { delimiter: '/', marker: 'photos/1' },
    entries: ['> photos/', 'photos0', 'z'],
  },
  {
    what: 'the prefix itself is an object',
    names: PHOTOS,
    query: { delimiter: '/', prefix: 'photos/' },
    entries: ['photos/', 'photos/1', '> photos/2/', '> photos/3/'],
  },
  {
    what: 'backwards',
    names: PHOTOS,
    query: { delimiter: '/', prefix: 'photos/', reverse: true },
    entries: ['> photos/3/', '> photos/2/', 'photos/1', 'photos/'],
  },
  {
    what: 'backwards, a folder that is the end marker is beyond the end',
    names: PHOTOS,
    query: { delimiter: '/', endMarker: 'photos/', reverse: true },
    entries: ['z', 'photos0'],
  },
  {
    what: 'a delimiter of several characters, also one that repeats itself',
    names: ['a--b', 'a---c', 'a-d', 'b--'],
    query: { delimiter: '--' },
    entries: ['> a--', 'a-d', '> b--'],
  },
  {
    what: 'path leaves out the folder itself and what is deeper, but not the marker objects of deeper folders',
    names: PHOTOS,
    query: { path: 'photos' },
    entries: ['photos/1', 'photos/2/'],
  },
  {
    what: 'path lists the same backwards',
    names: PHOTOS,
    query: { path: 'photos/', reverse: true },
    entries: ['photos/2/', 'photos/1'],
  },
  {
    what: 'an empty path is the top',
    names: PHOTOS,
    query: { path: '' },
    entries: ['a', 'photos/', 'photos0', 'z'],
  },
  {
    what: 'the path / holds names that begin with a slash',
    names: ['/a', '/b/c', 'd'],
    query: { path: '/' },
    entries: ['/a'],
  },
  {
    what: 'path replaces prefix and delimiter',
    names: PHOTOS,
    query: { path: 'photos', prefix: 'z', delimiter: 'o' },
    entries: ['photos/1', 'photos/2/'],
  },
]

t.test('a page is what Swift lists', async (t) => {
  for (const { what, names, query, entries } of CASES) {
    const whole = { limit: 100, ...query }
    t.strictSame(await listOf(stored(...names), whole), entries, what)
    t.strictSame(
      expected(names, whole),
      entries,
      'and the reference of the random test says so too',
    )
  }
})

t.test('a newer layer hides what an older one has of the same name', async (t) => {
  const layers: Layers = {
    active: new Map([
      ['gone', 'deleted'],
      ['back', 'live'],
      ['reclaimed', 'forgotten'],
    ]),
    flushing: new Map([
      ['back', 'deleted'],
      ['gone-before', 'deleted'],
      ['new', 'live'],
    ]),
    stored: layer('back', 'gone', 'gone-before', 'kept', 'reclaimed'),
  }
  t.strictSame(await listOf(layers, { limit: 10 }), ['back', 'kept', 'new'])
  t.strictSame(await listOf(layers, { limit: 10, reverse: true }), ['new', 'kept', 'back'])
})

t.test('a damaged row ends the listing instead of being left out', async (t) => {
  const key = listKey(SPACES.row, LIST, 'b')
  const store = new SimKeyValueStore({ seed: 3 })
  const kv = store.open()
  await kv.batch([{ type: 'put', key, value: encodeRow(rowOf('b')) }], { sync: true })
  store.damage(key, 'flip-value')
  const sources = { kv, listHash: LIST, memtables: [], damaged }
  await t.rejects(listPage(sources, { limit: 5 }), { message: 'damaged: a row' })
})

// Few characters, so that prefixes, delimiters and markers meet names often.
const character = fc.constantFrom('a', 'b', '/', '-', '0', 'é', '\ud7ff', '\ufffd', '\u{1f600}')
const text = (maxLength: number) =>
  fc.array(character, { maxLength }).map((characters) => characters.join(''))
const name = text(5).filter((candidate) => candidate !== '')
const known = fc.constantFrom<Known>('live', 'live', 'live', 'deleted', 'forgotten')
const names = (maxLength: number) =>
  fc.array(fc.tuple(name, known), { maxLength }).map((pairs) => new Map(pairs))
const layersArbitrary = fc.record({ active: names(8), flushing: names(8), stored: names(30) })
const queryArbitrary: fc.Arbitrary<ListQuery> = fc.record(
  {
    limit: fc.oneof(fc.constant(1000), fc.integer({ min: 0, max: 8 })),
    marker: text(4),
    endMarker: text(4),
    prefix: text(2),
    delimiter: fc.oneof(fc.constant('/'), text(2)),
    path: text(3),
    reverse: fc.boolean(),
  },
  { requiredKeys: ['limit'] },
)

t.test('any query over any layers is what the naive listing says', async (t) => {
  await fc.assert(
    fc.asyncProperty(layersArbitrary, queryArbitrary, async (layers, query) => {
      assert.deepStrictEqual(await listOf(layers, query), expected(liveNames(layers), query))
    }),
    { numRuns: 800 },
  )
  t.pass('800 listings')
})

t.test('pages put together by markers are the whole listing', async (t) => {
  const paged = fc.tuple(layersArbitrary, queryArbitrary, fc.integer({ min: 1, max: 4 }))
  await fc.assert(
    fc.asyncProperty(paged, async ([layers, query, limit]) => {
      const whole = expected(liveNames(layers), { ...query, limit: 1000 })
      const pages: string[] = []
      let marker = query.marker
      for (;;) {
        const page = await listOf(layers, { ...query, limit, ...(marker && { marker }) })
        pages.push(...page)
        if (page.length < limit) break
        marker = page.at(-1)!.replace(/^> /, '')
      }
      assert.deepStrictEqual(pages, whole)
    }),
    { numRuns: 200 },
  )
  t.pass('200 listings')
})

// --- what a page costs -----------------------------------------------------------------------------------------------

interface Cost {
  nexts: number
  seeks: number
  rows: number
}

/** A store of live rows (names sorted, ASCII) that counts what its iterators are asked for. */
function countingStore(names: readonly string[]): { readonly kv: KeyValue; readonly cost: Cost } {
  const cost = { nexts: 0, seeks: 0, rows: 0 }
  const entryOf = (name: string): [Uint8Array, Uint8Array] => [
    listKey(SPACES.row, LIST, name),
    encodeRow(rowOf(name)),
  ]
  const iterate: KeyValue['iterate'] = ({ reverse = false }) => {
    const step = reverse ? -1 : 1
    let at = reverse ? names.length - 1 : 0
    return {
      async next(count) {
        const page: [Uint8Array, Uint8Array][] = []
        for (; page.length < count && at >= 0 && at < names.length; at += step) {
          page.push(entryOf(names[at]!))
        }
        cost.nexts++
        cost.rows += page.length
        return page
      },
      seek(key) {
        cost.seeks++
        const target = Buffer.from(key).toString('latin1', 17)
        const first = lowerBound(names, target)
        at = reverse && names[first] !== target ? first - 1 : first
      },
      close: async () => {},
    }
  }
  const refuse = () => {
    throw new Error('a listing only iterates')
  }
  return { kv: { iterate, getSync: refuse, batch: refuse, close: refuse }, cost }
}

function lowerBound(names: readonly string[], name: string): number {
  let [low, high] = [0, names.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (names[middle]! < name) low = middle + 1
    else high = middle
  }
  return low
}

async function costOf(
  names: readonly string[],
  query: ListQuery,
  memtables: readonly SortedMap<RowSlot>[] = [],
): Promise<Cost & { readonly entries: readonly string[] }> {
  const { kv, cost } = countingStore(names)
  const entries = shown(await listPage({ kv, listHash: LIST, memtables, damaged }, query))
  return { entries, ...cost }
}

const digits = (value: number) => String(value).padStart(6, '0')
const HUGE = 200_000
const folderOf = (index: number) => `folder-${Math.floor(index / (HUGE / 4))}`
const HUGE_NAMES = Array.from({ length: HUGE }, (_, i) => `${folderOf(i)}/${digits(i)}`)

t.test(`a page of 1,000 of ${HUGE} rows reads as many, wherever it begins`, async (t) => {
  for (const at of [0, 1, 99_999, 150_000, 198_999, 199_999]) {
    for (const reverse of [false, true]) {
      const query = { limit: 1000, marker: HUGE_NAMES[at]!, reverse }
      const { entries, nexts, seeks, rows } = await costOf(HUGE_NAMES, query)
      const count = Math.min(1000, reverse ? at : HUGE - 1 - at)
      t.equal(entries.length, count, `${count} entries ${reverse ? 'before' : 'behind'} row ${at}`)
      t.ok(nexts <= 2 && seeks === 1, `in ${nexts} calls and ${seeks} seek`)
      t.ok(rows <= count + 1, `of ${rows} rows`)
    }
  }
})

t.test('a huge folder that is rolled up costs one seek and one short page', async (t) => {
  for (const reverse of [false, true]) {
    const query = { limit: 1000, delimiter: '/', reverse }
    const { entries, nexts, seeks, rows } = await costOf(HUGE_NAMES, query)
    const folders = ['> folder-0/', '> folder-1/', '> folder-2/', '> folder-3/']
    t.strictSame(entries, reverse ? folders.reverse() : folders)
    t.ok(nexts <= 5 && seeks <= 5, `4 folders of 50,000 rows in ${nexts} calls, ${seeks} seeks`)
    t.ok(rows <= 4 * 16, `of ${rows} rows`)
  }
  const query = { limit: 10, delimiter: '00', prefix: 'folder-2/' }
  const { entries, nexts, seeks, rows } = await costOf(HUGE_NAMES, query)
  t.strictSame(entries, expected(HUGE_NAMES, query))
  t.ok(nexts <= 10 && seeks <= 10 && rows <= 10 * 16, `10 folders in ${nexts} calls, ${rows} rows`)
})

t.test('small folders in great number are read in long pages', async (t) => {
  const names = Array.from({ length: HUGE }, (_, i) => `${digits(i >> 1)}/${i & 1}`)
  const { entries, nexts, rows } = await costOf(names, { limit: 1000, delimiter: '/' })
  t.equal(entries.length, 1000)
  t.ok(nexts <= 10 && rows <= 3000, `1,000 folders of 2 rows in ${nexts} calls, ${rows} rows`)
})

t.test('rows deleted since the last flush are all that is stepped over', async (t) => {
  const gone = new SortedMap<RowSlot>()
  for (const name of HUGE_NAMES.slice(0, 5000)) {
    gone.add(name, { row: rowOf(name, { deleted: true }), before: rowOf(name) })
  }
  const { entries, nexts, rows } = await costOf(HUGE_NAMES, { limit: 1000 }, [gone])
  t.equal(entries[0], HUGE_NAMES[5000])
  t.equal(entries.length, 1000)
  t.ok(nexts <= 6 && rows <= 6006, `in ${nexts} calls of ${rows} rows`)
})
