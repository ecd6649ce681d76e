/**
 * What the index knows of a register: where its newest record lies and what a write must compare itself with. The
 * index is derived from the log; an entry that does not match its checksum counts as damage of the index.
 */
import { xxh32 } from '../../common/checksum.ts'
import { type Stamp, ZERO_STAMP } from '../../common/stamp.ts'
import type { Place, RecordType } from './record.ts'
import { writeHex } from './text-bytes.ts'

export interface Entry {
  readonly place: Place
  readonly type: RecordType
  readonly flags: number
  readonly stamp: Stamp
  /** The ballot the record was accepted under. */
  readonly ballot: Stamp
  /** The highest ballot promised; ZERO_STAMP if none above `ballot`. */
  readonly promised: Stamp
  readonly writeId: string
  readonly dataBytes: number
  /** Seconds since 1970; 0 if the object does not expire. */
  readonly deleteAt: number
  /** 16 hex digits: the blob file that holds the body; NO_BLOB if none does. */
  readonly blobId: string
  /** False until the item's row is known to hold; then the index changes it in place. */
  confirmed: boolean
}

/** The blobId of a record without a blob. */
export const NO_BLOB = '0'.repeat(16)

const ENTRY_BYTES = 100
const TWO_TO_32 = 0x1_0000_0000

export function encodeEntry(entry: Entry): Buffer {
  const bytes = Buffer.allocUnsafe(ENTRY_BYTES)
  bytes.writeUInt32LE(entry.place.segmentId, 0)
  bytes.writeUInt32LE(entry.place.offset, 4)
  bytes.writeUInt32LE(entry.place.bytes, 8)
  bytes[12] = entry.type
  bytes[13] = entry.confirmed ? 1 : 0
  bytes.writeUInt16LE(entry.flags, 14)
  writeStamp(bytes, entry.stamp, 16)
  writeStamp(bytes, entry.ballot, 32)
  writeStamp(bytes, entry.promised, 48)
  writeHex(bytes, entry.writeId, 64)
  bytes.writeUIntLE(entry.dataBytes, 72, 6)
  bytes.writeUIntLE(entry.deleteAt, 78, 6)
  writeHex(bytes, entry.blobId, 84)
  bytes.writeUInt32LE(0, 92)
  bytes.writeUInt32LE(xxh32(bytes.subarray(0, 96)), 96)
  return bytes
}

/** Null if the value is damaged. */
export function decodeEntry(value: Uint8Array): Entry | null {
  const bytes = asBuffer(value)
  if (bytes.length !== ENTRY_BYTES) return null
  if (bytes.readUInt32LE(96) !== xxh32(bytes.subarray(0, 96))) return null
  return {
    place: {
      segmentId: bytes.readUInt32LE(0),
      offset: bytes.readUInt32LE(4),
      bytes: bytes.readUInt32LE(8),
    },
    type: bytes[12] as RecordType,
    confirmed: bytes[13] === 1,
    flags: bytes.readUInt16LE(14),
    stamp: readStamp(bytes, 16),
    ballot: readStamp(bytes, 32),
    promised: readStamp(bytes, 48),
    writeId: bytes.toString('hex', 64, 72),
    dataBytes: bytes.readUIntLE(72, 6),
    deleteAt: bytes.readUIntLE(78, 6),
    blobId: bytes.toString('hex', 84, 92),
  }
}

/** 12 bytes of stamp in a field of 16. */
export function writeStamp(target: Buffer, stamp: Stamp, offset: number): void {
  target.writeUInt32LE(stamp.ticks % TWO_TO_32, offset)
  target.writeUInt32LE(Math.floor(stamp.ticks / TWO_TO_32), offset + 4)
  target.writeUInt32LE(stamp.proposer, offset + 8)
  target.writeUInt32LE(0, offset + 12)
}

export function readStamp(source: Buffer, offset: number): Stamp {
  const ticks = source.readUInt32LE(offset) + source.readUInt32LE(offset + 4) * TWO_TO_32
  const proposer = source.readUInt32LE(offset + 8)
  return ticks === 0 && proposer === 0 ? ZERO_STAMP : { ticks, proposer }
}

/** A view of the same memory. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
