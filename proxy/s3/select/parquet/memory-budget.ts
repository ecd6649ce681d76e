import { SelectError } from '../select-error.ts'

/** Bytes that a query may hold at once, of all its columns. */
export class MemoryBudget {
  #left: number

  constructor(bytes: number) {
    this.#left = bytes
  }

  /** Takes so many more, or gives them back. OverMaxParquetBlockSize where there are not as many. */
  change(bytes: number): void {
    this.#left -= bytes
    if (this.#left >= 0) return
    throw new SelectError(
      'OverMaxParquetBlockSize',
      'Its pages are too long: ask for fewer columns.',
    )
  }
}
