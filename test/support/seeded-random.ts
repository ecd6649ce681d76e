import type { Random } from '../../common/random.ts'

/** Randomness that repeats itself for the same seed: every random test prints its seed and can be run again. */
export interface SeededRandom extends Random {
  /** A number in [0, 1). */
  fraction(): number
  /** True with the given probability. */
  chance(probability: number): boolean
  /** One of the items; undefined of none. */
  pick<T>(items: readonly T[]): T | undefined
}

/** mulberry32: 32 bits of state, good enough to choose faults, and the same on every machine. */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const fraction = () => next() / 0x1_0000_0000
  const below = (limit: number) => Math.floor(fraction() * limit)
  return {
    fraction,
    below,
    chance: (probability) => fraction() < probability,
    pick: (items) => items[below(items.length)],
    bytes(count) {
      const bytes = new Uint8Array(count)
      for (let index = 0; index < count; index++) bytes[index] = next() & 0xff
      return bytes
    },
  }
}
