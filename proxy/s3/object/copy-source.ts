/** The source of a copy: who may read it, whether it is as it should be, and which of its bytes are meant. */
import { evaluateCondition } from '../../../common/condition.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { etagList } from '../../swift/condition-headers.ts'
import type { ObjectView } from '../../swift/found-object.ts'
import { parseHttpDate } from '../../swift/http-date.ts'
import { closeBody, isReader } from '../../swift/object-body.ts'
import type { ByteRange } from '../../swift/range.ts'
import { fromWire } from '../../wire-text.ts'
import { checkKey, enterOther, type S3Place } from '../bucket/find-bucket.ts'
import type { Hasher } from '../checksum/hasher.ts'
import { customerKeyOf } from '../encryption/customer-key.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { unescapeBytes } from '../signature/canonical.ts'
import { s3Etag } from './object-traits.ts'
import type { BytesToPut } from './put-through-swift.ts'
import { checkVersion, versionHeaders } from './version-id.ts'
import { openObject, type WantedView } from './view-for-s3.ts'
import { preconditionFailed } from './write-condition.ts'

export interface SourceName {
  readonly bucket: string
  readonly key: string
  /** Undefined: the current one. */
  readonly version: string | undefined
}

/** Opens the object that x-amz-copy-source names, if the conditions on it hold. Whoever gets it closes its body. */
export async function openSource(call: S3Call): Promise<{
  readonly name: SourceName
  readonly view: ObjectView
  /** For the answer: which version it is. */
  readonly headers: readonly string[]
}> {
  const name = sourceName(call)
  const place = await enterOther(call, name)
  const { version } = name
  if (version !== undefined) checkVersion(version, place)
  const customer = customerKeyOf(call, 'source')
  const wanted = { version, head: false, customer }
  const view = await openView(call, place, wanted)
  try {
    checkSource(call, view.read.info, 'x-amz-copy-source')
  } catch (error) {
    await closeBody(view.read)
    throw error
  }
  return { name, view, headers: versionHeaders(place, view, 'x-amz-copy-source-version-id') }
}

/** The bytes of a range, read once; the hasher sees them. */
export function bytesOfSource(view: ObjectView, range: ByteRange, hasher: Hasher): BytesToPut {
  const { body } = view.read
  return {
    bytes: range.end - range.start,
    async *pieces() {
      if (body === null) return
      if (!isReader(body)) {
        // The bytes may be shared with whoever read them; the store keeps its own.
        const piece = Buffer.from(body.subarray(range.start, range.end))
        hasher.update(piece)
        yield piece
        return
      }
      for await (const piece of body.stream(range.start, range.end)) {
        hasher.update(piece)
        yield piece
      }
    },
  }
}

/** The source range of UploadPartCopy: both ends, within the object. */
export function sourceRange(call: S3Call, bytes: number): ByteRange {
  const text = call.header('x-amz-copy-source-range')
  if (text === undefined) return { start: 0, end: bytes }
  const match = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(text)
  const argument = { ArgumentName: 'x-amz-copy-source-range', ArgumentValue: text }
  if (match === null || Number(match[1]) > Number(match[2])) {
    throw new S3Error(
      'InvalidArgument',
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
      argument,
    )
  }
  const [start, last] = [Number(match[1]), Number(match[2])]
  if (last >= bytes) {
    throw new S3Error(
      'InvalidRange',
      `Range specified is not valid for source object of size: ${bytes}`,
      argument,
    )
  }
  return { start, end: last + 1 }
}

/** Of a delete marker nothing can be copied: the request's own object may well be as it should. */
async function openView(call: S3Call, place: S3Place, wanted: WantedView): Promise<ObjectView> {
  try {
    return await openObject(call, place, wanted)
  } catch (error) {
    if (!(error instanceof S3Error) || error.code !== 'MethodNotAllowed') throw error
    throw new S3Error(
      'InvalidRequest',
      'The source of a copy request may not specifically refer to a delete marker by version id.',
    )
  }
}

/** `bucket/key` or `/bucket/key`, escaped, and the version that it may name. */
function sourceName(call: S3Call): SourceName {
  const header = call.header('x-amz-copy-source')!
  const [path = '', query] = header.split('?')
  const text = fromWire(unescapeBytes(path))
  if (text === null || text.includes('\0')) throw badSource(header)
  const bare = text.startsWith('/') ? text.slice(1) : text
  const slash = bare.indexOf('/')
  if (slash < 1 || slash === bare.length - 1) throw badSource(header)
  const parameters = new URLSearchParams(query)
  if ([...parameters.keys()].some((parameter) => parameter !== 'versionId')) throw badSource(header)
  const version = parameters.get('versionId')
  const name = {
    bucket: bare.slice(0, slash),
    key: bare.slice(slash + 1),
    version: version ?? undefined,
  }
  checkKey(name.key)
  return name
}

/** Throws PreconditionFailed unless the conditions on a source hold, whose headers begin so. */
export function checkSource(
  call: S3Call,
  info: ItemInfo,
  prefix: 'x-amz-copy-source' | 'x-amz-rename-source',
): void {
  const get = (name: string) => call.header(`${prefix}-if-${name}`)
  const [match, noneMatch] = [get('match'), get('none-match')]
  const modified = dateOf(get('modified-since'))
  const unmodified = dateOf(get('unmodified-since'))
  const outcome = evaluateCondition(
    {
      ...(match !== undefined && { ifMatch: etagList(match) }),
      ...(noneMatch !== undefined && { ifNoneMatch: etagList(noneMatch) }),
      ...(modified !== undefined && { ifModifiedSince: modified }),
      ...(unmodified !== undefined && { ifUnmodifiedSince: unmodified }),
    },
    { etag: s3Etag(info), ticks: info.stamp.ticks },
  )
  if (outcome !== 'holds') throw preconditionFailed(`${prefix}-If-*`)
}

function dateOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseHttpDate(text)
}

function badSource(header: string): S3Error {
  return new S3Error('InvalidArgument', 'Invalid copy source object key', {
    ArgumentName: 'x-amz-copy-source',
    ArgumentValue: header,
  })
}
