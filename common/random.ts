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

/** A random UUID (version 4) with its dashes. */
export function randomUuid(random: Random): string {
  const hex = randomId(random)
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 3) | 8).toString(16)
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`]
  return [...parts, variant + hex.slice(17, 20), hex.slice(20)].join('-')
}

/** 32 random hex digits: the form of OpenStack's ids. */
export function randomId(random: Random): string {
  return Buffer.from(random.bytes(16)).toString('hex')
}
