/** What a device gives away: other devices hold it, and this one is not to. */
import type { ItemKey } from '../../common/item.ts'
import { compareStamps, type Stamp } from '../../common/stamp.ts'
import { byteText } from './keys.ts'
import type { Listings } from './listings.ts'
import { type RegisterId, registerKey } from './memtable.ts'
import { isHeld, isList } from './partition-digests.ts'
import { encodeRecord, RECORD_FLAGS } from './record.ts'
import { goneDraft, goneEntry, NO_BODY } from './register.ts'
import type { Registers } from './registers.ts'
import type { ShardParts } from './shard-parts.ts'

export interface ReleasesOptions
  extends Pick<ShardParts, 'index' | 'pending' | 'newest' | 'journal' | 'reads'> {
  readonly registers: Registers
  readonly listings: Listings
}

export class Releases {
  readonly #options: ReleasesOptions

  constructor(options: ReleasesOptions) {
    this.#options = options
  }

  /**
   * Gives a register away: other devices have the record with this ballot, and this one is not to hold it. False if it
   * holds another by now, or rows that came meanwhile. An older record that is still in the log stays hidden.
   */
  async release(id: RegisterId, ballot: Stamp): Promise<boolean> {
    const { index, pending, newest, journal, reads, registers } = this.#options
    const key = registerKey(id)
    const entry = index.entry(id)
    if (pending.entry(key) !== undefined || !isHeld(entry)) return false
    if (compareStamps(entry.ballot, ballot) !== 0) return false
    if (isList(id.kind) && newest.hasLiveRows(id.hash)) return false
    const { writeId, stamp } = entry
    pending.setEntry(key, { ballot, writeId, live: false, stamp, gone: true })
    return journal.append(encodeRecord(goneDraft(id, { ballot, stamp, writeId })), {
      apply: (place) => {
        reads.forget(key)
        registers.replaced(index.applyEntry(id, goneEntry(entry, place)), NO_BODY)
        return true
      },
      end: () => pending.clearEntry(key, ballot),
    })
  }

  /** The same for a row. */
  async releaseRow(list: ItemKey, name: string, ballot: Stamp): Promise<boolean> {
    const { index, pending, listings } = this.#options
    const key = byteText(name)
    const row = index.row(list.hash, key)
    if (row === null || row.gone || compareStamps(row.ballot, ballot) !== 0) return false
    if (pending.row(list.hash, key) !== undefined) return false
    const gone = { ...row, deleted: true, confirmed: true, bytes: 0, count: 0, etag: '' }
    await listings.commitRow(list, key, gone, RECORD_FLAGS.gone)
    return true
  }
}
