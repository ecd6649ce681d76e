/** `SWIFTLET_PROBE=long` runs the probes at the length that docs/durability.md reports; otherwise they are short. */
export const LONG = process.env.SWIFTLET_PROBE === 'long'

/** The first in the short form, the second in the long one. */
export function shortOrLong<T>(short: T, long: T): T {
  return LONG ? long : short
}

/** `SWIFTLET_SEED` repeats a run's random choices; otherwise a new seed, which every probe prints. */
export function probeSeed(): number {
  const { SWIFTLET_SEED } = process.env
  return SWIFTLET_SEED === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(SWIFTLET_SEED)
}
