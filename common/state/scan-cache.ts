/** A row as it is stored: its place, and its checksum and JSON. */
export type StoredRow = readonly [place: Uint8Array, text: string]

const SCANS_MAX = 1000
/** Longer ones are asked for rarely, and would take most of the memory. */
const ROWS_MAX = 100

interface Scan {
  readonly rows: readonly StoredRow[]
  /** Of the table, when the scan began. */
  readonly changes: number
}

/**
 * What scans of the state found, for as long as nothing in their table is changed: the short lists that every check of
 * a right begins with. Exact, because one process has the state. At most 1,000 scans of 100 rows; the oldest goes first.
 */
export class ScanCache {
  readonly #scans = new Map<string, Scan>()
  /** How often each table was changed. */
  readonly #changes = new Map<string, number>()

  /** `range` is part of the key: whatever tells one scan of the table from another. */
  async rows(
    table: string,
    range: string,
    scan: () => Promise<readonly StoredRow[]>,
  ): Promise<readonly StoredRow[]> {
    const key = `${table}!${range}`
    const changes = this.#changesOf(table)
    const known = this.#scans.get(key)
    if (known?.changes === changes) return known.rows
    const rows = await scan()
    this.#scans.delete(key)
    if (rows.length <= ROWS_MAX) this.#keep(key, { rows, changes })
    return rows
  }

  /** To be called after the change and before it is acknowledged. */
  noteChange(table: string): void {
    this.#changes.set(table, this.#changesOf(table) + 1)
  }

  #changesOf(table: string): number {
    return this.#changes.get(table) ?? 0
  }

  #keep(key: string, scan: Scan): void {
    if (this.#scans.size >= SCANS_MAX) {
      for (const oldest of this.#scans.keys()) {
        this.#scans.delete(oldest)
        break
      }
    }
    this.#scans.set(key, scan)
  }
}
