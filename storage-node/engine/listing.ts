/**
 * A page of a listing: the two memtables and the store below merged in name order. What it costs goes by what it
 * returns: deleted rows lie elsewhere, and a rolled-up prefix is jumped over by a seek.
 */

import type { KeyValue, KeyValueIterator } from '../../common/key-value.ts'
import type { ListEntry, ListQuery } from '../../common/storage-node.ts'
import { afterPrefix, byteText, fromByteText, listKey, SPACES } from './keys.ts'
import type { RowSlot } from './memtable.ts'
import { decodeRow, type StoredRow } from './row.ts'
import type { SortedMap } from './sorted-map.ts'

export interface ListSources {
  readonly kv: KeyValue
  readonly listHash: string
  /** Newest first: a name in an earlier one hides it in the later ones and in the store. */
  readonly memtables: readonly SortedMap<RowSlot>[]
  /** Called with what fails its checksum; throws. */
  readonly damaged: (what: string) => never
}

/** Rows that the store below is asked for at once: a page of a listing and its marker. */
const KV_PAGE_MAX = 1001
/** At first in a listing with folders, and as long as pages are mostly jumped over. */
const KV_PAGE_MIN = 16
/** A page of which this share was wanted is followed by one twice as long. */
const WANTED_SHARE = 0.25

/** The entries of the page, in order. */
export async function listPage(sources: ListSources, query: ListQuery): Promise<ListEntry[]> {
  const plan = planOf(query)
  const cursor = new MergeCursor(sources, plan, query.limit)
  const entries: ListEntry[] = []
  try {
    let at: Position | null = plan.start
    while (at !== null && entries.length < query.limit) {
      const row: StoredRow | null = await cursor.next(at)
      if (row === null) break
      at = takeRow(row, plan, entries)
    }
  } finally {
    await cursor.close()
  }
  return entries
}

/** Names in byte text throughout. */
interface Plan {
  readonly start: Position
  /** Names beyond it are not wanted; null: to the end. */
  readonly isWanted: (name: string) => boolean
  readonly prefix: string
  readonly delimiter: string
  /** A rolled-up name that is the lower bound itself was shown on the page before. */
  readonly folderSeen: string
  readonly reverse: boolean
  /** Deeper names are left out instead of rolled up. */
  readonly isPath: boolean
}

interface Position {
  readonly name: string
  readonly exclusive: boolean
}

function planOf(query: ListQuery): Plan {
  const isPath = query.path !== undefined
  const path = query.path ?? ''
  const pathPrefix = path === '' ? '' : `${path.replace(/\/+$/, '')}/`
  const prefix = byteText(isPath ? pathPrefix : (query.prefix ?? ''))
  const delimiter = isPath ? '/' : byteText(query.delimiter ?? '')
  const marker = byteText(query.marker ?? '')
  const endMarker = byteText(query.endMarker ?? '')
  const reverse = query.reverse ?? false
  const behind = reverse
    ? (name: string) => endMarker === '' || name > endMarker
    : (name: string) => endMarker === '' || name < endMarker
  return {
    start: reverse ? reverseStart(marker, prefix) : forwardStart(marker, prefix),
    isWanted: (name) => name.startsWith(prefix) && behind(name),
    prefix,
    delimiter,
    folderSeen: reverse ? endMarker : marker,
    reverse,
    isPath,
  }
}

function forwardStart(marker: string, prefix: string): Position {
  return marker !== '' && marker >= prefix
    ? { name: marker, exclusive: true }
    : { name: prefix, exclusive: false }
}

/** Behind every UTF-8 text: the byte 0xff never occurs in one. */
const LAST = '\xff'

function reverseStart(marker: string, prefix: string): Position {
  const top = `${prefix}${LAST}`
  return marker !== '' && marker < top
    ? { name: marker, exclusive: true }
    : { name: top, exclusive: true }
}

/** Adds what the row stands for; returns where to go on, or null at the end of what is wanted. */
function takeRow(row: StoredRow, plan: Plan, entries: ListEntry[]): Position | null {
  const name = byteText(row.name)
  if (!plan.isWanted(name)) return null
  const { delimiter, prefix, reverse } = plan
  const cut = delimiter === '' ? -1 : name.indexOf(delimiter, prefix.length)
  const folder = cut < 0 ? '' : name.slice(0, cut + delimiter.length)
  if (cut < 0 || (plan.isPath && name === folder)) {
    // With `path` the folder's own marker object stands for the folder, not for something in it.
    const isFolderItself = plan.isPath && name === prefix
    if (!isFolderItself) entries.push(row)
    return { name, exclusive: true }
  }
  if (!plan.isPath && folder !== plan.folderSeen) entries.push({ subdir: fromByteText(folder) })
  if (!reverse) return { name: successor(folder), exclusive: false }
  // With `path` the folder's marker object, the last of the folder on the way back, is still to be shown.
  return { name: folder, exclusive: !plan.isPath }
}

/** The first text behind all that begin with `folder`. */
function successor(folder: string): string {
  return afterPrefix(Buffer.from(folder, 'latin1')).toString('latin1')
}

/** Walks the live rows of all sources in one order. */
class MergeCursor {
  readonly #sources: ListSources
  readonly #reverse: boolean
  readonly #kv: KvCursor

  constructor(sources: ListSources, plan: Plan, limit: number) {
    this.#sources = sources
    this.#reverse = plan.reverse
    this.#kv = new KvCursor(sources, { ...plan, limit })
  }

  /** The first live row at the position or beyond, or null. */
  async next(from: Position): Promise<StoredRow | null> {
    let at = from
    for (;;) {
      const stored = (await this.#kv.first(at))?.[0]
      let name = stored
      let slot: RowSlot | undefined
      for (const memtable of this.#sources.memtables) {
        const found = this.#reverse
          ? memtable.floor(at.name, at.exclusive)
          : memtable.ceiling(at.name, at.exclusive)
        if (found === undefined || (name !== undefined && !this.#comesFirst(found, name, slot)))
          continue
        name = found
        slot = memtable.get(found)
      }
      if (name === undefined) return null
      if (slot === undefined) return this.#kv.row()
      if (slot.row !== null && !slot.row.deleted) return slot.row
      at = { name, exclusive: true }
    }
  }

  /** Ties go to the source asked first: a memtable before the store, the newer memtable before the older. */
  #comesFirst(found: string, best: string, bestSlot: RowSlot | undefined): boolean {
    if (found === best) return bestSlot === undefined
    return this.#reverse ? found > best : found < best
  }

  close(): Promise<void> {
    return this.#kv.close()
  }
}

/**
 * Walks the live rows of the store below, a page at a time; seeks when asked to jump. Pages are small where most rows
 * are jumped over, as in large folders that are rolled up, and grow where they are wanted.
 */
class KvCursor {
  readonly #iterator: KeyValueIterator
  readonly #sources: ListSources
  readonly #reverse: boolean
  readonly #pageRowsMax: number
  #pageRows: number
  #page: readonly (readonly [string, Uint8Array])[] = []
  #index = 0
  /** How many rows of the page were wanted, and which was the last. */
  #wanted = 0
  #wantedIndex = -1
  #isFirst = true
  #isDone = false

  constructor(
    sources: ListSources,
    options: {
      readonly reverse: boolean
      readonly delimiter: string
      readonly limit: number
    },
  ) {
    const all = listKey(SPACES.row, sources.listHash)
    this.#sources = sources
    this.#reverse = options.reverse
    this.#pageRowsMax = Math.min(options.limit + 1, KV_PAGE_MAX)
    this.#pageRows = this.#rowsOf(options.delimiter === '' ? KV_PAGE_MAX : KV_PAGE_MIN)
    this.#iterator = sources.kv.iterate({
      gte: all,
      lt: afterPrefix(all),
      ...(options.reverse && { reverse: true }),
    })
  }

  /** Name and value of the first row at the position or beyond. */
  async first(at: Position): Promise<readonly [string, Uint8Array] | undefined> {
    for (;;) {
      while (this.#index < this.#page.length && this.#isBefore(this.#page[this.#index]![0], at)) {
        this.#index++
      }
      if (this.#index < this.#page.length) return this.#want()
      if (this.#isDone) return undefined
      await this.#load(at)
    }
  }

  #want(): readonly [string, Uint8Array] | undefined {
    if (this.#index !== this.#wantedIndex) this.#wanted++
    this.#wantedIndex = this.#index
    return this.#page[this.#index]
  }

  /** The row that `first` found last. */
  row(): StoredRow {
    const [name, value] = this.#page[this.#index]!
    const row = decodeRow(fromByteText(name), value)
    return row ?? this.#sources.damaged('a row')
  }

  close(): Promise<void> {
    return this.#iterator.close()
  }

  async #load(at: Position): Promise<void> {
    const last = this.#page.at(-1)?.[0]
    if (this.#isFirst || (last !== undefined && last !== at.name && this.#isBefore(last, at))) {
      this.#iterator.seek(listKey(SPACES.row, this.#sources.listHash, at.name))
    }
    if (!this.#isFirst) {
      const isWanted = this.#wanted >= this.#page.length * WANTED_SHARE
      this.#pageRows = this.#rowsOf(isWanted ? this.#pageRows * 2 : KV_PAGE_MIN)
    }
    this.#isFirst = false
    const page = await this.#iterator.next(this.#pageRows)
    this.#isDone = page.length === 0
    this.#page = page.map(([key, value]) => [nameOf(key), value] as const)
    this.#index = 0
    this.#wanted = 0
    this.#wantedIndex = -1
  }

  #rowsOf(wanted: number): number {
    return Math.min(wanted, this.#pageRowsMax)
  }

  #isBefore(name: string, at: Position): boolean {
    if (name === at.name) return at.exclusive
    return this.#reverse ? name > at.name : name < at.name
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset + 17, key.byteLength - 17).toString('latin1')
}
