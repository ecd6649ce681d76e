/** `PUT …?multipart-manifest=put`: the body names the segments of a static large object. */

import { forEachParallel } from '../../../common/bounded-parallel.ts'
import { ServiceError } from '../../../common/errors.ts'
import { LISTED } from '../../backend/rows.ts'
import { receiveUpTo } from '../../body.ts'
import { type Exchange, refusal } from '../../exchange.ts'
import { explanationOf, type Reply, reasonOf } from '../../reply.ts'
import { escapePath } from '../../wire-text.ts'
import { type BatchReport, renderReport, reportType, statusLine } from '../batch-report.ts'
import { conditionOf } from '../condition-headers.ts'
import { heartbeatReply, wantsHeartbeat } from '../heartbeat.ts'
import { lastModified } from '../http-date.ts'
import { formatListed } from '../listed-traits.ts'
import { accessObject } from '../object-access.ts'
import { openSegment } from '../object-view.ts'
import {
  checkCondition,
  checkObjectName,
  contentTypeFor,
  createdReply,
  etagWantedBy,
  type ObjectDraft,
  requestObjectHeaders,
  storeBody,
} from '../object-write.ts'
import { checkQuotas } from '../quotas.ts'
import { type Stored, storeObject } from '../versions/store-object.ts'
import {
  encodeManifest,
  matchSegment,
  parseManifest,
  type SegmentHead,
  type SegmentProblem,
  type StoredSegment,
  splitSegmentPath,
  totalsOf,
  type WantedSegment,
} from './slo-manifest.ts'
import { SLO_BYTES, SLO_ETAG, STATIC_LARGE_OBJECT } from './static-object.ts'

/** Segments that are looked at at once. */
const HEADS_MAX = 8

export async function putStaticObject(exchange: Exchange): Promise<Reply> {
  if (exchange.headers['x-copy-from']) {
    throw refusal(405, 'Multipart Manifest PUTs cannot be COPY requests')
  }
  const place = await accessObject(exchange, { acl: 'write' })
  checkObjectName(exchange, place.object)
  const wanted = await receiveManifest(exchange)
  const headers = requestObjectHeaders(exchange)
  const contentType = contentTypeFor(exchange, place.object)
  const { sloSegmentsMax } = exchange.proxy.limits
  if (wanted.filter((segment) => 'path' in segment).length > sloSegmentsMax) {
    throw refusal(413, `Number of object-backed segments must be <= ${sloSegmentsMax}`)
  }
  const condition = conditionOf(exchange)
  const etagWanted = etagWantedBy(exchange)
  const draft: ObjectDraft = { place, contentType, headers, condition, etagWanted }
  const storing = storeManifest(exchange, draft, wanted)
  if (!wantsHeartbeat(exchange)) return manifestReply(exchange, await storing)
  const type = reportType(exchange)
  const work = storing.then(reportOf, reportOfError)
  return heartbeatReply(exchange, {
    contentType: type,
    work: work.then((report) => `\r\n\r\n${renderReport(type, report)}`),
  })
}

/** What became of a manifest: the object that it is now, or what is wrong with its segments. */
export type ManifestOutcome = Stored | { readonly problems: readonly SegmentProblem[] }

/** Looks at every segment and stores the manifest, unless something is wrong with any of them. */
export async function storeManifest(
  exchange: Exchange,
  draft: ObjectDraft,
  wanted: readonly WantedSegment[],
): Promise<ManifestOutcome> {
  const { place } = draft
  const { stored, problems } = await matchSegments(exchange, place.account, wanted)
  if (problems.length > 0) return { problems }
  const { etag } = totalsOf(stored)
  if (draft.etagWanted !== undefined && draft.etagWanted !== etag) throw refusal(422)
  const body = encodeManifest(stored)
  const manifest: ObjectDraft = {
    ...draft,
    etagWanted: undefined,
    headers: { ...draft.headers, ...manifestHeaders(stored) },
  }
  await checkQuotas(exchange, place, body.length)
  await checkCondition(exchange, manifest)
  const store = (to: ObjectDraft) => storeBody(exchange, to, body)
  const { info, headers } = await storeObject(exchange, manifest, store, { repeatable: true })
  return { info: { ...info, meta: { ...info.meta, etag: `"${etag}"` } }, headers }
}

/** The metadata that makes an object with such a body a static large one. */
export function manifestHeaders(stored: readonly StoredSegment[]): Record<string, string> {
  const { bytes, etag } = totalsOf(stored)
  return {
    [STATIC_LARGE_OBJECT]: 'True',
    [SLO_ETAG]: etag,
    [SLO_BYTES]: String(bytes),
    [LISTED]: formatListed({ bytes: String(bytes), slo_etag: etag }),
  }
}

/** The answer to who waited for the outcome. */
export function manifestReply(
  exchange: Exchange,
  outcome: ManifestOutcome,
  headers: readonly string[] = [],
): Reply {
  if ('info' in outcome) return createdReply(outcome.info, [...outcome.headers, ...headers])
  const type = reportType(exchange)
  const body = renderReport(type, { fields: {}, errors: outcome.problems, root: 'upload' })
  return { status: 400, headers: ['Content-Type', type], body }
}

async function receiveManifest(exchange: Exchange): Promise<WantedSegment[]> {
  const { sloManifestBytesMax } = exchange.proxy.limits
  const length = exchange.headers['content-length']
  if (length === undefined && exchange.headers['transfer-encoding'] === undefined) {
    throw refusal(411)
  }
  const body =
    Number(length ?? 0) > sloManifestBytesMax
      ? null
      : await receiveUpTo(exchange, sloManifestBytesMax)
  if (body === null) throw refusal(413, `Manifest File > ${sloManifestBytesMax} bytes`)
  const { container, object } = exchange.path!
  return parseManifest(body, `${container}/${object}`)
}

/** How the segments are stored, in their order, each object being asked for once. */
async function matchSegments(
  exchange: Exchange,
  account: string,
  wanted: readonly WantedSegment[],
): Promise<{ readonly stored: StoredSegment[]; readonly problems: SegmentProblem[] }> {
  const paths = new Set(wanted.flatMap((segment) => ('path' in segment ? [segment.path] : [])))
  const heads = new Map<string, SegmentHead | number>()
  await forEachParallel(paths, HEADS_MAX, async (path) => {
    heads.set(path, await headSegment(exchange, account, path))
  })
  const stored: StoredSegment[] = []
  const problems: SegmentProblem[] = []
  for (const [index, segment] of wanted.entries()) {
    if ('data' in segment) {
      stored.push({ data: segment.data.toString('base64') })
      continue
    }
    const head = heads.get(segment.path)!
    if (typeof head === 'number') {
      problems.push([escapePath(segment.path), statusLine(head)])
      continue
    }
    const match = matchSegment(segment, head, { isLast: index === wanted.length - 1 })
    stored.push(match.stored)
    problems.push(...match.problems)
  }
  return { stored, problems }
}

/** What the segment is, or the status of its refusal. */
async function headSegment(
  exchange: Exchange,
  account: string,
  path: string,
): Promise<SegmentHead | number> {
  try {
    const segment = { account, ...splitSegmentPath(path) }
    const { info } = (await openSegment(exchange, segment, { head: true, depth: 0 })).read
    return {
      bytes: info.bytes,
      etag: info.meta.etag ?? '',
      contentType: info.meta.contentType ?? '',
      ticks: info.metaStamp.ticks,
      isSlo: info.meta.headers[STATIC_LARGE_OBJECT] !== undefined,
    }
  } catch (error) {
    if (error instanceof ServiceError && error.status < 500) return error.status
    throw error
  }
}

/** The outcome for a client that was answered 202 long ago. */
function reportOf(outcome: ManifestOutcome): BatchReport {
  if ('problems' in outcome) return failure(400, outcome.problems)
  const { info } = outcome
  const fields = {
    'Response Status': statusLine(201),
    'Response Body': '',
    Etag: info.meta.etag ?? '',
    'Last Modified': lastModified(info.metaStamp.ticks),
  }
  return { fields, errors: [], root: 'upload' }
}

function reportOfError(error: unknown): BatchReport {
  return failure(error instanceof ServiceError ? error.status : 500, [])
}

function failure(status: number, errors: readonly SegmentProblem[]): BatchReport {
  const fields = { 'Response Status': statusLine(status), 'Response Body': explained(status) }
  return { fields, errors, root: 'upload' }
}

function explained(status: number): string {
  return `${reasonOf(status)}\n${explanationOf(status)}`
}
