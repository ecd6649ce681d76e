import type { Clock } from '../../common/clock.ts'
import { deviceLabel, type Placement, placedDevices } from '../../common/ring/placement.ts'
import { Agreements, type Positions } from './agreements.ts'
import type { OwnDevice, SyncCounters } from './partition-sync.ts'
import { isPlaced, learnedRing, placementOfRegister, rangeOf } from './placed-registers.ts'
import { type ReclaimContext, reclaimRange } from './reclaim.ts'

export interface ReclaimerOptions {
  readonly clock: Clock
  readonly placements: () => readonly Placement[]
  readonly reclaimAgeMs: number
  /** What all replicas know is forgotten so long after that was seen: others have to have seen it, too. */
  readonly reclaimWaitMs: number
  readonly counters: SyncCounters
  readonly signal: AbortSignal
}

/** Pause between two looks through all deletions, as a share of the time for which they are remembered. */
const RECLAIM_SHARE = 1 / 28

/** Remembers what the devices of this node and their peers agree on, and forgets deletions by that. */
export class Reclaimer {
  readonly #options: ReclaimerOptions
  readonly #agreements = new Map<string, Agreements>()
  /** When deletions of a device are looked through again, in monotonic milliseconds. */
  readonly #dueAtMs = new Map<string, number>()

  constructor(options: ReclaimerOptions) {
    this.#options = options
  }

  /** The device and the peer with this label were seen to hold the same of the partition, up to these positions. */
  agree(
    own: OwnDevice,
    placement: Placement,
    partition: number,
    of: { readonly peer: string; readonly positions: Positions },
  ): void {
    const nowMs = this.#options.clock.monotonicMs()
    this.#agreementsOf(own).note(learnedRing(placement), partition, { ...of, nowMs })
  }

  #agreementsOf({ address: { device } }: OwnDevice): Agreements {
    const known = this.#agreements.get(device)
    if (known !== undefined) return known
    const agreements = new Agreements({ waitMs: this.#options.reclaimWaitMs })
    this.#agreements.set(device, agreements)
    return agreements
  }

  /** Forgets deletions that all replicas have known for long enough, now and then. */
  async reclaim(own: OwnDevice): Promise<void> {
    const { clock, placements, reclaimAgeMs } = this.#options
    const { device } = own.address
    if (clock.monotonicMs() < (this.#dueAtMs.get(device) ?? 0)) return
    this.#dueAtMs.set(device, clock.monotonicMs() + reclaimAgeMs * RECLAIM_SHARE)
    // In one walk: each begins with a look at all that is not in the index below yet. What is not this device's is left
    // alone by `isShared`.
    const everything = { from: 0, to: 2 ** 32 }
    for (const placement of placements()) {
      const range = { ...rangeOf(placement), ...everything }
      await reclaimRange(own, range, this.contextOf(own))
    }
  }

  /** By what deletions of the device are forgotten. */
  contextOf(own: OwnDevice): ReclaimContext {
    const { placements, reclaimAgeMs, counters, signal } = this.#options
    const agreements = this.#agreementsOf(own)
    return {
      reclaimAgeMs,
      counters,
      signal,
      isShared: (id, of) => {
        const placement = placementOfRegister(placements(), id)
        if (placement === undefined) return false
        const partition = placement.ring.partitionOf(id.placement)
        if (!isPlaced(placement, partition, own.address.label)) return false
        const peers = placedDevices(placement, partition)
          .map(deviceLabel)
          .filter((label) => label !== own.address.label)
        return agreements.isShared(learnedRing(placement), partition, { ...of, peers })
      },
    }
  }
}
