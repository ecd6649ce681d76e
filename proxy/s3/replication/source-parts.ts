/** In which parts an object goes to another store: in those that it has, so that its ETag is the same there. */

import type { ObjectView } from '../../swift/found-object.ts'
import { decodeManifest, segmentBytes, splitSegmentPath } from '../../swift/large/slo-manifest.ts'
import { manifestOf } from '../../swift/large/static-object.ts'
import { uploadOf } from '../../swift/own-parts.ts'
import type { ByteRange } from '../../swift/range.ts'
import { containerOfVersions } from '../../swift/versions/version-names.ts'
import { segmentsContainer } from '../bucket/bucket-name.ts'
import type { Checksum } from '../checksum/checksum-algorithm.ts'
import { checksumOfObject } from '../object/object-traits.ts'
import { OBJECT_BYTES_MAX } from '../object/put-through-swift.ts'
import { headObjectAt } from '../object/write-condition.ts'
import type { S3Call } from '../s3-call.ts'

export interface SourcePart {
  readonly range: ByteRange
  /** Hex; undefined: nobody knows it. */
  readonly md5?: string
  readonly checksum?: Checksum | undefined
}

/** Of what has no parts and is too long for one piece: 10,000 of them are more than an object may have. */
const PART_BYTES = 1024 ** 3

/** Null: it goes in one piece. */
export async function sourceParts(
  call: S3Call,
  view: ObjectView,
): Promise<readonly SourcePart[] | null> {
  const { info } = view.read
  if (uploadOf(info) !== undefined) return partsOfUpload(call, view)
  if (info.bytes <= OBJECT_BYTES_MAX) return null
  const count = Math.ceil(info.bytes / PART_BYTES)
  return Array.from({ length: count }, (_, at) => {
    const start = at * PART_BYTES
    return { range: { start, end: Math.min(info.bytes, start + PART_BYTES) } }
  })
}

async function partsOfUpload(call: S3Call, view: ObjectView): Promise<readonly SourcePart[]> {
  const read = { ...view.read, body: null }
  const segments = decodeManifest(await manifestOf(call.exchange, { ...view, read }))
  const { account, container, policy } = view.place
  const partsContainer = segmentsContainer(containerOfVersions(container) ?? container)
  const parts: SourcePart[] = []
  let start = 0
  for (const segment of segments) {
    const end = start + segmentBytes(segment)
    if (!('name' in segment)) throw new Error('the parts of the upload cannot be told')
    const { object } = splitSegmentPath(segment.name)
    const place = { account, container: partsContainer, object, policy, versions: undefined }
    const part = await headObjectAt(call, place)
    const checksum = part === null ? undefined : checksumOfObject(part)
    parts.push({ range: { start, end }, md5: segment.hash, checksum })
    start = end
  }
  return parts
}
