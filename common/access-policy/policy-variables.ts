/**
 * Variables in policies: `${aws:username}`, with `${*}`, `${?}` and `${$}` for those characters themselves.
 * Source: docs.aws.amazon.com/IAM/latest/UserGuide, "IAM policy elements: Variables and tags".
 */
import type { PolicyValue } from './condition-operators.ts'
import { patternOf, type TextPattern } from './text-pattern.ts'

/** The request's values of a condition's key, by its name in lower case; undefined if it has none. */
export type ConditionKeys = (name: string) => readonly string[] | undefined

const VARIABLE = /\$\{([^{}]*)\}/g
const CHARACTERS = ['*', '?', '$']

/**
 * The text with what the request says in place of its variables; null if the request does not say it. What comes from
 * the request is never a wildcard: somebody named `*` is not everybody.
 */
export function fillIn(text: string, keys: ConditionKeys): PolicyValue | null {
  const pattern: TextPattern[number][] = []
  let filled = ''
  let end = 0
  for (const match of text.matchAll(VARIABLE)) {
    const value = saidOf(match[1]!, keys)
    if (value === null) return null
    const before = text.slice(end, match.index)
    filled += before + value
    pattern.push(...patternOf(before), ...value)
    end = match.index + match[0].length
  }
  const rest = text.slice(end)
  return { text: filled + rest, pattern: [...pattern, ...patternOf(rest)] }
}

/**
 * The same for a value of a condition: where it is one variable alone and the request says several things of it (a tag of
 * somebody's with several values), each of them is a value.
 */
export function fillInAll(text: string, keys: ConditionKeys): readonly PolicyValue[] {
  const [, name] = /^\$\{([^{}]*)\}$/.exec(text) ?? []
  const said = name === undefined ? undefined : keys(name.trim().toLowerCase())
  if (said !== undefined && said.length > 1)
    return said.map((value) => ({ text: value, pattern: [...value] }))
  const value = fillIn(text, keys)
  return value === null ? [] : [value]
}

/** As it stands there: of policies that know no variables. */
export function asWritten(text: string): PolicyValue {
  return { text, pattern: patternOf(text) }
}

function saidOf(variable: string, keys: ConditionKeys): string | null {
  if (CHARACTERS.includes(variable)) return variable
  const comma = variable.indexOf(',')
  const name = (comma < 0 ? variable : variable.slice(0, comma)).trim()
  const values = keys(name.toLowerCase())
  // Several values say nothing that could stand in one place.
  if (values?.length === 1) return values[0]!
  return comma < 0 ? null : unquoted(variable.slice(comma + 1).trim())
}

/** What stands there where the request says nothing: `'x'`. */
function unquoted(text: string): string | null {
  return text.length >= 2 && text.startsWith("'") && text.endsWith("'") ? text.slice(1, -1) : null
}
