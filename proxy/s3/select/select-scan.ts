/** A whole query over text: pieces of it go in, records come out. Knows no threads and no requests. */
import { bindColumns } from './csv-columns.ts'
import { type CsvRow, CsvRows } from './csv-rows.ts'
import { bindFields, fieldValue } from './json-fields.ts'
import { JsonRows } from './json-rows.ts'
import { RowOutput } from './row-output.ts'
import { SelectError } from './select-error.ts'
import type { CsvInput, CsvOutput, JsonInput, JsonOutput } from './select-request.ts'
import type { Query } from './sql/query.ts'
import { outputNames, QueryRun } from './sql/run-query.ts'

export interface SelectPlan {
  readonly request: {
    readonly input: CsvInput | JsonInput
    readonly output: CsvOutput | JsonOutput
  }
  readonly query: Query
  readonly nowMs: number
}

/** A query that rows go through. */
interface Rows {
  push(bytes: Buffer): void
  end(): void
}

export class SelectScan {
  readonly #rows: Rows
  readonly #decoder = new TextDecoder('utf-8', { fatal: true })
  readonly #send: (piece: Buffer) => void
  #run: Pick<QueryRun<never>, 'isOpen'> | null = null
  #output: RowOutput | null = null

  /** `send` may wait: nothing goes on before it returns. */
  constructor(plan: SelectPlan, send: (piece: Buffer) => void) {
    this.#send = send
    const { input } = plan.request
    this.#rows = input.format === 'csv' ? this.#csvRows(plan, input) : this.#jsonRows(plan)
  }

  /** Whether more is wanted. Keeps nothing of the bytes that the caller may change. */
  push(bytes: Buffer): boolean {
    this.#check(() => this.#decoder.decode(bytes, { stream: true }))
    this.#rows.push(bytes)
    return this.#isOpen
  }

  /** Nothing comes any more, or nothing was wanted: then what has not come is not missed. */
  end(): void {
    if (this.#isOpen) {
      this.#check(() => this.#decoder.decode())
      this.#rows.end()
    }
    this.#output?.flush()
  }

  get #isOpen(): boolean {
    return this.#run?.isOpen ?? true
  }

  #check(decode: () => void): void {
    try {
      decode()
    } catch {
      throw new SelectError('InvalidTextEncoding')
    }
  }

  #csvRows(plan: SelectPlan, input: CsvInput): Rows {
    let run: QueryRun<CsvRow> | null = input.header === 'NONE' ? this.#csvRun(plan, null) : null
    const rows = new CsvRows(input, (row) => {
      if (run !== null) run.take(row)
      else run = this.#csvRun(plan, input.header === 'USE' ? row : null)
    })
    return {
      push: (bytes) => rows.push(bytes),
      end: () => {
        rows.end()
        // Without a first row there are no names to look for.
        run ??= input.header === 'USE' ? null : this.#csvRun(plan, null)
        run?.end([])
      },
    }
  }

  #csvRun({ request, query, nowMs }: SelectPlan, header: CsvRow | null): QueryRun<CsvRow> {
    if (query.source.length > 0) throw new SelectError('ParseInvalidPathComponent')
    const names = query.list === null ? (header ?? []) : outputNames(query)
    const output = new RowOutput(request.output, names, this.#send)
    const run = new QueryRun<CsvRow>(query, {
      bind: bindColumns({ header, alias: query.alias }),
      output: { whole: (row) => output.values(row), values: (values) => output.values(values) },
      nowMs,
    })
    this.#output = output
    this.#run = run
    return run
  }

  #jsonRows({ request, query, nowMs }: SelectPlan): Rows {
    const output = new RowOutput(request.output, outputNames(query), this.#send)
    const run = new QueryRun<unknown>(query, {
      bind: bindFields(query.alias),
      output: {
        whole: (row) => output.value(fieldValue(row)),
        values: (values) => output.values(values),
      },
      nowMs,
    })
    this.#output = output
    this.#run = run
    const rows = new JsonRows(query.source, (row) => run.take(row))
    return {
      push: (bytes) => rows.push(bytes),
      end: () => {
        rows.end()
        run.end(undefined)
      },
    }
  }
}
