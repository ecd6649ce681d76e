/** The bytes [start, end) of a body. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

interface RangeSpec {
  /** Undefined: the last `end` bytes. */
  readonly start: number | undefined
  /** The last byte, inclusive; undefined: to the end. */
  readonly end: number | undefined
}

/** More ranges, more overlaps, or as many out of order are taken for an attack (RFC 9110 14.2) and refused. */
const RANGES_MAX = 50
const OVERLAPS_MAX = 2
const DISORDERED_MAX = 8

const SPEC = /^(\d*)-(\d*)$/

/**
 * What a Range header asks for of a body of `bytes`: `null` to ignore it (not understood, so the whole body is sent),
 * an empty list for a 416, else what to send, clipped to the body.
 */
export function rangesOf(header: string | undefined, bytes: number): readonly ByteRange[] | null {
  const specs = header === undefined ? null : parseRange(header)
  if (specs === null) return null
  const ranges = specs
    .map((spec) => satisfy(spec, bytes))
    .filter((range): range is ByteRange => range !== null)
  if (isEgregious(ranges)) return []
  // Of an empty body "the last n bytes" is the whole of it: nothing that a Content-Range could name.
  return bytes === 0 && ranges.length > 0 ? null : ranges
}

/** `bytes 0-9/100` */
export function contentRange(range: ByteRange, bytes: number): string {
  return `bytes ${range.start}-${range.end - 1}/${bytes}`
}

/** What stands between the parts of a multipart/byteranges body. */
export interface MultipartPlan {
  readonly contentType: string
  /** Length of the whole body. */
  readonly bytes: number
  readonly parts: readonly { readonly head: string; readonly range: ByteRange }[]
  readonly tail: string
}

export function planMultipart(
  ranges: readonly ByteRange[],
  body: { readonly bytes: number; readonly contentType: string; readonly boundary: string },
): MultipartPlan {
  const parts = ranges.map((range, i) => ({
    head: `${i === 0 ? '' : '\r\n'}--${body.boundary}\r\nContent-Type: ${body.contentType}\r\nContent-Range: ${contentRange(range, body.bytes)}\r\n\r\n`,
    range,
  }))
  const tail = `\r\n--${body.boundary}--`
  const bytes = parts.reduce(
    (sum, { head, range }) => sum + Buffer.byteLength(head) + range.end - range.start,
    tail.length,
  )
  return { contentType: `multipart/byteranges;boundary=${body.boundary}`, bytes, parts, tail }
}

function parseRange(header: string): RangeSpec[] | null {
  const text = header.replaceAll(' ', '')
  if (text.slice(0, 6).toLowerCase() !== 'bytes=') return null
  const specs: RangeSpec[] = []
  for (const item of text.slice(6).split(',')) {
    const match = SPEC.exec(item)
    if (match === null) return null
    const start = match[1] === '' ? undefined : Number(match[1])
    const end = match[2] === '' ? undefined : Number(match[2])
    if (start === undefined && end === undefined) return null
    if (start !== undefined && end !== undefined && end < start) return null
    specs.push({ start, end })
  }
  return specs
}

function satisfy(spec: RangeSpec, bytes: number): ByteRange | null {
  if (spec.start === undefined) {
    const last = spec.end!
    return last === 0 ? null : { start: Math.max(0, bytes - last), end: bytes }
  }
  if (spec.start >= bytes) return null
  return { start: spec.start, end: spec.end === undefined ? bytes : Math.min(spec.end + 1, bytes) }
}

function isEgregious(ranges: readonly ByteRange[]): boolean {
  if (ranges.length > RANGES_MAX) return true
  let overlaps = 0
  for (let i = 0; i < ranges.length; i++) {
    for (let j = i + 1; j < ranges.length; j++) {
      if (overlap(ranges[i]!, ranges[j]!) && ++overlaps > OVERLAPS_MAX) return true
    }
  }
  const ascending = ranges.every((range, i) => i === 0 || ranges[i - 1]!.start <= range.start)
  return !ascending && ranges.length >= DISORDERED_MAX
}

/** One has an end inside the other; two equal ranges do not count, as in Swift. */
function overlap(a: ByteRange, b: ByteRange): boolean {
  const inside = (point: number, range: ByteRange) => range.start < point && point < range.end
  return inside(b.start, a) || inside(b.end, a) || inside(a.start, b) || inside(a.end, b)
}
