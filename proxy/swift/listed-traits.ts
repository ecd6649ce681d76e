/**
 * What a row of a listing says besides its plain columns: a large object's manifest is listed with the length of the whole,
 * a link with its target. It stands behind the content type, apart from it by a NUL, and comes from the object's own
 * metadata (LISTED).
 */
import type { ListRow } from '../../common/storage-node.ts'
import { LISTED_MARK } from '../backend/rows.ts'

export const LISTED_NAMES = [
  'bytes',
  'slo_etag',
  'symlink_target',
  'symlink_account',
  'symlink_etag',
  'symlink_bytes',
  'version_id',
  'version_null',
  'version_ticks',
  's3_etag',
  's3_checksum',
  's3_initiator',
  's3_class',
] as const
export type Listed = { readonly [Name in (typeof LISTED_NAMES)[number]]?: string }

export interface ListedTraits {
  readonly bytes: number
  readonly contentType: string
  readonly listed: Listed
}

const NOTHING: Listed = Object.freeze({})

export function listedTraits(row: ListRow): ListedTraits {
  const { contentType, bytes } = row
  const mark = contentType.indexOf(LISTED_MARK)
  if (mark < 0) return { bytes, contentType, listed: NOTHING }
  const listed = parseListed(contentType.slice(mark + 1))
  return {
    bytes: listed.bytes === undefined ? bytes : Number(listed.bytes),
    contentType: contentType.slice(0, mark),
    listed,
  }
}

/** `name=value;name=value`: values are numbers, hex digits, base64 and escaped paths. */
export function formatListed(
  listed: { readonly [Name in keyof Listed]: Listed[Name] | undefined },
): string {
  const pairs = LISTED_NAMES.flatMap((name) => {
    const value = listed[name]
    return value === undefined ? [] : [`${name}=${value}`]
  })
  return pairs.join(';')
}

export function parseListed(text: string): Listed {
  const pairs = text.split(';').map((pair) => {
    const equals = pair.indexOf('=')
    return [pair.slice(0, equals), pair.slice(equals + 1)]
  })
  return Object.fromEntries(pairs)
}
