/** GetObject and HeadObject: conditions first, then parts and ranges. */
import type { Condition } from '../../../common/condition.ts'
import { evaluateCondition } from '../../../common/condition.ts'
import type { Reply } from '../../reply.ts'
import { conditionOf } from '../../swift/condition-headers.ts'
import type { ObjectView } from '../../swift/found-object.ts'
import { closeBody, pieceOf } from '../../swift/object-body.ts'
import { type ByteRange, contentRange, rangesOf } from '../../swift/range.ts'
import type { AccessUse } from '../access/s3-access.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { customerKeyOf } from '../encryption/customer-key.ts'
import { encryptionOfObject, refuseWriteHeaders } from '../encryption/encryption-choice.ts'
import { expirationHeader, expiringFacts } from '../lifecycle/lifecycle-headers.ts'
import { lockHeaders } from '../lock/lock-headers.ts'
import {
  objectReplyHeaders,
  partsCountHeader,
  refuseNotBuilt,
  tagCountHeader,
} from '../object/object-headers.ts'
import { checksumOfObject, s3Etag } from '../object/object-traits.ts'
import { partOfObject } from '../object/part-of-object.ts'
import { versionHeaders, versionIdOf } from '../object/version-id.ts'
import { openObject } from '../object/view-for-s3.ts'
import { preconditionFailed } from '../object/write-condition.ts'
import { replicationHeader } from '../replication/replication-status.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { checksumHeaders } from '../s3-reply.ts'

/** What a signed request may say in place of the object's own headers. */
const OVERRIDES: Readonly<Record<string, string>> = {
  'response-content-type': 'Content-Type',
  'response-content-language': 'Content-Language',
  'response-expires': 'Expires',
  'response-cache-control': 'Cache-Control',
  'response-content-disposition': 'Content-Disposition',
  'response-content-encoding': 'Content-Encoding',
}

const READ: AccessUse = { action: 's3:GetObject', acl: 'read', method: 'GET' }

export async function getObject(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  const entering = enterObject(call, READ)
  const place = entering instanceof Promise ? await entering : entering
  const version = versionIdOf(call, place)
  const isHead = call.exchange.method === 'HEAD'
  const overrides = overridesOf(call)
  refuseWriteHeaders(call)
  const customer = customerKeyOf(call)
  const opening = openObject(call, place, { version, head: isHead, customer })
  const view = opening instanceof Promise ? await opening : opening
  try {
    return await replyOf(call, view, {
      overrides,
      versioned: versionHeaders(place, view),
      isCurrent: version === undefined,
    })
  } catch (error) {
    await closeBody(view.read)
    throw error
  }
}

async function replyOf(
  call: S3Call,
  view: ObjectView,
  told: {
    readonly overrides: ReadonlyMap<string, string>
    readonly versioned: readonly string[]
    readonly isCurrent: boolean
  },
): Promise<Reply> {
  const { info } = view.read
  const replicating = replicationHeader(call, view)
  const replicated: readonly string[] =
    replicating instanceof Promise ? await replicating : replicating
  const deleteAt = info.meta.headers['x-delete-at']
  const expiring = told.isCurrent ? expirationHeader(call, () => expiringFacts(info), deleteAt) : []
  const expires: readonly string[] = expiring instanceof Promise ? await expiring : expiring
  const headers = [
    ...objectReplyHeaders(info),
    ...tagCountHeader(info),
    ...lockHeaders(info),
    ...encryptionOfObject(call, info),
    ...told.versioned,
    ...replicated,
    ...expires,
  ]
  override(headers, told.overrides)
  const condition = conditionOf(call.exchange)
  if (condition !== undefined && isNotModified(condition, view)) {
    await closeBody(view.read)
    return { status: 304, headers, body: null }
  }
  const part = call.query.has('partNumber') ? await partOfObject(call, view) : null
  if (part !== null) headers.push(...partsCountHeader(info))
  const range = part?.range ?? rangeOf(call, info.bytes)
  if (call.header('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED') {
    // That of the whole is not what a range has.
    const whole = range === null ? checksumOfObject(info) : undefined
    headers.push(...checksumHeaders(part === null ? whole : await part.checksum()))
  }
  if (range !== null) headers.push('Content-Range', contentRange(range, info.bytes))
  const asked = range ?? { start: 0, end: info.bytes }
  const status = range === null ? 200 : 206
  if (call.exchange.method === 'HEAD') {
    await closeBody(view.read)
    return { status, headers, body: null, announcedBytes: asked.end - asked.start }
  }
  if (view.segments !== undefined) await view.segments.prepare(asked)
  return { status, headers, body: pieceOf(view.read, asked) }
}

function isNotModified(condition: Condition, { read: { info } }: ObjectView): boolean {
  const outcome = evaluateCondition(condition, { etag: s3Etag(info), ticks: info.stamp.ticks })
  if (outcome === 'precondition-failed') {
    throw preconditionFailed(condition.ifMatch === undefined ? 'If-Unmodified-Since' : 'If-Match')
  }
  return outcome === 'not-modified'
}

function rangeOf(call: S3Call, bytes: number): ByteRange | null {
  const header = call.header('range')
  // S3 answers several ranges by the whole.
  if (header === undefined || header.includes(',')) return null
  const ranges = rangesOf(header, bytes)
  if (ranges === null) return null
  const [only] = ranges
  if (only !== undefined) return only
  throw new S3Error('InvalidRange', undefined, {
    RangeRequested: header,
    ActualObjectSize: String(bytes),
  })
}

const NO_OVERRIDES: ReadonlyMap<string, string> = new Map()

function overridesOf(call: S3Call): ReadonlyMap<string, string> {
  if (call.query.isEmpty) return NO_OVERRIDES
  const found = new Map<string, string>()
  for (const [parameter, name] of Object.entries(OVERRIDES)) {
    const value = call.query.get(parameter)
    if (value !== undefined) found.set(name, value)
  }
  if (found.size > 0 && call.signature === null) {
    throw new S3Error(
      'InvalidRequest',
      'Request specific response headers cannot be used for anonymous GET requests.',
    )
  }
  for (const value of found.values()) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a header cannot hold them.
    if (/[\0-\x08\x0a-\x1f\x7f]/.test(value)) throw new S3Error('InvalidArgument')
  }
  return found
}

function override(headers: string[], overrides: ReadonlyMap<string, string>): void {
  for (const [name, value] of overrides) {
    const at = headers.findIndex((known, index) => index % 2 === 0 && known === name)
    if (at < 0) headers.push(name, value)
    else headers[at + 1] = value
  }
}
