/**
 * Values of JSON. JSON.parse makes doubles of all numbers, which would lose digits: texts with numbers that a double might not
 * hold, or whose form it forgets (1.0), are rewritten first, so that such numbers come out as strings with a mark.
 */
import { SelectError } from '../select-error.ts'

/** Begins strings that are something else, or began with it themselves. */
const MARK = '\0'
const NUMBER_MARK = '\0n'

const NEEDS_CARE = /\d[.eE]|\d{16}|-0|\\u0000/
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/g
const PLAIN_INT = /^(?:0|-?[1-9]\d{0,14})$/

/** A document as it is kept. JSONParsingError for what is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(NEEDS_CARE.test(text) ? text.replace(TOKENS, marked) : text)
  } catch {
    throw new SelectError('JSONParsingError')
  }
}

function marked(token: string): string {
  if (token.startsWith('"')) {
    return token.startsWith('"\\u0000') ? `"\\u0000s${token.slice(7)}` : token
  }
  return PLAIN_INT.test(token) ? token : `"\\u0000n${token}"`
}

/** A string as it was written, or a number's text. */
export function unmarked(text: string): { readonly text: string; readonly isNumber: boolean } {
  if (!text.startsWith(MARK)) return { text, isNumber: false }
  const isNumber = text.startsWith(NUMBER_MARK)
  return { text: (isNumber ? '' : MARK) + text.slice(NUMBER_MARK.length), isNumber }
}

/** The document's text. */
export function jsonText(value: unknown): string {
  if (typeof value === 'string') {
    const { text, isNumber } = unmarked(value)
    return isNumber ? text : JSON.stringify(text)
  }
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).map(
    ([name, inner]) => `${nameText(name)}:${jsonText(inner)}`,
  )
  return `{${fields.join(',')}}`
}

/** Names are strings, too, and may have been marked. */
function nameText(name: string): string {
  return JSON.stringify(unmarked(name).text)
}
