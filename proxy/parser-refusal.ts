/** What to say when the HTTP parser gave up on a connection: its error codes in the words of HTTP. Pure. */
import type { IncomingHttpHeaders } from 'node:http'
import { decodeUtf8 } from './wire-text.ts'

export interface Refusal {
  readonly status: number
  readonly message: string
}

/** A request that is not taken. */
export interface RefusedRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

/** The parser's error: Node adds the bytes it stumbled over. */
export interface ParserError {
  readonly code?: string | undefined
  readonly rawPacket?: Buffer | undefined
  /** Where in the packet it stumbled. */
  readonly bytesParsed?: number | undefined
}

const LINE_BYTES_MAX = 16 * 1024
const REQUEST_LINE = /^([\w!#$%&'*+.^`|~-]{1,64}) (\/[^ \r\n]*) HTTP\/1\.[01]\r?\n/
const FIELD_LINE = /^([\w!#$%&'*+.^`|~-]+):(.*)$/

/** `inBody`: the head had been understood, and the body was on its way. */
export function parserRefusal(error: ParserError, inBody: boolean): Refusal {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return { status: 431, message: 'The headers are too large' }
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, message: '' }
    case 'HPE_INVALID_EOF_STATE':
      return { status: inBody ? 499 : 400, message: '' }
    case 'HPE_INVALID_METHOD':
      // Rubbish after a body is no method either: only a whole request line counts as a request.
      return { status: targetOf(error) !== null && !inBody ? 405 : 400, message: '' }
    case 'HPE_INVALID_URL':
      return badUrl(targetOf(error))
    default:
      return { status: 400, message: '' }
  }
}

/** URLs are ASCII (RFC 3986), and the parser insists on it: bytes beyond must come escaped. */
function badUrl(target: string | null): Refusal {
  if (target !== null && decodeUtf8(Buffer.from(target, 'latin1')) === null) {
    return { status: 412, message: 'Invalid UTF8 or contains NULL' }
  }
  return { status: 400, message: 'Characters beyond ASCII must be percent-encoded in the URL' }
}

/**
 * The request whose line the parser stumbled in, or null if it was in none. It is refused whatever it says: its fields, as far as
 * they are there, tell only in whose words. Of a name that stands twice the first one counts.
 */
export function refusedRequest(error: ParserError): RefusedRequest | null {
  const text = textFrom(error)
  const line = REQUEST_LINE.exec(text)
  if (line === null) return null
  const [whole, method, url] = line
  const headers: Record<string, string> = Object.create(null)
  for (const field of text.slice(whole.length).split(/\r?\n/)) {
    const found = FIELD_LINE.exec(field)
    if (found === null) break
    headers[found[1]!.toLowerCase()] ??= found[2]!.trim()
  }
  return { method: method!, url: url!, headers }
}

/** The target of the request line that the parser stumbled in, or null if it was in none. */
function targetOf(error: ParserError): string | null {
  return REQUEST_LINE.exec(textFrom(error))?.[2] ?? null
}

/** From the beginning of the line in which the parser stumbled. */
function textFrom({ rawPacket, bytesParsed = 0 }: ParserError): string {
  if (rawPacket === undefined) return ''
  const start = rawPacket.lastIndexOf(0x0a, Math.max(bytesParsed - 1, 0)) + 1
  return rawPacket.subarray(start, start + LINE_BYTES_MAX).toString('latin1')
}
