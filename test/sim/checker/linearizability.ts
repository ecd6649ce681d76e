/**
 * Is there an order of the operations of one name, each at one moment between its begin and its end, in which every
 * answer is right? A search as by Wing and Gong, with Lowe's memory of what was tried: the set of operations done and
 * the state that they left.
 *
 * A write that nobody knows about (`maybe`) has no end: it may be put anywhere after its begin, or left out. The search
 * takes one only where it makes a difference: right before an operation that depends on it. Nothing is lost by that: a
 * write that is overwritten unseen may as well be left out. Versions that nobody saw or asked for need no names, and of
 * maybes that then do the same only the first has to be tried: they are there for good.
 */
import { ABSENT, type Operation } from './history.ts'

export interface Verdict {
  /** Null if the search was given up. */
  readonly isLinearizable: boolean | null
  /** The first operation whose answer cannot be explained, with all that began before it ended. */
  readonly culprit?: Operation
  /** Steps of the search. */
  readonly steps: number
}

const STEPS_MAX = 500_000

/** Judges the operations of one name, in any order; the name is absent at the start. */
export function checkLinearizability(operations: readonly Operation[]): Verdict {
  const relevant = operations.filter(isRelevant).sort((a, b) => a.begin - b.begin)
  const search = new Search(relevant)
  const isLinearizable = search.run()
  if (isLinearizable !== false) return { isLinearizable, steps: search.steps }
  return { isLinearizable, steps: search.steps, culprit: firstWrong(relevant) }
}

/** A read without an answer says nothing. */
function isRelevant({ outcome, kind }: Operation): boolean {
  return kind !== 'list' && outcome !== 'failed'
}

/** The shortest history that is wrong ends with the answer that made it so. */
function firstWrong(operations: readonly Operation[]): Operation {
  const ends = operations.filter(({ end }) => Number.isFinite(end)).sort((a, b) => a.end - b.end)
  let [low, high] = [0, ends.length - 1]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (new Search(until(operations, ends[middle]!.end)).run() === false) high = middle
    else low = middle + 1
  }
  return ends[low]!
}

/** The history as it was known at that moment: what had not been answered is `maybe`. */
function until(operations: readonly Operation[], moment: number): Operation[] {
  const known: Operation[] = []
  for (const operation of operations) {
    if (operation.begin > moment) continue
    if (operation.end <= moment) known.push(operation)
    else if (operation.kind !== 'get' && operation.outcome !== 'refused') {
      known.push({ ...operation, end: Number.POSITIVE_INFINITY, outcome: 'maybe' })
    }
  }
  return known
}

/** The name of a version that nobody saw or asked for. */
const UNSEEN = '?'

class Search {
  readonly #operations: readonly Operation[]
  /** What the operation's own version is called in states. */
  readonly #labels: readonly string[]
  /** Of maybes: those with the same one are the same; a number is one of a kind. */
  readonly #classes: readonly (string | number)[]
  readonly #done: Uint8Array
  readonly #failed = new Set<string>()
  steps = 0

  constructor(operations: readonly Operation[]) {
    this.#operations = operations
    this.#done = new Uint8Array(operations.length)
    const known = knownVersions(operations)
    this.#labels = operations.map(({ id }) => (known.has(id) ? String(id) : UNSEEN))
    this.#classes = operations.map(({ id, kind, expected }, index) => {
      const isAlone = known.has(id) && kind !== 'delete' && kind !== 'remove'
      return isAlone ? index : `${kind} ${expected ?? ''}`
    })
  }

  /** Null if it takes too long. */
  run(): boolean | null {
    const found = this.#from(ABSENT, 0, false)
    return this.steps > STEPS_MAX ? null : found
  }

  /**
   * Whether what is not done can follow on this state. `first` is the first operation that may not be done; `isOwed`
   * says that a maybe was taken just now, so that what comes next has to depend on it.
   */
  #from(state: string, first: number, isOwed: boolean): boolean {
    if (++this.steps > STEPS_MAX) return false
    const operations = this.#operations
    let from = first
    while (from < operations.length && this.#done[from] === 1) from++
    const horizon = this.#horizon(from)
    if (horizon === Number.POSITIVE_INFINITY) return !isOwed
    const key = this.#key(from, state, isOwed)
    if (this.#failed.has(key)) return false
    // What has an answer goes first; maybes only where nothing else will do.
    const tried = new Set<string | number>()
    for (const wantsMaybe of [false, true]) {
      for (let index = from; index < operations.length; index++) {
        const operation = operations[index]!
        if (operation.begin > horizon) break
        if (this.#done[index] === 1 || (operation.outcome === 'maybe') !== wantsMaybe) continue
        if (isOwed && isBlind(operation)) continue
        if (wantsMaybe) {
          if (tried.has(this.#classes[index]!)) continue
          tried.add(this.#classes[index]!)
        }
        const next = apply(operation, state, this.#labels[index]!)
        if (next === null || (wantsMaybe && next === state)) continue
        this.#done[index] = 1
        if (this.#from(next, from, wantsMaybe)) return true
        this.#done[index] = 0
      }
    }
    this.#failed.add(key)
    return false
  }

  /** The first end of what is not done: whatever comes next must have begun before it. */
  #horizon(from: number): number {
    let horizon = Number.POSITIVE_INFINITY
    for (let index = from; index < this.#operations.length; index++) {
      const { begin, end } = this.#operations[index]!
      if (begin > horizon) break
      if (this.#done[index] === 0 && end < horizon) horizon = end
    }
    return horizon
  }

  #key(from: number, state: string, isOwed: boolean): string {
    let key = `${from}|${state}|${isOwed ? 1 : 0}|`
    let bits = 0
    let count = 0
    // Behind the last one that is done there are only zeros.
    for (let index = from; index < this.#done.length; index++) {
      bits = (bits << 1) | this.#done[index]!
      if (++count === 15) {
        key += String.fromCharCode(bits)
        bits = 0
        count = 0
      }
    }
    return key + String.fromCharCode(bits)
  }
}

/** Whether the operation is the same on any state. */
function isBlind({ kind }: Operation): boolean {
  return kind === 'put' || kind === 'delete'
}

/** Versions that somebody saw, or made a condition of. */
function knownVersions(operations: readonly Operation[]): ReadonlySet<number> {
  const known = new Set<number>()
  for (const { seen, expected } of operations) {
    if (expected !== undefined) known.add(expected)
    for (const digits of seen?.match(/\d+/g) ?? []) known.add(Number(digits))
  }
  return known
}

/** The state after the operation with its answer, or null if the answer would be wrong. */
function apply(operation: Operation, state: string, label: string): string | null {
  const { kind, outcome, expected } = operation
  const wasRefused = outcome === 'refused'
  switch (kind) {
    case 'put':
      return `v${label}`
    case 'delete':
      return ABSENT
    case 'get':
      return operation.seen === state ? state : null
    case 'post':
      if (state === ABSENT) return wasRefused ? state : null
      return wasRefused ? null : `${dataOf(state)}+m${label}`
    case 'create':
      if (state === ABSENT) return wasRefused ? null : `v${label}`
      return wasRefused ? state : null
    case 'replace':
    case 'remove': {
      const holds = dataOf(state) === `v${expected}`
      if (holds === wasRefused) return null
      if (wasRefused) return state
      return kind === 'replace' ? `v${label}` : ABSENT
    }
    case 'list':
      return null
  }
}

/** The part of the state that names the version of the data. */
function dataOf(state: string): string {
  const plus = state.indexOf('+')
  return plus < 0 ? state : state.slice(0, plus)
}
