/** What a list of parts comes to: pure. */
import { createHash } from 'node:crypto'
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { ListRow } from '../../../common/storage-node.ts'
import { isoTime } from '../../swift/http-date.ts'
import type { StoredObject } from '../../swift/large/slo-manifest.ts'
import { listedTraits } from '../../swift/listed-traits.ts'
import {
  type Checksum,
  type ChecksumAlgorithm,
  checksumAlgorithm,
  checksumTag,
} from '../checksum/checksum-algorithm.ts'
import { combineCrcs } from '../checksum/combine-crc.ts'
import { checksumOf } from '../checksum/hasher.ts'
import { S3Error } from '../s3-error.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import { PARTS_MAX, partNumberOf } from './upload-names.ts'
import type { UploadChecksum } from './upload-record.ts'

/** A part as a client lists it. */
export interface NamedPart {
  readonly partNumber: number
  readonly etag: string
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm; readonly value: string }
}

/** A part as it is there. */
export interface StoredPart {
  readonly partNumber: number
  readonly name: string
  readonly etag: string
  readonly bytes: number
  readonly contentType: string
  readonly ticks: number
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly value: string } | undefined
}

export function storedPart(row: ListRow): StoredPart {
  const { bytes, contentType, listed } = listedTraits(row)
  const [name = '', value = ''] = (listed.s3_checksum ?? '').split(':')
  const algorithm = checksumAlgorithm(name)
  return {
    partNumber: partNumberOf(row.name),
    name: row.name,
    etag: row.etag,
    bytes,
    contentType,
    ticks: Math.max(row.stamp.ticks, row.metaStamp.ticks),
    checksum: algorithm === undefined ? undefined : { algorithm, value },
  }
}

/**
 * The parts that a CompleteMultipartUpload document names; MalformedXML or InvalidPartOrder. Of entries with the same number, as
 * a client lists them that has sent a part twice, the last one counts.
 */
export function readPartList(root: XmlNode): readonly NamedPart[] {
  const nodes = root.children('Part')
  if (nodes.length === 0 || nodes.length > PARTS_MAX) throw malformedXml()
  const parts = nodes.map(readPart)
  for (const [index, { partNumber }] of parts.entries()) {
    if (index > 0 && partNumber < parts[index - 1]!.partNumber)
      throw new S3Error('InvalidPartOrder')
  }
  return parts.filter(({ partNumber }, index) => partNumber !== parts[index + 1]?.partNumber)
}

/** The parts that are named, as they are there; InvalidPart, EntityTooSmall. */
export function chooseParts(
  named: readonly NamedPart[],
  stored: readonly StoredPart[],
  options: { readonly bytesMin: number; readonly uploadId: string },
): readonly StoredPart[] {
  const byNumber = new Map(stored.map((part) => [part.partNumber, part]))
  return named.map((part, index) => {
    const there = byNumber.get(part.partNumber)
    const isSame =
      there !== undefined &&
      there.etag === part.etag &&
      (part.checksum === undefined || isSameChecksum(part.checksum, there.checksum))
    if (!isSame) {
      throw new S3Error('InvalidPart', undefined, {
        UploadId: options.uploadId,
        PartNumber: String(part.partNumber),
        ETag: part.etag,
      })
    }
    if (there.bytes < options.bytesMin && index < named.length - 1) {
      throw new S3Error('EntityTooSmall', undefined, {
        ProposedSize: String(there.bytes),
        MinSizeAllowed: String(options.bytesMin),
        PartNumber: String(part.partNumber),
        ETag: part.etag,
      })
    }
    return there
  })
}

/** `md5-parts` */
export function multipartEtag(parts: readonly { readonly etag: string }[]): string {
  const md5 = createHash('md5')
  for (const { etag } of parts) md5.update(Buffer.from(etag, 'hex'))
  return `${md5.digest('hex')}-${parts.length}`
}

/** The whole's checksum from its parts'; undefined if they were not all made by one algorithm. */
export async function multipartChecksum(
  parts: readonly StoredPart[],
  wanted: UploadChecksum | null,
): Promise<Checksum | undefined> {
  const algorithm = wanted?.algorithm ?? parts[0]?.checksum?.algorithm
  if (algorithm === undefined) return undefined
  if (!parts.every(({ checksum }) => checksum?.algorithm === algorithm)) return undefined
  const type = wanted?.type ?? (algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE')
  const values = parts.map(({ checksum }) => Buffer.from(checksum!.value, 'base64'))
  if (type === 'FULL_OBJECT') {
    const stretches = parts.map(({ bytes }, index) => ({ crc: values[index]!, bytes }))
    return { algorithm, type, value: combineCrcs(algorithm, stretches).toString('base64') }
  }
  const value = (await checksumOf(algorithm, Buffer.concat(values))).toString('base64')
  return { algorithm, type, value: `${value}-${parts.length}` }
}

/** The manifest that Swift reads as a static large object. */
export function manifestOfParts(container: string, parts: readonly StoredPart[]): StoredObject[] {
  return parts.map((part) => ({
    name: `/${container}/${part.name}`,
    bytes: part.bytes,
    hash: part.etag,
    content_type: part.contentType,
    last_modified: isoTime(Math.ceil(part.ticks / TICKS_PER_SECOND) * TICKS_PER_SECOND),
  }))
}

function isSameChecksum(
  named: NonNullable<NamedPart['checksum']>,
  stored: StoredPart['checksum'],
): boolean {
  return stored?.algorithm === named.algorithm && stored.value === named.value
}

function readPart(node: XmlNode): NamedPart {
  const number = node.textOf('PartNumber')?.trim() ?? ''
  const etag = node
    .textOf('ETag')
    ?.trim()
    .replace(/^"(.*)"$/, '$1')
  if (!/^\d{1,10}$/.test(number) || etag === undefined) throw malformedXml()
  const partNumber = Number(number)
  if (partNumber < 1 || partNumber > PARTS_MAX) {
    throw new S3Error('InvalidArgument', `PartNumber must be >= 1 and <= ${PARTS_MAX}`)
  }
  const tag = node.names.find((name) => name.startsWith('Checksum'))
  const algorithm = tag === undefined ? undefined : checksumAlgorithm(tag.slice('Checksum'.length))
  if (tag === undefined || algorithm === undefined) return { partNumber, etag }
  return { partNumber, etag, checksum: { algorithm, value: node.textOf(checksumTag(algorithm))! } }
}
