import type { ServiceError } from '../../common/errors.ts'
import { invalid } from '../errors.ts'

/** An item of a list as it is shown. */
export type Shown = Readonly<Record<string, unknown>>

const COMPARISONS: Readonly<Record<string, (text: string, wanted: string) => boolean>> = {
  contains: (text, wanted) => text.includes(wanted),
  startswith: (text, wanted) => text.startsWith(wanted),
  endswith: (text, wanted) => text.endsWith(wanted),
  icontains: (text, wanted) => text.toLowerCase().includes(wanted.toLowerCase()),
  istartswith: (text, wanted) => text.toLowerCase().startsWith(wanted.toLowerCase()),
  iendswith: (text, wanted) => text.toLowerCase().endsWith(wanted.toLowerCase()),
  iexact: (text, wanted) => text.toLowerCase() === wanted.toLowerCase(),
}

/** Not filters but how the list is shown. */
const LIST_PARAMETERS = ['limit', 'marker', 'sort_key', 'sort_dir']

/**
 * Whether the query wants an item, as Keystone filters lists: `name=x` for the attributes given, `name__contains=x` and
 * its like for any text. Unknown parameters are ignored.
 */
export function itemFilter(
  query: URLSearchParams,
  attributes: readonly string[],
): (item: Shown) => boolean {
  const checks: ((item: Shown) => boolean)[] = []
  for (const [parameter, wanted] of query) {
    if (LIST_PARAMETERS.includes(parameter)) continue
    const [name = '', comparison] = parameter.split('__')
    if (comparison !== undefined) {
      const compare = Object.hasOwn(COMPARISONS, comparison) ? COMPARISONS[comparison]! : null
      if (compare === null) continue
      checks.push((item) => {
        const value = attributeOf(item, name)
        return typeof value === 'string' && compare(value, wanted)
      })
    } else if (attributes.includes(name)) {
      checks.push((item) => equals(attributeOf(item, name), wanted))
    }
  }
  return (item) => checks.every((check) => check(item))
}

/** Which part of a list a query asks for, and in which order. */
export interface WantedPage {
  /** The item before the first; null for the beginning. */
  readonly marker: string | null
  /** Items at most; null if the query leaves that open. */
  readonly limit: number | null
  /** Null: as the list is. */
  readonly order: ((a: Shown, b: Shown) => number) | null
}

/** `marker`, `limit`, `sort_key` and `sort_dir`. Throws 400 for a limit that is no number. */
export function wantedPage(query: URLSearchParams): WantedPage {
  const limit = query.get('limit')
  if (limit !== null && !/^\d{1,9}$/.test(limit)) {
    throw invalid(`limit "${limit}" is not a number`)
  }
  const sortKey = query.get('sort_key')
  return {
    marker: query.get('marker'),
    limit: limit === null ? null : Number(limit),
    order: sortKey === null ? null : orderBy(sortKey, query.get('sort_dir')),
  }
}

/** 400 for a marker that the list does not hold. */
export function noSuchMarker(marker: string): ServiceError {
  return invalid(`marker ${marker} is not in the list`)
}

function attributeOf(item: Shown, name: string): unknown {
  return Object.hasOwn(item, name) ? item[name] : undefined
}

function equals(value: unknown, wanted: string): boolean {
  if (typeof value === 'boolean') return value === isTrueText(wanted)
  // A filter without a value asks for what has none.
  if (value === null || value === undefined) return wanted === ''
  return String(value) === wanted
}

/** As Keystone reads a flag in a query: only these are false. */
export function isTrueText(text: string): boolean {
  return !['0', 'false', 'no', 'off', 'n', 'f'].includes(text.toLowerCase())
}

/** By the texts of an attribute, then by id, so that a page ends where the next one begins. */
function orderBy(key: string, direction: string | null): (a: Shown, b: Shown) => number {
  const sign = direction === 'desc' ? -1 : 1
  const textOf = (item: Shown, name: string) => String(attributeOf(item, name) ?? '')
  const compare = (a: string, b: string) => (a === b ? 0 : a < b ? -1 : 1)
  return (a, b) =>
    sign * compare(textOf(a, key), textOf(b, key)) || compare(textOf(a, 'id'), textOf(b, 'id'))
}
