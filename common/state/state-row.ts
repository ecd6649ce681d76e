import { ServiceError } from '../errors.ts'
import type { StateRange, StateValue } from './state-store.ts'

/** A btree of PostgreSQL takes entries of up to 2,700 bytes: table and key have to fit. */
export const KEY_BYTES_MAX = 2048
export const VALUE_BYTES_MAX = 1024 * 1024
/** Keys and values of one transaction's changes. */
export const TRANSACTION_BYTES_MAX = 64 * 1024 * 1024
/** A table's name: no `!`, which ends it in a key of LevelDB. */
const TABLE_NAME = /^[A-Za-z][\w.-]{0,63}$/
/** What is not text to PostgreSQL, or would be another key after its way through UTF-8. */
const NOT_TEXT = /\0|\p{Surrogate}/u
/** The same as JSON.stringify writes them: an escape whose backslash is not escaped itself. */
const NOT_TEXT_IN_JSON = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/

/** Throws 400 `BadKey` for what cannot be a key in every engine: NUL, half a surrogate pair, more than 2 KiB. */
export function checkKey(table: string, key: string): void {
  if (!TABLE_NAME.test(table)) throw badKey(`no name of a table: ${JSON.stringify(table)}`)
  if (NOT_TEXT.test(key)) throw badKey(`a key of ${table} has characters that cannot be stored`)
  if (key.length * 3 > KEY_BYTES_MAX && Buffer.byteLength(key) > KEY_BYTES_MAX) {
    throw badKey(`a key of ${table} is longer than ${KEY_BYTES_MAX} bytes`)
  }
}

/** As for keys; a limit that is no count is a bug. */
export function checkRange(table: string, { prefix = '', after = '', limit }: StateRange): void {
  checkKey(table, prefix)
  checkKey(table, after)
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 0)) {
    throw new RangeError(`the limit of a scan is ${limit}`)
  }
}

/**
 * The value's JSON. Throws 400 `BadValue` for characters that cannot be stored (as in keys) and 413 `TooMuch` for more
 * than 1 MiB.
 */
export function encodeValue(value: StateValue): string {
  const text = JSON.stringify(value)
  if (text === undefined) throw new TypeError('a row has no value')
  if (NOT_TEXT_IN_JSON.test(text)) {
    throw new ServiceError('BadValue', 'a text has characters that cannot be stored', {
      status: 400,
    })
  }
  if (text.length * 3 > VALUE_BYTES_MAX && Buffer.byteLength(text) > VALUE_BYTES_MAX) {
    throw tooMuch(`a row is larger than ${VALUE_BYTES_MAX} bytes`)
  }
  return text
}

/** 413: one row, or all of a transaction, is more than is taken. */
export function tooMuch(message: string): ServiceError {
  return new ServiceError('TooMuch', message, { status: 413 })
}

/** As LevelDB and PostgreSQL's "C" order them: by bytes of UTF-8, which is not the order of UTF-16. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** The first text after all that begin with the prefix, in the order of keys; undefined if there is none. */
export function afterPrefix(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0)!)
  while (points.at(-1) === 0x10_ffff) points.pop()
  const last = points.pop()
  if (last === undefined) return undefined
  // Surrogates are no characters.
  return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1)
}

function badKey(message: string): ServiceError {
  return new ServiceError('BadKey', message, { status: 400 })
}
