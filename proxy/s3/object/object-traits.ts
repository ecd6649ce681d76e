/** What S3 says of a stored object, whichever API wrote it. Pure. */
import type { ItemInfo, ListRow } from '../../../common/storage-node.ts'
import { SLO_ETAG, STATIC_LARGE_OBJECT } from '../../swift/large/static-object.ts'
import { listedTraits } from '../../swift/listed-traits.ts'
import { type Checksum, decodeChecksum } from '../checksum/checksum-algorithm.ts'

/** Of multipart objects: the ETag `md5-parts`. */
export const S3_ETAG = 'x-object-sysmeta-s3-etag'
export const S3_CHECKSUM = 'x-object-sysmeta-s3-checksum'
/** The ETag as S3 has it, without quotes. What stands for a large object of Swift's is no MD5, and says so. */
export function s3Etag({ meta }: ItemInfo): string {
  const own = meta.headers[S3_ETAG]
  if (own !== undefined) return own
  const slo = meta.headers[STATIC_LARGE_OBJECT] === undefined ? undefined : meta.headers[SLO_ETAG]
  return slo === undefined ? (meta.etag ?? '') : `${slo}-N`
}

/** The same of a row in a listing. */
export function listedS3Etag(row: ListRow): string {
  const { s3_etag: own, slo_etag: slo } = listedTraits(row).listed
  if (own !== undefined) return own
  return slo === undefined ? row.etag : `${slo}-N`
}

/** When the data that the row shows was written: a version's own time, where the name points to one. */
export function listedTicks(row: ListRow): number {
  const { version_ticks: ticks } = listedTraits(row).listed
  return ticks === undefined ? row.stamp.ticks : Number(ticks)
}

export function checksumOfObject({ meta }: ItemInfo): Checksum | undefined {
  return decodeChecksum(meta.headers[S3_CHECKSUM])
}

/** Of a multipart object: how many parts it has. */
export function partsCountOf(info: ItemInfo): number | undefined {
  const match = /-(\d+)$/.exec(info.meta.headers[S3_ETAG] ?? '')
  return match === null ? undefined : Number(match[1])
}
