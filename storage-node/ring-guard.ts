/** What a storage node refuses because of its ring's epoch. */
import { ITEM_KINDS, type ItemKey } from '../common/item.ts'
import { ANY_EPOCH, type RingSet, staleRings } from '../common/ring/ring-set.ts'

interface Moves {
  /** What is left of a placement by this many bits is its partition. */
  readonly shift: number
  readonly movedAt: Uint32Array
}

/**
 * Refuses requests whose rings are older than the last move of their partition: somebody at the placement before the move
 * must not act when others are at the one after it (docs/decisions/0010).
 */
export class RingGuard {
  #moves: ReadonlyMap<number, Moves> = new Map()

  /** From now on the newest rings that this node knows. */
  use(set: RingSet): void {
    this.#moves = new Map(
      set.placements.flatMap(({ kind, policy, ring, movedAt }) =>
        movedAt === undefined
          ? []
          : [[keyOf(kind, policy), { shift: 32 - ring.partPower, movedAt }] as const],
      ),
    )
  }

  /** The refusal, or null; an item without an epoch was found by rings that never changed. */
  refusalOf({ kind, policy, placement, epoch = 0 }: ItemKey): Error | null {
    if (this.#moves.size === 0 || epoch === ANY_EPOCH) return null
    const moves = this.#moves.get(keyOf(kind, policy))
    if (moves === undefined) return null
    const partition = moves.shift === 32 ? 0 : placement >>> moves.shift
    const movedAt = moves.movedAt[partition] ?? 0
    return epoch < movedAt ? staleRings(movedAt) : null
  }
}

function keyOf(kind: ItemKey['kind'], policy: number): number {
  return ITEM_KINDS.indexOf(kind) * 0x10000 + policy
}
