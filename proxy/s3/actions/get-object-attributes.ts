import type { Reply } from '../../reply.ts'
import type { ObjectView } from '../../swift/found-object.ts'
import { lastModified } from '../../swift/http-date.ts'
import { decodeManifest, segmentBytes, splitSegmentPath } from '../../swift/large/slo-manifest.ts'
import { manifestOf } from '../../swift/large/static-object.ts'
import { uploadOf } from '../../swift/own-parts.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { checksumTag } from '../checksum/checksum-algorithm.ts'
import { customerKeyOf } from '../encryption/customer-key.ts'
import { type StoredPart, storedPart } from '../multipart/completion.ts'
import { PARTS_MAX, partNumberOf } from '../multipart/upload-names.ts'
import { Uploads } from '../multipart/uploads.ts'
import { checksumOfObject, partsCountOf, s3Etag } from '../object/object-traits.ts'
import { classOfObject } from '../object/storage-class.ts'
import { versionHeaders, versionIdOf } from '../object/version-id.ts'
import { openObject } from '../object/view-for-s3.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { checksumElement, xmlReply } from '../s3-reply.ts'
import type { XmlElement } from '../xml/xml-out.ts'

const ATTRIBUTES = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'] as const
type Attribute = (typeof ATTRIBUTES)[number]

/** GET ?attributes: what x-amz-object-attributes asks for. */
export async function getObjectAttributes(call: S3Call): Promise<Reply> {
  const place = await enterObject(call, {
    action: 's3:GetObjectAttributes',
    acl: 'read',
    method: 'GET',
  })
  const version = versionIdOf(call, place)
  const asked = attributesOf(call)
  const view = await openObject(call, place, { version, head: true, customer: customerKeyOf(call) })
  const { info } = view.read
  const checksum = checksumOfObject(info)
  return xmlReply(
    'GetObjectAttributesResponse',
    {
      ...(asked.has('ETag') && { ETag: s3Etag(info) }),
      ...(asked.has('Checksum') &&
        checksum !== undefined && { Checksum: checksumElement(checksum) }),
      ...(asked.has('ObjectParts') && (await partsElement(call, view))),
      ...(asked.has('StorageClass') && { StorageClass: classOfObject(info) }),
      ...(asked.has('ObjectSize') && { ObjectSize: info.bytes }),
    },
    ['Last-Modified', lastModified(info.stamp.ticks), ...versionHeaders(place, view)],
  )
}

async function partsElement(call: S3Call, view: ObjectView): Promise<XmlElement> {
  const { info } = view.read
  const uploadId = uploadOf(info)
  if (uploadId === undefined) return {}
  const max = numberHeader(call, 'x-amz-max-parts') ?? 1000
  const marker = numberHeader(call, 'x-amz-part-number-marker') ?? 0
  const checksum = checksumOfObject(info)
  const count = partsCountOf(info) ?? 0
  const parts = await partsOf(call, view, uploadId)
  const behind = parts.filter(({ partNumber }) => partNumber > marker)
  const shown = behind.slice(0, max)
  return {
    ObjectParts: {
      PartsCount: count,
      PartNumberMarker: marker,
      NextPartNumberMarker: shown.at(-1)?.partNumber ?? marker,
      MaxParts: max,
      IsTruncated: behind.length > shown.length,
      // S3 names the parts only where each has a checksum that counts.
      ...(checksum !== undefined && {
        Part: shown.map((part) => ({
          PartNumber: part.partNumber,
          Size: part.bytes,
          ...(part.checksum !== undefined && {
            [checksumTag(part.checksum.algorithm)]: part.checksum.value,
          }),
        })),
      }),
    },
  }
}

/** In their order; counted, where something was appended, whose parts have no numbers of their own. */
async function partsOf(call: S3Call, view: ObjectView, uploadId: string): Promise<readonly Part[]> {
  const uploads = await Uploads.of(call)
  const rows = (await uploads.parts(uploadId)).map(storedPart)
  const byName = new Map(rows.map((row) => [row.name, row]))
  const manifest = { ...view, read: { ...view.read, body: null } }
  const segments = decodeManifest(await manifestOf(call.exchange, manifest))
  const parts = segments.map((segment): Part => {
    const name = 'name' in segment ? splitSegmentPath(segment.name).object : ''
    const { checksum } = byName.get(name) ?? {}
    return { partNumber: partNumberOf(name), bytes: segmentBytes(segment), checksum }
  })
  const areNumbered = parts.every(({ partNumber }) => !Number.isNaN(partNumber))
  return areNumbered ? parts : parts.map((part, index) => ({ ...part, partNumber: index + 1 }))
}

type Part = Pick<StoredPart, 'partNumber' | 'bytes' | 'checksum'>

function attributesOf(call: S3Call): ReadonlySet<Attribute> {
  const words = (call.header('x-amz-object-attributes') ?? '').split(',').map((word) => word.trim())
  const known = words.filter((word) => word !== '')
  if (known.length === 0 || !known.every(isAttribute)) {
    throw new S3Error('InvalidArgument', 'Invalid attribute name specified.', {
      ArgumentName: 'x-amz-object-attributes',
      ArgumentValue: known.join(','),
    })
  }
  return new Set(known as Attribute[])
}

function isAttribute(word: string): word is Attribute {
  return (ATTRIBUTES as readonly string[]).includes(word)
}

function numberHeader(call: S3Call, name: string): number | undefined {
  const text = call.header(name)
  if (text === undefined) return undefined
  if (!/^\d{1,5}$/.test(text)) throw new S3Error('InvalidArgument', `${name} is not a number.`)
  return Math.min(Number(text), PARTS_MAX)
}
