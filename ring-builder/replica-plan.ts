import type { RingDevice } from '../common/ring/ring.ts'
import { DEVICE_LEVEL, type TierTree } from './tier-tree.ts'

/**
 * How many replicas of each partition a tier should hold. The unit is the replicanth: replicas per partition, on
 * average; the cluster has `replicas` of them, a device at most 1. Three plans follow each other, as in Swift:
 *
 *   weighted  by weight alone, ignoring how far apart replicas get
 *   wanted    as far apart as the tree allows, by weight within that
 *   target    from weighted towards wanted, as far as the overload lets a device exceed its weight's share
 *
 * A partition has floor(target) or ceil(target) of its replicas in each tier: that is what dispersion means here.
 */
export interface ReplicaPlan {
  /** By tier index. */
  readonly target: Float64Array
  readonly replicasMin: Int32Array
  readonly replicasMax: Int32Array
  /** The overload that would make `target` equal `wanted`; 0.1 is 10 %. */
  readonly requiredOverload: number
}

export interface PlanInput {
  readonly tree: TierTree
  readonly devices: readonly (RingDevice | null)[]
  /** Must not exceed the number of devices that have weight. */
  readonly replicas: number
  readonly overload: number
}

/** Replicanths this close to a whole number are one: they are sums of rounded products. */
const REPLICANTH_EPSILON = 1e-9

/** The plan for a tree of which at least `replicas` devices have weight. */
export function buildReplicaPlan(input: PlanInput): ReplicaPlan {
  const { tree, devices } = input
  const capacity = capacityByTier(tree, devices)
  const weighted = weightedReplicas(input)
  const wanted = wantedReplicas(input, { capacity, weighted })
  const requiredOverload = overloadBetween(tree, { weighted, wanted })
  const target = weighted.map((share, tier) =>
    requiredOverload <= 0
      ? wanted[tier]!
      : share +
        ((wanted[tier]! - share) / requiredOverload) * Math.min(input.overload, requiredOverload),
  )
  return {
    target,
    replicasMin: Int32Array.from(target, (share) => Math.floor(share + REPLICANTH_EPSILON)),
    replicasMax: Int32Array.from(target, (share) => Math.ceil(share - REPLICANTH_EPSILON)),
    requiredOverload,
  }
}

/**
 * The most replicas of one partition that each tier holds if they are spread evenly over the tree, whatever the weights:
 * what the dispersion figure is measured against. By tier index; 0 where no device has weight.
 */
export function evenReplicasMax(input: Omit<PlanInput, 'overload'>): Int32Array {
  return Int32Array.from(evenReplicas(input, Math.ceil))
}

/** Devices with weight below each tier. */
function capacityByTier(tree: TierTree, devices: readonly (RingDevice | null)[]): Int32Array {
  const capacity = new Int32Array(tree.tiers.length)
  for (let index = tree.tiers.length - 1; index >= 0; index--) {
    const tier = tree.tiers[index]!
    if (tier.level === DEVICE_LEVEL) capacity[index] = devices[tier.deviceId]!.weight > 0 ? 1 : 0
    if (tier.parent >= 0) capacity[tier.parent]! += capacity[index]!
  }
  return capacity
}

/** By weight, but no device above 1; what such a device cannot take goes to the others, by weight again. */
function weightedReplicas(input: PlanInput): Float64Array {
  const { tree, devices, replicas } = input
  const leaves = tree.tiers.filter((tier) => tier.level === DEVICE_LEVEL)
  const shares = fill(replicas, {
    weights: leaves.map((leaf) => devices[leaf.deviceId]!.weight),
    min: leaves.map(() => 0),
    max: leaves.map((leaf) => (devices[leaf.deviceId]!.weight > 0 ? 1 : 0)),
  })
  const weighted = new Float64Array(tree.tiers.length)
  for (const [position, leaf] of leaves.entries()) weighted[leaf.index] = shares[position]!
  for (let index = tree.tiers.length - 1; index > 0; index--) {
    weighted[tree.tiers[index]!.parent]! += weighted[index]!
  }
  return weighted
}

/** Every tier's replicanths between floor and ceil of the even share, unless its devices are too few. */
function wantedReplicas(
  input: PlanInput,
  known: { readonly capacity: Int32Array; readonly weighted: Float64Array },
): Float64Array {
  const { tree, replicas } = input
  const even = evenReplicas(input, (share) => share)
  const wanted = new Float64Array(tree.tiers.length)
  wanted[0] = replicas
  for (const tier of tree.tiers) {
    const children = tier.children
    if (children.length === 0) continue
    const capacities = children.map((child) => known.capacity[child]!)
    const weights = children.map((child) => known.weighted[child]!)
    const max = children.map((child, at) => Math.min(Math.ceil(even[child]!), capacities[at]!))
    const min = children.map((child, at) => Math.min(Math.floor(even[child]!), capacities[at]!))
    const total = wanted[tier.index]!
    const placed = fill(total, {
      weights,
      min: sum(min) > total ? min.map(() => 0) : min,
      // Where the even share does not fit because a sibling has few devices, the devices are the limit.
      max: sum(max) < total - REPLICANTH_EPSILON ? capacities : max,
    })
    for (const [at, child] of children.entries()) wanted[child] = placed[at]!
  }
  return wanted
}

function evenReplicas(
  input: Omit<PlanInput, 'overload'>,
  bound: (share: number) => number,
): Float64Array {
  const { tree, devices, replicas } = input
  const capacity = capacityByTier(tree, devices)
  const even = new Float64Array(tree.tiers.length)
  even[0] = replicas
  for (const tier of tree.tiers) {
    const usable = tier.children.filter((child) => capacity[child]! > 0)
    for (const child of usable) {
      const share = bound(even[tier.index]! / usable.length)
      even[child] = tree.tiers[child]!.level === DEVICE_LEVEL ? Math.min(1, share) : share
    }
  }
  return even
}

function overloadBetween(
  tree: TierTree,
  plans: { readonly weighted: Float64Array; readonly wanted: Float64Array },
): number {
  let required = 0
  for (const tier of tree.tiers) {
    const weighted = plans.weighted[tier.index]!
    if (tier.level !== DEVICE_LEVEL || weighted === 0) continue
    required = Math.max(required, (plans.wanted[tier.index]! - weighted) / weighted)
  }
  return required < REPLICANTH_EPSILON ? 0 : required
}

export interface FillBounds {
  readonly weights: readonly number[]
  readonly min: readonly number[]
  readonly max: readonly number[]
}

/**
 * Divides `total` by weight, each share kept between its min and its max: the shares are clamp(level * weight) for the
 * one level at which they add up. A total outside of what the bounds allow gives the nearest that they do.
 */
export function fill(total: number, bounds: FillBounds): number[] {
  const { weights, min, max } = bounds
  const sharesAt = (level: number): number[] =>
    weights.map((weight, at) => Math.max(min[at]!, Math.min(max[at]!, level * weight)))
  let low = 0
  let high = 1
  // Doubling reaches the level at which every share stands at its max, since weights of 0 never grow.
  for (let step = 0; step < 1100 && sum(sharesAt(high)) < total; step++) high *= 2
  for (let step = 0; step < 100; step++) {
    const middle = (low + high) / 2
    if (sum(sharesAt(middle)) < total) low = middle
    else high = middle
  }
  return sharesAt(high)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
