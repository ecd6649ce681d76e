/**
 * What expressions come to. Whole numbers are bigints within 64 bits, DECIMAL has 38 digits, FLOAT is a double; undefined is
 * MISSING. Fields of CSV are text: where a number is needed, text that reads as one is one.
 */
import { Decimal as DecimalJs } from 'decimal.js'
import { SelectError } from '../select-error.ts'
import { jsonText } from './json-value.ts'
import type { Arithmetic, Comparison, SqlType } from './query.ts'
import { parseTimestamp, Timestamp } from './timestamp.ts'

/** Of 38 digits. */
export const Decimal = DecimalJs.clone({ precision: 38, toExpNeg: -7, toExpPos: 40 })
export type Decimal = DecimalJs

export type SqlNumber = bigint | number | Decimal
/** A list or an object of JSON, as json-value.ts has it. */
export interface Nested {
  readonly [name: string]: unknown
}
export type Value = SqlNumber | string | boolean | null | undefined | Timestamp | Nested

const INT = /^\s*[+-]?\d{1,40}\s*$/
const NUMBER = /^\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?\s*$/
/** Longer texts are no numbers, whatever they say. */
const NUMBER_CHARS_MAX = 400
const INT_MAX = 2n ** 63n

export function isNothing(value: Value): value is null | undefined {
  return value === null || value === undefined
}

export function isNumber(value: Value): value is SqlNumber {
  return typeof value === 'bigint' || typeof value === 'number' || value instanceof DecimalJs
}

/** A number from its text; null for what is none. */
export function parseNumber(text: string): SqlNumber | null {
  if (text.length > NUMBER_CHARS_MAX) return null
  if (INT.test(text)) {
    const whole = BigInt(text.trim().replace(/^\+/, ''))
    return whole < INT_MAX && whole >= -INT_MAX ? whole : new Decimal(text.trim())
  }
  return NUMBER.test(text) ? new Decimal(text.trim()) : null
}

/** The number that it is, or that its text says; null for anything else. */
export function numberOf(value: Value): SqlNumber | null {
  if (typeof value === 'string') return parseNumber(value)
  return isNumber(value) ? value : null
}

export function whole(value: bigint): bigint {
  if (value < INT_MAX && value >= -INT_MAX) return value
  throw new SelectError('IntegerOverflow')
}

export function calculate(operator: Arithmetic, left: Value, right: Value): SqlNumber | null {
  if (isNothing(left) || isNothing(right)) return null
  const [a, b] = [numberOf(left), numberOf(right)]
  if (a === null || b === null) {
    throw new SelectError('CastFailed', 'Only numbers can be calculated with.')
  }
  if (typeof a === 'bigint' && typeof b === 'bigint') return calculateWhole(operator, a, b)
  if (typeof a === 'number' || typeof b === 'number') {
    return calculateFloat(operator, Number(a), Number(b))
  }
  return calculateDecimal(operator, decimalOf(a), decimalOf(b))
}

function calculateWhole(operator: Arithmetic, a: bigint, b: bigint): bigint {
  switch (operator) {
    case '+':
      return whole(a + b)
    case '-':
      return whole(a - b)
    case '*':
      return whole(a * b)
    case '/':
      return whole(a / divisor(b, b === 0n))
    case '%':
      return a % divisor(b, b === 0n)
  }
}

function calculateFloat(operator: Arithmetic, a: number, b: number): number {
  switch (operator) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '/':
      return a / divisor(b, b === 0)
    case '%':
      return a % divisor(b, b === 0)
  }
}

function calculateDecimal(operator: Arithmetic, a: Decimal, b: Decimal): Decimal {
  switch (operator) {
    case '+':
      return a.plus(b)
    case '-':
      return a.minus(b)
    case '*':
      return a.times(b)
    case '/':
      return a.div(divisor(b, b.isZero()))
    case '%':
      return a.mod(divisor(b, b.isZero()))
  }
}

function divisor<T>(value: T, isZero: boolean): T {
  if (isZero) throw new SelectError('IllegalSqlFunctionArgument', 'A number is divided by zero.')
  return value
}

export function negative(value: Value): SqlNumber | null {
  return calculate('-', 0n, value)
}

export function decimalOf(value: SqlNumber): Decimal {
  return new Decimal(typeof value === 'bigint' ? value.toString() : value)
}

/** Less than, equal to, more than zero; null: they cannot be compared. */
export function order(left: Value, right: Value): number | null {
  if (typeof left === 'string' && typeof right === 'string') {
    return left < right ? -1 : left > right ? 1 : 0
  }
  if (left instanceof Timestamp && right instanceof Timestamp) return left.compare(right)
  if (isNumber(left) || isNumber(right)) return orderNumbers(numberOf(left), numberOf(right))
  const [a, b] = [booleanOf(left), booleanOf(right)]
  return a === null || b === null ? null : Number(a) - Number(b)
}

function orderNumbers(a: SqlNumber | null, b: SqlNumber | null): number | null {
  if (a === null || b === null) return null
  if (typeof a === 'bigint' && typeof b === 'bigint') return a < b ? -1 : a > b ? 1 : 0
  if (typeof a === 'number' || typeof b === 'number') return Number(a) - Number(b)
  return decimalOf(a).cmp(decimalOf(b))
}

/** Null: it is neither true nor false, and no text that says so. */
export function booleanOf(value: Value): boolean | null {
  if (typeof value === 'boolean') return value
  if (typeof value !== 'string') return null
  const text = value.trim().toLowerCase()
  return text === 'true' ? true : text === 'false' ? false : null
}

/** Null where nothing is known. What cannot be compared is not equal. */
export function compare(operator: Comparison, left: Value, right: Value): boolean | null {
  if (isNothing(left) || isNothing(right)) return null
  if (isNested(left) || isNested(right)) return compareNested(operator, left, right)
  const difference = order(left, right)
  if (difference === null || Number.isNaN(difference)) {
    return operator === '=' ? false : operator === '!=' ? true : null
  }
  switch (operator) {
    case '=':
      return difference === 0
    case '!=':
      return difference !== 0
    case '<':
      return difference < 0
    case '<=':
      return difference <= 0
    case '>':
      return difference > 0
    case '>=':
      return difference >= 0
  }
}

function compareNested(operator: Comparison, left: Value, right: Value): boolean | null {
  if (operator !== '=' && operator !== '!=') return null
  const isSame = isNested(left) && isNested(right) && jsonText(left) === jsonText(right)
  return isSame === (operator === '=')
}

export function isNested(value: Value): value is Nested {
  if (typeof value !== 'object' || value === null) return false
  return !isNumber(value) && !(value instanceof Timestamp)
}

/** As text, where it is a text of its own; undefined and null are nothing. */
export function textOf(value: Exclude<Value, null | undefined>): string {
  if (typeof value === 'string') return value
  if (value instanceof DecimalJs) return value.toFixed()
  return isNested(value) ? jsonText(value) : String(value)
}

/** CastFailed for what the type cannot hold. */
export function cast(value: Value, to: SqlType): Value {
  if (isNothing(value)) return value
  switch (to) {
    case 'string':
      return textOf(value)
    case 'bool':
      return castBoolean(value)
    case 'int':
      return castWhole(value)
    case 'float':
      return Number(castNumber(value))
    case 'decimal':
      return decimalOf(castNumber(value))
    case 'timestamp':
      return castTime(value)
  }
}

function castNumber(value: Value): SqlNumber {
  if (typeof value === 'boolean') return value ? 1n : 0n
  const number = numberOf(value)
  if (number === null) throw new SelectError('CastFailed')
  return number
}

function castWhole(value: Value): bigint {
  const number = castNumber(value)
  if (typeof number === 'bigint') return number
  if (typeof number === 'number' && !Number.isFinite(number)) throw new SelectError('CastFailed')
  return whole(BigInt(decimalOf(number).trunc().toFixed()))
}

function castBoolean(value: Value): boolean {
  if (isNumber(value)) return Number(value) !== 0
  const found = booleanOf(value)
  if (found === null) throw new SelectError('CastFailed')
  return found
}

function castTime(value: Value): Timestamp {
  if (value instanceof Timestamp) return value
  if (typeof value !== 'string') throw new SelectError('CastFailed')
  return parseTimestamp(value)
}
