/**
 * What a row of a listing says besides its plain columns. An object may be listed with another ETag and length than it
 * has: a large object's manifest with those of the whole. They stand behind the ETag and the content type, as in Swift:
 *
 *   ETag           d41d8cd98f00b204e9800998ecf8427e; slo_etag=…
 *   content type   text/plain;swift_bytes=1048576
 */
import type { ListRow } from '../../common/storage-node.ts'

export interface ListedTraits {
  readonly etag: string
  readonly bytes: number
  readonly contentType: string
  /** What stands behind the ETag. */
  readonly params: Readonly<Record<string, string>>
}

/** An MD5 alone says nothing more. */
const PLAIN_ETAG_LENGTH = 32
const BYTES_MARK = ';swift_bytes='
const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({})

export function listedTraits(row: ListRow): ListedTraits {
  const { contentType } = row
  const mark = contentType.lastIndexOf(BYTES_MARK)
  const bytes = mark < 0 ? row.bytes : Number(contentType.slice(mark + BYTES_MARK.length))
  const type = mark < 0 ? contentType : contentType.slice(0, mark)
  if (row.etag.length <= PLAIN_ETAG_LENGTH) {
    return { etag: row.etag, bytes, contentType: type, params: NO_PARAMS }
  }
  const [etag, ...words] = row.etag.split('; ')
  const pairs = words.map((word) => {
    const equals = word.indexOf('=')
    return [word.slice(0, equals), word.slice(equals + 1)]
  })
  return { etag: etag!, bytes, contentType: type, params: Object.fromEntries(pairs) }
}

/** How the row's ETag says more than one thing; undefined parameters are left out. */
export function listedEtag(
  etag: string,
  params: Readonly<Record<string, string | undefined>>,
): string {
  const words = Object.entries(params).filter(([, value]) => value !== undefined)
  return [etag, ...words.map(([name, value]) => `${name}=${value}`)].join('; ')
}
