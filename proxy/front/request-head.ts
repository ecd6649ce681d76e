/**
 * The head of a plain request, read without node:http: strictly, and only where nothing can be meant in two ways. A
 * head is plain if it is a GET, HEAD, PUT or DELETE of what is taken here (objects, and requests of S3's) in HTTP/1.1, has
 * one Host, no header twice, no coding, no expectation, no upgrade, and at most a short body of stated length. Whatever
 * else comes is `other`, and node:http's parser, which knows all of HTTP, has the word (RFC 9112; both agree on every
 * plain head: front.test.ts).
 */
import type { IncomingHttpHeaders } from 'node:http'

/** A longer head is not plain. */
export const PLAIN_HEAD_BYTES_MAX = 16 * 1024

export interface PlainHead {
  readonly method: string
  readonly url: string
  /** Names in lower case, values as latin1. */
  readonly headers: IncomingHttpHeaders
  /** Of the head with its empty line. */
  readonly headBytes: number
  readonly bodyBytes: number
  /** Whether the client wants the connection kept: null if it does not say so. */
  readonly keepAlive: boolean | null
}

/** Field lines of RFC 9112 without folding: a token, a colon, text without control characters, CR LF. */
const FIELD_LINES = /^(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)+$/
const TARGET = /^\/[!"$-~]*$/
/** node:http's parser takes no blank behind the digits. */
const LENGTH = /^ ?(?:0|[1-9][0-9]{0,8})$/
const HEAD_END = Buffer.from('\r\n\r\n')
/** What asks for more than a short exchange. */
const NOT_PLAIN = [
  'transfer-encoding',
  'expect',
  'upgrade',
  'te',
  'trailer',
  'x-copy-from',
] as const

export interface PlainRules {
  /** A longer body is not plain. */
  readonly bodyBytesMax: number
  /** Whether such requests are answered without node:http. */
  readonly takes: (head: Pick<PlainHead, 'method' | 'url' | 'headers'>) => boolean
}

/** The plain head at the start of the bytes, or null. Only a PUT has a body. */
export function readPlainHead(
  bytes: Buffer,
  { bodyBytesMax, takes }: PlainRules,
): PlainHead | null {
  const end = bytes.indexOf(HEAD_END)
  if (end < 0 || end > PLAIN_HEAD_BYTES_MAX) return null
  const text = bytes.toString('latin1', 0, end + 2)
  const lineEnd = text.indexOf('\r\n')
  const method = plainMethod(text)
  if (method === null) return null
  const targetEnd = lineEnd - ' HTTP/1.1'.length
  if (!text.startsWith(' HTTP/1.1\r\n', targetEnd)) return null
  const url = text.slice(method.length + 1, targetEnd)
  if (!TARGET.test(url)) return null
  const headers = readFields(text.slice(lineEnd + 2))
  if (headers === null || !isPlain(headers) || !takes({ method, url, headers })) return null
  const bodyBytes = plainBody(method, headers['content-length'])
  if (bodyBytes === null || bodyBytes > bodyBytesMax) return null
  const keepAlive = plainConnection(headers.connection)
  if (keepAlive === undefined) return null
  return { method, url, headers, headBytes: end + HEAD_END.length, bodyBytes, keepAlive }
}

function plainMethod(text: string): string | null {
  if (text.startsWith('GET ')) return 'GET'
  if (text.startsWith('PUT ')) return 'PUT'
  if (text.startsWith('HEAD ')) return 'HEAD'
  if (text.startsWith('DELETE ')) return 'DELETE'
  return null
}

/** An object without a prototype that V8 keeps fast, as node:querystring has it. */
const Fields = function Fields() {} as unknown as new () => Record<string, string | undefined>
Fields.prototype = Object.create(null)

/** Null if a line is not a plain field line, or a name stands twice. */
function readFields(lines: string): IncomingHttpHeaders | null {
  if (!FIELD_LINES.test(lines)) return null
  const fields = new Fields()
  let start = 0
  while (start < lines.length) {
    const colon = lines.indexOf(':', start)
    const end = lines.indexOf('\r\n', colon)
    const name = lines.slice(start, colon).toLowerCase()
    if (fields[name] !== undefined) return null
    if (name === 'content-length' && !LENGTH.test(lines.slice(colon + 1, end))) return null
    fields[name] = trimmed(lines, colon + 1, end)
    start = end + 2
  }
  return fields
}

/** Without the blanks and tabs around it. */
function trimmed(text: string, from: number, to: number): string {
  let [start, end] = [from, to]
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

function isPlain(headers: IncomingHttpHeaders): boolean {
  if (headers.host === undefined || headers.host === '') return false
  for (const name of NOT_PLAIN) if (headers[name] !== undefined) return false
  return true
}

function plainBody(method: string, length: string | undefined): number | null {
  if (length === undefined) return method === 'PUT' ? null : 0
  const bytes = Number(length)
  return method === 'PUT' || bytes === 0 ? bytes : null
}

/** Undefined for a value that is neither of the two that everybody knows. */
function plainConnection(value: string | undefined): boolean | null | undefined {
  if (value === undefined) return null
  const word = value.toLowerCase()
  if (word === 'keep-alive') return true
  return word === 'close' ? false : undefined
}
