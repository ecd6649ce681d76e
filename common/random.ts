import { randomFillSync } from 'node:crypto'

/** Randomness as the logic sees it; the simulation seeds its own. */
export interface Random {
  /** `count` random bytes. */
  bytes(count: number): Uint8Array
  /** A whole number in [0, limit). */
  below(limit: number): number
}

/** The machine's cryptographic randomness. */
export const systemRandom: Random = {
  bytes: (count) => randomFillSync(Buffer.allocUnsafeSlow(count)),
  below: (limit) => randomFillSync(Buffer.alloc(4)).readUInt32LE(0) % limit,
}

/** 16 hex digits that name one write for good. */
export function randomWriteId(random: Random): string {
  return Buffer.from(random.bytes(8)).toString('hex')
}
