import type { Clock } from '../../common/clock.ts'
import type { ItemInfo } from '../../common/storage-node.ts'

export interface ContainerCacheOptions {
  readonly clock: Clock
  readonly load: (account: string, container: string) => Promise<ItemInfo | null>
  readonly entriesMax?: number
  readonly ttlMs?: number
}

const DEFAULTS = { entriesMax: 10_000, ttlMs: 3_000 }

/** Settings of a container that were changed longer ago are known to every proxy. */
export const CACHED_MS_MAX = DEFAULTS.ttlMs + 500

interface Entry {
  readonly info: ItemInfo
  readonly untilMs: number
}

/**
 * Containers as they were at most a few seconds ago; the oldest give way first. That a container is not there is
 * not remembered: it may be made the next moment by another proxy. Loads of one container at a time are one.
 */
export class ContainerCache {
  readonly #clock: Clock
  readonly #load: ContainerCacheOptions['load']
  readonly #entriesMax: number
  readonly #ttlMs: number
  readonly #entries = new Map<string, Entry>()
  readonly #loading = new Map<string, Promise<ItemInfo | null>>()

  constructor(options: ContainerCacheOptions) {
    this.#clock = options.clock
    this.#load = options.load
    this.#entriesMax = options.entriesMax ?? DEFAULTS.entriesMax
    this.#ttlMs = options.ttlMs ?? DEFAULTS.ttlMs
  }

  /** At once when it is known. */
  get(account: string, container: string): ItemInfo | null | Promise<ItemInfo | null> {
    const key = `${account}/${container}`
    const entry = this.#entries.get(key)
    if (entry === undefined) return this.#loadOnce(key, account, container)
    if (this.#clock.monotonicMs() < entry.untilMs) {
      return entry.info
    }
    this.#entries.delete(key)
    return this.#loadOnce(key, account, container)
  }

  /** Forgets the container; a load that is under way will not be remembered. */
  invalidate(account: string, container: string): void {
    const key = `${account}/${container}`
    this.#entries.delete(key)
    this.#loading.delete(key)
  }

  #loadOnce(key: string, account: string, container: string): Promise<ItemInfo | null> {
    const loading = this.#loading.get(key)
    if (loading !== undefined) return loading
    const load = this.#load(account, container).then(
      (info) => {
        if (this.#loading.get(key) === load) {
          this.#loading.delete(key)
          if (info !== null) this.#keep(key, info)
        }
        return info
      },
      (error) => {
        if (this.#loading.get(key) === load) this.#loading.delete(key)
        throw error
      },
    )
    this.#loading.set(key, load)
    return load
  }

  #keep(key: string, info: ItemInfo): void {
    if (this.#entries.size >= this.#entriesMax) {
      const oldest = this.#entries.keys().next().value
      if (oldest !== undefined) this.#entries.delete(oldest)
    }
    this.#entries.set(key, { info, untilMs: this.#clock.monotonicMs() + this.#ttlMs })
  }
}
