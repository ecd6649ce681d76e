/**
 * A row of a listing, as the log and as the index hold it. In the log it is a record of type listRow whose metadata is
 * the row as JSON; in the index a compact value under the list's hash and the name.
 */
import { xxh32 } from '../../common/checksum.ts'
import type { ListRow } from '../../common/storage-node.ts'
import { isLonger, utf8Bytes } from '../../common/utf8.ts'
import { asBuffer, readStamp, writeStamp } from './entry.ts'
import { jsonText } from './json-text.ts'
import { RECORD_FLAGS, type RecordHead } from './record.ts'
import { writeUtf8 } from './text-bytes.ts'

/** About what the record of a row takes, for estimates. */
export const ROW_BYTES = 300

/** A row with what only the engine knows: which segment holds its record, and how long that is. */
export interface StoredRow extends ListRow {
  /** Changed in place by the index when it comes to be known. */
  confirmed: boolean
  readonly segmentId: number
  readonly recordBytes: number
  /** Given to other devices: kept as a deleted row that no replica is compared by, to hide older records. */
  readonly gone: boolean
}

/** The JSON in the log: short names, defaults left out. */
interface RowMeta {
  readonly l: string
  readonly n: string
  readonly b?: number
  readonly c?: number
  readonly e?: string
  readonly t?: string
}

/** The metadata text of the row's record. `list` is the full name of its account or container. */
export function rowMeta(list: string, row: ListRow): string {
  const { name, bytes, count, etag, contentType } = row
  // By hand, as it is made for every write.
  let meta = `{"l":${jsonText(list)},"n":${jsonText(name)}`
  if (bytes !== 0) meta += `,"b":${bytes}`
  if (count !== 0) meta += `,"c":${count}`
  if (etag !== '') meta += `,"e":${jsonText(etag)}`
  if (contentType !== '') meta += `,"t":${jsonText(contentType)}`
  return `${meta}}`
}

/** The row once its record has its place. Field by field: a spread of twenty fields costs ten times as much. */
export function storedRow(
  row: ListRow,
  stored: Pick<StoredRow, 'segmentId' | 'recordBytes' | 'gone' | 'confirmed'>,
): StoredRow {
  return {
    name: row.name,
    stamp: row.stamp,
    metaStamp: row.metaStamp,
    ballot: row.ballot,
    deleted: row.deleted,
    confirmed: stored.confirmed,
    bytes: row.bytes,
    count: row.count,
    etag: row.etag,
    contentType: row.contentType,
    policy: row.policy,
    segmentId: stored.segmentId,
    recordBytes: stored.recordBytes,
    gone: stored.gone,
  }
}

/** The row that a record of the log holds, and the name of its list. */
export function rowOfRecord(
  head: RecordHead,
  meta: string,
  segmentId: number,
): { readonly list: string; readonly row: StoredRow } {
  const { l, n, b = 0, c = 0, e = '', t = '' } = JSON.parse(meta) as RowMeta
  const row: StoredRow = {
    name: n,
    stamp: head.stamp,
    metaStamp: head.metaStamp,
    ballot: head.ballot,
    deleted: (head.flags & RECORD_FLAGS.deleted) !== 0,
    confirmed: (head.flags & RECORD_FLAGS.confirmed) !== 0,
    bytes: b,
    count: c,
    etag: e,
    contentType: t,
    policy: head.policy,
    segmentId,
    recordBytes: head.recordBytes,
    gone: (head.flags & RECORD_FLAGS.gone) !== 0,
  }
  return { list: l, row }
}

const FIXED_BYTES = 76
const NUMBER_MAX = 2 ** 48 - 1
const ETAG_BYTES_MAX = 255
const CONTENT_TYPE_BYTES_MAX = 65_535

/** Whether the index value can hold the row. */
export function isStorable(row: ListRow): boolean {
  return (
    isCount(row.bytes) &&
    isCount(row.count) &&
    !isLonger(row.etag, ETAG_BYTES_MAX) &&
    !isLonger(row.contentType, CONTENT_TYPE_BYTES_MAX)
  )
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= NUMBER_MAX
}

/** The index value of a row; its name is in the key. */
export function encodeRow(row: StoredRow): Buffer {
  const etagBytes = utf8Bytes(row.etag)
  const contentTypeBytes = utf8Bytes(row.contentType)
  const bytes = Buffer.allocUnsafe(FIXED_BYTES + etagBytes + contentTypeBytes)
  bytes.writeUInt32LE(row.segmentId, 4)
  bytes.writeUInt32LE(row.recordBytes, 8)
  bytes[12] = (row.deleted ? 1 : 0) | (row.confirmed ? 2 : 0) | (row.gone ? 4 : 0)
  bytes[13] = etagBytes
  bytes.writeUInt16LE(contentTypeBytes, 14)
  writeStamp(bytes, row.stamp, 16)
  writeStamp(bytes, row.metaStamp, 32)
  writeStamp(bytes, row.ballot, 48)
  // The last four bytes of a stamp's field are free: the policy stands there.
  bytes.writeUInt32LE(row.policy, 60)
  bytes.writeUIntLE(row.bytes, 64, 6)
  bytes.writeUIntLE(row.count, 70, 6)
  writeUtf8(bytes, row.etag, FIXED_BYTES, etagBytes)
  writeUtf8(bytes, row.contentType, FIXED_BYTES + etagBytes, contentTypeBytes)
  bytes.writeUInt32LE(checksumOf(row.name, bytes), 0)
  return bytes
}

/** Of name and value: a flipped bit of the key must not show the row under another name. */
function checksumOf(name: string, bytes: Buffer): number {
  return xxh32(bytes.subarray(4), xxh32(nameBytes(name)))
}

const desk = Buffer.alloc(1024)

/** The name's UTF-8, good until the next call. */
function nameBytes(name: string): Buffer {
  const bytes = utf8Bytes(name)
  if (bytes > desk.length) return Buffer.from(name, 'utf8')
  writeUtf8(desk, name, 0, bytes)
  return desk.subarray(0, bytes)
}

/** Null if the value is damaged. `name` is the row's name from its key. */
export function decodeRow(name: string, value: Uint8Array): StoredRow | null {
  const bytes = asBuffer(value)
  if (bytes.length < FIXED_BYTES) return null
  if (bytes.readUInt32LE(0) !== checksumOf(name, bytes)) return null
  const etagEnd = FIXED_BYTES + bytes[13]!
  return {
    name,
    segmentId: bytes.readUInt32LE(4),
    recordBytes: bytes.readUInt32LE(8),
    deleted: (bytes[12]! & 1) !== 0,
    confirmed: (bytes[12]! & 2) !== 0,
    gone: (bytes[12]! & 4) !== 0,
    stamp: readStamp(bytes, 16),
    metaStamp: readStamp(bytes, 32),
    ballot: readStamp(bytes, 48),
    policy: bytes.readUInt32LE(60),
    bytes: bytes.readUIntLE(64, 6),
    count: bytes.readUIntLE(70, 6),
    etag: bytes.toString('utf8', FIXED_BYTES, etagEnd),
    contentType: bytes.toString('utf8', etagEnd, etagEnd + bytes.readUInt16LE(14)),
  }
}
