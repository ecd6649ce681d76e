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

/** Rows of one list on their way. */
interface PendingRows {
  /** The newest ballot of each name, in byte text. */
  readonly ballots: Map<string, Stamp>
  /** Records, of which some may be of one name. */
  count: number
  /** How many of them are not deletions. */
  live: number
}

type RowOnItsWay = { readonly ballot: Stamp; readonly deleted: boolean }

export class Pending {
  readonly #entries = new Map<string, PendingEntry>()
  /** Promises on their way, the highest of each register. */
  readonly #promises = new Map<string, Stamp>()
  /** By list. */
  readonly #rows = new Map<string, PendingRows>()
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

  row(listHash: string, name: string): Stamp | undefined {
    return this.#rows.get(listHash)?.ballots.get(name)
  }

  setRow(listHash: string, name: string, { ballot, deleted }: RowOnItsWay): void {
    let rows = this.#rows.get(listHash)
    if (rows === undefined) {
      rows = { ballots: new Map(), count: 0, live: 0 }
      this.#rows.set(listHash, rows)
    }
    rows.ballots.set(name, ballot)
    rows.count++
    if (!deleted) rows.live++
  }

  clearRow(listHash: string, name: string, { ballot, deleted }: RowOnItsWay): void {
    const rows = this.#rows.get(listHash)
    if (rows === undefined) return
    const newest = rows.ballots.get(name)
    if (newest !== undefined && compareStamps(newest, ballot) === 0) rows.ballots.delete(name)
    rows.count--
    if (!deleted) rows.live--
    if (rows.count === 0) this.#rows.delete(listHash)
  }

  hasLiveRows(listHash: string): boolean {
    return (this.#rows.get(listHash)?.live ?? 0) > 0
  }
}
