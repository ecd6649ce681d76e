/**
 * When the next request of each kind may go, at the rate of each. The counts lie in memory that all threads of a process
 * share, so that a rate is that of the machine:
 *
 *   cell   16 bits  a part of the key's hash          48 bits  when its next turn is, in units of 10 us since 2020
 *
 * A key has four cells to be in; of more keys than that the one goes whose turn was longest ago, and begins anew. Keys that
 * share their cells and 16 bits besides count as one: with 10,000 keys that is one in 20,000.
 */
const SETS = 4096
const WAYS = 4
const EPOCH_MS = 1_577_836_800_000
const UNITS_PER_MS = 100
const TIME_BITS = 48n
const TIME_MASK = (1n << TIME_BITS) - 1n
/** Other threads that were quicker, one after the other. */
const ATTEMPTS_MAX = 64

export interface TurnLimits {
  /** Who would have to wait longer gets no turn. */
  readonly waitSecondsMax: number
  /** How long a pause is made up for by faster requests. */
  readonly bufferSeconds: number
}

export class Turns {
  readonly #limits: TurnLimits
  readonly #cells: BigUint64Array

  /** Without memory from `Turns.memory()`, of this thread alone. */
  constructor(limits: TurnLimits, memory: SharedArrayBuffer = Turns.memory()) {
    this.#limits = limits
    this.#cells = new BigUint64Array(memory)
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(SETS * WAYS * BigUint64Array.BYTES_PER_ELEMENT)
  }

  /**
   * Milliseconds to wait; null if it would be too long, and then no turn is taken. `nowMs`: of the wall clock, which all
   * threads have in common.
   */
  take(key: string, perSecond: number, nowMs: number): number | null {
    const { waitSecondsMax, bufferSeconds } = this.#limits
    const stepMs = 1000 / perSecond
    const { first, tag } = placeOf(key)
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const { at, cell } = this.#find(first, tag)
      const known = tagOf(cell) === tag && cell !== 0n ? timeOf(cell) : nowMs
      // Later than any turn that is given: the clock was set back.
      const isAstray = known > nowMs + waitSecondsMax * 1000 + stepMs
      const turnMs = known < nowMs - bufferSeconds * 1000 || isAstray ? nowMs : known
      const waitMs = Math.max(0, turnMs - nowMs)
      if (waitMs >= waitSecondsMax * 1000) return null
      const next = cellOf(tag, turnMs + stepMs)
      if (Atomics.compareExchange(this.#cells, at, cell, next) === cell) return waitMs
    }
    return null
  }

  /** The key's cell, or the one of its four that it gets. */
  #find(first: number, tag: bigint): { readonly at: number; readonly cell: bigint } {
    let oldest = { at: first, cell: Atomics.load(this.#cells, first) }
    for (let at = first; at < first + WAYS; at++) {
      const cell = Atomics.load(this.#cells, at)
      if (cell !== 0n && tagOf(cell) === tag) return { at, cell }
      if ((cell & TIME_MASK) < (oldest.cell & TIME_MASK)) oldest = { at, cell }
    }
    return oldest
  }
}

/** FNV-1a over the key's code units, twice: the same in every thread. */
function placeOf(key: string): { readonly first: number; readonly tag: bigint } {
  let one = 0x811c9dc5
  let other = 0x1000193
  for (let at = 0; at < key.length; at++) {
    const unit = key.charCodeAt(at)
    one = Math.imul(one ^ unit, 0x01000193)
    other = Math.imul(other ^ unit, 0x85ebca6b)
  }
  const set = (one ^ (one >>> 16)) & (SETS - 1)
  return { first: set * WAYS, tag: BigInt((other ^ (other >>> 16)) & 0xffff) }
}

function cellOf(tag: bigint, timeMs: number): bigint {
  const units = BigInt(Math.max(0, Math.round((timeMs - EPOCH_MS) * UNITS_PER_MS)))
  return (tag << TIME_BITS) | (units & TIME_MASK)
}

function tagOf(cell: bigint): bigint {
  return cell >> TIME_BITS
}

function timeOf(cell: bigint): number {
  return EPOCH_MS + Number(cell & TIME_MASK) / UNITS_PER_MS
}
