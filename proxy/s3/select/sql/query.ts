/** A query as it was parsed: plain data, which may go to another thread. */

export const TYPES = ['bool', 'int', 'float', 'decimal', 'string', 'timestamp'] as const
export type SqlType = (typeof TYPES)[number]

export const DATE_PARTS = ['year', 'month', 'day', 'hour', 'minute', 'second'] as const
export type DatePart = (typeof DATE_PARTS)[number]
/** What can be asked of a time besides. */
export type ExtractPart = DatePart | 'timezone_hour' | 'timezone_minute'

export const AGGREGATES = ['count', 'sum', 'avg', 'min', 'max'] as const
export type AggregateName = (typeof AGGREGATES)[number]

export const COMPARISONS = ['=', '!=', '<', '<=', '>', '>='] as const
export type Comparison = (typeof COMPARISONS)[number]
export type Arithmetic = '+' | '-' | '*' | '/' | '%'

/** A name of a field; one that was not quoted has no case. */
export interface FieldStep {
  readonly kind: 'field'
  readonly name: string
  readonly isQuoted: boolean
}
export type PathStep = FieldStep | { readonly kind: 'index'; readonly index: number }
export type SourceStep = PathStep | { readonly kind: 'all' }

export type Expression =
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'timestamp'; readonly text: string }
  | { readonly kind: 'constant'; readonly value: boolean | null | undefined }
  | { readonly kind: 'path'; readonly steps: readonly [FieldStep, ...PathStep[]] }
  | { readonly kind: 'not'; readonly of: Expression }
  | { readonly kind: 'negate'; readonly of: Expression }
  | Pair<'and'>
  | Pair<'or'>
  | Pair<'concat'>
  | Binary<'compare', Comparison>
  | Binary<'arithmetic', Arithmetic>
  | { readonly kind: 'is'; readonly of: Expression; readonly what: 'null' | 'missing' }
  | { readonly kind: 'in'; readonly of: Expression; readonly list: readonly Expression[] }
  | {
      readonly kind: 'between'
      readonly of: Expression
      readonly low: Expression
      readonly high: Expression
    }
  | {
      readonly kind: 'like'
      readonly of: Expression
      readonly pattern: Expression
      readonly escape: Expression | null
    }
  | { readonly kind: 'cast'; readonly of: Expression; readonly to: SqlType }
  | {
      readonly kind: 'case'
      readonly of: Expression | null
      readonly whens: readonly { readonly when: Expression; readonly result: Expression }[]
      readonly otherwise: Expression | null
    }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | {
      readonly kind: 'trim'
      readonly side: 'leading' | 'trailing' | 'both'
      readonly chars: Expression | null
      readonly of: Expression
    }
  | {
      readonly kind: 'date'
      readonly name: 'date_add' | 'date_diff'
      readonly part: DatePart
      readonly args: readonly [Expression, Expression]
    }
  | { readonly kind: 'extract'; readonly part: ExtractPart; readonly of: Expression }
  /** `of` null: COUNT(*). */
  | { readonly kind: 'aggregate'; readonly name: AggregateName; readonly of: Expression | null }

interface Pair<Kind> {
  readonly kind: Kind
  readonly left: Expression
  readonly right: Expression
}

interface Binary<Kind, Operator> extends Pair<Kind> {
  readonly operator: Operator
}

export interface Projection {
  readonly of: Expression
  readonly alias: string | null
}

export interface Query {
  /** Null: everything (`*`). */
  readonly list: readonly Projection[] | null
  /** Below each value of the object. */
  readonly source: readonly SourceStep[]
  /** What stands for a row in paths; null: nothing but S3Object. */
  readonly alias: string | null
  readonly where: Expression | null
  readonly limit: number | null
}
