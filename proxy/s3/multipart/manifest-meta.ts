import { LISTED } from '../../backend/rows.ts'
import { S3_UPLOAD } from '../../swift/foreign-meta.ts'
import { type StoredSegment, totalsOf } from '../../swift/large/slo-manifest.ts'
import { SLO_BYTES, SLO_ETAG, STATIC_LARGE_OBJECT } from '../../swift/large/static-object.ts'
import { formatListed } from '../../swift/listed-traits.ts'
import { type Checksum, encodeChecksum } from '../checksum/checksum-algorithm.ts'
import { S3_CHECKSUM, S3_ETAG } from '../object/object-traits.ts'

/** What is kept with a manifest of an object's own parts: Swift's words for a static large object, and S3's. */
export function manifestMeta(
  segments: readonly StoredSegment[],
  of: {
    readonly etag: string
    readonly uploadId: string
    readonly checksum: Checksum | undefined
  },
): Readonly<Record<string, string>> {
  const { etag, uploadId, checksum } = of
  const totals = totalsOf(segments)
  return {
    [STATIC_LARGE_OBJECT]: 'True',
    [SLO_ETAG]: totals.etag,
    [SLO_BYTES]: String(totals.bytes),
    [LISTED]: formatListed({
      bytes: String(totals.bytes),
      slo_etag: totals.etag,
      s3_etag: etag,
    }),
    [S3_ETAG]: etag,
    [S3_UPLOAD]: uploadId,
    ...(checksum !== undefined && { [S3_CHECKSUM]: encodeChecksum(checksum) }),
  }
}
