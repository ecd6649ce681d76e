/** Expressions made into functions of a row, once for all rows. */
import { SelectError } from '../select-error.ts'
import { Accumulator } from './aggregate.ts'
import { callFunction, trim } from './functions.ts'
import { likeMatcher } from './like.ts'
import type { Expression, FieldStep, PathStep } from './query.ts'
import { parseTimestamp, Timestamp } from './timestamp.ts'
import {
  booleanOf,
  calculate,
  cast,
  compare,
  isNothing,
  negative,
  numberOf,
  parseNumber,
  textOf,
  type Value,
} from './value.ts'

export type Evaluate<Row> = (row: Row) => Value
/** What a path means in a row. */
export type Bind<Row> = (steps: readonly [FieldStep, ...PathStep[]]) => Evaluate<Row>

/** Makes functions of the expressions of one query. */
export class Compiler<Row> {
  readonly #bind: Bind<Row>
  readonly #nowMs: number
  /** Of all aggregates that came up; each takes every row, and its value is asked for at the end. */
  readonly accumulators: { readonly into: Accumulator; readonly of: Evaluate<Row> | null }[] = []
  /** Whether anything was asked of single rows, outside of aggregates. */
  hasPaths = false

  constructor(bind: Bind<Row>, options: { readonly nowMs: number }) {
    this.#bind = bind
    this.#nowMs = options.nowMs
  }

  compile(of: Expression): Evaluate<Row> {
    switch (of.kind) {
      case 'string':
        return constant(of.text)
      case 'number':
        return constant(parseNumber(of.text))
      case 'timestamp':
        return constant(parseTimestamp(of.text))
      case 'constant':
        return constant(of.value)
      case 'path':
        this.hasPaths = true
        return this.#bind(of.steps)
      case 'aggregate':
        return this.#aggregate(of)
      case 'and':
      case 'or':
      case 'not':
        return this.#logic(of)
      case 'in':
        return this.#in(of)
      case 'between':
        return this.#between(of)
      case 'like':
        return this.#like(of)
      case 'case':
        return this.#case(of)
      case 'trim':
        return this.#trim(of)
      case 'call':
        return this.#call(of)
      default:
        return this.#simple(of)
    }
  }

  /** What has its operands' values at once. */
  #simple(
    of: Extract<
      Expression,
      {
        kind: 'compare' | 'arithmetic' | 'concat' | 'negate' | 'is' | 'cast' | 'date' | 'extract'
      }
    >,
  ): Evaluate<Row> {
    switch (of.kind) {
      case 'compare':
        return this.#pair(of, (left, right) => compare(of.operator, left, right))
      case 'arithmetic':
        return this.#pair(of, (left, right) => calculate(of.operator, left, right))
      case 'concat':
        return this.#pair(of, concat)
      case 'negate':
        return this.#one(of.of, negative)
      case 'is':
        return this.#one(of.of, (value) =>
          of.what === 'missing' ? value === undefined : isNothing(value),
        )
      case 'cast':
        return this.#one(of.of, (value) => cast(value, of.to))
      case 'date': {
        const [left, right] = of.args
        const apply = of.name === 'date_add' ? dateAdd : dateDiff
        return this.#pair({ left, right }, (a, b) => apply(of.part, a, b))
      }
      case 'extract':
        return this.#one(of.of, (value) =>
          isNothing(value) ? null : BigInt(timeOf(value).part(of.part)),
        )
    }
  }

  #one(of: Expression, apply: (value: Value) => Value): Evaluate<Row> {
    const inner = this.compile(of)
    return (row) => apply(inner(row))
  }

  #pair(
    of: { readonly left: Expression; readonly right: Expression },
    apply: (left: Value, right: Value) => Value,
  ): Evaluate<Row> {
    const [left, right] = [this.compile(of.left), this.compile(of.right)]
    return (row) => apply(left(row), right(row))
  }

  #aggregate({ name, of }: Extract<Expression, { kind: 'aggregate' }>): Evaluate<Row> {
    const into = new Accumulator(name)
    // What is within an aggregate is no row's own.
    const hadPaths = this.hasPaths
    this.accumulators.push({ into, of: of === null ? null : this.compile(of) })
    this.hasPaths = hadPaths
    return () => into.value
  }

  /** Of three values: what is not known is known anyway where the other side decides. */
  #logic(of: Extract<Expression, { kind: 'and' | 'or' | 'not' }>): Evaluate<Row> {
    if (of.kind === 'not') {
      return this.#one(of.of, (value) => {
        const truth = booleanOf(value)
        return truth === null ? null : !truth
      })
    }
    const [left, right] = [this.compile(of.left), this.compile(of.right)]
    const decides = of.kind === 'or'
    return (row) => {
      const first = booleanOf(left(row))
      if (first === decides) return decides
      const second = booleanOf(right(row))
      if (second === decides) return decides
      return first === null || second === null ? null : !decides
    }
  }

  #in(of: Extract<Expression, { kind: 'in' }>): Evaluate<Row> {
    const value = this.compile(of.of)
    const list = of.list.map((item) => this.compile(item))
    return (row) => {
      const wanted = value(row)
      let isKnown = true
      for (const item of list) {
        const isIt = compare('=', wanted, item(row))
        if (isIt === true) return true
        if (isIt === null) isKnown = false
      }
      return isKnown ? false : null
    }
  }

  #between(of: Extract<Expression, { kind: 'between' }>): Evaluate<Row> {
    const value = this.compile(of.of)
    const [low, high] = [this.compile(of.low), this.compile(of.high)]
    return (row) => {
      const wanted = value(row)
      const isAbove = compare('>=', wanted, low(row))
      const isBelow = compare('<=', wanted, high(row))
      if (isAbove === false || isBelow === false) return false
      return isAbove === null || isBelow === null ? null : true
    }
  }

  #like(of: Extract<Expression, { kind: 'like' }>): Evaluate<Row> {
    const value = this.compile(of.of)
    const pattern = this.compile(of.pattern)
    const mark = of.escape === null ? null : this.compile(of.escape)
    let known: { pattern: string; mark: Value; matches: (text: string) => boolean } | null = null
    return (row) => {
      const [text, like, by] = [value(row), pattern(row), mark?.(row)]
      if (isNothing(text) || isNothing(like) || by === null) return null
      if (typeof text !== 'string' || typeof like !== 'string') {
        throw new SelectError('LikeInvalidInputs')
      }
      if (known === null || known.pattern !== like || known.mark !== by) {
        known = { pattern: like, mark: by, matches: likeMatcher(like, by) }
      }
      return known.matches(text)
    }
  }

  #case(of: Extract<Expression, { kind: 'case' }>): Evaluate<Row> {
    const subject = of.of === null ? null : this.compile(of.of)
    const whens = of.whens.map(
      ({ when, result }) => [this.compile(when), this.compile(result)] as const,
    )
    const otherwise = of.otherwise === null ? constant(null) : this.compile(of.otherwise)
    return (row) => {
      const wanted = subject?.(row)
      for (const [when, result] of whens) {
        const found = when(row)
        const isIt = subject === null ? booleanOf(found) : compare('=', wanted, found)
        if (isIt === true) return result(row)
      }
      return otherwise(row)
    }
  }

  #trim(of: Extract<Expression, { kind: 'trim' }>): Evaluate<Row> {
    const text = this.compile(of.of)
    const chars = of.chars === null ? constant(' ') : this.compile(of.chars)
    return (row) => trim(text(row), { chars: chars(row), side: of.side })
  }

  #call({ name, args }: Extract<Expression, { kind: 'call' }>): Evaluate<Row> {
    const list = args.map((arg) => this.compile(arg))
    if (name === 'utcnow') return constant(new Timestamp({ epochMs: this.#nowMs, digits: 3 }))
    if (name === 'coalesce') {
      return (row) => {
        for (const item of list) {
          const value = item(row)
          if (!isNothing(value)) return value
        }
        return null
      }
    }
    return (row) =>
      callFunction(
        name,
        list.map((item) => item(row)),
      )
  }
}

function constant(value: Value): () => Value {
  return () => value
}

function concat(left: Value, right: Value): Value {
  if (isNothing(left) || isNothing(right)) return null
  return textOf(left) + textOf(right)
}

function timeOf(value: Value): Timestamp {
  if (value instanceof Timestamp) return value
  if (typeof value === 'string') return parseTimestamp(value)
  throw new SelectError('EvaluatorInvalidArguments')
}

/** Counts of units beyond that lead out of all years. */
const COUNT_MAX = 1e12

function dateAdd(part: Parameters<Timestamp['add']>[0], count: Value, time: Value): Value {
  if (isNothing(count) || isNothing(time)) return null
  const number = numberOf(count)
  if (typeof number !== 'bigint') throw new SelectError('EvaluatorInvalidArguments')
  if (Math.abs(Number(number)) > COUNT_MAX) throw new SelectError('IllegalSqlFunctionArgument')
  return timeOf(time).add(part, Number(number))
}

function dateDiff(part: Parameters<Timestamp['add']>[0], from: Value, to: Value): Value {
  if (isNothing(from) || isNothing(to)) return null
  return BigInt(timeOf(from).until(part, timeOf(to)))
}
