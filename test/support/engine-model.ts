/**
 * What the engine may answer. For each name it keeps every write that was tried; a write is acknowledged, refused, or
 * nobody knows. Whatever is read must be the acknowledged write with the highest ballot, or one nobody knows about with
 * a higher one - and once such a one was read, it counts as acknowledged.
 */
import { compareStamps, type Stamp, ZERO_STAMP } from '../../common/stamp.ts'

export interface TriedWrite {
  readonly ballot: Stamp
  readonly what: string
  state: 'acked' | 'refused' | 'maybe'
}

export class NameModel {
  readonly writes: TriedWrite[] = []

  try(ballot: Stamp, what: string): TriedWrite {
    const write: TriedWrite = { ballot, what, state: 'maybe' }
    this.writes.push(write)
    return write
  }

  /** The highest acknowledged ballot. */
  acked(): Stamp {
    let best = ZERO_STAMP
    for (const { ballot, state } of this.writes) {
      if (state === 'acked' && compareStamps(ballot, best) > 0) best = ballot
    }
    return best
  }

  /** Null if the observation is legal, else what is wrong with it. `observed` is null if nothing was there. */
  judge(observed: Stamp | null): string | null {
    const acked = this.acked()
    if (observed === null) {
      const isLost = compareStamps(acked, ZERO_STAMP) > 0 && !this.mayBeDeleted(acked)
      return isLost ? `lost: acknowledged ${show(acked)}` : null
    }
    // One that is sent twice may be refused by its condition at first, and not the second time.
    const attempts = this.writes.filter(({ ballot }) => compareStamps(ballot, observed) === 0)
    const write = attempts.find(({ state }) => state !== 'refused') ?? attempts[0]
    if (write === undefined) return `read ${show(observed)}, which nobody wrote`
    if (write.state === 'refused')
      return `read ${show(observed)} (${write.what}), which was refused`
    if (compareStamps(observed, acked) < 0) {
      return `stale: read ${show(observed)} (${write.what}), acknowledged ${show(acked)}`
    }
    write.state = 'acked'
    return null
  }

  /** Nothing there is legal: a tombstone was reclaimed. */
  mayBeDeleted(acked: Stamp): boolean {
    return this.writes.some(
      ({ ballot, what, state }) =>
        what === 'delete' && state !== 'refused' && compareStamps(ballot, acked) >= 0,
    )
  }

  /** Forgets what can no longer be read. */
  prune(): void {
    const acked = this.acked()
    const kept = this.writes.filter(({ ballot }) => compareStamps(ballot, acked) >= 0)
    this.writes.splice(0, this.writes.length, ...kept)
  }
}

function show({ ticks, proposer }: Stamp): string {
  return `${ticks}.${proposer}`
}
