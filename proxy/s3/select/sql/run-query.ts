import { SelectError } from '../select-error.ts'
import { type Bind, Compiler, type Evaluate } from './evaluate.ts'
import type { Expression, Query } from './query.ts'
import { booleanOf, type Value } from './value.ts'

/** Takes what comes out. */
export interface QueryOutput<Row> {
  /** A row as it is. */
  whole(row: Row): void
  /** What the list comes to; its names were asked for before. */
  values(values: readonly Value[]): void
}

/** A query on its way through the rows. */
export class QueryRun<Row> {
  readonly #output: QueryOutput<Row>
  readonly #where: Evaluate<Row> | null
  /** Null: everything. */
  readonly #list: readonly Evaluate<Row>[] | null
  readonly #accumulators: Compiler<Row>['accumulators']
  #left: number

  constructor(
    query: Query,
    options: {
      readonly bind: Bind<Row>
      readonly output: QueryOutput<Row>
      readonly nowMs: number
    },
  ) {
    this.#output = options.output
    const where = new Compiler(options.bind, options)
    this.#where = query.where === null ? null : where.compile(query.where)
    const list = new Compiler(options.bind, options)
    this.#list = query.list?.map(({ of }) => list.compile(of)) ?? null
    this.#accumulators = list.accumulators
    if (this.#isAggregate && list.hasPaths) {
      throw new SelectError('UnsupportedSqlStructure', 'Aggregates and columns stand side by side.')
    }
    this.#left = query.limit ?? Number.POSITIVE_INFINITY
  }

  get #isAggregate(): boolean {
    return this.#accumulators.length > 0
  }

  /** Whether more rows are wanted. */
  get isOpen(): boolean {
    return this.#left > 0
  }

  take(row: Row): void {
    if (!this.isOpen) return
    if (this.#where !== null && booleanOf(this.#where(row)) !== true) return
    if (this.#isAggregate) {
      for (const { into, of } of this.#accumulators) into.take(of === null ? true : of(row))
      return
    }
    this.#left--
    if (this.#list === null) this.#output.whole(row)
    else this.#output.values(this.#list.map((of) => of(row)))
  }

  /** No row comes after it; `row` is one of nothing. */
  end(row: Row): void {
    if (!this.#isAggregate || !this.isOpen) return
    this.#output.values(this.#list!.map((of) => of(row)))
  }
}

/** What the columns of the answer are called: by alias, by the last part of a path, or by where they stand. */
export function outputNames({ list }: Query): readonly string[] {
  return (list ?? []).map(({ of, alias }, index) => alias ?? pathName(of) ?? `_${index + 1}`)
}

function pathName(of: Expression): string | null {
  const last = of.kind === 'path' ? of.steps.at(-1) : undefined
  return last?.kind === 'field' ? last.name : null
}
