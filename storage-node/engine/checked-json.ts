/**
 * Small values of the index that are JSON: an xxh32 of the text in 4 bytes, then the text. LevelDB does not verify what
 * it reads, and a flipped digit of a checkpoint or of a cut would skip acknowledged records.
 */
import { xxh32 } from '../../common/checksum.ts'
import { asBuffer } from './entry.ts'

const CHECKSUM_BYTES = 4

export function encodeCheckedJson(value: unknown): Buffer {
  const text = Buffer.from(JSON.stringify(value))
  const bytes = Buffer.allocUnsafe(CHECKSUM_BYTES + text.length)
  bytes.writeUInt32LE(xxh32(text), 0)
  text.copy(bytes, CHECKSUM_BYTES)
  return bytes
}

/** Null if the value is damaged (no valid value of the index is null). */
export function decodeCheckedJson(value: Uint8Array): unknown {
  const bytes = asBuffer(value)
  if (bytes.length < CHECKSUM_BYTES) return null
  const text = bytes.subarray(CHECKSUM_BYTES)
  return bytes.readUInt32LE(0) === xxh32(text) ? (JSON.parse(text.toString()) as unknown) : null
}
