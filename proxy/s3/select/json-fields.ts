import { isTable } from './csv-columns.ts'
import type { Bind } from './sql/evaluate.ts'
import { unmarked } from './sql/json-value.ts'
import type { FieldStep, PathStep } from './sql/query.ts'
import { type Nested, parseNumber, type Value } from './sql/value.ts'

/** What paths mean in rows of JSON: fields of the row, or of what the table's name stands for. */
export function bindFields(alias: string | null): Bind<unknown> {
  return (steps) => {
    const [first, ...rest] = steps
    if (isTable(first, alias)) return (row) => fieldValue(follow(row, rest))
    // The row itself is its first column.
    if (first.name !== '_1') return (row) => fieldValue(follow(row, steps))
    return (row) => {
      const field = follow(row, steps)
      return fieldValue(field === undefined ? follow(row, rest) : field)
    }
  }
}

function follow(row: unknown, steps: readonly PathStep[]): unknown {
  let at = row
  for (const step of steps) {
    if (typeof at !== 'object' || at === null) return undefined
    if (step.kind === 'field') at = Array.isArray(at) ? undefined : fieldOf(at as Nested, step)
    else at = Array.isArray(at) ? (at[step.index] as unknown) : undefined
  }
  return at
}

function fieldOf(of: Nested, { name, isQuoted }: FieldStep): unknown {
  if (Object.hasOwn(of, name)) return of[name]
  if (isQuoted) return undefined
  const folded = name.toLowerCase()
  const found = Object.keys(of).find((known) => known.toLowerCase() === folded)
  return found === undefined ? undefined : of[found]
}

/** As expressions have it. */
export function fieldValue(kept: unknown): Value {
  if (typeof kept === 'number') return BigInt(kept)
  if (typeof kept !== 'string') return kept as Value
  const { text, isNumber } = unmarked(kept)
  return isNumber ? parseNumber(text) : text
}
