/**
 * The CRC of two stretches of bytes together, from the CRC of each and the length of the second: what a full-object
 * checksum of a multipart upload is made of without reading it again. A CRC register moves over n zero bytes by a linear
 * map, which squaring gives for any power of two (the method of zlib's crc32_combine).
 */
import type { ChecksumAlgorithm } from './checksum-algorithm.ts'

interface CrcShape {
  readonly bits: number
  /** In reversed form. */
  readonly polynomial: bigint
}

const SHAPES: Readonly<Partial<Record<ChecksumAlgorithm, CrcShape>>> = {
  CRC32: { bits: 32, polynomial: 0xedb88320n },
  CRC32C: { bits: 32, polynomial: 0x82f63b78n },
  CRC64NVME: { bits: 64, polynomial: 0x9a6c9329ac4bc9b5n },
}

/** A linear map of registers: what each bit alone becomes. */
type BitMap = readonly bigint[]

/** The maps over 2^n zero bytes, made as they are needed. */
const powers = new Map<ChecksumAlgorithm, BitMap[]>()

/** The CRC, in its bytes, of all stretches one after the other; `algorithm` is one of the CRCs. */
export function combineCrcs(
  algorithm: ChecksumAlgorithm,
  stretches: readonly { readonly crc: Uint8Array; readonly bytes: number }[],
): Buffer {
  const shape = SHAPES[algorithm]
  if (shape === undefined) throw new Error(`${algorithm} is no CRC`)
  let all = 0n
  for (const { crc, bytes } of stretches) {
    const value = BigInt(`0x${Buffer.from(crc).toString('hex')}`)
    all = overZeros(algorithm, shape, all, bytes) ^ value
  }
  return Buffer.from(all.toString(16).padStart(shape.bits / 4, '0'), 'hex')
}

function overZeros(
  algorithm: ChecksumAlgorithm,
  shape: CrcShape,
  crc: bigint,
  bytes: number,
): bigint {
  let value = crc
  let left = bytes
  for (let power = 0; left > 0; power++) {
    if (left % 2 === 1) value = apply(powerOf(algorithm, shape, power), value)
    left = Math.floor(left / 2)
  }
  return value
}

function powerOf(algorithm: ChecksumAlgorithm, shape: CrcShape, power: number): BitMap {
  const known = powers.get(algorithm) ?? []
  powers.set(algorithm, known)
  while (known.length <= power) {
    const last = known.at(-1)
    known.push(last === undefined ? oneZeroByte(shape) : squared(last))
  }
  return known[power]!
}

function oneZeroByte({ bits, polynomial }: CrcShape): BitMap {
  const oneBit = Array.from({ length: bits }, (_, bit) =>
    bit === 0 ? polynomial : 1n << BigInt(bit - 1),
  )
  return squared(squared(squared(oneBit)))
}

function squared(map: BitMap): BitMap {
  return map.map((image) => apply(map, image))
}

function apply(map: BitMap, value: bigint): bigint {
  let out = 0n
  let rest = value
  for (let bit = 0; rest > 0n; bit++) {
    if ((rest & 1n) === 1n) out ^= map[bit]!
    rest >>= 1n
  }
  return out
}
