/**
 * A request as it is signed: path, query and headers in the one form that both sides agree on. URLs and header values are
 * latin1 here, one character a byte, as they come from the wire.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
import type { IncomingHttpHeaders } from 'node:http'

export interface SignableRequest {
  readonly method: string
  /** The request target as it came. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

/** A query's parameters in their order: unescaped bytes, one character each. */
export type QueryPairs = readonly (readonly [name: string, value: string])[]

const HEX_PAIR = /%([0-9A-Fa-f]{2})/g
const UNRESERVED_PATH = /^[A-Za-z0-9\-._~/]*$/
const UNRESERVED = /^[A-Za-z0-9\-._~]*$/
const ESCAPED = Array.from({ length: 256 }, (_, byte) => escapedByte(byte))

/** Undoes percent escapes, byte by byte. */
export function unescapeBytes(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(HEX_PAIR, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
}

/** Escapes everything but letters, digits and `-._~` (and slashes, in a path). */
export function escapeBytes(bytes: string, { slashes }: { readonly slashes: boolean }): string {
  if ((slashes ? UNRESERVED_PATH : UNRESERVED).test(bytes)) return bytes
  let out = ''
  for (let i = 0; i < bytes.length; i++) {
    const code = bytes.charCodeAt(i) & 0xff
    out += slashes && code === 0x2f ? '/' : ESCAPED[code]
  }
  return out
}

export function queryPairs(query: string): QueryPairs {
  if (query === '') return []
  const pairs: [string, string][] = []
  for (const pair of query.split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = equals < 0 ? pair : pair.slice(0, equals)
    const value = equals < 0 ? '' : pair.slice(equals + 1)
    pairs.push([unescapeBytes(spaced(name)), unescapeBytes(spaced(value))])
  }
  return pairs
}

/** The canonical request; `without` is the query parameter that holds the signature itself. */
export function canonicalRequest(
  request: SignableRequest,
  signed: {
    readonly headers: readonly string[]
    readonly payloadHash: string
    readonly query: QueryPairs
    readonly without?: string | undefined
  },
): string {
  const { method, url } = request
  const end = url.indexOf('?')
  const path = end < 0 ? url : url.slice(0, end)
  let text = `${method}\n${escapeBytes(unescapeBytes(path), { slashes: true })}\n${canonicalQuery(signed)}\n`
  for (const name of signed.headers) text += `${name}:${canonicalHeader(request, name)}\n`
  return `${text}\n${signed.headers.join(';')}\n${signed.payloadHash}`
}

function canonicalQuery({
  query,
  without,
}: {
  readonly query: QueryPairs
  readonly without?: string | undefined
}): string {
  if (query.length === 0) return ''
  const pairs = query.filter(([name]) => name !== without)
  const escaped = pairs.map(([name, value]) => [
    escapeBytes(name, { slashes: false }),
    escapeBytes(value, { slashes: false }),
  ])
  escaped.sort(([a, x], [b, y]) => compare(a!, b!) || compare(x!, y!))
  return escaped.map(([name, value]) => `${name}=${value}`).join('&')
}

/** Without blanks around it, and one between words. */
function canonicalHeader({ headers }: SignableRequest, name: string): string {
  const value = headers[name]
  const text = typeof value === 'string' ? value : (value ?? []).join(',')
  const trimmed = text.trim()
  return trimmed.includes('  ') ? trimmed.replace(/ {2,}/g, ' ') : trimmed
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function spaced(text: string): string {
  return text.includes('+') ? text.replaceAll('+', ' ') : text
}

function escapedByte(byte: number): string {
  const char = String.fromCharCode(byte)
  return UNRESERVED.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
}
