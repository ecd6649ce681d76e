/**
 * The first 4,096 bytes of a segment file, and its name. Drawn in docs/formats/segment.md.
 */
import { xxh64 } from '../../common/checksum.ts'

export const SEGMENT_HEADER_BYTES = 4096
const MAGIC = Buffer.from('SWSEG001', 'latin1')
const VERSION = 1

export interface SegmentHeader {
  /** 32 hex digits: the device. */
  readonly deviceUuid: string
  readonly shard: number
  /** Never used twice on a device's shard. */
  readonly segmentId: number
  /** Counts the uses of a recycled file; 0 as long as files are not recycled. */
  readonly generation: number
  /** Milliseconds since 1970. */
  readonly createdMs: number
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
  MAGIC.copy(bytes, 0)
  bytes.writeUInt32LE(VERSION, 8)
  bytes.writeUInt32LE(header.shard, 12)
  bytes.write(header.deviceUuid, 16, 16, 'hex')
  bytes.writeBigUInt64LE(BigInt(header.segmentId), 32)
  bytes.writeBigUInt64LE(BigInt(header.generation), 40)
  bytes.writeBigUInt64LE(BigInt(Math.floor(header.createdMs)), 48)
  bytes.writeBigUInt64LE(xxh64(bytes.subarray(0, 56)), 56)
  return bytes
}

/** Null if it is damaged or not a segment. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | null {
  if (bytes.length < 64 || !bytes.subarray(0, 8).equals(MAGIC)) return null
  if (bytes.readUInt32LE(8) !== VERSION) return null
  if (bytes.readBigUInt64LE(56) !== xxh64(bytes.subarray(0, 56))) return null
  return {
    shard: bytes.readUInt32LE(12),
    deviceUuid: bytes.toString('hex', 16, 32),
    segmentId: Number(bytes.readBigUInt64LE(32)),
    generation: Number(bytes.readBigUInt64LE(40)),
    createdMs: Number(bytes.readBigUInt64LE(48)),
  }
}

/** The seed of the checksums of every record in the segment, before the offset is added. */
export function segmentSeed(deviceUuid: string, shard: number, segmentId: number): bigint {
  const text = Buffer.from(`${deviceUuid}/${shard}/${segmentId}/0`, 'latin1')
  // The low 32 bits are left to the offset.
  return (xxh64(text) >> 32n) << 32n
}

/** `<shard>-<segment id>.seg`: two and eight hex digits. */
export function segmentName(shard: number, segmentId: number): string {
  return `${shard.toString(16).padStart(2, '0')}-${segmentId.toString(16).padStart(8, '0')}.seg`
}

/** Shard and segment id of a file name, or null. */
export function parseSegmentName(
  name: string,
): { readonly shard: number; readonly segmentId: number } | null {
  const match = /^([0-9a-f]{2})-([0-9a-f]{8})\.seg$/.exec(name)
  if (match === null) return null
  return { shard: Number.parseInt(match[1]!, 16), segmentId: Number.parseInt(match[2]!, 16) }
}
