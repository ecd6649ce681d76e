/**
 * What is on its way to disk: writes decide by it, reads do not see it. All of it is gone when a batch fails, because
 * then everybody who waits fails.
 */
import { compareStamps, type Stamp } from '../../common/stamp.ts'

export interface PendingEntry {
  readonly ballot: Stamp
  readonly writeId: string
  readonly live: boolean
  /** It is being given away. */
  readonly gone?: boolean
  /** Of the data: when a container was made. */
  readonly stamp: Stamp
}

export class Pending {
  readonly #entries = new Map<string, PendingEntry>()
  /** Promises on their way, the highest of each register. */
  readonly #promises = new Map<string, Stamp>()
  readonly #rows = new Map<string, Stamp>()
  /** Live rows on their way, by list. */
  readonly #liveRows = new Map<string, number>()
  readonly #waiters = new Map<string, (() => void)[]>()

  entry(key: string): PendingEntry | undefined {
    return this.#entries.get(key)
  }

  setEntry(key: string, entry: PendingEntry): void {
    this.#entries.set(key, entry)
  }

  /** The write has ended, one way or the other. */
  clearEntry(key: string, ballot: Stamp): void {
    const pending = this.#entries.get(key)
    if (pending === undefined || compareStamps(pending.ballot, ballot) !== 0) return
    this.#entries.delete(key)
    const waiters = this.#waiters.get(key)
    if (waiters === undefined) return
    this.#waiters.delete(key)
    for (const resume of waiters) resume()
  }

  /** Resolves when nothing of the register is on its way. */
  async settled(key: string): Promise<void> {
    while (this.#entries.has(key)) {
      await new Promise<void>((resolve) => {
        const waiters = this.#waiters.get(key)
        if (waiters === undefined) this.#waiters.set(key, [resolve])
        else waiters.push(resolve)
      })
    }
  }

  promise(key: string): Stamp | undefined {
    return this.#promises.get(key)
  }

  /** Promises of a register only rise. */
  setPromise(key: string, ballot: Stamp): void {
    this.#promises.set(key, ballot)
  }

  clearPromise(key: string, ballot: Stamp): void {
    const pending = this.#promises.get(key)
    if (pending !== undefined && compareStamps(pending, ballot) === 0) this.#promises.delete(key)
  }

  row(key: string): Stamp | undefined {
    return this.#rows.get(key)
  }

  setRow(
    listHash: string,
    key: string,
    row: { readonly ballot: Stamp; readonly deleted: boolean },
  ): void {
    this.#rows.set(key, row.ballot)
    if (!row.deleted) this.#liveRows.set(listHash, (this.#liveRows.get(listHash) ?? 0) + 1)
  }

  clearRow(
    listHash: string,
    key: string,
    row: { readonly ballot: Stamp; readonly deleted: boolean },
  ): void {
    const pending = this.#rows.get(key)
    if (pending !== undefined && compareStamps(pending, row.ballot) === 0) this.#rows.delete(key)
    if (row.deleted) return
    const count = (this.#liveRows.get(listHash) ?? 0) - 1
    if (count > 0) this.#liveRows.set(listHash, count)
    else this.#liveRows.delete(listHash)
  }

  hasLiveRows(listHash: string): boolean {
    return this.#liveRows.has(listHash)
  }
}
