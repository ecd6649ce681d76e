/**
 * Text and the wire. Node hands header values and URLs over as latin1, one character a byte; in this code texts are
 * what the bytes mean in UTF-8.
 */

const BEYOND_ASCII = /[^\0-\x7f]/
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The UTF-8 text behind a latin1 value; null if the bytes are not UTF-8. */
export function fromWire(latin1: string): string | null {
  if (!BEYOND_ASCII.test(latin1)) return latin1
  return decodeUtf8(Buffer.from(latin1, 'latin1'))
}

/** In front of a text that is not one: what follows are bytes, one character each. No header value begins so. */
const RAW_MARK = '\0'

/** Like fromWire, but bytes that are not UTF-8 are kept as they are, marked, for toWire to give back. */
export function fromWireOrRaw(latin1: string): string {
  return fromWire(latin1) ?? RAW_MARK + latin1
}

/** The latin1 form that Node writes as the text's UTF-8 bytes. */
export function toWire(text: string): string {
  if (text.startsWith(RAW_MARK)) return text.slice(1)
  return BEYOND_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text
}

/** Null if the bytes are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes)
  } catch {
    return null
  }
}

/**
 * Undoes percent escapes as WSGI servers do: one that is not two hex digits stays as it is. Null if the outcome is not
 * UTF-8. The common case has no escape at all.
 */
export function unescapeUrl(latin1: string): string | null {
  if (!latin1.includes('%')) return fromWire(latin1)
  if (!BEYOND_ASCII.test(latin1)) {
    try {
      return decodeURIComponent(latin1)
    } catch {
      // A bare per cent sign or bytes that are not UTF-8: told apart below.
    }
  }
  return decodeUtf8(unescapeBytes(Buffer.from(latin1, 'latin1')))
}

const PLAIN_PATH = /^[\w.~/-]*$/

/** Escapes text for a URL or a header that holds a path, as Swift's `quote` does: slashes stay. */
export function escapePath(text: string): string {
  if (PLAIN_PATH.test(text)) return text
  return encodeURIComponent(text)
    .replaceAll('%2F', '/')
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

function unescapeBytes(bytes: Buffer): Uint8Array {
  const out = Buffer.allocUnsafe(bytes.length)
  let length = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    const value = byte === 0x25 ? hexPair(bytes[i + 1], bytes[i + 2]) : -1
    out[length++] = value < 0 ? byte : value
    if (value >= 0) i += 2
  }
  return out.subarray(0, length)
}

/** The value of two hex digits, or -1. */
function hexPair(high: number | undefined, low: number | undefined): number {
  const first = hexDigit(high)
  const second = hexDigit(low)
  return first < 0 || second < 0 ? -1 : first * 16 + second
}

function hexDigit(code: number | undefined): number {
  if (code === undefined) return -1
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
