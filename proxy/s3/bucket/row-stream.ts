import type { ListEntry, ListRow } from '../../../common/storage-node.ts'
import type { Backend } from '../../backend/backend.ts'

/** The rows of a container in their order, fetched as they are needed. */
export class RowStream {
  readonly #backend: Backend
  readonly #at: { readonly account: string; readonly container: string }
  readonly #prefix: string
  readonly #rowsMax: number
  #marker: string | undefined
  #rows: readonly ListEntry[] = []
  #next = 0
  #isEnd = false

  constructor(
    backend: Backend,
    at: { readonly account: string; readonly container: string },
    options: {
      readonly prefix: string
      /** Of one page. */
      readonly rowsMax: number
    },
  ) {
    this.#backend = backend
    this.#at = at
    this.#prefix = options.prefix
    this.#rowsMax = options.rowsMax
  }

  /** The row at which the stream is; null at its end. A container that is not there has none. */
  async head(): Promise<ListRow | null> {
    for (;;) {
      const row = this.#rows[this.#next]
      if (row === undefined) {
        if (this.#isEnd) return null
        await this.#fetch()
      } else if ('subdir' in row) this.#next++
      else return row
    }
  }

  /** Goes on to the next row. */
  take(): void {
    this.#next++
  }

  /** Begins behind that name. */
  skipTo(name: string): void {
    this.#marker = name
    this.#rows = []
    this.#next = 0
    this.#isEnd = false
  }

  /** Leaves out rows as long as their names are such; those that are not here yet are asked for behind `beyond`. */
  async dropWhile(isSuch: (name: string) => boolean, beyond: string): Promise<void> {
    const before = this.#rows.length
    for (let row = this.#rows[this.#next]; row !== undefined; row = this.#rows[this.#next]) {
      if (!('subdir' in row) && !isSuch(row.name)) return
      this.#next++
    }
    if (before > 0 && !this.#isEnd) this.skipTo(beyond)
    for (let row = await this.head(); row !== null && isSuch(row.name); row = await this.head()) {
      this.take()
    }
  }

  async #fetch(): Promise<void> {
    const { account, container } = this.#at
    const page = await this.#backend.listContainer(account, container, {
      limit: this.#rowsMax,
      ...(this.#prefix !== '' && { prefix: this.#prefix }),
      ...(this.#marker !== undefined && { marker: this.#marker }),
    })
    this.#rows = page?.entries ?? []
    this.#next = 0
    this.#isEnd = this.#rows.length < this.#rowsMax
    const last = this.#rows.at(-1)
    if (last !== undefined) this.#marker = 'subdir' in last ? last.subdir : last.name
  }
}
