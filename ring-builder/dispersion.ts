import type { RingDevice } from '../common/ring/ring.ts'
import { evenReplicasMax } from './replica-plan.ts'
import { buildTierTree, DEVICE_LEVEL, type TierTree } from './tier-tree.ts'

/** How far apart replicas stand, measured as Swift does: against an even spread over the tree, whatever the weights. */

export interface DispersionInput {
  readonly devices: readonly (RingDevice | null)[]
  readonly replicas: number
  readonly partitionCount: number
  readonly rows: readonly Uint32Array[]
}

/** How the replicas of partitions spread in one tier. */
export interface TierDispersion {
  readonly name: string
  /** Replicas of one partition that the tier would hold at an even spread. */
  readonly replicasMax: number
  /** Replicas in the tier. */
  readonly placed: number
  /** Share of those above replicasMax, in percent. */
  readonly dispersion: number
  /** By number of replicas in the tier: how many partitions. */
  readonly partitionsByReplicas: readonly number[]
}

/** Share of replicas that stand too close to others of their partition, in percent: each at the level where it is worst. */
export function measureDispersion(input: DispersionInput): number {
  const tree = buildTierTree(input.devices)
  const max = evenReplicasMax({ tree, devices: input.devices, replicas: input.replicas })
  const counts = new Int32Array(tree.tiers.length)
  let atRisk = 0
  for (let partition = 0; partition < input.partitionCount; partition++) {
    let worst = 0
    for (let level = 1; level <= DEVICE_LEVEL; level++) {
      const tierOf = tree.tierOf[level]!
      let excess = 0
      for (const row of input.rows) {
        if (partition >= row.length) break
        const tier = tierOf[row[partition]!]!
        counts[tier]!++
        if (counts[tier]! > max[tier]!) excess++
      }
      for (const row of input.rows) {
        if (partition < row.length) counts[tierOf[row[partition]!]!] = 0
      }
      if (excess > worst) worst = excess
    }
    atRisk += worst
  }
  return (100 * atRisk) / (input.partitionCount * input.replicas)
}

/** The spread in every tier that holds something, regions first, sorted by place. */
export function dispersionByTier(input: DispersionInput): readonly TierDispersion[] {
  const tree = buildTierTree(input.devices)
  const max = evenReplicasMax({ tree, devices: input.devices, replicas: input.replicas })
  const histograms = countReplicas(tree, input)
  return tree.tiers
    .map((tier) =>
      describeTier(tier.name, {
        replicasMax: max[tier.index]!,
        histogram: histograms[tier.index]!,
      }),
    )
    .filter((tier, index) => index > 0 && tier.placed > 0)
}

function countReplicas(tree: TierTree, input: DispersionInput): number[][] {
  const { rows, partitionCount } = input
  const histograms = tree.tiers.map(() => new Array<number>(rows.length + 1).fill(0))
  const counts = new Int32Array(tree.tiers.length)
  for (let partition = 0; partition < partitionCount; partition++) {
    for (let level = 1; level <= DEVICE_LEVEL; level++) {
      const tierOf = tree.tierOf[level]!
      for (const row of rows) if (partition < row.length) counts[tierOf[row[partition]!]!]!++
      for (const row of rows) {
        if (partition >= row.length) break
        const tier = tierOf[row[partition]!]!
        if (counts[tier]! > 0) histograms[tier]![counts[tier]!]!++
        counts[tier] = 0
      }
    }
  }
  for (const histogram of histograms) {
    histogram[0] = partitionCount - histogram.reduce((sum, count) => sum + count, 0)
  }
  return histograms
}

function describeTier(
  name: string,
  tier: { readonly replicasMax: number; readonly histogram: readonly number[] },
): TierDispersion {
  let placed = 0
  let atRisk = 0
  for (const [replicas, partitions] of tier.histogram.entries()) {
    placed += replicas * partitions
    atRisk += Math.max(0, replicas - tier.replicasMax) * partitions
  }
  return {
    name,
    replicasMax: tier.replicasMax,
    placed,
    dispersion: placed === 0 ? 0 : (100 * atRisk) / placed,
    partitionsByReplicas: tier.histogram,
  }
}
