/** Enough that two names that are changed at a time rarely share one; 16 KiB. */
const COUNTERS = 4096
const BYTES = COUNTERS * Int32Array.BYTES_PER_ELEMENT

/** Where and how far a name's counter stood: what was read afterwards is current until it moves. */
export interface ChangeMark {
  readonly counter: number
  readonly count: number
}

/**
 * Tells caches in all threads of a process at once that what they hold was changed by one of them: counters in shared
 * memory, one for many names. A cache takes the mark before it reads and holds what it read for as long as the mark is
 * current. Who changes something notes it before it acknowledges; a name that shares the counter costs a reading more.
 */
export class ChangeMarks {
  readonly #counters: Int32Array

  /** Without memory from `ChangeMarks.memory()`, of this thread alone. */
  constructor(memory: SharedArrayBuffer = ChangeMarks.memory()) {
    this.#counters = new Int32Array(memory)
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(BYTES)
  }

  mark(name: string): ChangeMark {
    const counter = counterOf(name)
    return { counter, count: Atomics.load(this.#counters, counter) }
  }

  isCurrent({ counter, count }: ChangeMark): boolean {
    return Atomics.load(this.#counters, counter) === count
  }

  note(name: string): void {
    Atomics.add(this.#counters, counterOf(name), 1)
  }
}

/** FNV-1a over the name's code units: the same in every thread. */
function counterOf(name: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < name.length; at++) {
    hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  }
  return (hash ^ (hash >>> 16)) & (COUNTERS - 1)
}
