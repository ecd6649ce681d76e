/** So many requests begin in one turn of the event loop. */
const REQUESTS_A_TURN = Number(process.env.K ?? 8)

/**
 * Spreads requests that arrived together over turns of the event loop. Else all of them are taken in before the loop
 * hears that the disk is done with the first ones: then the disk waits for the processor, and behind that the processor
 * for the disk.
 */
export class Turns {
  readonly #waiting: (() => void)[] = []
  #begun = 0
  #isScheduled = false

  /** Runs it now, or in one of the next turns, in the order of the calls. */
  add(run: () => void): void {
    if (this.#waiting.length === 0 && this.#begun < REQUESTS_A_TURN) {
      this.#begun++
      run()
    } else {
      this.#waiting.push(run)
    }
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#begun = 0
      const runs = this.#waiting.splice(0, REQUESTS_A_TURN)
      if (this.#waiting.length > 0) this.#schedule()
      this.#begun = runs.length
      for (const run of runs) run()
    })
  }
}
