/**
 * Manifests of static large objects: what clients send, what is stored, and what both come to. Stored is JSON, a list of
 * segments in Swift's own words, so that `multipart-manifest=get` shows what every client knows:
 *
 *   {"name": "/container/object", "bytes": 1048576, "hash": "…", "content_type": "…", "last_modified": "…"}
 *   … and "range": "0-99" of a part of an object, "sub_slo": true of a large object within this one
 *   {"data": "base64"}
 *
 * https://docs.openstack.org/swift/latest/overview_large_objects.html
 */
import { hash } from 'node:crypto'
import { ServiceError } from '../../../common/errors.ts'
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import { escapePath } from '../../wire-text.ts'
import { isoTime } from '../http-date.ts'
import { rangesOf } from '../range.ts'

/** A segment as a client asks for it. */
export type WantedSegment = WantedObject | { readonly data: Buffer }

export interface WantedObject {
  /** `container/object`, as it was given. */
  readonly path: string
  readonly etag?: string
  readonly bytes?: number
  /** `M-N`, `M-` or `-N`. */
  readonly range?: string
}

/** A segment as it is stored. */
export type StoredSegment = StoredObject | { readonly data: string }

export interface StoredObject {
  readonly name: string
  readonly bytes: number
  readonly hash: string
  readonly content_type: string
  readonly last_modified: string
  readonly range?: string
  readonly sub_slo?: true
}

/** What a HEAD of a segment tells. */
export interface SegmentHead {
  readonly bytes: number
  readonly etag: string
  readonly contentType: string
  readonly ticks: number
  readonly isSlo: boolean
}

/** What is wrong with a segment: its escaped path, and why. */
export type SegmentProblem = readonly [path: string, reason: string]

/**
 * The segments that a manifest asks for; a 400 that names everything that is wrong with it. `self` is the path of the
 * object that is being made, `container/object`.
 */
export function parseManifest(body: Uint8Array, self: string): WantedSegment[] {
  const list = parseJson(body)
  const errors: string[] = []
  const segments: WantedSegment[] = []
  for (const [index, item] of list.entries()) {
    const read = readSegment(item, { self, isLast: index === list.length - 1 })
    if (typeof read === 'string') errors.push(`Index ${index}: ${read}`)
    else segments.push(read)
  }
  if (list.length > 0 && list.every((item) => isRecord(item) && 'data' in item)) {
    errors.push('Inline data segments require at least one object-backed segment.')
  }
  if (errors.length > 0) throw badManifest(`${errors.join('\n')}\n`)
  return segments
}

/** The path without slashes in front of it, apart. */
export function splitSegmentPath(path: string): {
  readonly container: string
  readonly object: string
} {
  const bare = path.replace(/^\/+/, '')
  const slash = bare.indexOf('/')
  return { container: bare.slice(0, slash), object: bare.slice(slash + 1) }
}

/** A wanted segment against what is there: how it is stored, or everything that is wrong with it. */
export function matchSegment(
  wanted: WantedObject,
  head: SegmentHead,
  { isLast }: { readonly isLast: boolean },
): { readonly stored: StoredObject; readonly problems: readonly SegmentProblem[] } {
  const reasons: string[] = []
  const ranges = wanted.range === undefined ? null : rangesOf(`bytes=${wanted.range}`, head.bytes)
  const range = ranges?.[0]
  const isPart = range !== undefined && (range.start > 0 || range.end < head.bytes)
  const bytes = range === undefined ? head.bytes : range.end - range.start
  if (ranges?.length === 0) reasons.push('Unsatisfiable Range')
  if (bytes < 1 && !isLast) reasons.push('Too small; each segment must be at least 1 byte.')
  if (wanted.bytes !== undefined && wanted.bytes !== head.bytes) reasons.push('Size Mismatch')
  if (wanted.etag !== undefined && wanted.etag !== head.etag) reasons.push('Etag Mismatch')
  const name = `/${wanted.path.replace(/^\/+/, '')}`
  const stored: StoredObject = {
    name,
    bytes: head.bytes,
    hash: head.etag,
    content_type: head.contentType,
    last_modified: isoTime(Math.ceil(head.ticks / TICKS_PER_SECOND) * TICKS_PER_SECOND),
    ...(isPart ? { range: `${range.start}-${range.end - 1}` } : {}),
    ...(head.isSlo ? { sub_slo: true } : {}),
  }
  return { stored, problems: reasons.map((reason) => [escapePath(wanted.path), reason]) }
}

/** What the segments come to: the large object's length and its ETag, the MD5 of the segments' ETags. */
export function totalsOf(segments: readonly StoredSegment[]): {
  readonly bytes: number
  readonly etag: string
} {
  let bytes = 0
  let etags = ''
  for (const segment of segments) {
    bytes += segmentBytes(segment)
    etags += segmentEtag(segment)
  }
  return { bytes, etag: hash('md5', etags, 'hex') }
}

/** How much of the large object a segment is. */
export function segmentBytes(segment: StoredSegment): number {
  if ('data' in segment) return Buffer.byteLength(segment.data, 'base64')
  const { start, end } = segmentRange(segment)
  return end - start
}

/** Which bytes of its object a segment is. */
export function segmentRange(segment: StoredObject): {
  readonly start: number
  readonly end: number
} {
  if (segment.range === undefined) return { start: 0, end: segment.bytes }
  const [first, last] = segment.range.split('-')
  return { start: Number(first), end: Number(last) + 1 }
}

export function encodeManifest(segments: readonly StoredSegment[]): Buffer {
  return Buffer.from(JSON.stringify(segments))
}

/** What `encodeManifest` made; a 500 for anything else. */
export function decodeManifest(body: Uint8Array): StoredSegment[] {
  try {
    return JSON.parse(Buffer.from(body).toString()) as StoredSegment[]
  } catch (cause) {
    throw new ServiceError('BadManifest', 'Unable to load SLO manifest', { status: 500, cause })
  }
}

/** A stored manifest that another cluster sends; a 400 for what is none. */
export function receiveStoredManifest(body: Uint8Array): StoredSegment[] {
  const list = parseJson(body)
  if (list.length === 0 || !list.every(isStoredSegment)) {
    throw badManifest('This is no stored manifest.\n')
  }
  return list as StoredSegment[]
}

function isStoredSegment(item: unknown): boolean {
  if (!isRecord(item)) return false
  if ('data' in item) return typeof readData(item.data) !== 'string'
  const { name, bytes, hash: etag, range } = item
  const isNamed = typeof name === 'string' && /^\/[^/]+\/./s.test(name) && !name.includes('\0')
  const isSized = typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes >= 0
  const isRange = typeof range === 'string' && isRangeWithin(range, Number(bytes))
  return isNamed && isSized && typeof etag === 'string' && (range === undefined || isRange)
}

function isRangeWithin(range: string, bytes: number): boolean {
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(range)
  return match !== null && Number(match[1]) <= Number(match[2]) && Number(match[2]) < bytes
}

/** `format=raw`: the manifest as it may be sent again. */
export function rawManifest(segments: readonly StoredSegment[]): Buffer {
  const raw = segments.map((segment) => {
    if ('data' in segment) return segment
    const { hash: etag, name, range, bytes } = segment
    return { etag, path: name, ...(range === undefined ? {} : { range }), size_bytes: bytes }
  })
  return Buffer.from(JSON.stringify(raw))
}

function segmentEtag(segment: StoredSegment): string {
  if ('data' in segment) return hash('md5', Buffer.from(segment.data, 'base64'), 'hex')
  return segment.range === undefined ? segment.hash : `${segment.hash}:${segment.range};`
}

function parseJson(body: Uint8Array): readonly unknown[] {
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    throw badManifest('Manifest must be valid JSON.\n')
  }
  if (!Array.isArray(parsed)) throw badManifest('Manifest must be a list.\n')
  return parsed
}

interface SegmentPlace {
  readonly self: string
  readonly isLast: boolean
}

type JsonRecord = Readonly<Record<string, unknown>>

const OBJECT_KEYS = new Set(['path', 'range', 'etag', 'size_bytes'])
const DATA_KEYS = new Set(['data'])
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/

/** The segment, or what is wrong with it. */
function readSegment(item: unknown, place: SegmentPlace): WantedSegment | string {
  if (!isRecord(item)) return 'not a JSON object'
  const keys = 'data' in item ? DATA_KEYS : 'path' in item ? OBJECT_KEYS : null
  if (keys === null) return "expected keys to include one of 'data' or 'path'"
  const extraneous = Object.keys(item).filter((key) => !keys.has(key))
  if (extraneous.length > 0) {
    return `extraneous keys ${extraneous.sort().map(quoted).join(', ')}`
  }
  return keys === DATA_KEYS ? readData(item.data) : readObject(item, place)
}

function readData(data: unknown): WantedSegment | string {
  if (typeof data !== 'string' || !BASE64.test(data.trim())) return 'data must be valid base64'
  const bytes = Buffer.from(data, 'base64')
  return bytes.length < 1 ? 'too small; each segment must be at least 1 byte.' : { data: bytes }
}

function readObject(item: JsonRecord, place: SegmentPlace): WantedSegment | string {
  const { path, etag } = item
  if (typeof path !== 'string') return '"path" must be a string'
  if (path.includes('\0')) return 'path contains NULL'
  if (etag !== undefined && etag !== null && typeof etag !== 'string') {
    return '"etag" must be a string or null (if provided)'
  }
  if (!path.replace(/^\/+|\/+$/g, '').includes('/')) {
    return 'path does not refer to an object. Path must be of the form /container/object.'
  }
  const bytes = readSize(item.size_bytes)
  if (bytes === null) return 'invalid size_bytes'
  if (bytes !== undefined && bytes < 1 && !place.isLast) {
    return 'too small; each segment must be at least 1 byte.'
  }
  if (path.replace(/^\/+/, '') === place.self) {
    return 'manifest must not include itself as a segment'
  }
  const range = readRange(item.range, bytes)
  if ('problem' in range) return range.problem
  return {
    path,
    ...(typeof etag === 'string' ? { etag } : {}),
    ...(bytes === undefined ? {} : { bytes }),
    ...range,
  }
}

/** Null for what is no whole number. */
function readSize(size: unknown): number | null | undefined {
  if (size === undefined || size === null) return undefined
  const isNumber =
    typeof size === 'number' || (typeof size === 'string' && /^\s*-?\d+\s*$/.test(size))
  return isNumber && Number.isFinite(Number(size)) ? Math.trunc(Number(size)) : null
}

/** The range, which can be looked at closely where the client says how long the object is. */
function readRange(
  range: unknown,
  bytes: number | undefined,
): { readonly range?: string } | { readonly problem: string } {
  if (range === undefined || range === null || range === '') return {}
  if (typeof range !== 'string') return { problem: 'invalid range' }
  const anywhere = rangesOf(`bytes=${range}`, Number.MAX_SAFE_INTEGER)
  if (anywhere === null) return { problem: 'invalid range' }
  if (range.includes(',')) return { problem: 'multiple ranges (only one allowed)' }
  if (bytes !== undefined && rangesOf(`bytes=${range}`, bytes)?.length !== 1) {
    return { problem: 'unsatisfiable range' }
  }
  return { range }
}

function isRecord(value: unknown): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** As Python's json.dumps writes it: in ASCII. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[^\0-\x7f]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function badManifest(message: string): ServiceError {
  return new ServiceError('BadManifest', message, { status: 400 })
}
