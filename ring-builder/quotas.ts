import type { ReplicaPlan } from './replica-plan.ts'
import type { TierTree } from './tier-tree.ts'

/** How many replicas (of any partition) each tier is to hold: the plan's targets, rounded to whole ones. */

export interface QuotaInput {
  readonly tree: TierTree
  readonly plan: ReplicaPlan
  readonly partitionCount: number
  /** Replicas of all partitions together. */
  readonly slotCount: number
  /** What each tier holds now, by tier index. */
  readonly held: Int32Array
}

/** Products of replicanths and partitions this close to a whole number are one. */
const QUOTA_EPSILON = 1e-4

/**
 * Quotas by tier index; children add up to their parent, and each is its target rounded down or up. Which way decides
 * nobody's balance by more than one replica, so it follows what is held already: rounding must not move data. A target
 * that is a whole number stays it.
 */
export function buildQuotas(input: QuotaInput): Int32Array {
  const { tree, slotCount } = input
  const quotas = new Int32Array(tree.tiers.length)
  quotas[0] = slotCount
  for (const tier of tree.tiers) {
    if (tier.children.length > 0) divide(tier.children, quotas[tier.index]!, { ...input, quotas })
  }
  return quotas
}

function divide(
  children: readonly number[],
  total: number,
  input: QuotaInput & { readonly quotas: Int32Array },
): void {
  const { plan, partitionCount, held, quotas } = input
  const exact = children.map((child) => plan.target[child]! * partitionCount)
  let left = total
  for (const [at, child] of children.entries()) {
    quotas[child] = Math.floor(exact[at]! + QUOTA_EPSILON)
    left -= quotas[child]!
  }
  const byClaim = children
    .map((child, at) => ({ child, at, fraction: exact[at]! - quotas[child]! }))
    .filter(({ at }) => exact[at]! > QUOTA_EPSILON)
    .sort((a, b) => {
      // Nothing rounds a whole target up, whatever the tier holds: a sibling is due that replica.
      const rounds = Number(b.fraction > QUOTA_EPSILON) - Number(a.fraction > QUOTA_EPSILON)
      const holds =
        Number(held[b.child]! > quotas[b.child]!) - Number(held[a.child]! > quotas[a.child]!)
      return rounds || holds || b.fraction - a.fraction || a.child - b.child
    })
  for (let turn = 0; left !== 0 && byClaim.length > 0; turn++) {
    // The whole part of the targets may exceed the total by a rounding error: then the least claim gives.
    const place = turn % byClaim.length
    const { child } = left > 0 ? byClaim[place]! : byClaim[byClaim.length - 1 - place]!
    const step = Math.sign(left)
    if (quotas[child]! + step < 0) continue
    quotas[child]! += step
    left -= step
  }
}
