/** A whole query over a Parquet file: only the columns that it names are read, a row at a time. Knows no threads and no requests. */
import type { RowGroup } from 'hyparquet'
import { columnIndex } from '../csv-columns.ts'
import { RowOutput } from '../row-output.ts'
import { spanOf } from '../scan-range.ts'
import { SelectError } from '../select-error.ts'
import type { CsvOutput, JsonOutput, ScanRange } from '../select-request.ts'
import type { FieldStep, PathStep, Query } from '../sql/query.ts'
import { outputNames, QueryRun } from '../sql/run-query.ts'
import type { Value } from '../sql/value.ts'
import { ColumnChunk } from './column-chunk.ts'
import { MemoryBudget } from './memory-budget.ts'
import {
  chunkOf,
  notParquet,
  type ParquetFooter,
  parsing,
  type ReadBytes,
  readFooter,
} from './parquet-footer.ts'
import { valueType } from './parquet-types.ts'

/** Of the columns' pages and dictionaries, unpacked, and of what was read ahead. */
const MEMORY_BYTES_MAX = 96 * 1024 * 1024
/** Read ahead of all columns together. */
const AHEAD_BYTES = 16 * 1024 * 1024
const WINDOW_BYTES_MAX = 512 * 1024
const WINDOW_BYTES_MIN = 16 * 1024
/** Rows between two pauses. */
const ROWS_AT_ONCE = 16_384

type Row = readonly Value[]

export interface ParquetPlan {
  readonly output: CsvOutput | JsonOutput
  readonly range: ScanRange | null
  readonly query: Query
  readonly nowMs: number
  /** Of the whole file. */
  readonly bytes: number
}

export interface ParquetSource {
  readonly read: ReadBytes
  /** Called again and again, so that whoever waits may end it all. */
  readonly pause: () => void
}

/** `send` may wait. */
export function scanParquet(
  plan: ParquetPlan,
  source: ParquetSource,
  send: (piece: Buffer) => void,
): void {
  new ParquetScan(plan, source, send).run()
}

class ParquetScan {
  readonly #source: ParquetSource
  readonly #plan: ParquetPlan
  readonly #footer: ParquetFooter
  readonly #run: QueryRun<Row>
  readonly #output: RowOutput
  /** Columns that the query looks at. */
  readonly #used: readonly number[]
  readonly #budget = new MemoryBudget(MEMORY_BYTES_MAX)
  #sincePause = 0

  constructor(plan: ParquetPlan, source: ParquetSource, send: (piece: Buffer) => void) {
    const { query, nowMs } = plan
    if (query.source.length > 0) throw new SelectError('ParseInvalidPathComponent')
    this.#source = source
    this.#plan = plan
    this.#footer = readFooter(source.read, plan.bytes)
    const header = this.#footer.columns.map(({ name }) => name)
    const used = new Set(query.list === null ? header.keys() : [])
    const names = query.list === null ? header : outputNames(query)
    const output = new RowOutput(plan.output, names, send)
    this.#output = output
    this.#run = new QueryRun<Row>(query, {
      bind: (steps: readonly [FieldStep, ...PathStep[]]) => {
        const index = columnIndex(steps, { header, alias: query.alias })
        if (index < header.length) used.add(index)
        return (row) => row[index]
      },
      output: { whole: (row) => output.values(row), values: (values) => output.values(values) },
      nowMs,
    })
    this.#used = used.size > 0 ? [...used] : [this.#shortest()]
  }

  run(): void {
    for (const group of this.#groups()) {
      if (!this.#run.isOpen) break
      this.#scan(group)
    }
    this.#run.end([])
    this.#output.flush()
  }

  /** Those that begin in the range. */
  #groups(): readonly RowGroup[] {
    const { groups } = this.#footer
    const { range, bytes } = this.#plan
    if (range === null) return groups
    const span = spanOf(range, bytes)
    if (span === null) return []
    return groups.filter((group) => {
      const starts = group.columns.map(({ meta_data: meta }) => {
        const { dictionary_page_offset: dictionary, data_page_offset: data } =
          meta ?? raiseNotParquet()
        return Number(dictionary && dictionary < data ? dictionary : data)
      })
      const start = starts.reduce((least, one) => Math.min(least, one), Number.POSITIVE_INFINITY)
      return start >= span.start && start <= span.last
    })
  }

  #scan(group: RowGroup): void {
    const chunks = this.#used.map((index) => ({ index, chunk: this.#open(group, index) }))
    const rows = Number(group.num_rows)
    const row: Value[] = new Array(this.#footer.columns.length).fill(undefined)
    for (let i = 0; i < rows && this.#run.isOpen; i++) {
      for (const { index, chunk } of chunks) row[index] = parsing(() => chunk.next())
      this.#run.take(row)
      if (++this.#sincePause < ROWS_AT_ONCE) continue
      this.#sincePause = 0
      this.#source.pause()
    }
    for (const { chunk } of chunks) chunk.close()
  }

  #open(group: RowGroup, index: number): ColumnChunk {
    const { columns } = this.#footer
    const { name, leaf } = columns[index]!
    const type = leaf === null ? null : valueType(leaf.element)
    if (leaf === null || type === null) {
      throw new SelectError(
        'ParquetParsingError',
        `The column ${name} is of a type that is not read.`,
      )
    }
    const ahead = Math.min(WINDOW_BYTES_MAX, Math.floor(AHEAD_BYTES / this.#used.length))
    const place = { ...chunkOf(this.#footer, { group, index }), element: leaf.element, type }
    const { read } = this.#source
    const windowBytes = Math.max(WINDOW_BYTES_MIN, ahead)
    return new ColumnChunk(place, { read, budget: this.#budget, windowBytes })
  }

  /** Where no column is asked for, one of them tells how many rows there are. */
  #shortest(): number {
    const { columns, groups } = this.#footer
    const bytesOf = (index: number) =>
      groups.reduce((sum, group) => {
        const { start, end } = chunkOf(this.#footer, { group, index })
        return sum + end - start
      }, 0)
    const flat = [...columns.keys()].filter((index) => {
      const leaf = columns[index]!.leaf
      return leaf !== null && valueType(leaf.element) !== null
    })
    if (flat.length === 0) throw new SelectError('ParquetParsingError', 'It has no plain columns.')
    const sized = flat.map((index) => ({ index, bytes: bytesOf(index) }))
    return sized.reduce((least, one) => (one.bytes < least.bytes ? one : least)).index
  }
}

function raiseNotParquet(): never {
  throw notParquet()
}
