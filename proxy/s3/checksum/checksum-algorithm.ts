/** The checksums that S3 knows of an object's bytes. */
export const CHECKSUM_ALGORITHMS = [
  'CRC32',
  'CRC32C',
  'CRC64NVME',
  'MD5',
  'SHA1',
  'SHA256',
  'SHA512',
  'XXHASH64',
  'XXHASH3',
  'XXHASH128',
] as const
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number]

/** What the store makes of bytes whose client has made no checksum. */
export const DEFAULT_CHECKSUM: ChecksumAlgorithm = 'CRC64NVME'

/** Whether a multipart object's checksum is of its bytes or of its parts' checksums. */
export const CHECKSUM_TYPES = ['FULL_OBJECT', 'COMPOSITE'] as const
export type ChecksumType = (typeof CHECKSUM_TYPES)[number]

/** Bytes of a checksum. */
export const CHECKSUM_BYTES: Readonly<Record<ChecksumAlgorithm, number>> = {
  CRC32: 4,
  CRC32C: 4,
  CRC64NVME: 8,
  MD5: 16,
  SHA1: 20,
  SHA256: 32,
  SHA512: 64,
  XXHASH64: 8,
  XXHASH3: 8,
  XXHASH128: 16,
}

/** A checksum with how it was made; the value in base64, of a composite one with `-` and the number of parts. */
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm
  readonly value: string
  readonly type: ChecksumType
}

/** `x-amz-checksum-crc32` */
export function checksumHeader(algorithm: ChecksumAlgorithm): string {
  return HEADERS[algorithm]
}

const HEADERS = Object.fromEntries(
  CHECKSUM_ALGORITHMS.map((name) => [name, `x-amz-checksum-${name.toLowerCase()}`]),
) as Readonly<Record<ChecksumAlgorithm, string>>

/** `ChecksumCRC32`, as XML has it. */
export function checksumTag(algorithm: ChecksumAlgorithm): string {
  return `Checksum${algorithm}`
}

/** The algorithm of that name in any case, or undefined. */
export function checksumAlgorithm(name: string): ChecksumAlgorithm | undefined {
  const upper = name.toUpperCase()
  return CHECKSUM_ALGORITHMS.find((known) => known === upper)
}

/** The algorithm of a header `x-amz-checksum-…`, or undefined. */
export function algorithmOfHeader(name: string): ChecksumAlgorithm | undefined {
  const prefix = 'x-amz-checksum-'
  return name.startsWith(prefix) ? checksumAlgorithm(name.slice(prefix.length)) : undefined
}

/** Whether the text is base64 of as many bytes as such a checksum has. */
export function isChecksumValue(algorithm: ChecksumAlgorithm, value: string): boolean {
  const bytes = Buffer.from(value, 'base64')
  return bytes.length === CHECKSUM_BYTES[algorithm] && bytes.toString('base64') === value
}

/** How a multipart object's checksum is made unless the client chooses. */
export function defaultChecksumType(algorithm: ChecksumAlgorithm): ChecksumType {
  return algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE'
}

/** Whether a multipart object can have such a checksum: only CRCs can be put together from parts, one of them must be. */
export function allowsChecksumType(algorithm: ChecksumAlgorithm, type: ChecksumType): boolean {
  if (algorithm === 'CRC64NVME') return type === 'FULL_OBJECT'
  return type === 'COMPOSITE' || algorithm.startsWith('CRC')
}

/** As it is kept with an object. */
export function encodeChecksum({ algorithm, type, value }: Checksum): string {
  return `${algorithm} ${type} ${value}`
}

/** What encodeChecksum made; undefined for anything else. */
export function decodeChecksum(text: string | undefined): Checksum | undefined {
  const [name = '', type = '', value = ''] = (text ?? '').split(' ')
  const algorithm = checksumAlgorithm(name)
  if (algorithm === undefined || value === '') return undefined
  return { algorithm, value, type: type === 'COMPOSITE' ? 'COMPOSITE' : 'FULL_OBJECT' }
}
