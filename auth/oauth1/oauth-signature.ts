import { createHmac } from 'node:crypto'

/** A request signed by OAuth 1.0 (RFC 5849) in its Authorization header. */
export interface OAuthRequest {
  readonly method: string
  /** Where the client may have sent it, without the query: by the name it used, and by the public one. */
  readonly urls: readonly string[]
  readonly query: readonly (readonly [string, string])[]
  /** The header's parameters, `oauth_…` and `realm`. */
  readonly parameters: ReadonlyMap<string, string>
}

/** The parameters of a header `OAuth a="b", …`, decoded; null for what is none, or names one twice. */
export function parseOAuthHeader(header: string): ReadonlyMap<string, string> | null {
  const [, list] = /^OAuth\s+(.*)$/is.exec(header) ?? []
  if (list === undefined) return null
  const found = new Map<string, string>()
  for (const part of list.split(',')) {
    const [, name, value] = /^\s*([\w%.~-]+)\s*=\s*"([^"]*)"\s*$/.exec(part) ?? []
    if (name === undefined || value === undefined) return null
    const [plainName, plainValue] = [decode(name), decode(value)]
    if (plainName === null || plainValue === null || found.has(plainName)) return null
    found.set(plainName, plainValue)
  }
  return found
}

const HASHES: Readonly<Record<string, string>> = { 'HMAC-SHA1': 'sha1', 'HMAC-SHA256': 'sha256' }

/** The signatures that would be right, one for each URL; none for a method that is not known. */
export function oauthSignatures(
  request: OAuthRequest,
  secrets: { readonly consumer: string; readonly token: string },
): readonly string[] {
  const method = request.parameters.get('oauth_signature_method') ?? ''
  const hash = Object.hasOwn(HASHES, method) ? HASHES[method] : undefined
  if (hash === undefined) return []
  const key = `${encode(secrets.consumer)}&${encode(secrets.token)}`
  return request.urls.map((url) =>
    createHmac(hash, key).update(baseString(request, url)).digest('base64'),
  )
}

/** What is signed: method, URL and all parameters in order (section 3.4.1). */
export function baseString({ method, query, parameters }: OAuthRequest, url: string): string {
  const all = [...query, ...parameters].filter(
    ([name]) => name !== 'realm' && name !== 'oauth_signature',
  )
  const pairs = all
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
    .map(([name, value]) => `${name}=${value}`)
  return [method.toUpperCase(), encode(url), encode(pairs.join('&'))].join('&')
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** As section 3.6 has it: all but letters, digits and `-._~`. */
function encode(text: string): string {
  const escaped = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  return encodeURIComponent(Buffer.from(text).toString()).replace(/[!'()*]/g, escaped)
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
