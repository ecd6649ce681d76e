/** How long something that gets less will still take, by how fast it got less lately. */

/** Older observations say little of the pace now. */
const OBSERVED_MS = 10 * 60 * 1000
const OBSERVATIONS_MAX = 120

export class RemainingTime {
  #seen: { readonly atMs: number; readonly left: number }[] = []

  /** Takes note of how much is left; milliseconds until nothing is, null as long as that cannot be told, 0 if it is done. */
  observe(atMs: number, left: number): number | null {
    // More than before: something new began.
    if (left === 0 || left > (this.#seen.at(-1)?.left ?? left)) this.#seen = []
    this.#seen = this.#seen.filter((seen) => atMs - seen.atMs < OBSERVED_MS && seen.atMs < atMs)
    this.#seen.push({ atMs, left })
    if (this.#seen.length > OBSERVATIONS_MAX) this.#seen.splice(1, 1)
    if (left === 0) return 0
    const first = this.#seen[0]!
    const done = first.left - left
    return done === 0 ? null : (left / done) * (atMs - first.atMs)
  }
}
