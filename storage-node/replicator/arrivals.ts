/**
 * Brings what a device holds of moving partitions to the devices that they move to, and remembers what has arrived.
 *
 * A partition has arrived when one pass over all that the device held found it, or something newer, at the others: what is
 * written meanwhile goes to both placements by quorum, so that a partition in heavy use arrives like any other.
 */
import { forEachParallel } from '../../common/bounded-parallel.ts'
import type { Clock } from '../../common/clock.ts'
import type { PartitionMove } from '../../common/cluster-member.ts'
import type { Log } from '../../common/log.ts'

export interface ArrivalsOptions {
  readonly clock: Clock
  readonly log?: Log | undefined
  /** One pass; true if everything is there. */
  readonly bring: (device: string, move: PartitionMove) => Promise<boolean>
}

const PARALLEL = 4
/** Pause after a round in which something could not be brought over. */
const RETRY_MS = 500

export class Arrivals {
  readonly #options: ArrivalsOptions
  /** By device and move: whether it has arrived. */
  #wanted = new Map<string, { readonly device: string; readonly move: PartitionMove }>()
  readonly #arrived = new Set<string>()
  #running: Promise<void> | null = null
  #cancel: (() => void) | null = null
  #stopped = false

  constructor(options: ArrivalsOptions) {
    this.#options = options
  }

  /** Replaces what is wanted of a device; by the moves' order, what has arrived by now. */
  want(device: string, moves: readonly PartitionMove[]): readonly boolean[] {
    const others = [...this.#wanted].filter(([, wanted]) => wanted.device !== device)
    const own = moves.map((move) => [keyOf(device, move), { device, move }] as const)
    this.#wanted = new Map([...others, ...own])
    for (const key of this.#arrived) if (!this.#wanted.has(key)) this.#arrived.delete(key)
    if (this.#cancel === null) this.#start()
    return own.map(([key]) => this.#arrived.has(key))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    await this.#running
  }

  #start(): void {
    if (this.#running !== null || this.#stopped) return
    this.#running = this.#round().then((isWhole) => {
      this.#running = null
      if (isWhole || this.#stopped) return
      this.#cancel = this.#options.clock.after(RETRY_MS, () => {
        this.#cancel = null
        this.#start()
      })
    })
  }

  /** True if all that is wanted has arrived. */
  async #round(): Promise<boolean> {
    const tried = new Set<string>()
    for (;;) {
      const due = [...this.#wanted].filter(([key]) => !this.#arrived.has(key) && !tried.has(key))
      if (due.length === 0 || this.#stopped) break
      await forEachParallel(due, PARALLEL, async ([key, { device, move }]) => {
        tried.add(key)
        if (this.#stopped || !this.#wanted.has(key)) return
        if (await this.#bring(device, move)) this.#arrived.add(key)
      })
    }
    return [...this.#wanted.keys()].every((key) => this.#arrived.has(key))
  }

  async #bring(device: string, move: PartitionMove): Promise<boolean> {
    try {
      return await this.#options.bring(device, move)
    } catch (error) {
      this.#options.log?.info('move-waits', { device, ...move, error: String(error) })
      return false
    }
  }
}

function keyOf(device: string, { kind, policy, partition, since }: PartitionMove): string {
  return `${device} ${kind} ${policy} ${partition} ${since}`
}
