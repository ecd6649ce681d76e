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
 * The items that the query wants, as Keystone filters lists: `name=x` for the attributes given, `name__contains=x` and
 * its like for any text. Unknown parameters are ignored. Then sorted and cut by `sort_key`, `marker` and `limit`.
 */
export function filterList<Item extends Shown>(
  items: readonly Item[],
  query: URLSearchParams,
  attributes: readonly string[],
): readonly Item[] {
  let found = items
  for (const [parameter, wanted] of query) {
    if (LIST_PARAMETERS.includes(parameter)) continue
    const [name = '', comparison] = parameter.split('__')
    if (comparison !== undefined) {
      const compare = Object.hasOwn(COMPARISONS, comparison) ? COMPARISONS[comparison]! : null
      if (compare === null) continue
      found = found.filter((item) => {
        const value = attributeOf(item, name)
        return typeof value === 'string' && compare(value, wanted)
      })
    } else if (attributes.includes(name)) {
      found = found.filter((item) => equals(attributeOf(item, name), wanted))
    }
  }
  return pageOf(found, query)
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

function pageOf<Item extends Shown>(
  items: readonly Item[],
  query: URLSearchParams,
): readonly Item[] {
  const sortKey = query.get('sort_key')
  const sorted = sortKey === null ? items : sortedBy(items, sortKey, query.get('sort_dir'))
  const marker = query.get('marker')
  const limit = query.get('limit')
  const start = marker === null ? 0 : sorted.findIndex(({ id }) => id === marker) + 1
  if (marker !== null && start === 0) throw invalid(`marker ${marker} is not in the list`)
  if (limit === null) return sorted.slice(start)
  if (!/^\d{1,9}$/.test(limit)) throw invalid(`limit "${limit}" is not a number`)
  return sorted.slice(start, start + Number(limit))
}

function sortedBy<Item extends Shown>(
  items: readonly Item[],
  key: string,
  direction: string | null,
): readonly Item[] {
  const sign = direction === 'desc' ? -1 : 1
  const textOf = (item: Item) => String(attributeOf(item, key) ?? '')
  return [...items].sort((a, b) => (textOf(a) < textOf(b) ? -sign : sign))
}
