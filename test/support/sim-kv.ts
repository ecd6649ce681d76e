/**
 * A sorted key-value store in memory that stands in for LevelDB in simulations and loses batches at a crash as LevelDB
 * may: those not synced, in part or from some point on, and (by option) one in the middle that had been synced, as
 * LevelDB drops a damaged block of its write-ahead log and applies the later ones. A batch is never split.
 */
import type {
  KeyRange,
  KeyValue,
  KeyValueIterator,
  KeyValueOperation,
} from '../../common/key-value.ts'
import { type SeededRandom, seededRandom } from './seeded-random.ts'

export interface SimKeyValueOptions {
  readonly seed: number
  /**
   * A synced batch makes the unsynced ones before it durable too. Default true. False is LevelDB at its worst: a
   * memtable switch closes the old log without a sync.
   */
  readonly syncCoversEarlier?: boolean
  /** Turns of the microtask queue that a call takes at most. Default 4. */
  readonly turnsMax?: number
}

export interface SimKeyValueCrash {
  /** Also drop one batch in the middle that was synced: damage. */
  readonly dropOneSynced?: boolean
}

interface LoggedBatch {
  readonly operations: readonly KeyValueOperation[]
  durable: boolean
}

/** Batches kept apart from the base, from which a damaged one is chosen. */
const LOG_BATCHES_MAX = 64

export class SimKeyValueError extends Error {
  readonly code: string

  constructor(code: string) {
    super(`${code}: simulated key-value store`)
    this.name = 'SimKeyValueError'
    this.code = code
  }
}

/** Keys as latin1 text, whose order by code unit is the order of the bytes. */
class SortedMap {
  readonly values = new Map<string, Uint8Array>()
  keys: string[] = []

  copy(): SortedMap {
    const copy = new SortedMap()
    for (const [key, value] of this.values) copy.values.set(key, value)
    copy.keys = [...this.keys]
    return copy
  }

  apply(operations: readonly KeyValueOperation[]): void {
    for (const operation of operations) {
      const key = latin1(operation.key)
      if (operation.type === 'put') this.put(key, operation.value)
      else this.delete(key)
    }
  }

  put(key: string, value: Uint8Array): void {
    if (!this.values.has(key)) this.keys.splice(this.lowerBound(key), 0, key)
    this.values.set(key, value)
  }

  delete(key: string): void {
    if (this.values.delete(key)) this.keys.splice(this.lowerBound(key), 1)
  }

  /** Index of the first key that is not below. */
  lowerBound(key: string): number {
    let [low, high] = [0, this.keys.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.keys[middle]! < key) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** The medium: it outlives the handles opened on it. */
export class SimKeyValueStore {
  #base = new SortedMap()
  #current = new SortedMap()
  #log: LoggedBatch[] = []
  #random: SeededRandom
  readonly #options: SimKeyValueOptions
  #crashes = 0
  /** Batches begun since the start. */
  batchCount = 0
  #failAtBatch = 0

  constructor(options: SimKeyValueOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
  }

  get keyCount(): number {
    return this.#current.keys.length
  }

  /** A handle that fails with `ECRASHED` after the next crash. */
  open(): KeyValue {
    const born = this.#crashes
    let open = true
    const check = (): void => {
      if (this.#crashes !== born) throw new SimKeyValueError('ECRASHED')
      if (!open) throw new SimKeyValueError('ECLOSED')
    }
    return {
      getSync: (key) => {
        check()
        return this.#current.values.get(latin1(key))?.slice()
      },
      batch: async (operations, options) => {
        check()
        const copied = operations.map(copyOperation)
        await this.#turns()
        check()
        this.#commit(copied, options.sync)
        await this.#turns()
        check()
      },
      iterate: (range) => {
        check()
        return this.#iterate(range, check)
      },
      close: async () => {
        open = false
      },
    }
  }

  /** The batch after `count` more ones fails with EIO; whether it happened nevertheless is left to chance. */
  failBatch(count = 1): void {
    this.#failAtBatch = this.batchCount + count
  }

  /** A failure that was to come does not. */
  failNone(): void {
    this.#failAtBatch = 0
  }

  /** Power cut. */
  crash(seed: number, options: SimKeyValueCrash = {}): void {
    this.#random = seededRandom(seed)
    this.#crashes++
    this.#failAtBatch = 0
    const kept = this.#survivors(options)
    this.#current = this.#base.copy()
    for (const batch of kept) this.#current.apply(batch.operations)
    this.#restart()
  }

  /** The process dies, the machine does not: nothing is lost. */
  kill(): void {
    this.#crashes++
    this.#failAtBatch = 0
  }

  /** Everything is gone, as when the folder is deleted. */
  wipe(): void {
    this.#current = new SortedMap()
    this.#restart()
  }

  /** Rot: one bit of the value is flipped, or the key vanishes. False if there is no such key. */
  damage(key: Uint8Array, how: 'flip-value' | 'lose-key'): boolean {
    const text = latin1(key)
    const value = this.#current.values.get(text)
    if (!value) return false
    if (how === 'lose-key') this.#current.delete(text)
    else {
      const flipped = value.slice()
      const offset = this.#random.below(flipped.length)
      if (flipped.length > 0) flipped[offset]! ^= 1 << this.#random.below(8)
      this.#current.put(text, flipped)
    }
    this.#restart()
    return true
  }

  /** All keys, in order. */
  keys(): Uint8Array[] {
    return this.#current.keys.map((key) => Buffer.from(key, 'latin1'))
  }

  #commit(operations: readonly KeyValueOperation[], sync: boolean): void {
    this.batchCount++
    const fails = this.batchCount === this.#failAtBatch
    if (fails && this.#random.chance(0.5)) throw new SimKeyValueError('EIO')
    this.#current.apply(operations)
    this.#log.push({ operations, durable: sync && !fails })
    if (fails) throw new SimKeyValueError('EIO')
    if (sync && this.#options.syncCoversEarlier !== false)
      for (const batch of this.#log) batch.durable = true
    while (this.#log.length > LOG_BATCHES_MAX && this.#log[0]!.durable)
      this.#base.apply(this.#log.shift()!.operations)
  }

  #survivors(options: SimKeyValueCrash): LoggedBatch[] {
    const suffix = this.#random.chance(0.5)
    const lastDurable = this.#log.findLastIndex((batch) => batch.durable)
    // Lost from `cut` on; what comes before the last durable batch is at risk only by the coin.
    const cut = lastDurable + 1 + this.#random.below(this.#log.length - lastDurable)
    const density = this.#random.fraction()
    const kept = this.#log.filter((batch, index) => {
      if (batch.durable) return true
      return suffix ? index < cut : this.#random.chance(density)
    })
    if (options.dropOneSynced && kept.length > 0) kept.splice(this.#random.below(kept.length), 1)
    return kept
  }

  #restart(): void {
    this.#base = this.#current.copy()
    this.#log = []
  }

  #iterate(range: KeyRange, check: () => void): KeyValueIterator {
    const { keys } = this.#current
    const from = lowerIndex(this.#current, range)
    const to = upperIndex(this.#current, range)
    // A snapshot, as LevelDB's: values are replaced, never changed in place.
    const entries = keys
      .slice(from, to)
      .map((key) => ({ key, value: this.#current.values.get(key)! }))
    if (range.reverse) entries.reverse()
    let next = 0
    return {
      next: async (count) => {
        await this.#turns()
        check()
        const page = entries.slice(next, next + count)
        next += page.length
        return page.map(({ key, value }) => [Buffer.from(key, 'latin1'), value.slice()])
      },
      seek: (key) => {
        check()
        const target = latin1(key)
        const index = entries.findIndex((entry) =>
          range.reverse ? entry.key <= target : entry.key >= target,
        )
        next = index < 0 ? entries.length : index
      },
      close: async () => {
        next = entries.length
      },
    }
  }

  async #turns(): Promise<void> {
    for (let turn = this.#random.below(this.#options.turnsMax ?? 4); turn >= 0; turn--) await null
  }
}

function lowerIndex(map: SortedMap, range: KeyRange): number {
  if (range.gte !== undefined) return map.lowerBound(latin1(range.gte))
  if (range.gt !== undefined) return map.lowerBound(`${latin1(range.gt)}\0`)
  return 0
}

function upperIndex(map: SortedMap, range: KeyRange): number {
  if (range.lt !== undefined) return map.lowerBound(latin1(range.lt))
  if (range.lte !== undefined) return map.lowerBound(`${latin1(range.lte)}\0`)
  return map.keys.length
}

function copyOperation(operation: KeyValueOperation): KeyValueOperation {
  if (operation.type === 'del') return { type: 'del', key: operation.key.slice() }
  return { type: 'put', key: operation.key.slice(), value: operation.value.slice() }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
