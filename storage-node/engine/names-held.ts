/**
 * Knows of most new names that the index does not have them, neither in memory nor in the store below, without asking
 * either. What it knows is read in the background once a write has asked for a name in vain, and followed from then on:
 * whoever adds a name to the index says so. While it is being read, and whenever that fails, everything may be there.
 */
import type { KeyValue, KeyValueIterator } from '../../common/key-value.ts'
import { asBuffer } from './entry.ts'
import { SPACES } from './keys.ts'
import type { Memtable } from './memtable.ts'
import { NameFilter } from './name-filter.ts'

const SCAN_PAGE = 1000
const ENTRY_HASH_AT = 8
const LIST_HASH_AT = 1
const HASH_BYTES = 16

/** Which hashes are the shard's: those whose first byte, scaled to the number of shards, is its own. */
export interface OwnHashes {
  readonly shard: number
  readonly shards: number
}

export class NamesHeld {
  readonly #kv: KeyValue
  readonly #own: OwnHashes
  readonly #filter: NameFilter
  #state: 'unread' | 'reading' | 'known' | 'unknowable' = 'unread'
  #reading: Promise<void> = Promise.resolve()

  constructor(kv: KeyValue, own: OwnHashes, filter = new NameFilter()) {
    this.#kv = kv
    this.#own = own
    this.#filter = filter
  }

  /** Whether new names need not be looked for. */
  get isKnown(): boolean {
    return this.#state === 'known'
  }

  mayHaveRegister(hash: string): boolean {
    return this.#state !== 'known' || this.#filter.mayHaveRegister(hash)
  }

  /** Of live and deleted rows; `name` in byte text. */
  mayHaveRow(listHash: string, name: string): boolean {
    return this.#state !== 'known' || this.#filter.mayHaveRow(listHash, name)
  }

  /** The index takes the register in. */
  addRegister(hash: string): void {
    if (this.#state === 'reading' || this.#state === 'known') this.#filter.addRegister(hash)
  }

  addRow(listHash: string, name: string): void {
    if (this.#state === 'reading' || this.#state === 'known') this.#filter.addRow(listHash, name)
  }

  /**
   * The store was asked in vain; `memtable` is all that is not in it. Only to be called while nothing is on its way from one
   * to the other.
   */
  missed({ entries, lists }: Pick<Memtable, 'entries' | 'lists'>): void {
    if (this.#state !== 'unread') return
    this.#state = 'reading'
    for (const { id } of entries.values()) this.#filter.addRegister(id.hash)
    for (const [hash, { rows }] of lists) {
      for (const [name] of rows.entries()) this.#filter.addRow(hash, name)
    }
    // All cursors in this turn: what is written from here on is said to `add…`.
    const cursors = [SPACES.entry, SPACES.row, SPACES.deletedRow].map((space) =>
      this.#cursor(space),
    )
    this.#reading = this.#read(cursors)
  }

  /** Ends the reading, if there is any; nothing more is known afterwards. */
  async stop(): Promise<void> {
    this.#state = 'unknowable'
    await this.#reading
  }

  #cursor(space: number): { readonly space: number; readonly iterator: KeyValueIterator } {
    const { shard, shards } = this.#own
    // Rows lie by the hash of their list, registers by placement.
    const [from, to] =
      space === SPACES.entry
        ? [0, 256]
        : [Math.ceil((shard * 256) / shards), Math.ceil(((shard + 1) * 256) / shards)]
    const lt = to === 256 ? Buffer.of(space + 1) : Buffer.of(space, to)
    return { space, iterator: this.#kv.iterate({ gte: Buffer.of(space, from), lt }) }
  }

  async #read(
    cursors: readonly { readonly space: number; readonly iterator: KeyValueIterator }[],
  ): Promise<void> {
    try {
      for (const { space, iterator } of cursors) {
        for (;;) {
          const page = await iterator.next(SCAN_PAGE)
          if (page.length === 0 || this.#state !== 'reading') break
          for (const [key] of page) this.#take(space, asBuffer(key))
        }
      }
      if (this.#state === 'reading') this.#state = this.#filter.isOfUse ? 'known' : 'unknowable'
    } catch {
      // The store is asked as before, and says what is wrong with it.
      this.#state = 'unknowable'
    }
    for (const { iterator } of cursors) await iterator.close().catch(ignore)
  }

  #take(space: number, key: Buffer): void {
    const at = space === SPACES.entry ? ENTRY_HASH_AT : LIST_HASH_AT
    const { shard, shards } = this.#own
    if ((key[at]! * shards) >> 8 !== shard) return
    const hash = key.toString('latin1', at, at + HASH_BYTES)
    if (space === SPACES.entry) this.#filter.addRegister(hash)
    else this.#filter.addRow(hash, key.toString('latin1', at + HASH_BYTES))
  }
}

function ignore(): void {}
