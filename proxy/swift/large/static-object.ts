import { hash } from 'node:crypto'
import type { ItemInfo, ItemRead } from '../../../common/storage-node.ts'
import { badRequest, type Exchange, refusal } from '../../exchange.ts'
import type { FoundObject, ObjectView } from '../found-object.ts'
import { closeBody, wholeBody } from '../object-body.ts'
import type { ByteRange } from '../range.ts'
import { type LargeViewOptions, segmentPart } from './segment.ts'
import { type BodyPart, SegmentedBody } from './segmented-body.ts'
import {
  decodeManifest,
  rawManifest,
  type StoredSegment,
  segmentBytes,
  segmentRange,
  splitSegmentPath,
} from './slo-manifest.ts'

/** Marks a manifest, for clients as well; only the store sets it. */
export const STATIC_LARGE_OBJECT = 'x-static-large-object'
/** ETag and length of the large object, so that a HEAD need not read the manifest. */
export const SLO_ETAG = 'x-object-sysmeta-slo-etag'
export const SLO_BYTES = 'x-object-sysmeta-slo-size'

/** Large objects within each other. */
const DEPTH_MAX = 10

/** The large object that the manifest describes. */
export async function staticView(
  exchange: Exchange,
  found: FoundObject,
  options: LargeViewOptions,
): Promise<ObjectView> {
  const { info } = found.read
  const partNumber = options.isAsked ? partNumberOf(exchange) : undefined
  if (options.depth >= DEPTH_MAX) {
    throw refusal(409, 'large objects within each other are nested too deeply')
  }
  const shown: ItemInfo = {
    ...info,
    bytes: Number(info.meta.headers[SLO_BYTES]),
    meta: { ...info.meta, etag: info.meta.headers[SLO_ETAG]! },
  }
  const headers = ['X-Manifest-Etag', info.meta.etag ?? '']
  if (options.head && partNumber === undefined) {
    const read: ItemRead = { info: shown, body: null }
    return { ...found, read, headers, isLarge: true }
  }
  const segments = decodeManifest(await manifestOf(exchange, found))
  const parts = segments.map((segment) => partOf(exchange, { found, segment, options }))
  const body = new SegmentedBody(parts)
  const view: ObjectView = {
    ...found,
    read: { info: shown, body },
    headers,
    isLarge: true,
    segments: body,
  }
  if (partNumber === undefined) return view
  headers.push('X-Parts-Count', String(segments.length))
  return { ...view, part: partRange(segments, partNumber) }
}

/** The manifest itself: `multipart-manifest=get`, as it is stored or (`format=raw`) as it may be sent again. */
export async function manifestView(exchange: Exchange, found: FoundObject): Promise<ObjectView> {
  const { info } = found.read
  if (exchange.query.get('format') !== 'raw') {
    const contentType = 'application/json; charset=utf-8'
    const read = { ...found.read, info: { ...info, meta: { ...info.meta, contentType } } }
    return { ...found, read, headers: [] }
  }
  const body = rawManifest(decodeManifest(await manifestOf(exchange, found)))
  const meta = { ...info.meta, etag: hash('md5', body, 'hex') }
  return { ...found, read: { info: { ...info, bytes: body.length, meta }, body }, headers: [] }
}

/** The manifest's bytes, which a HEAD has not read yet. */
export async function manifestOf(
  exchange: Exchange,
  { place, read }: FoundObject,
): Promise<Buffer> {
  if (read.body !== null) return wholeBody(read)
  const again = await exchange.proxy.backend.readObject(place)
  if (again?.info.writeId === read.info.writeId) return wholeBody(again)
  if (again !== null) await closeBody(again)
  throw refusal(503, 'the object was replaced while it was read')
}

/** The number in `part-number`, 400 if it is none or stands beside a Range. */
function partNumberOf(exchange: Exchange): number | undefined {
  const text = exchange.query.get('part-number')
  if (text === undefined) return undefined
  const number = /^\s*\+?\d+\s*$/.test(text) ? Number(text) : 0
  if (number < 1) throw badRequest('Part number must be an integer greater than 0')
  if (exchange.header('range') !== undefined) {
    throw badRequest('Range requests are not supported with part number queries')
  }
  return number
}

function partRange(segments: readonly StoredSegment[], number: number): ByteRange | null {
  const own = segments[number - 1]
  if (own === undefined) return null
  const start = segments.slice(0, number - 1).reduce((sum, other) => sum + segmentBytes(other), 0)
  return { start, end: start + segmentBytes(own) }
}

function partOf(
  exchange: Exchange,
  of: {
    readonly found: FoundObject
    readonly segment: StoredSegment
    readonly options: LargeViewOptions
  },
): BodyPart {
  const { segment, found } = of
  if ('data' in segment) return inlinePart(Buffer.from(segment.data, 'base64'))
  const path = { account: found.place.account, ...splitSegmentPath(segment.name) }
  const range = segmentRange(segment)
  return segmentPart(range, async () => {
    const view = await of.options.openSegment(exchange, path, {
      head: false,
      depth: of.options.depth + 1,
    })
    const { info } = view.read
    if (info.meta.etag === segment.hash && info.bytes === segment.bytes) return view
    await closeBody(view.read)
    throw refusal(409, `the segment ${segment.name} is not what the manifest was made of`)
  })
}

function inlinePart(data: Buffer): BodyPart {
  return {
    bytes: data.length,
    open: async () => ({
      async *stream(start, end) {
        yield data.subarray(start, end)
      },
      close: async () => {},
    }),
  }
}
