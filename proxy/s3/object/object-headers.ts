/** Metadata between S3's headers and what is stored: the same that Swift's clients see. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { lastModified } from '../../swift/http-date.ts'
import { fromWireOrRaw } from '../../wire-text.ts'
import { storedEncoding } from '../body/body-plan.ts'
import type { S3Call } from '../s3-call.ts'
import { notImplemented, S3Error } from '../s3-error.ts'
import { encodeTags, readTagHeader, S3_TAGGING, tagsOfObject } from '../tagging/tag-set.ts'
import { partsCountOf, s3Etag } from './object-traits.ts'
import { redirectLocation, redirectOfRequest, WEBSITE_REDIRECT } from './redirect-location.ts'
import { classHeader, classOfRequest } from './storage-class.ts'

const S3_PREFIX = 'x-amz-meta-'
const SWIFT_PREFIX = 'x-object-meta-'
/** Names and values together. */
const META_BYTES_MAX = 8 * 1024

/** Standard headers that an object keeps. */
const KEPT = ['cache-control', 'content-disposition', 'content-language', 'expires'] as const
const SHOWN = [...KEPT, 'content-encoding', 'x-robots-tag'] as const
const TITLES: Readonly<Record<(typeof SHOWN)[number], string>> = {
  'cache-control': 'Cache-Control',
  'content-disposition': 'Content-Disposition',
  'content-language': 'Content-Language',
  'content-encoding': 'Content-Encoding',
  expires: 'Expires',
  'x-robots-tag': 'X-Robots-Tag',
}

const DEFAULT_TYPE = 'binary/octet-stream'

/** What a request says of the object that it makes. */
export interface ObjectHead {
  readonly contentType: string
  /** Standard headers and user metadata as they are stored. */
  readonly headers: Readonly<Record<string, string>>
}

/** Where an append begins. */
export const WRITE_OFFSET = 'x-amz-write-offset-bytes'

/** Headers that ask for what is not built: a 501, never overlooked. */
const NOT_BUILT: readonly { readonly name: string; readonly unless?: string }[] = [
  { name: WRITE_OFFSET },
  { name: 'x-amz-mfa' },
]

/** Throws a 501 if the request asks by a header for what is not built, or not for it; `except`: it is. */
export function refuseNotBuilt(call: S3Call, { except }: { readonly except?: string } = {}): void {
  for (const { name, unless } of NOT_BUILT) {
    if (name === except) continue
    const value = call.header(name)
    if (value === undefined || value === '' || value.toLowerCase() === unless?.toLowerCase())
      continue
    throw notImplemented(name)
  }
}

/** The head of an object that the request makes. */
export function headOfRequest(call: S3Call): ObjectHead {
  const headers: Record<string, string> = Object.assign({}, classOfRequest(call))
  let bytes = 0
  for (const name of call.headerNames) {
    if (!name.startsWith(S3_PREFIX)) continue
    const key = name.slice(S3_PREFIX.length)
    const value = call.header(name) ?? ''
    if (key === '') continue
    bytes += key.length + value.length
    headers[SWIFT_PREFIX + key] = fromWireOrRaw(value)
  }
  if (bytes > META_BYTES_MAX) {
    throw new S3Error('MetadataTooLarge', undefined, {
      Size: String(bytes),
      MaxSizeAllowed: String(META_BYTES_MAX),
    })
  }
  for (const name of KEPT) {
    const value = call.header(name)
    if (value !== undefined && value !== '') headers[name] = fromWireOrRaw(value)
  }
  const encoding = storedEncoding(call.header('content-encoding'))
  if (encoding !== undefined) headers['content-encoding'] = fromWireOrRaw(encoding)
  Object.assign(headers, redirectOfRequest(call))
  return { contentType: fromWireOrRaw(call.header('content-type') || DEFAULT_TYPE), headers }
}

/** The head of an object that is there: what a copy takes over. */
export function headOfObject({ meta }: ItemInfo): ObjectHead {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(meta.headers)) {
    const isKept = name.startsWith(SWIFT_PREFIX) || (SHOWN as readonly string[]).includes(name)
    if (isKept) headers[name] = value
  }
  return { contentType: meta.contentType ?? DEFAULT_TYPE, headers }
}

/** What S3 answers of an object, its length and range left out. */
export function objectReplyHeaders(info: ItemInfo): string[] {
  const { headers, contentType } = info.meta
  const out = [
    'Content-Type',
    contentType ?? DEFAULT_TYPE,
    'Last-Modified',
    lastModified(info.stamp.ticks),
    'ETag',
    `"${s3Etag(info)}"`,
    'Accept-Ranges',
    'bytes',
    ...classHeader(info),
  ]
  for (const name of SHOWN) {
    const value = headers[name]
    if (value !== undefined) out.push(TITLES[name], value)
  }
  const location = redirectLocation(info)
  if (location !== undefined) out.push(WEBSITE_REDIRECT, location)
  for (const name in headers) {
    if (name.startsWith(SWIFT_PREFIX)) {
      out.push(S3_PREFIX + name.slice(SWIFT_PREFIX.length), headers[name]!)
    }
  }
  return out
}

/** How many tags it has; nothing if none. */
export function tagCountHeader(info: ItemInfo): string[] {
  const count = tagsOfObject(info).length
  return count === 0 ? [] : ['x-amz-tagging-count', String(count)]
}

/** The tags of an object that the request makes. */
export function taggingOfRequest(call: S3Call): Readonly<Record<string, string>> {
  const header = call.header('x-amz-tagging')
  if (header === undefined || header === '') return {}
  return { [S3_TAGGING]: encodeTags(readTagHeader(header)) }
}

/** The tags that a copy takes over. */
export function taggingOfObject({ meta }: ItemInfo): Readonly<Record<string, string>> {
  const tagging = meta.headers[S3_TAGGING]
  return tagging === undefined || tagging === '' ? {} : { [S3_TAGGING]: tagging }
}

/** The header fields of a part of a multipart object, where one was asked for. */
export function partsCountHeader(info: ItemInfo): string[] {
  const count = partsCountOf(info)
  return count === undefined ? [] : ['x-amz-mp-parts-count', String(count)]
}
