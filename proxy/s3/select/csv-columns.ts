import type { CsvRow } from './csv-rows.ts'
import { SelectError } from './select-error.ts'
import type { Bind } from './sql/evaluate.ts'
import type { FieldStep, PathStep } from './sql/query.ts'

const POSITION = /^_(\d{1,9})$/

/** What paths mean in rows of CSV. `header` null: columns have no names. MissingHeaders for a name that there is not. */
export function bindColumns(of: TableNames): Bind<CsvRow> {
  return (steps) => {
    const index = columnIndex(steps, of)
    return (row) => row[index]
  }
}

/** Where the column is in a row that a path means. */
export function columnIndex(
  steps: readonly [FieldStep, ...PathStep[]],
  { header, alias }: TableNames,
): number {
  return indexOf(columnOf(steps, alias), header)
}

interface TableNames {
  readonly header: readonly string[] | null
  readonly alias: string | null
}

/** The column's name behind that of the table. */
function columnOf(
  [first, ...rest]: readonly [FieldStep, ...PathStep[]],
  alias: string | null,
): FieldStep {
  if (rest.length === 0) return first
  const [column, ...deeper] = rest
  if (!isTable(first, alias)) throw new SelectError('InvalidTableAlias', first.name)
  if (column?.kind !== 'field' || deeper.length > 0) {
    throw new SelectError('ParseInvalidPathComponent')
  }
  return column
}

/** Whether it names the table of the query. */
export function isTable({ name, isQuoted }: FieldStep, alias: string | null): boolean {
  if (alias === null) return name.toLowerCase() === 's3object'
  return isQuoted ? name === alias : name.toLowerCase() === alias.toLowerCase()
}

function indexOf({ name, isQuoted }: FieldStep, header: TableNames['header']): number {
  const exact = header?.indexOf(name) ?? -1
  if (exact >= 0) return exact
  const folded = name.toLowerCase()
  const found = isQuoted ? -1 : (header?.findIndex((known) => known.toLowerCase() === folded) ?? -1)
  if (found >= 0) return found
  const position = POSITION.exec(name)
  if (position === null) throw new SelectError('MissingHeaders', name)
  if (Number(position[1]) === 0) throw new SelectError('InvalidColumnIndex', name)
  return Number(position[1]) - 1
}
