import { xxh64Of } from '../checksum.ts'
import { ServiceError } from '../errors.ts'

/**
 * The frame around ring and builder files (docs/formats/ring.md has the picture):
 *
 *   magic 8 | version u32 | header bytes u32 | body bytes u64 | header (JSON) | body | xxh64 of all before it
 *
 * All numbers are little-endian. The checksum covers every byte before it, so a torn or flipped file is noticed before
 * one partition is read from it.
 */

const PREFIX_BYTES = 24
const CHECKSUM_BYTES = 8

export interface EnvelopeKind {
  /** Eight ASCII characters. */
  readonly magic: string
  readonly version: number
  /** What to call the file in messages, such as `ring`. */
  readonly what: string
}

/** Puts header and body into one file's bytes. */
export function encodeEnvelope(
  kind: EnvelopeKind,
  content: { readonly header: unknown; readonly body: readonly Uint8Array[] },
): Uint8Array {
  const header = Buffer.from(JSON.stringify(content.header), 'utf8')
  const bodyBytes = content.body.reduce((sum, piece) => sum + piece.length, 0)
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.write(kind.magic, 0, 'latin1')
  prefix.writeUInt32LE(kind.version, 8)
  prefix.writeUInt32LE(header.length, 12)
  prefix.writeBigUInt64LE(BigInt(bodyBytes), 16)
  const pieces = [prefix, header, ...content.body]
  const checksum = Buffer.alloc(CHECKSUM_BYTES)
  checksum.writeBigUInt64LE(xxh64Of(pieces))
  return Buffer.concat([...pieces, checksum])
}

/** True if the bytes begin as a file of this kind, of whatever version. */
export function hasMagic(kind: EnvelopeKind, bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 8)).toString('latin1') === kind.magic
}

/**
 * Takes a file apart. Throws ServiceError: RingFormatUnknown (not such a file, or of another version), RingDamaged
 * (shorter or longer than it says, or the checksum does not match).
 */
export function decodeEnvelope(
  kind: EnvelopeKind,
  bytes: Uint8Array,
): { readonly header: unknown; readonly body: Uint8Array } {
  if (!hasMagic(kind, bytes)) throw unknownFormat(`this is not a ${kind.what} file`)
  if (bytes.length < PREFIX_BYTES + CHECKSUM_BYTES) {
    throw damaged(kind, `it ends after ${bytes.length} bytes`)
  }
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const version = view.readUInt32LE(8)
  if (version !== kind.version) {
    throw unknownFormat(
      `the ${kind.what} file has format version ${version}, this program reads version ${kind.version}; use the release that wrote it`,
    )
  }
  const headerBytes = view.readUInt32LE(12)
  const bodyBytes = Number(view.readBigUInt64LE(16))
  const bytesExpected = PREFIX_BYTES + headerBytes + bodyBytes + CHECKSUM_BYTES
  if (bytes.length !== bytesExpected) {
    throw damaged(kind, `it has ${bytes.length} bytes and should have ${bytesExpected}`)
  }
  const checksumAt = bytesExpected - CHECKSUM_BYTES
  if (xxh64Of([view.subarray(0, checksumAt)]) !== view.readBigUInt64LE(checksumAt)) {
    throw damaged(kind, `the checksum at byte ${checksumAt} does not match`)
  }
  const bodyAt = PREFIX_BYTES + headerBytes
  return {
    header: JSON.parse(view.subarray(PREFIX_BYTES, bodyAt).toString('utf8')),
    body: view.subarray(bodyAt, checksumAt),
  }
}

function unknownFormat(message: string): ServiceError {
  return new ServiceError('RingFormatUnknown', message)
}

function damaged(kind: EnvelopeKind, detail: string): ServiceError {
  return new ServiceError('RingDamaged', `the ${kind.what} file is damaged: ${detail}`)
}
