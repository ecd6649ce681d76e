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
  readonly fields: PlainFields
  /** Of the head with its empty line. */
  readonly headBytes: number
  readonly bodyBytes: number
}

/** The field lines of a plain head. Those of many requests may be one and the same: nobody can change them. */
export interface PlainFields {
  /** As they came, from the end of the request line to the end of the head. */
  readonly text: string
  /** Names in lower case, values as latin1. */
  readonly headers: Readonly<IncomingHttpHeaders>
  /** Whether the client wants the connection kept: null if it does not say so. */
  readonly keepAlive: boolean | null
}

const CR = 0x0d
const HEAD_END = Buffer.from('\r\n\r\n')
const LINE_END = '\r\n'
const VERSION = ' HTTP/1.1'
/**
 * The end of the request line, field lines of RFC 9112 without folding (a token, a colon, text without control characters,
 * CR LF), and the end of the head.
 */
const FIELD_LINES = /^\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)+\r\n$/
const TARGET = /^\/[!"$-~]*$/
/** node:http's parser takes no blank behind the digits. */
const LENGTH = /^ ?(?:0|[1-9][0-9]{0,8})$/
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
  readonly takes: (head: {
    readonly method: string
    readonly url: string
    readonly headers: Readonly<IncomingHttpHeaders>
  }) => boolean
}

/**
 * The plain head at the start of the bytes, or null. Only a PUT has a body. Most clients send the same fields again with
 * each request: `known` are those of one before, and spare the reading if these are the same to the byte.
 */
export function readPlainHead(
  bytes: Buffer,
  { bodyBytesMax, takes }: PlainRules,
  known: PlainFields | null,
): PlainHead | null {
  const lineEnd = bytes.indexOf(CR)
  if (lineEnd < 0) return null
  let fields = known
  let text = known === null ? '' : bytes.toString('latin1', 0, lineEnd + known.text.length)
  if (known === null || text.slice(lineEnd) !== known.text) {
    const end = bytes.indexOf(HEAD_END, lineEnd)
    if (end < 0 || end > PLAIN_HEAD_BYTES_MAX) return null
    text = bytes.toString('latin1', 0, end + HEAD_END.length)
    fields = readFields(text.slice(lineEnd))
  }
  const headBytes = text.length
  if (fields === null || headBytes > PLAIN_HEAD_BYTES_MAX + HEAD_END.length) return null
  const { headers } = fields
  const method = plainMethod(text)
  if (method === null) return null
  const targetEnd = lineEnd - VERSION.length
  if (!text.startsWith(VERSION, targetEnd)) return null
  const url = text.slice(method.length + 1, targetEnd)
  if (!TARGET.test(url) || !takes({ method, url, headers })) return null
  const bodyBytes = plainBody(method, headers['content-length'])
  if (bodyBytes === null || bodyBytes > bodyBytesMax) return null
  return { method, url, fields, headBytes, bodyBytes }
}

/** Null if there is more to them than plain fields. */
function readFields(text: string): PlainFields | null {
  const headers = readLines(text)
  if (headers === null || !isPlain(headers)) return null
  const keepAlive = plainConnection(headers.connection)
  return keepAlive === undefined ? null : { text, headers: Object.freeze(headers), keepAlive }
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
function readLines(text: string): IncomingHttpHeaders | null {
  if (!FIELD_LINES.test(text)) return null
  const fields = new Fields()
  const last = text.length - LINE_END.length
  let start = LINE_END.length
  while (start < last) {
    const colon = text.indexOf(':', start)
    const end = text.indexOf(LINE_END, colon)
    const name = text.slice(start, colon).toLowerCase()
    if (fields[name] !== undefined) return null
    if (name === 'content-length' && !LENGTH.test(text.slice(colon + 1, end))) return null
    fields[name] = trimmed(text, colon + 1, end)
    start = end + LINE_END.length
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
