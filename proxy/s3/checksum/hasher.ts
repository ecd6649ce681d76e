/**
 * Checksums as bytes come. What Node has it makes; the rest comes from hash-wasm, whose instances are dear to make and
 * are used again: each is lent to one body at a time.
 */
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import {
  createCRC32,
  createCRC64,
  createXXHash3,
  createXXHash64,
  createXXHash128,
  type IHasher,
} from 'hash-wasm'
import type { ChecksumAlgorithm } from './checksum-algorithm.ts'

/** One body's checksum in the making. */
export interface Hasher {
  update(bytes: Uint8Array): void
  /** Ends it. */
  digest(): Buffer
  /** Lets go of it without a digest; idempotent, and nothing after `digest`. */
  close(): void
}

/** Instances kept for the next bodies, of each algorithm. */
const IDLE_MAX = 32

type WasmAlgorithm = 'CRC32C' | 'CRC64NVME' | 'XXHASH64' | 'XXHASH3' | 'XXHASH128'

/** Polynomials in reversed form. */
const MAKERS: Readonly<Record<WasmAlgorithm, () => Promise<IHasher>>> = {
  CRC32C: () => createCRC32(0x82f63b78),
  CRC64NVME: () => createCRC64('9a6c9329ac4bc9b5'),
  XXHASH64: () => createXXHash64(),
  XXHASH3: () => createXXHash3(),
  XXHASH128: () => createXXHash128(),
}

const idle = new Map<WasmAlgorithm, IHasher[]>()

/** At once where an instance is free. */
export function openHasher(algorithm: ChecksumAlgorithm): Hasher | Promise<Hasher> {
  switch (algorithm) {
    case 'CRC32':
      return new Crc32()
    case 'MD5':
    case 'SHA1':
    case 'SHA256':
    case 'SHA512':
      return new NodeHasher(algorithm.toLowerCase())
    case 'CRC32C':
    case 'CRC64NVME':
    case 'XXHASH64':
    case 'XXHASH3':
    case 'XXHASH128': {
      const free = idle.get(algorithm)?.pop()
      if (free !== undefined) return new WasmHasher(algorithm, free)
      return MAKERS[algorithm]().then((made) => new WasmHasher(algorithm, made))
    }
  }
}

/** The checksum of bytes that are all there. */
export async function checksumOf(algorithm: ChecksumAlgorithm, bytes: Uint8Array): Promise<Buffer> {
  const hasher = await openHasher(algorithm)
  hasher.update(bytes)
  return hasher.digest()
}

class Crc32 implements Hasher {
  #value = 0

  update(bytes: Uint8Array): void {
    this.#value = crc32(bytes, this.#value)
  }

  digest(): Buffer {
    const out = Buffer.alloc(4)
    out.writeUInt32BE(this.#value >>> 0)
    return out
  }

  close(): void {}
}

class NodeHasher implements Hasher {
  readonly #hash: ReturnType<typeof createHash>

  constructor(algorithm: string) {
    this.#hash = createHash(algorithm)
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  digest(): Buffer {
    return this.#hash.digest()
  }

  close(): void {}
}

class WasmHasher implements Hasher {
  readonly #algorithm: WasmAlgorithm
  #hasher: IHasher | null

  constructor(algorithm: WasmAlgorithm, hasher: IHasher) {
    this.#algorithm = algorithm
    this.#hasher = hasher
    hasher.init()
  }

  update(bytes: Uint8Array): void {
    this.#hasher!.update(bytes)
  }

  digest(): Buffer {
    const out = Buffer.from(this.#hasher!.digest('binary'))
    this.close()
    return out
  }

  close(): void {
    const hasher = this.#hasher
    this.#hasher = null
    if (hasher === null) return
    const free = idle.get(this.#algorithm) ?? []
    idle.set(this.#algorithm, free)
    if (free.length < IDLE_MAX) free.push(hasher)
  }
}
