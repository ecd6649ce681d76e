import { forEachParallel } from '../../common/bounded-parallel.ts'
import type { Clock } from '../../common/clock.ts'
import { splitName } from '../../common/item.ts'
import type { ExpiredItem } from '../../common/storage-node.ts'
import type { ObjectPath } from './backend.ts'
import type { BackendCounters } from './counters.ts'
import type { ExpiryDelays } from './expiry-delay.ts'
import type { Pace } from './pace.ts'
import { askOne, type CallTiming } from './replica-calls.ts'
import type { Replica } from './replica-map.ts'

export interface ExpirerOptions {
  readonly devices: () => readonly Replica[]
  readonly clock: Clock
  readonly timing: CallTiming
  readonly counters: BackendCounters
  /** Of deletions. */
  readonly pace: Pace
  readonly delays: ExpiryDelays
  /** True if the object was deleted; false if it is not to be deleted at that time any more. */
  readonly expire: (path: ObjectPath, deleteAt: number) => Promise<boolean>
}

const PAGE_MAX = 200
/** So many objects that are kept a while longer are looked past; behind more of them others wait. */
const DELAYED_MAX = 10_000
const CONCURRENCY_MAX = 4

/**
 * Deletes objects whose X-Delete-At has passed, their rows included. Clients do not wait for it: the HTTP side treats
 * them as gone from that second on.
 */
export class Expirer {
  readonly #options: ExpirerOptions
  #due = 0
  /** Objects that the last pass found, and whose delay is not over. */
  #delayed = 0

  constructor(options: ExpirerOptions) {
    this.#options = options
  }

  /** Objects that the last pass found due. */
  get due(): number {
    return this.#due
  }

  /** Some of each device; true if there was anything. */
  async pass(): Promise<boolean> {
    const { devices, clock, timing, delays } = this.#options
    const nowSeconds = Math.floor(clock.nowMs() / 1000)
    const beforeSeconds = nowSeconds - delays.leastSeconds
    const limit = PAGE_MAX + Math.min(this.#delayed, DELAYED_MAX)
    const due = new Map<string, ExpiredItem>()
    const delayed = new Set<string>()
    for (const replica of devices()) {
      if (!replica.health.available()) continue
      const reply = await askOne(
        replica,
        () => replica.node.expired(replica.device, { beforeSeconds, limit }),
        timing,
      )
      for (const item of 'outcome' in reply ? reply.outcome : []) {
        if (this.#isDelayed(item, nowSeconds)) delayed.add(item.name)
        else due.set(item.name, item)
      }
    }
    this.#due = due.size
    this.#delayed = delayed.size
    await forEachParallel(due.values(), CONCURRENCY_MAX, (item) => this.#expire(item))
    return due.size > 0
  }

  #isDelayed({ name, deleteAt }: ExpiredItem, nowSeconds: number): boolean {
    const { account, container } = splitName(name)
    return (
      container !== undefined &&
      deleteAt + this.#options.delays.of(account, container) >= nowSeconds
    )
  }

  async #expire({ name, policy, deleteAt }: ExpiredItem): Promise<void> {
    const { account, container, object } = splitName(name)
    if (container === undefined || object === undefined) return
    const path = { account, container, object, policy }
    await this.#options.pace.take()
    if (await this.#options.expire(path, deleteAt)) this.#options.counters.expired++
  }
}
