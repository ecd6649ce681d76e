/**
 * The log record: one file for its bytes. Drawn in docs/formats/record.md.
 *
 * A record is the whole state of a register under one ballot (or one row of a listing, or a note of the log itself).
 * Its checksums are seeded with its place - device, segment, generation, offset - so that a misdirected write or a
 * leftover of an earlier file is never taken for a record: a block's own checksum cannot tell that.
 */
import assert from 'node:assert'
import { xxh64 } from '../../common/checksum.ts'
import type { Stamp } from '../../common/stamp.ts'
import { utf8Bytes } from '../../common/utf8.ts'
import { writeHex, writeLatin1, writeUtf8 } from './text-bytes.ts'

export const RECORD_TYPES = {
  /** A register's record with its body, if any, behind the metadata. */
  putInline: 1,
  /** A register's record whose body is a blob file. */
  putBlob: 2,
  tombstone: 4,
  listRow: 5,
  /** The segment ends here in good order. */
  seal: 7,
  /** Nothing but a witness that the log before it was durable. */
  mark: 8,
  /** A promise of CASPaxos; its ballot is the promised one. */
  promise: 9,
  /** Says where another segment ends: its later bytes are dead for good. */
  cut: 10,
  /** The register's record was given to other devices: it is as if it had never been here. */
  gone: 11,
} as const
export type RecordType = (typeof RECORD_TYPES)[keyof typeof RECORD_TYPES]

export const RECORD_FLAGS = {
  /** Row: the item was deleted. */
  deleted: 1,
  /** Row: known to hold at its quorum when it was written. */
  confirmed: 2,
  /** Register: the header x-delete-at is set. */
  expires: 4,
  /** Row: it was given to other devices; also marked as deleted. */
  gone: 8,
  /** Register: made out of what was there before. */
  dependent: 16,
} as const

export const RECORD_HEAD_BYTES = 128
const MAGIC = 0x31525753 // 'SWR1', little endian
const VERSION = 1
const TWO_TO_32 = 0x1_0000_0000
/** Longer records are refused on writing and taken for damage on reading: 64 KiB of body and 1 MiB of metadata fit. */
export const RECORD_BYTES_MAX = 2 * 1024 * 1024

/** Where a record lies on its device. */
export interface Place {
  readonly segmentId: number
  readonly offset: number
  readonly bytes: number
}

/** Whether both are of one record: no place is ever written twice. */
export function isSamePlace(a: Place, b: Place): boolean {
  return a.segmentId === b.segmentId && a.offset === b.offset
}

/** A position in the log: everything of the shard's log before it. */
export interface LogPosition {
  readonly segmentId: number
  readonly offset: number
}

/** Where a segment ends, and which bytes before that are dead: the content of a CUT record. */
export interface Cut {
  readonly segmentId: number
  /** The first byte that does not count. */
  readonly offset: number
  /** Stretches [from, to) of writes that were torn with valid records behind them. */
  readonly holes: readonly (readonly [number, number])[]
}

/** The fixed part of a record, decoded. */
export interface RecordHead {
  readonly type: RecordType
  readonly flags: number
  /** Index into ITEM_KINDS; of a row the kind of its list. */
  readonly kind: number
  readonly policy: number
  readonly fragIndex: number
  /** 16 latin1 characters: the register's identity, or the list's. */
  readonly hash: string
  readonly placement: number
  readonly stamp: Stamp
  readonly metaStamp: Stamp
  readonly ballot: Stamp
  /** 16 hex digits. */
  readonly writeId: string
  /** Length of the body, wherever it is. */
  readonly dataBytes: number
  readonly metaBytes: number
  readonly recordBytes: number
  /** The log was known to be durable up to here when the record was written. */
  readonly durableUpTo: LogPosition
}

/** What the writer gives; the rest of the head follows from it. */
export interface RecordDraft {
  readonly type: RecordType
  readonly flags: number
  readonly kind: number
  readonly policy: number
  readonly hash: string
  readonly placement: number
  readonly stamp: Stamp
  readonly metaStamp: Stamp
  readonly ballot: Stamp
  readonly writeId: string
  readonly dataBytes: number
  /** JSON text. */
  readonly meta: string
  /** The inline body. */
  readonly data: Uint8Array | null
}

/** A record without its place yet: `head` holds head, metadata and padding, `data` the inline body behind it. */
export interface EncodedRecord {
  readonly head: Buffer
  readonly metaBytes: number
  readonly data: Uint8Array | null
  readonly bytes: number
}

/** Lays the record out; `placeRecord` makes it valid. */
export function encodeRecord(draft: RecordDraft): EncodedRecord {
  const metaBytes = utf8Bytes(draft.meta)
  const inlineBytes = draft.data?.length ?? 0
  const bytes = (RECORD_HEAD_BYTES + metaBytes + inlineBytes + 7) & ~7
  assert(bytes <= RECORD_BYTES_MAX, 'a record is within its limit')
  const head = Buffer.allocUnsafe(bytes - inlineBytes)
  head.writeUInt32LE(MAGIC, 0)
  head[4] = draft.type
  head[5] = VERSION
  head.writeUInt16LE(draft.flags, 6)
  head.writeUInt32LE(bytes, 8)
  head.writeUInt32LE(metaBytes, 12)
  writeUint64(head, draft.dataBytes, 16)
  writeLatin1(head, draft.hash, 24)
  writeUint64(head, draft.stamp.ticks, 40)
  head.writeUInt32LE(draft.stamp.proposer, 48)
  head.writeUInt32LE(draft.metaStamp.proposer, 52)
  writeUint64(head, draft.metaStamp.ticks, 56)
  writeUint64(head, draft.ballot.ticks, 64)
  head.writeUInt32LE(draft.ballot.proposer, 72)
  head.writeUInt32LE(draft.placement, 76)
  writeHex(head, draft.writeId, 80)
  head.writeUInt16LE(draft.policy, 88)
  head[90] = draft.kind
  head[91] = 0
  head.writeUInt32LE(0, 92)
  writeUtf8(head, draft.meta, RECORD_HEAD_BYTES, metaBytes)
  head.fill(0, RECORD_HEAD_BYTES + metaBytes)
  return { head, metaBytes, data: draft.data, bytes }
}

/** Fills in what depends on the place: the durable position and the three checksums. */
export function placeRecord(
  record: EncodedRecord,
  options: {
    readonly seed: bigint
    readonly durableUpTo: LogPosition
  },
): void {
  const { head, metaBytes, data } = record
  const { seed, durableUpTo } = options
  head.writeUInt32LE(durableUpTo.segmentId, 96)
  head.writeUInt32LE(durableUpTo.offset, 100)
  const meta = head.subarray(RECORD_HEAD_BYTES, RECORD_HEAD_BYTES + metaBytes)
  // A DataView does in one step what Buffer does by arithmetic with several big numbers.
  const view = new DataView(head.buffer, head.byteOffset, RECORD_HEAD_BYTES)
  view.setBigUint64(104, xxh64(meta, seed), true)
  view.setBigUint64(112, data === null ? 0n : xxh64(data, seed), true)
  view.setBigUint64(120, xxh64(head.subarray(0, 120), seed), true)
}

/** The head at the start of `bytes`, or null if there is no valid one for this place. */
export function decodeHead(bytes: Buffer, seed: bigint): RecordHead | null {
  if (bytes.length < RECORD_HEAD_BYTES || bytes.readUInt32LE(0) !== MAGIC) return null
  if (bytes[5] !== VERSION) return null
  if (bytes.readBigUInt64LE(120) !== xxh64(bytes.subarray(0, 120), seed)) return null
  return {
    type: bytes[4] as RecordType,
    flags: bytes.readUInt16LE(6),
    recordBytes: bytes.readUInt32LE(8),
    metaBytes: bytes.readUInt32LE(12),
    dataBytes: readUint64(bytes, 16),
    hash: bytes.toString('latin1', 24, 40),
    stamp: { ticks: readUint64(bytes, 40), proposer: bytes.readUInt32LE(48) },
    metaStamp: { ticks: readUint64(bytes, 56), proposer: bytes.readUInt32LE(52) },
    ballot: { ticks: readUint64(bytes, 64), proposer: bytes.readUInt32LE(72) },
    placement: bytes.readUInt32LE(76),
    writeId: bytes.toString('hex', 80, 88),
    policy: bytes.readUInt16LE(88),
    kind: bytes[90]!,
    fragIndex: bytes[91]!,
    durableUpTo: { segmentId: bytes.readUInt32LE(96), offset: bytes.readUInt32LE(100) },
  }
}

/** The verified metadata text of a record read whole or up to its metadata; null if it is damaged. */
export function decodeMeta(bytes: Buffer, head: RecordHead, seed: bigint): string | null {
  const meta = bytes.subarray(RECORD_HEAD_BYTES, RECORD_HEAD_BYTES + head.metaBytes)
  if (meta.length !== head.metaBytes) return null
  return bytes.readBigUInt64LE(104) === xxh64(meta, seed) ? meta.toString('utf8') : null
}

/** The verified inline body of a record read whole; null if it is damaged. */
export function decodeData(bytes: Buffer, head: RecordHead, seed: bigint): Buffer | null {
  const data = bytes.subarray(head.recordBytes - inlineBytes(head), head.recordBytes)
  if (data.length !== inlineBytes(head)) return null
  if (data.length === 0) return data
  return bytes.readBigUInt64LE(112) === xxh64(data, seed) ? data : null
}

/** The same record as read, ready to be placed anew (compaction moves records byte for byte). */
export function reencodeRecord(bytes: Buffer, head: RecordHead): EncodedRecord {
  const inline = inlineBytes(head)
  const split = head.recordBytes - inline
  return {
    // A copy: placing it writes into the head, and what was read may be somebody's still.
    head: Buffer.from(bytes.subarray(0, split)),
    metaBytes: head.metaBytes,
    data: inline === 0 ? null : bytes.subarray(split, head.recordBytes),
    bytes: head.recordBytes,
  }
}

/** Bytes of the body that stand in the record itself. */
export function inlineBytes(head: RecordHead): number {
  return head.type === RECORD_TYPES.putInline ? head.dataBytes : 0
}

/** Whether the lengths in a (valid) head can be true. */
export function lengthsAgree(head: RecordHead): boolean {
  const needed = RECORD_HEAD_BYTES + head.metaBytes + inlineBytes(head)
  return head.recordBytes <= RECORD_BYTES_MAX && head.recordBytes === ((needed + 7) & ~7)
}

/** The magic number as bytes, for finding the next record behind damage. */
export function hasMagic(bytes: Buffer, offset: number): boolean {
  return bytes.readUInt32LE(offset) === MAGIC
}

function writeUint64(target: Buffer, value: number, offset: number): void {
  target.writeUInt32LE(value % TWO_TO_32, offset)
  target.writeUInt32LE(Math.floor(value / TWO_TO_32), offset + 4)
}

function readUint64(source: Buffer, offset: number): number {
  return source.readUInt32LE(offset) + source.readUInt32LE(offset + 4) * TWO_TO_32
}
