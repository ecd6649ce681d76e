/**
 * A blob file: the bytes of one body, then what verifies them. Drawn in docs/formats/blob.md. Each chunk of 256 KiB
 * has its own checksum, so that a range is verified without reading the rest. The footer repeats name and metadata, so
 * that a blob whose record was lost can be told.
 */
import { xxh64 } from '../../common/checksum.ts'

export const BLOB_CHUNK_BYTES = 256 * 1024
export const BLOB_FOOTER_BYTES = 64
const MAGIC = Buffer.from('SWBLOB01', 'latin1')

/** What the footer says. */
export interface BlobFooter {
  readonly dataBytes: number
  readonly metaBytes: number
}

/** The seed of a blob's checksums: a block of another blob does not pass. */
export function blobSeed(blobId: string): bigint {
  return BigInt(`0x${blobId}`)
}

export function chunkChecksum(chunk: Uint8Array, index: number, seed: bigint): bigint {
  return xxh64(chunk, seed ^ BigInt(index + 1))
}

/** Checksum table, metadata and footer: what stands behind the body. `meta` is JSON text. */
export function encodeBlobTail(options: {
  readonly checksums: readonly bigint[]
  readonly meta: string
  readonly dataBytes: number
  readonly seed: bigint
}): Buffer {
  const { checksums, dataBytes, seed } = options
  const meta = Buffer.from(options.meta)
  const tableBytes = checksums.length * 8
  const tail = Buffer.alloc(tableBytes + meta.length + BLOB_FOOTER_BYTES)
  for (const [i, checksum] of checksums.entries()) tail.writeBigUInt64LE(checksum, i * 8)
  meta.copy(tail, tableBytes)
  const footer = tail.subarray(tableBytes + meta.length)
  MAGIC.copy(footer, 0)
  footer.writeBigUInt64LE(BigInt(dataBytes), 8)
  footer.writeUInt32LE(meta.length, 16)
  footer.writeBigUInt64LE(xxh64(tail.subarray(0, tableBytes + meta.length), seed), 48)
  footer.writeBigUInt64LE(xxh64(footer.subarray(0, 56), seed), 56)
  return tail
}

/** Null if the last bytes of the file are no footer of this blob. */
export function decodeBlobFooter(footer: Buffer, seed: bigint): BlobFooter | null {
  if (footer.length !== BLOB_FOOTER_BYTES || !footer.subarray(0, 8).equals(MAGIC)) return null
  if (footer.readBigUInt64LE(56) !== xxh64(footer.subarray(0, 56), seed)) return null
  return { dataBytes: Number(footer.readBigUInt64LE(8)), metaBytes: footer.readUInt32LE(16) }
}

/** The chunk checksums from the whole tail, or null if it is damaged. */
export function decodeBlobTable(tail: Buffer, footer: BlobFooter, seed: bigint): bigint[] | null {
  const count = chunkCount(footer.dataBytes)
  const protectedBytes = count * 8 + footer.metaBytes
  if (tail.length !== protectedBytes + BLOB_FOOTER_BYTES) return null
  const expected = tail.readBigUInt64LE(protectedBytes + 48)
  if (expected !== xxh64(tail.subarray(0, protectedBytes), seed)) return null
  return Array.from({ length: count }, (_, i) => tail.readBigUInt64LE(i * 8))
}

export function chunkCount(dataBytes: number): number {
  return Math.ceil(dataBytes / BLOB_CHUNK_BYTES)
}

/** Bytes of the tail behind the body. */
export function blobTailBytes(footer: BlobFooter): number {
  return chunkCount(footer.dataBytes) * 8 + footer.metaBytes + BLOB_FOOTER_BYTES
}
