import type { IncomingHttpHeaders } from 'node:http'
import { utf8Bytes } from '../../common/utf8.ts'
import { badRequest } from '../exchange.ts'
import type { Limits } from '../limits.ts'
import { fromWire, fromWireOrRaw } from '../wire-text.ts'

export type MetaKind = 'account' | 'container' | 'object'
export type Headers = Readonly<Record<string, string>>

/** Headers that an object keeps besides its user metadata; Swift's `allowed_headers`. */
const OBJECT_HEADERS = new Set([
  'content-disposition',
  'content-encoding',
  'cache-control',
  'content-language',
  'expires',
  'x-robots-tag',
  'x-object-manifest',
])

/** What a container keeps besides its user metadata. */
const CONTAINER_HEADERS = new Set([
  'x-container-read',
  'x-container-write',
  'x-container-sync-to',
  'x-container-sync-key',
])

const USER_PREFIX = {
  account: 'x-account-meta-',
  container: 'x-container-meta-',
  object: 'x-object-meta-',
} as const

/**
 * The metadata that a request sets on an object: `x-object-meta-…` and the few standard headers that are kept, as
 * text. Throws a 400 in Swift's words for what breaks a limit.
 */
export function objectHeaders(
  headers: IncomingHttpHeaders,
  limits: Limits,
): Record<string, string> {
  const tally = new MetaTally('object', limits)
  const found: Record<string, string> = {}
  for (const name in headers) {
    const value = headers[name]
    if (typeof value !== 'string') continue
    checkHeaderSize(name, value, limits)
    const isUser = name.startsWith(USER_PREFIX.object)
    if (isUser) tally.add(name, value)
    // Swift keeps an object's metadata whatever its bytes are.
    if (isUser) found[hyphened(name)] = fromWireOrRaw(value)
    else if (OBJECT_HEADERS.has(name)) found[name] = fromWireOrRaw(value)
  }
  return found
}

/** Metadata of users has hyphens for underscores: WSGI, which Swift is built on, does not tell them apart. */
function hyphened(name: string): string {
  return name.includes('_') ? name.replaceAll('_', '-') : name
}

/**
 * What a request changes of an account's or container's metadata: an empty value removes. `X-Remove-…` headers are
 * that too; a header that is set and removed at once is set.
 */
export function listHeaders(
  kind: 'account' | 'container',
  headers: IncomingHttpHeaders,
  limits: Limits,
): Record<string, string> {
  const tally = new MetaTally(kind, limits)
  const removePrefix = `x-remove-${kind}-`
  const changes: Record<string, string> = {}
  const removed: Record<string, string> = {}
  for (const name in headers) {
    const value = headers[name]
    if (typeof value !== 'string') continue
    checkHeaderSize(name, value, limits)
    if (name.startsWith(removePrefix)) {
      const target = `x-${kind}-${name.slice(removePrefix.length)}`
      if (isListHeader(kind, target)) removed[hyphened(target)] = ''
    } else if (isListHeader(kind, name)) {
      if (name.startsWith(USER_PREFIX[kind])) tally.add(name, value)
      changes[hyphened(name)] = decoded(name, value)
    }
  }
  return { ...removed, ...changes }
}

/** The limits hold for what an account or container has in the end, not only for what one request brings. */
export function checkMergedMeta(
  kind: 'account' | 'container',
  merge: { readonly current: Headers; readonly changes: Headers; readonly limits: Limits },
): void {
  const { current, changes, limits } = merge
  let count = 0
  let bytes = 0
  for (const [name, value] of Object.entries({ ...current, ...changes })) {
    if (value === '' || !name.startsWith(USER_PREFIX[kind])) continue
    count++
    bytes += name.length - USER_PREFIX[kind].length + utf8Bytes(value)
  }
  checkTotals(count, bytes, limits)
}

/** The limits for metadata that was put together from a source object and a request. */
export function checkObjectMeta(headers: Headers, limits: Limits): void {
  const tally = new MetaTally('object', limits)
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(USER_PREFIX.object)) tally.add(name, value)
  }
}

/** System metadata and what the nodes tell each other: never set by clients, never shown to them. */
export function isInternalHeader(name: string): boolean {
  return (
    name.includes('-sysmeta-') ||
    name.startsWith('x-backend-') ||
    /^x-(account|container)-(host|device|partition|root-db-state)$/.test(name) ||
    /^x-delete-at-(host|device|partition|container)$/.test(name)
  )
}

const titles = new Map<string, string>()
const TITLES_MAX = 10_000

/** `x-object-meta-color` → `X-Object-Meta-Color`, as Swift writes header names. */
export function titleCase(name: string): string {
  const known = titles.get(name)
  if (known !== undefined) return known
  const title =
    name === 'etag'
      ? 'Etag'
      : name.replace(/(^|[^a-z])([a-z])/g, (_, before, letter) => before + letter.toUpperCase())
  if (titles.size >= TITLES_MAX) titles.clear()
  titles.set(name, title)
  return title
}

function isListHeader(kind: 'account' | 'container', name: string): boolean {
  if (name.startsWith(USER_PREFIX[kind])) return true
  return kind === 'container' && CONTAINER_HEADERS.has(name)
}

/** Counts user metadata against the limits, header by header. */
class MetaTally {
  readonly #prefix: string
  readonly #limits: Limits
  #count = 0
  #bytes = 0

  constructor(kind: MetaKind, limits: Limits) {
    this.#prefix = USER_PREFIX[kind]
    this.#limits = limits
  }

  add(name: string, value: string): void {
    const { metaNameBytesMax, metaValueBytesMax } = this.#limits
    const keyBytes = name.length - this.#prefix.length
    const valueBytes = value.length
    if (keyBytes === 0) throw badRequest('Metadata name cannot be empty')
    if (keyBytes > metaNameBytesMax) throw badRequest(`Metadata name too long: ${name}`)
    if (valueBytes > metaValueBytesMax) {
      throw badRequest(`Metadata value longer than ${metaValueBytesMax}: ${name}`)
    }
    this.#count++
    this.#bytes += keyBytes + valueBytes
    checkTotals(this.#count, this.#bytes, this.#limits)
  }
}

function checkTotals(count: number, bytes: number, limits: Limits): void {
  if (count > limits.metaCountMax) {
    throw badRequest(`Too many metadata items; max ${limits.metaCountMax}`)
  }
  if (bytes > limits.metaOverallBytesMax) {
    throw badRequest(`Total metadata too large; max ${limits.metaOverallBytesMax}`)
  }
}

function checkHeaderSize(name: string, value: string, limits: Limits): void {
  if (value.length > limits.headerBytesMax) {
    throw badRequest(`Header value too long: ${name.slice(0, limits.metaNameBytesMax)}`)
  }
}

function decoded(name: string, value: string): string {
  const text = fromWire(value)
  if (text === null) {
    const isMeta = name.includes('-meta-')
    throw badRequest(isMeta ? 'Metadata must be valid UTF-8' : `Header ${name} must be valid UTF-8`)
  }
  return text
}
