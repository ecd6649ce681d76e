/** The pages that a static web site has besides its objects. Every name in them is escaped: names are their writers' words. */
import type { ListEntry } from '../../common/storage-node.ts'
import { isoTime } from '../swift/http-date.ts'
import { escapePath } from '../wire-text.ts'

export interface ListingPage {
  /** What the heading calls the folder. */
  readonly label: string
  /** The folder within the container, with its slash; empty for the whole of it. */
  readonly prefix: string
  readonly entries: readonly ListEntry[]
  /** The X-Container-Meta-Web-Listings-CSS; empty if there is none. */
  readonly css: string
  /** What every link carries on; starts with `?` unless it is empty. */
  readonly query: string
  /** Whether there is a folder above that may be seen. */
  readonly hasParent: boolean
}

/** A folder as a table of links. */
export function listingPage(page: ListingPage): string {
  const query = escapeHtml(page.query)
  const rows = [
    ...(page.hasParent ? [row({ kind: 'parent', href: `../${query}`, name: '../' })] : []),
    ...page.entries.flatMap((entry) => ('subdir' in entry ? [subdirRow(entry.subdir, page)] : [])),
    ...page.entries.flatMap((entry) => ('subdir' in entry ? [] : [objectRow(entry, page)])),
  ]
  const label = escapeHtml(page.label)
  return `${head(page, LISTING_STYLE)} <body>
  <h1 id="title">Listing of ${label}</h1>
  <table id="listing">
   <tr id="heading">
    <th class="colname">Name</th>
    <th class="colsize">Size</th>
    <th class="coldate">Date</th>
   </tr>
${rows.join('')}  </table>
 </body>
</html>
`
}

/** What a folder without an index says whose listing is switched off. */
export function noListingPage(page: {
  readonly label: string
  readonly prefix: string
  readonly css: string
  /** The X-Container-Meta-Web-Index; empty if there is none. */
  readonly index: string
}): string {
  const missing =
    page.index === ''
      ? ''
      : `<h1>Index File Not Found</h1> <p>The owner of this web site has set  <b>X-Container-Meta-Web-Index: ${escapeHtml(page.index)}</b>.  However, this file is not found.</p>`
  return `${head(page, PLAIN_STYLE)}<body>  <h1>Web Listing Disabled</h1>   <p>The owner of this web site has disabled web listing.   <p>If you are the owner of this web site, you can enable   web listing by setting X-Container-Meta-Web-Listings.</p>${missing} </body>
</html>
`
}

const LISTING_STYLE = `  <style type="text/css">
   h1 {font-size: 1em; font-weight: bold;}
   th {text-align: left; padding: 0px 1em 0px 1em;}
   td {padding: 0px 1em 0px 1em;}
   a {text-decoration: none;}
  </style>
`

const PLAIN_STYLE = `  <style type="text/css">
   h1 {font-size: 1em; font-weight: bold;}
   p {font-size: 2}
  </style>
`

function head(
  page: { readonly label: string; readonly prefix: string; readonly css: string },
  style: string,
): string {
  const link = `  <link rel="stylesheet" type="text/css" href="${cssPath(page)}" />\n`
  return `<!DOCTYPE html>
<html>
 <head>
  <title>Listing of ${escapeHtml(page.label)}</title>
${page.css === '' ? style : link} </head>
`
}

/** Relative to the container, unless it is a URL or begins with a slash. */
function cssPath({ css, prefix }: { readonly css: string; readonly prefix: string }): string {
  if (/^(\/|https?:\/\/)/.test(css)) return escapePath(css).replaceAll('%3A', ':')
  return '../'.repeat(prefix.split('/').length - 1) + escapePath(css)
}

interface Row {
  readonly kind: string
  readonly href: string
  readonly name: string
  readonly size?: string
  readonly date?: string
}

function row({ kind, href, name, size = '&nbsp;', date = '&nbsp;' }: Row): string {
  const tag = kind === 'parent' ? 'id="parent" class="item"' : `class="item ${kind}"`
  return `   <tr ${tag}>
    <td class="colname"><a href="${href}">${escapeHtml(name)}</a></td>
    <td class="colsize">${size}</td>
    <td class="coldate">${date}</td>
   </tr>
`
}

function subdirRow(subdir: string, page: ListingPage): string {
  const name = subdir.slice(page.prefix.length)
  return row({ kind: 'subdir', href: hrefOf(name, page), name })
}

function objectRow(entry: Exclude<ListEntry, { readonly subdir: string }>, page: ListingPage) {
  const name = entry.name.slice(page.prefix.length)
  const types = entry.contentType.split('/').map((part) => `type-${part.toLowerCase()}`)
  const ticks = Math.max(entry.stamp.ticks, entry.metaStamp.ticks)
  return row({
    kind: escapeHtml(types.join(' ')),
    href: hrefOf(name, page),
    name,
    size: humanBytes(entry.bytes),
    date: isoTime(ticks).slice(0, 19).replace('T', ' '),
  })
}

/** Dots escaped, so that `..` as a name is not the folder above. */
function hrefOf(name: string, { query }: ListingPage): string {
  return `./${escapePath(name).replaceAll('.', '%2E')}${escapeHtml(query)}`
}

/** `1023`, `1Ki`, `3Mi`: as Swift's human_readable. */
export function humanBytes(bytes: number): string {
  let value = bytes
  let power = -1
  while (value >= 1024 && power + 1 < UNITS.length) {
    power++
    value = roundHalfEven(value / 1024)
  }
  return power < 0 ? String(bytes) : `${value}${UNITS[power]}i`
}

const UNITS = 'KMGTPEZY'

function roundHalfEven(value: number): number {
  const floor = Math.floor(value)
  if (value - floor !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}

/** Safe as text and within double or single quotes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char]!)
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#x27;',
}
