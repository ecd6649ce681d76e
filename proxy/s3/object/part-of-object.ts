import type { ItemInfo } from '../../../common/storage-node.ts'
import type { ObjectView } from '../../swift/found-object.ts'
import { decodeManifest, segmentBytes, splitSegmentPath } from '../../swift/large/slo-manifest.ts'
import { manifestOf } from '../../swift/large/static-object.ts'
import { uploadOf } from '../../swift/own-parts.ts'
import type { ByteRange } from '../../swift/range.ts'
import { containerOfVersions } from '../../swift/versions/version-names.ts'
import { segmentsContainer } from '../bucket/bucket-name.ts'
import type { Checksum } from '../checksum/checksum-algorithm.ts'
import { parsePartNumber } from '../multipart/upload-names.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { checksumOfObject, partsCountOf } from './object-traits.ts'
import { headObjectAt } from './write-condition.ts'

/** A part of an object, asked for by its number. */
export interface ObjectPart {
  /** Null: the object is empty. */
  readonly range: ByteRange | null
  /** Of the part's own bytes. Reads it where it is not the object itself. */
  checksum(): Promise<Checksum | undefined>
}

/** The part that the request asks for; null if it asks for none. InvalidPart: there is no such part. */
export async function partOfObject(call: S3Call, view: ObjectView): Promise<ObjectPart | null> {
  const text = call.query.get('partNumber')
  if (text === undefined) return null
  const number = parsePartNumber(text)
  if (call.header('range') !== undefined) {
    throw new S3Error(
      'InvalidRequest',
      'Cannot specify both Range header and partNumber query parameter',
    )
  }
  const { info } = view.read
  const uploadId = uploadOf(info)
  if (uploadId === undefined) {
    if (number > 1) throw new S3Error('InvalidPart')
    const range = info.bytes === 0 ? null : { start: 0, end: info.bytes }
    return { range, checksum: async () => checksumOfObject(info) }
  }
  const segments = decodeManifest(
    await manifestOf(call.exchange, { ...view, read: { ...view.read, body: null } }),
  )
  // Counted, whatever numbers its uploader has given: clients read the parts from 1 to x-amz-mp-parts-count.
  const own = segments[number - 1]
  if (own === undefined || !('name' in own)) throw new S3Error('InvalidPart')
  const start = segments.slice(0, number - 1).reduce((sum, other) => sum + segmentBytes(other), 0)
  return {
    range: { start, end: start + segmentBytes(own) },
    checksum: () => checksumOfPart(call, view, splitSegmentPath(own.name).object),
  }
}

/** InvalidPart for a number beyond an object's parts, by what is known of it without its key. */
export function checkPartNumber(call: S3Call, info: ItemInfo): void {
  const text = call.query.get('partNumber')
  // Of an upload it is the part that the request makes.
  if (text === undefined || call.query.get('uploadId') !== undefined) return
  if (parsePartNumber(text) > (partsCountOf(info) ?? 1)) throw new S3Error('InvalidPart')
}

async function checksumOfPart(
  call: S3Call,
  view: ObjectView,
  object: string,
): Promise<Checksum | undefined> {
  const { account, policy } = view.place
  const place = { account, container: partsOf(view), object, policy, versions: undefined }
  const part = await headObjectAt(call, place)
  const own = part === null ? undefined : checksumOfObject(part)
  const whole = checksumOfObject(view.read.info)
  if (own === undefined || whole?.algorithm !== own.algorithm) return undefined
  // How the whole's was made is told of each part's, too.
  return { ...own, type: whole.type }
}

function partsOf({ place }: ObjectView): string {
  return segmentsContainer(containerOfVersions(place.container) ?? place.container)
}
