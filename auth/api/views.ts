import { type Answer, created, ok } from '../../common/http/route.ts'
import type { IdentityCall } from './identity-call.ts'
import { filterList, type Shown } from './list-filters.ts'

/** `http://host:5000/v3`, as the client reached it or as configured. */
export function apiUrl(call: IdentityCall): string {
  const { publicUrl } = call.context.parts.settings
  return `${publicUrl ?? call.baseUrl}/v3`
}

/** An item with the link to itself. */
export function linked<Item extends Shown>(
  call: IdentityCall,
  collection: string,
  item: Item,
): Item & { readonly links: { readonly self: string } } {
  const self = `${apiUrl(call)}/${collection}/${encodeURIComponent(String(item.id))}`
  return { ...item, links: { self } }
}

export interface ListOptions {
  /** What the list is called in the answer. */
  readonly name: string
  /** Where its items are, below `/v3`; as they are called if absent. */
  readonly collection?: string
  /** Attributes that the query may filter by. */
  readonly filters?: readonly string[]
}

/** 200 with a list, filtered as the query wants. */
export function listAnswer(
  call: IdentityCall,
  items: readonly Shown[],
  { name, collection = name, filters = [] }: ListOptions,
): Answer {
  const found = filterList(items, call.query, filters)
  return ok({
    [name]: found.map((item) => linked(call, collection, item)),
    links: listLinks(call),
  })
}

/** The links of a list that has one page. */
export function listLinks(call: IdentityCall): Readonly<Record<string, string | null>> {
  const query = call.query.toString()
  const path = call.path.replace(/^\/v3/, '')
  return {
    next: null,
    self: `${apiUrl(call)}${path}${query === '' ? '' : `?${query}`}`,
    previous: null,
  }
}

/** 200 with one item. */
export function itemAnswer(
  call: IdentityCall,
  item: Shown,
  { name, collection = `${name}s` }: { readonly name: string; readonly collection?: string },
): Answer {
  return ok({ [name]: linked(call, collection, item) })
}

/** 201 with one item. */
export function createdAnswer(
  call: IdentityCall,
  item: Shown,
  options: { readonly name: string; readonly collection?: string },
): Answer {
  return created(itemAnswer(call, item, options).body)
}
