import { SelectError } from '../select-error.ts'
import type { AggregateName } from './query.ts'
import {
  calculate,
  decimalOf,
  isNothing,
  numberOf,
  order,
  type SqlNumber,
  type Value,
} from './value.ts'

/** What all rows come to; NULL and MISSING count for nothing. */
export class Accumulator {
  readonly #name: AggregateName
  #count = 0n
  #kept: Value = null

  constructor(name: AggregateName) {
    this.#name = name
  }

  /** One row's value; of COUNT(*) anything but nothing. */
  take(value: Value): void {
    if (isNothing(value)) return
    this.#count++
    if (this.#name === 'count') return
    if (this.#name === 'sum' || this.#name === 'avg') {
      this.#kept = calculate('+', this.#kept ?? 0n, numberIn(value))
      return
    }
    const known = comparable(value)
    if (this.#kept === null) this.#kept = known
    else {
      const difference = order(known, this.#kept)
      if (difference === null) throw wrongValue()
      if (this.#name === 'min' ? difference < 0 : difference > 0) this.#kept = known
    }
  }

  get value(): Value {
    if (this.#name === 'count') return this.#count
    if (this.#name !== 'avg' || this.#kept === null) return this.#kept
    const sum = this.#kept as SqlNumber
    const count = typeof sum === 'number' ? Number(this.#count) : decimalOf(this.#count)
    return calculate('/', sum, count)
  }
}

/** Text that reads as a number is one; other text is compared as it is. */
function comparable(value: Value): Value {
  return numberOf(value) ?? value
}

function numberIn(value: Value): SqlNumber {
  const number = numberOf(value)
  if (number === null) throw wrongValue()
  return number
}

function wrongValue(): SelectError {
  return new SelectError('CastFailed', 'The values of an aggregate do not go together.')
}
