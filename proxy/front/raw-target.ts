/**
 * Targets with bytes beyond ASCII, which Swift takes and llhttp refuses (RFC 3986 has them escaped). Where llhttp gave up says
 * all that has to be known: it was reading a URL, and if what it had of the packet is a method, a blank and the
 * beginning of a path, then the request begins with the packet. No other state of the parser goes with that: within a
 * URL the blank would have ended it, in a method or in a body it would have read another method, and of those that
 * stand here none is the end of another (raw-target.test.ts).
 */

/** A longer request line is refused. */
export const REQUEST_LINE_BYTES_MAX = 64 * 1024

const METHODS = 'GET|HEAD|PUT|POST|DELETE|OPTIONS|COPY'
const BEGINNING = new RegExp(`^(?:${METHODS}) /[!"$-~]*$`)
const LINE = new RegExp(`^((?:${METHODS}) )(/[!"$-~\\x80-\\xff]*)( HTTP/1\\.[01])$`)
const LINE_END = Buffer.from('\r\n')

/** Whether a packet begins with a request whose target has a byte beyond ASCII at `at`, where llhttp refused it. */
export function beginsWithRawTarget(packet: Buffer, at: number): boolean {
  const byte = packet[at]
  return byte !== undefined && byte >= 0x80 && BEGINNING.test(packet.toString('latin1', 0, at))
}

/**
 * The bytes of a request, its target escaped, everything else as it came; undefined while the line is not complete, null for
 * a line that is wrong in another way too.
 */
export function escapeTarget(bytes: Buffer): Buffer | null | undefined {
  const end = bytes.indexOf(LINE_END)
  if (end < 0) return bytes.length > REQUEST_LINE_BYTES_MAX ? null : undefined
  const found = LINE.exec(bytes.toString('latin1', 0, end))
  if (found === null) return null
  const [, method, target, version] = found
  const line = `${method}${target!.replace(/[\x80-\xff]/g, escaped)}${version}`
  return Buffer.concat([Buffer.from(line, 'latin1'), bytes.subarray(end)])
}

function escaped(byte: string): string {
  return `%${byte.charCodeAt(0).toString(16).toUpperCase()}`
}
