/**
 * The rows of a shard that are not confirmed, by list and name. Two steps of maps: a key made of both would be a new text
 * for every write, whose hash nobody knows.
 */
import type { Stamp } from '../../common/stamp.ts'
import type { ListId } from './memtable.ts'

/** A row in doubt, and since when (monotonic milliseconds). */
export interface RowDoubt {
  readonly list: ListId
  /** In byte text. */
  readonly name: string
  readonly ballot: Stamp
  readonly sinceMs: number
}

export class RowDoubts {
  readonly #lists = new Map<string, Map<string, RowDoubt>>()

  get(listHash: string, name: string): RowDoubt | undefined {
    return this.#lists.get(listHash)?.get(name)
  }

  add(doubt: RowDoubt): void {
    const { hash } = doubt.list
    const rows = this.#lists.get(hash)
    if (rows === undefined) this.#lists.set(hash, new Map([[doubt.name, doubt]]))
    else rows.set(doubt.name, doubt)
  }

  delete(listHash: string, name: string): void {
    const rows = this.#lists.get(listHash)
    if (rows === undefined) return
    rows.delete(name)
    if (rows.size === 0) this.#lists.delete(listHash)
  }

  /** Lists by their first doubt, and within one by age. */
  *values(): Generator<RowDoubt, void, undefined> {
    for (const rows of this.#lists.values()) yield* rows.values()
  }
}
