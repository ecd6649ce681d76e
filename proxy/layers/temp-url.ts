/**
 * Temporary URLs: whoever has one may do what it says until it expires. It is signed with a key of the account or the
 * container, and grants no more than it signs: its parameters replace all others, pointers to other data may not be
 * uploaded by it. https://docs.openstack.org/swift/latest/api/temporary_url_middleware.html
 */
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { type Reply, replyHeader } from '../reply.ts'
import type { SwiftPath } from '../swift/path.ts'
import { escapePath } from '../wire-text.ts'
import {
  DIGESTS,
  type Digest,
  digestInfo,
  isSignedBy,
  parseSignature,
  type Signature,
} from './digest.ts'
import { type HeaderPatterns, isRemoved } from './header-rules.ts'
import { isInRange } from './ip-range.ts'
import type { Layer, Next } from './layer.ts'
import { type ScopedKey, tempUrlKeys } from './temp-url-keys.ts'

export interface TempUrlOptions {
  readonly methods?: readonly string[]
  readonly allowedDigests?: readonly Digest[]
  readonly incomingRemoveHeaders?: HeaderPatterns
  readonly incomingAllowHeaders?: HeaderPatterns
  readonly outgoingRemoveHeaders?: HeaderPatterns
  readonly outgoingAllowHeaders?: HeaderPatterns
}

/** Swift's own. */
export const TEMP_URL_DEFAULTS = {
  methods: ['GET', 'HEAD', 'PUT', 'POST', 'DELETE'],
  allowedDigests: DIGESTS,
  incomingRemoveHeaders: ['x-timestamp', 'x-open-expired'],
  incomingAllowHeaders: [],
  outgoingRemoveHeaders: ['x-object-meta-*'],
  outgoingAllowHeaders: ['x-object-meta-public-*'],
} satisfies Required<TempUrlOptions>

/** How requests are called in the log that a temporary URL let in. */
export const TEMP_URL_USER = '.wsgi.tempurl'

/** A PUT with one of them would make what it may write a way to what it may not read. */
const POINTERS = ['x-object-manifest', 'x-symlink-target', 'x-copy-from']
/** A HEAD may use what was signed for one of these. */
const METHODS_FOR_HEAD = ['HEAD', 'GET', 'POST', 'PUT']

/** The parameters of a temporary URL. */
export interface TempUrl {
  readonly signature: string | undefined
  /** As it came: seconds since 1970, or ISO 8601. */
  readonly expires: string | undefined
  readonly prefix: string | undefined
  readonly ipRange: string | undefined
  readonly filename: string | undefined
  readonly inline: boolean
}

export function tempUrlLayer(options: TempUrlOptions): Layer {
  const settings = { ...TEMP_URL_DEFAULTS, ...options }
  return {
    name: 'tempurl',
    concerns: ({ url, method }) => url.includes('?') && method !== 'OPTIONS',
    answer(exchange, next) {
      const asked = tempUrlOf(exchange)
      if (asked.signature === undefined && asked.expires === undefined) return next()
      return answerSigned(exchange, { asked, settings, next })
    },
    info: { tempurl: infoOf(settings) },
  }
}

function infoOf(settings: Required<TempUrlOptions>): unknown {
  return {
    methods: settings.methods,
    incoming_remove_headers: settings.incomingRemoveHeaders,
    incoming_allow_headers: settings.incomingAllowHeaders,
    outgoing_remove_headers: settings.outgoingRemoveHeaders,
    outgoing_allow_headers: settings.outgoingAllowHeaders,
    ...digestInfo(settings.allowedDigests),
  }
}

/** What the URL's parameters say. */
export function tempUrlOf({ query }: Exchange): TempUrl {
  return {
    signature: query.get('temp_url_sig'),
    expires: query.get('temp_url_expires'),
    prefix: query.get('temp_url_prefix'),
    ipRange: query.get('temp_url_ip_range') || undefined,
    filename: query.get('filename') || undefined,
    inline: query.has('inline'),
  }
}

/** Seconds since 1970; 0 if it is over, or no time at all. */
export function expirySeconds(text: string, nowMs: number): number {
  const iso = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/.test(text) ? Date.parse(text) / 1000 : 0
  const seconds = /^\s*\+?\d{1,15}\s*$/.test(text) ? Number(text) : iso
  return seconds * 1000 < nowMs || Number.isNaN(seconds) ? 0 : seconds
}

interface Signed {
  readonly asked: TempUrl
  readonly settings: Required<TempUrlOptions>
  readonly next: Next
}

async function answerSigned(exchange: Exchange, signed: Signed): Promise<Reply> {
  const { asked, settings, next } = signed
  const expires = expirySeconds(asked.expires ?? '', exchange.proxy.clock.nowMs())
  const key = await signingKey(exchange, { ...signed, expires })
  if (key === null) throw invalid()
  refusePointers(exchange)
  for (const name of Object.keys(exchange.headers)) {
    if (isRemoved(name, incomingRules(settings))) exchange.dropHeader(name)
  }
  exchange.replaceQuery(signedQuery(asked))
  const { account, container } = exchange.path!
  exchange.authority = {
    by: TEMP_URL_USER,
    account,
    owner: false,
    ...(key.scope === 'container' && { container: container! }),
  }
  const reply = await next()
  const shown = { ...reply, headers: visibleHeaders(reply.headers, settings) }
  const isRead = exchange.method === 'GET' || exchange.method === 'HEAD'
  if (!isRead || reply.status < 200 || reply.status > 299) return shown
  // A container is let in for the web site that may be in it, never for its listing.
  if (exchange.path!.object === undefined && reply.generator !== 'staticweb') {
    if (reply.body !== null && typeof reply.body === 'object' && 'close' in reply.body) {
      await reply.body.close()
    }
    throw invalid()
  }
  return withDisposition(exchange, shown, { asked, expires })
}

function invalid(): Error {
  return refusal(401, '401 Unauthorized: Temp URL invalid\n')
}

/** The key that the URL was signed with for this request; null if there is none. */
async function signingKey(
  exchange: Exchange,
  { asked, settings, expires }: Signed & { readonly expires: number },
): Promise<ScopedKey | null> {
  const signature = parseSignature(asked.signature ?? '')
  if (signature === null || expires === 0) return null
  if (!settings.allowedDigests.includes(signature.digest)) return null
  if (!settings.methods.includes(exchange.method)) return null
  const path = signedPath(exchange, asked)
  if (path === null) return null
  const { ipRange } = asked
  if (ipRange !== undefined && !isInRange(exchange.socket.remoteAddress ?? '', ipRange)) return null
  const keys = await tempUrlKeys(exchange, exchange.path!)
  const methods = exchange.method === 'HEAD' ? METHODS_FOR_HEAD : [exchange.method]
  const messages = methods.map((method) =>
    [...(ipRange === undefined ? [] : [`ip=${ipRange}`]), method, expires, path].join('\n'),
  )
  return keys.find((scoped) => signsOneOf(signature, scoped, messages)) ?? null
}

function signsOneOf(
  signature: Signature,
  { key }: ScopedKey,
  messages: readonly string[],
): boolean {
  return messages.some((message) => isSignedBy(signature, key, message))
}

/** What must have been signed: the object's path, or the prefix that it begins with. */
function signedPath(exchange: Exchange, { prefix }: TempUrl): string | null {
  const { account, container, object = '' } = exchange.path as SwiftPath
  if (container === undefined) return null
  const isRead = exchange.method === 'GET' || exchange.method === 'HEAD'
  const isRoot = object === '' && isRead && prefix === ''
  if (object.replaceAll('/', '') === '' && !isRoot) return null
  if (prefix === undefined) return `/v1/${account}/${container}/${object}`
  return object.startsWith(prefix) ? `prefix:/v1/${account}/${container}/${prefix}` : null
}

function refusePointers(exchange: Exchange): void {
  if (exchange.method === 'GET' || exchange.method === 'HEAD') return
  const pointer = POINTERS.find((name) => exchange.headers[name] !== undefined)
  if (pointer === undefined) return
  const name = pointer.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())
  throw badRequest(`The header '${name}' is not allowed in this tempurl`)
}

/** All that is left of the query: nothing that was not signed reaches the handlers. */
function signedQuery({ signature, expires, prefix, ipRange, filename, inline }: TempUrl): string {
  const query = new URLSearchParams({ temp_url_sig: signature!, temp_url_expires: expires! })
  if (prefix !== undefined) query.set('temp_url_prefix', prefix)
  if (ipRange !== undefined) query.set('temp_url_ip_range', ipRange)
  if (filename !== undefined) query.set('filename', filename)
  if (inline) query.set('inline', '')
  return query.toString()
}

function incomingRules(settings: Required<TempUrlOptions>) {
  return { remove: settings.incomingRemoveHeaders, allow: settings.incomingAllowHeaders }
}

function visibleHeaders(headers: readonly string[], settings: Required<TempUrlOptions>): string[] {
  const rules = { remove: settings.outgoingRemoveHeaders, allow: settings.outgoingAllowHeaders }
  const out: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    if (!isRemoved(headers[i]!, rules)) out.push(headers[i]!, headers[i + 1]!)
  }
  return out
}

/** Browsers save what comes by a temporary URL, unless it says `inline`; caches forget it when it expires. */
function withDisposition(
  exchange: Exchange,
  reply: Reply,
  url: { readonly asked: TempUrl; readonly expires: number },
): Reply {
  const own = replyHeader(reply, 'content-disposition')
  const disposition = dispositionOf(exchange, { asked: url.asked, own, reply })
  const headers: string[] = []
  for (let i = 0; i < reply.headers.length; i += 2) {
    const name = reply.headers[i]!.toLowerCase()
    if (name === 'content-disposition' || name === 'expires') continue
    headers.push(reply.headers[i]!, reply.headers[i + 1]!)
  }
  const expires = new Date(url.expires * 1000).toUTCString()
  headers.push('Content-Disposition', disposition, 'Expires', expires)
  return { ...reply, headers }
}

function dispositionOf(
  exchange: Exchange,
  known: { readonly asked: TempUrl; readonly own: string | undefined; readonly reply: Reply },
): string {
  const { filename, inline } = known.asked
  const isInline = inline || known.reply.generator === 'staticweb'
  if (filename !== undefined) return formatDisposition(isInline ? 'inline' : 'attachment', filename)
  if (isInline) return 'inline'
  if (known.own !== undefined) return known.own
  const name = exchange.path!.object!.replace(/\/+$/, '')
  return formatDisposition('attachment', name.slice(name.lastIndexOf('/') + 1))
}

/** RFC 6266: once for old clients, once in UTF-8. */
export function formatDisposition(type: 'attachment' | 'inline', filename: string): string {
  const escaped = escapePath(filename)
  return `${type}; filename="${escaped.replaceAll('%20', ' ')}"; filename*=UTF-8''${escaped}`
}
