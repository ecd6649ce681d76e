/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference-sql-functions.html */
import { SelectError } from '../select-error.ts'
import { parseTimestamp, Timestamp } from './timestamp.ts'
import { formatTimestamp } from './timestamp-pattern.ts'
import { compare, isNothing, numberOf, type Value } from './value.ts'

const FUNCTIONS: Readonly<Record<string, (args: readonly Value[]) => Value>> = {
  nullif: ([left, right]) => (compare('=', left, right) === true ? null : (left ?? null)),
  char_length: ([text]) => onText(text, (known) => BigInt(lengthOf(known))),
  character_length: ([text]) => onText(text, (known) => BigInt(lengthOf(known))),
  lower: ([text]) => onText(text, (known) => known.toLowerCase()),
  upper: ([text]) => onText(text, (known) => known.toUpperCase()),
  substring,
  to_string: ([time, pattern]) => {
    if (isNothing(time) || isNothing(pattern)) return null
    if (!(time instanceof Timestamp) || typeof pattern !== 'string') throw wrongArguments()
    return formatTimestamp(time, pattern)
  },
  to_timestamp: ([text]) =>
    text instanceof Timestamp ? text : onText(text, (known) => parseTimestamp(known)),
}

export function callFunction(name: string, args: readonly Value[]): Value {
  return FUNCTIONS[name]!(args)
}

/** What is trimmed is any of the characters. */
export function trim(
  text: Value,
  options: { readonly chars: Value; readonly side: 'leading' | 'trailing' | 'both' },
): Value {
  const { chars, side } = options
  if (isNothing(text) || isNothing(chars)) return null
  if (typeof text !== 'string' || typeof chars !== 'string') throw wrongArguments()
  const away = new Set(chars)
  const points = [...text]
  let [start, end] = [0, points.length]
  if (side !== 'trailing') while (start < end && away.has(points[start]!)) start++
  if (side !== 'leading') while (end > start && away.has(points[end - 1]!)) end--
  return points.slice(start, end).join('')
}

/** Characters count from 1; those before the first are there, and empty. */
function substring([text, from, length]: readonly Value[]): Value {
  if (isNothing(text) || isNothing(from) || length === null) return null
  const start = numberOf(from)
  const count = length === undefined ? 0n : numberOf(length)
  if (typeof text !== 'string' || typeof start !== 'bigint' || typeof count !== 'bigint') {
    throw wrongArguments()
  }
  if (count < 0n) throw wrongArguments()
  const first = Number(start) - 1
  const end = length === undefined ? undefined : Math.max(first + Number(count), 0)
  const isPlain = !SURROGATES.test(text)
  return isPlain
    ? text.slice(Math.max(first, 0), end)
    : [...text].slice(Math.max(first, 0), end).join('')
}

const SURROGATES = /[\ud800-\udfff]/

function lengthOf(text: string): number {
  return SURROGATES.test(text) ? [...text].length : text.length
}

function onText(value: Value, apply: (text: string) => Value): Value {
  if (isNothing(value)) return null
  if (typeof value !== 'string') throw wrongArguments()
  return apply(value)
}

function wrongArguments(): SelectError {
  return new SelectError('EvaluatorInvalidArguments')
}
