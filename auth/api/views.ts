import { type Answer, created, ok } from '../../common/http/route.ts'
import type { ListSection } from '../settings.ts'
import type { IdentityCall } from './identity-call.ts'
import { itemFilter, noSuchMarker, type Shown, wantedPage } from './list-filters.ts'

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

/** 200 with a list that is short by its nature, filtered as the query wants. */
export function listAnswer(
  call: IdentityCall,
  items: readonly Shown[],
  options: ListOptions,
): Answer {
  const { name, collection = name, filters = [] } = options
  const { marker, order } = wantedPage(call.query)
  const found = items.filter(itemFilter(call.query, filters))
  const sorted = order === null ? found : found.toSorted(order)
  const start = marker === null ? 0 : sorted.findIndex(({ id }) => id === marker) + 1
  if (marker !== null && start === 0) throw noSuchMarker(marker)
  const page = pageOf(call, sorted.slice(start), name)
  return ok({
    [name]: page.items.map((item) => linked(call, collection, item)),
    ...page.rest,
  })
}

/** What of a list is shown, and what the answer says besides. */
export interface ListPage<Item> {
  readonly items: readonly Item[]
  readonly rest: {
    readonly links: Readonly<Record<string, string | null>>
    /** That the service, not the client, has cut it. */
    readonly truncated?: true
  }
}

/** Cuts a list to what the client and the settings let it have; where more follows, `next` says where. */
export function pageOf<Item extends Shown>(
  call: IdentityCall,
  items: readonly Item[],
  name: string,
): ListPage<Item> {
  const { limit } = wantedPage(call.query)
  const most = listedMax(call, name)
  const shown = items.slice(0, Math.min(limit ?? most, most))
  const isCut = shown.length < items.length
  return {
    items: shown,
    rest: {
      links: listLinks(call, isCut ? shown.at(-1)?.id : undefined),
      ...(isCut && shown.length === most && { truncated: true }),
    },
  }
}

/** Which lists go by which section's limit; the others by the limit of all. */
const SECTION_OF: Readonly<Record<string, ListSection>> = {
  users: 'identity',
  groups: 'identity',
  domains: 'resource',
  projects: 'resource',
  roles: 'role',
  services: 'catalog',
  endpoints: 'catalog',
  regions: 'catalog',
  policies: 'policy',
}

/** Items that the settings let a list show. */
export function listedMax(call: IdentityCall, name: string): number {
  const { listLimit, listLimits } = call.context.parts.settings
  const section = SECTION_OF[name]
  const own = section === undefined ? undefined : listLimits[section]
  return (own === undefined ? listLimit : own) ?? Number.POSITIVE_INFINITY
}

/** The links of a list; `last` is the id of its last item if more follows. */
export function listLinks(
  call: IdentityCall,
  last?: unknown,
): Readonly<Record<string, string | null>> {
  const linkTo = (query: URLSearchParams) => {
    const path = call.path.replace(/^\/v3/, '')
    return `${apiUrl(call)}${path}${query.size === 0 ? '' : `?${query}`}`
  }
  const following = new URLSearchParams(call.query)
  following.set('marker', String(last))
  return {
    next: last === undefined ? null : linkTo(following),
    self: linkTo(call.query),
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
