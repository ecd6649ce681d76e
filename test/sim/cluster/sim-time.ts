/**
 * Virtual time: a queue of events, each run when everything before it has come to rest. Between two events the
 * microtask queue is drained, so promises work as always, but nothing real (timers, I/O, the machine's clock) has a say
 * in what happens when.
 */
import type { Clock } from '../../../common/clock.ts'
import { type SeededRandom, seededRandom } from '../../support/seeded-random.ts'

interface SimEvent {
  readonly dueMs: number
  /** Events due at the same moment come in random order. */
  readonly order: number
  readonly action: () => void
  cancelled: boolean
}

/** Stamps have 10 microseconds; so have the moments of the simulation. */
const TICKS_PER_MS = 100
/** Wall-clock time at the start: autumn 2026. */
const EPOCH_MS = 1_790_000_000_000
const EVENTS_PER_LOOP = 64

export class SimTime {
  readonly #random: SeededRandom
  readonly #heap: SimEvent[] = []
  #nowMs = 0
  /** Events run so far. */
  events = 0

  constructor(seed: number) {
    this.#random = seededRandom(seed)
  }

  /** Milliseconds since the start. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** Runs the action once after so much virtual time; the returned function cancels. */
  after(delayMs: number, action: () => void): () => void {
    const ticks = Math.max(0, Math.round(delayMs * TICKS_PER_MS))
    const event: SimEvent = {
      dueMs: (Math.round(this.#nowMs * TICKS_PER_MS) + ticks) / TICKS_PER_MS,
      order: this.#random.fraction(),
      action,
      cancelled: false,
    }
    this.#push(event)
    return () => {
      event.cancelled = true
    }
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve))
  }

  /**
   * Runs events until the promise has settled; its result. Rejects if it never can, takes too much virtual time, or more
   * events than `eventsMax`: what goes on for ever would take as much real time and memory as there is.
   */
  until<T>(
    promise: Promise<T>,
    options: { readonly withinMs: number; readonly eventsMax: number },
  ): Promise<T> {
    const end = { ms: this.#nowMs + options.withinMs, events: this.events + options.eventsMax }
    let isOver = false
    const over = () => {
      isOver = true
    }
    promise.then(over, over)
    return new Promise<T>((resolve, reject) => {
      let left = 0
      const turn = () => {
        left--
        if (isOver) {
          if (left === 0) resolve(promise)
          return
        }
        const problem = this.#step(end)
        if (problem !== null) {
          isOver = true
          reject(new Error(problem))
        }
        if (left === 0) run()
      }
      // Node drains the microtask queue after each immediate; a batch of them costs one round of its event loop.
      const run = () => {
        left = isOver ? 1 : EVENTS_PER_LOOP
        for (let count = left; count > 0; count--) setImmediate(turn)
      }
      run()
    })
  }

  /** Runs the next event; what is wrong if it cannot. */
  #step(end: { readonly ms: number; readonly events: number }): string | null {
    if (this.events >= end.events) return `the simulation does not end: ${this.events} events`
    const event = this.#pop()
    if (event === undefined) return 'the simulation stands still: nothing is due'
    if (event.dueMs > end.ms) return `the simulation does not end: it goes on after ${end.ms} ms`
    this.#nowMs = event.dueMs
    this.events++
    event.action()
    return null
  }

  #push(event: SimEvent): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  /** The next event that was not cancelled. */
  #pop(): SimEvent | undefined {
    for (;;) {
      const top = this.#popTop()
      if (top === undefined || !top.cancelled) return top
    }
  }

  #popTop(): SimEvent | undefined {
    const heap = this.#heap
    const top = heap[0]
    const last = heap.pop()
    if (top === undefined || last === undefined || heap.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return top
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.dueMs === b.dueMs ? a.order < b.order : a.dueMs < b.dueMs
}

/** The wall clock of one machine: wrong by so much, and it may jump. */
export interface WallClock {
  offsetMs: number
  /** Its time moves in steps of so many milliseconds; 0 for no steps. */
  readonly stepMs: number
}

/**
 * A process that may die: from then on its timers do not fire, and whatever it waits for never comes (those who make it
 * wait see to that). What it was about to do is forgotten, as the memory of a real one is.
 */
export class SimProcess implements Clock {
  readonly name: string
  readonly time: SimTime
  readonly #wall: WallClock
  readonly #deaths: (() => void)[] = []
  #isAlive = true

  constructor(name: string, time: SimTime, wall: WallClock) {
    this.name = name
    this.time = time
    this.#wall = wall
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  /** Bound, because stamp clocks are given it alone. */
  readonly nowMs = (): number => {
    const { offsetMs, stepMs } = this.#wall
    const nowMs = EPOCH_MS + this.time.nowMs + offsetMs
    return stepMs === 0 ? nowMs : Math.floor(nowMs / stepMs) * stepMs
  }

  monotonicMs(): number {
    return this.time.nowMs
  }

  after(delayMs: number, action: () => void): () => void {
    return this.time.after(delayMs, () => {
      if (this.#isAlive) action()
    })
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve))
  }

  /** Told at the moment of death, for connections that break. */
  onDeath(action: () => void): void {
    this.#deaths.push(action)
  }

  die(): void {
    if (!this.#isAlive) return
    this.#isAlive = false
    for (const action of this.#deaths.splice(0)) action()
  }
}

/** What a dead process waits for. */
export function never<T>(): Promise<T> {
  return new Promise(() => {})
}
