import type { ChangeMark, ChangeMarks } from '../../common/change-marks.ts'
import type { Clock } from '../../common/clock.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import { LastContainer } from './last-container.ts'

export interface ContainerCacheOptions {
  readonly clock: Clock
  readonly marks: ChangeMarks
  readonly load: (account: string, container: string) => Promise<ItemInfo | null>
  readonly entriesMax?: number
  readonly ttlMs?: number
}

const DEFAULTS = { entriesMax: 10_000, ttlMs: 3_000 }

/** Settings of a container that were changed longer ago are known to every proxy, and what was let in by them has begun; in one process, at once. */
export const CACHED_MS_MAX = DEFAULTS.ttlMs + 500

interface Entry {
  readonly info: ItemInfo
  readonly untilMs: number
  readonly mark: ChangeMark
}

interface Loading {
  readonly info: Promise<ItemInfo | null>
  readonly mark: ChangeMark
  /** So long it may be remembered: counted from its beginning, for what it finds may be that old when it ends. */
  readonly untilMs: number
}

/**
 * Containers as this process last changed them, and as they were at most `ttlMs` ago; the oldest give way first.
 * That a container is not there is not remembered: it may be made the next moment by another proxy. Loads of one container
 * at a time are one.
 */
export class ContainerCache {
  readonly #clock: Clock
  readonly #marks: ChangeMarks
  readonly #load: ContainerCacheOptions['load']
  readonly #entriesMax: number
  readonly #ttlMs: number
  readonly #entries = new Map<string, Entry>()
  readonly #last = new LastContainer<Entry>()
  readonly #loading = new Map<string, Loading>()

  constructor(options: ContainerCacheOptions) {
    this.#clock = options.clock
    this.#marks = options.marks
    this.#load = options.load
    this.#entriesMax = options.entriesMax ?? DEFAULTS.entriesMax
    this.#ttlMs = options.ttlMs ?? DEFAULTS.ttlMs
  }

  /** At once when it is known. */
  get(account: string, container: string): ItemInfo | null | Promise<ItemInfo | null> {
    const last = this.#last.get(account, container)
    if (last !== undefined && this.#isCurrent(last)) return last.info
    const key = `${account}/${container}`
    const entry = this.#entries.get(key)
    if (entry === undefined) return this.#loadOnce(key, account, container)
    if (this.#isCurrent(entry)) {
      this.#last.note(account, container, entry)
      return entry.info
    }
    this.#entries.delete(key)
    return this.#loadOnce(key, account, container)
  }

  /** Whatever it is replaced by, an entry holds as long as it says. */
  #isCurrent(entry: Entry): boolean {
    return this.#clock.monotonicMs() < entry.untilMs && this.#marks.isCurrent(entry.mark)
  }

  /** Forgets the container in all threads; a load that is under way will not be remembered. */
  invalidate(account: string, container: string): void {
    this.#marks.note(`${account}/${container}`)
  }

  #loadOnce(key: string, account: string, container: string): Promise<ItemInfo | null> {
    const loading = this.#loading.get(key)
    // One that began before a change may have seen the old state.
    if (loading !== undefined && this.#marks.isCurrent(loading.mark)) return loading.info
    const mark = this.#marks.mark(key)
    const load: Loading = {
      mark,
      untilMs: this.#clock.monotonicMs() + this.#ttlMs,
      info: this.#load(account, container).then(
        (info) => {
          this.#ended(key, load)
          if (info !== null && this.#marks.isCurrent(mark))
            this.#keep(key, { info, mark, untilMs: load.untilMs })
          return info
        },
        (error) => {
          this.#ended(key, load)
          throw error
        },
      ),
    }
    this.#loading.set(key, load)
    return load.info
  }

  #ended(key: string, load: Loading): void {
    if (this.#loading.get(key) === load) this.#loading.delete(key)
  }

  #keep(key: string, entry: Entry): void {
    if (this.#entries.size >= this.#entriesMax) {
      const oldest = this.#entries.keys().next().value
      if (oldest !== undefined) this.#entries.delete(oldest)
    }
    this.#entries.set(key, entry)
  }
}
