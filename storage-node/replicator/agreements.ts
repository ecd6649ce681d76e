import type { LogPosition } from '../engine/record.ts'
import type { LearnedRing } from '../learning.ts'
import type { SharedPlace } from './reclaim.ts'

/** By shard: every record before it counted in the digests that were compared. */
export type Positions = ReadonlyMap<number, LogPosition>

interface Agreement {
  readonly last: Positions
  /** One that is `waitMs` old at least; null as long as there is none. */
  readonly settled: Positions | null
  /** The one that will be settled next, and when it was noted. */
  readonly next: Positions
  readonly nextSinceMs: number
}

/**
 * Up to where in its log a device and each of its peers were last seen to hold the same of a partition. What lies before
 * that is known to all of them, or was and has been reclaimed. In memory only: after a start it is seen again.
 *
 * Who forgets at once what he has just seen to be known to all is sent it back by those who have not looked yet; so what
 * is forgotten first is what everybody has known for a while.
 */
export class Agreements {
  readonly #waitMs: number
  readonly #seen = new Map<string, Map<string, Agreement>>()

  constructor(options: { readonly waitMs: number }) {
    this.#waitMs = options.waitMs
  }

  note(
    ring: LearnedRing,
    partition: number,
    of: { readonly peer: string; readonly positions: Positions; readonly nowMs: number },
  ): void {
    const { peer, positions: last, nowMs } = of
    const key = keyOf(ring, partition)
    const peers = this.#seen.get(key) ?? new Map<string, Agreement>()
    this.#seen.set(key, peers)
    const known = peers.get(peer)
    if (known === undefined) {
      peers.set(peer, { last, settled: null, next: last, nextSinceMs: nowMs })
    } else if (nowMs - known.nextSinceMs < this.#waitMs) peers.set(peer, { ...known, last })
    else peers.set(peer, { last, settled: known.next, next: last, nextSinceMs: nowMs })
  }

  /** Whether all of these peers have known what lies at this place. */
  isShared(
    ring: LearnedRing,
    partition: number,
    { peers, shard, place, isForLong }: SharedPlace & { readonly peers: readonly string[] },
  ): boolean {
    const seen = this.#seen.get(keyOf(ring, partition))
    return peers.every((peer) => {
      const agreement = seen?.get(peer)
      const positions = isForLong ? agreement?.settled : agreement?.last
      const position = positions?.get(shard)
      return position !== undefined && isBefore(place, position)
    })
  }
}

function keyOf({ kind, policy, partPower }: LearnedRing, partition: number): string {
  return `${kind}/${policy}/${partPower}/${partition}`
}

function isBefore(
  { segmentId, offset }: { readonly segmentId: number; readonly offset?: number },
  position: LogPosition,
): boolean {
  if (segmentId !== position.segmentId) return segmentId < position.segmentId
  return offset !== undefined && offset < position.offset
}
