import { badRequest, type Exchange, refusal } from '../exchange.ts'

export const LISTING_TYPES = [
  'text/plain',
  'application/json',
  'application/xml',
  'text/xml',
] as const
export type ListingType = (typeof LISTING_TYPES)[number]

const FORMATS: Readonly<Record<string, ListingType>> = {
  plain: 'text/plain',
  json: 'application/json',
  xml: 'application/xml',
}

const TOKEN = /[^()<>@,;:"/[\]?={}\0-\x20\x7f]+/.source
const MEDIA_RANGE = new RegExp(
  `^\\s*(${TOKEN})/(${TOKEN})((?:\\s*;\\s*${TOKEN}\\s*=\\s*(?:${TOKEN}|"[^"]*"))*)\\s*$`,
)

/** How a listing is wanted: `format=` if it is there (unknown ones are plain), else the Accept header. */
export function listingType(exchange: Exchange): ListingType {
  const format = exchange.query.get('format')
  if (format !== undefined && format !== '') return FORMATS[format.toLowerCase()] ?? 'text/plain'
  return acceptedType(exchange.header('accept'))
}

/** The best of the listing types for an Accept header; 400 if it is malformed, 406 if none will do. */
export function acceptedType(accept: string | undefined): ListingType {
  if (accept === undefined || accept === '') return 'text/plain'
  const ranges = accept.split(',').map(parseRange)
  // The higher quality first; among equals those without a star; the order given decides the rest.
  ranges.sort((a, b) => b.quality - a.quality || Number(a.isGlob) - Number(b.isGlob))
  for (const range of ranges) {
    const found = LISTING_TYPES.find((type) => fits(range, type))
    if (found !== undefined) return found
  }
  throw refusal(406)
}

/** Whether an answer in JSON will do; what is malformed is a 400. */
export function acceptsJson(exchange: Exchange): boolean {
  const format = exchange.query.get('format')
  if (format) return FORMATS[format.toLowerCase()] === 'application/json'
  const accept = exchange.header('accept')
  if (accept === undefined || accept === '') return true
  const ranges = accept.split(',').map(parseRange)
  return ranges.some((range) => range.quality > 0 && fits(range, 'application/json'))
}

interface MediaRange {
  readonly type: string
  readonly subtype: string
  readonly quality: number
  readonly isGlob: boolean
}

function parseRange(text: string): MediaRange {
  const match = MEDIA_RANGE.exec(text)
  if (match === null) throw badRequest('Invalid Accept header')
  const [, type, subtype, parameters] = match
  const qualities = (parameters ?? '')
    .split(';')
    .map((parameter) => parameter.split('='))
    .filter(([name]) => name!.trim() === 'q')
    .map(([, value]) => Number(value!.trim()))
  if (qualities.length > 1 || qualities.some(Number.isNaN)) {
    throw badRequest('Invalid Accept header')
  }
  return {
    type: type!,
    subtype: subtype!,
    quality: qualities[0] ?? 1,
    isGlob: type === '*' || subtype === '*',
  }
}

function fits(range: MediaRange, listing: ListingType): boolean {
  const [type, subtype] = listing.split('/')
  return (
    (range.type === '*' || range.type === type) &&
    (range.subtype === '*' || range.subtype === subtype)
  )
}
