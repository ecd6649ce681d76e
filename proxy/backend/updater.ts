import { forEachParallel } from '../../common/bounded-parallel.ts'
import { splitName } from '../../common/item.ts'
import type { Log } from '../../common/log.ts'
import type { Unconfirmed } from '../../common/storage-node.ts'
import type { Pace } from './pace.ts'
import { askOne, type CallTiming } from './replica-calls.ts'
import type { Replica } from './replica-map.ts'

export interface UpdaterOptions {
  /** Every device of the cluster. */
  readonly devices: () => readonly Replica[]
  readonly timing: CallTiming
  readonly log: Log
  readonly syncAccountRow: (account: string, container: string) => Promise<unknown>
  /** `at`: the device that found it. */
  readonly settle: (finding: Unconfirmed, at: Replica) => Promise<void>
  /** Of settlements. */
  readonly pace: Pace
  /** Age from which an unconfirmed row or item is nobody's work in progress. */
  readonly settleAgeMs: number
}

const TAKEN_MAX = 500
/** Containers whose account row failed and is tried again; while there are more, no others are taken. */
const PENDING_MAX = 5_000
const SETTLED_MAX = 500
const CONCURRENCY_MAX = 8

/** Carries what the devices report to where it belongs: container totals to accounts, half-done writes to their end. */
export class Updater {
  readonly #options: UpdaterOptions
  #unsettled = 0
  readonly #pending = new Map<string, { readonly account: string; readonly container: string }>()

  constructor(options: UpdaterOptions) {
    this.#options = options
  }

  /**
   * Containers whose totals changed are taken from the devices and their account rows written; a device forgets what
   * was taken, so what fails is kept here and tried again. True if there was anything.
   */
  async updateTotals(): Promise<boolean> {
    const { devices, syncAccountRow } = this.#options
    if (this.#pending.size < PENDING_MAX) {
      await forEachParallel(devices(), CONCURRENCY_MAX, (replica) => this.#take(replica))
    }
    const found = this.#pending.size > 0
    await forEachParallel([...this.#pending], CONCURRENCY_MAX, async ([name, path]) => {
      this.#pending.delete(name)
      try {
        await syncAccountRow(path.account, path.container)
      } catch (error) {
        this.#pending.set(name, path)
        throw error
      }
    })
    return found
  }

  /** Containers whose totals are still to be written. */
  get totalsWaiting(): number {
    return this.#pending.size
  }

  /** What the last pass found unsettled. */
  get unsettled(): number {
    return this.#unsettled
  }

  /**
   * Settles what has been unconfirmed for too long, some of each device. True if there was anything. `atOnce`: as fast as
   * it goes, because somebody waits for it.
   */
  async settleUnconfirmed(
    ageMs = this.#options.settleAgeMs,
    options: { readonly atOnce?: boolean } = {},
  ): Promise<boolean> {
    const { devices, settle, log, pace } = this.#options
    let found = 0
    await forEachParallel(devices(), 2, async (replica) => {
      const findings = await this.#askQuietly(replica, () =>
        replica.node.unconfirmed(replica.device, { ageMs, limit: SETTLED_MAX }),
      )
      found += findings.length
      await forEachParallel(findings, CONCURRENCY_MAX, async (finding) => {
        if (options.atOnce !== true) await pace.take()
        try {
          await settle(finding, replica)
        } catch (error) {
          log.warn('not settled', { kind: finding.kind, error })
        }
      })
    })
    this.#unsettled = found
    return found > 0
  }

  async #take(replica: Replica): Promise<void> {
    const changed = await this.#askQuietly(replica, () =>
      replica.node.takeChangedContainers(replica.device, { limit: TAKEN_MAX }),
    )
    for (const { name } of changed) {
      const { account, container } = splitName(name)
      if (container !== undefined) this.#pending.set(name, { account, container })
    }
  }

  /** A device that is away reports nothing; its health knows. */
  async #askQuietly<T>(replica: Replica, call: () => Promise<readonly T[]>): Promise<readonly T[]> {
    if (!replica.health.available()) return []
    const reply = await askOne(replica, call, this.#options.timing)
    return 'outcome' in reply ? reply.outcome : []
  }
}
