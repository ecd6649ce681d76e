import assert from 'node:assert'
import type { ReplicaPlan } from './replica-plan.ts'
import type { SeededRandom } from './seeded-random.ts'
import { DEVICE_LEVEL, type Tier, type TierTree } from './tier-tree.ts'

/** Marks a replica that has no device. */
export const NO_DEVICE = 0xffffffff

export interface AssignmentInput {
  readonly tree: TierTree
  readonly plan: ReplicaPlan
  readonly partitionCount: number
  /** Taken over and changed in place. */
  readonly rows: Uint32Array[]
  /** By partition: 1 if it moved so recently that it must rest. */
  readonly resting: Uint8Array
  readonly random: SeededRandom
}

/** Which devices a search for a new home may choose: those below their quota, any, or those of tiers with too few. */
export type SinkChoice = 'wanting' | 'any' | 'lacking'

/**
 * The table while it is rebalanced: who holds what, how far each tier is from its quota, and the one rule of movement -
 * of each partition one replica moves in a rebalance (those that must, because their device is gone, come first), and
 * none of a partition that rests. A replica that has moved already may be sent on: its data has not followed yet.
 */
export class Assignment {
  readonly rows: Uint32Array[]
  /** Replicas held, by tier index. */
  readonly held: Int32Array
  readonly #input: AssignmentInput
  readonly #tierOf: readonly Int32Array[]
  readonly #min: Int32Array
  readonly #max: Int32Array
  /** By tier index; set by setQuotas. */
  #quotas: Int32Array
  /** Replicas that the devices below each tier lack, by tier index. */
  readonly #wanted: Int32Array
  /** By partition: a bit for every replica that moved in this rebalance. */
  readonly #moved: Uint32Array
  readonly #needTiers: readonly number[]
  /** What findSink is looking for while it descends. */
  #search: { partition: number; replica: number; choice: SinkChoice } = {
    partition: 0,
    replica: 0,
    choice: 'any',
  }

  constructor(input: AssignmentInput) {
    this.#input = input
    this.rows = input.rows
    this.#tierOf = input.tree.tierOf
    this.#min = input.plan.replicasMin
    this.#max = input.plan.replicasMax
    this.held = new Int32Array(input.tree.tiers.length)
    this.#quotas = new Int32Array(input.tree.tiers.length)
    this.#wanted = new Int32Array(input.tree.tiers.length)
    this.#moved = new Uint32Array(input.partitionCount)
    this.#needTiers = input.tree.tiers
      .filter((tier) => tier.level > 0 && this.#min[tier.index]! > 0)
      .map((tier) => tier.index)
    for (const row of this.rows) {
      for (const id of row) if (id !== NO_DEVICE) this.#count(id, 1)
    }
  }

  setQuotas(quotas: Int32Array): void {
    this.#quotas = quotas
    this.#wanted.fill(0)
    for (const tier of this.#input.tree.tiers) {
      if (tier.level !== DEVICE_LEVEL) continue
      const lacking = Math.max(0, quotas[tier.index]! - this.held[tier.index]!)
      for (let at = tier.index; at >= 0; at = this.#input.tree.tiers[at]!.parent) {
        this.#wanted[at]! += lacking
      }
    }
  }

  /** Replicas that the device holds above its quota; negative below. */
  excessOf(deviceId: number): number {
    const tier = this.#tierOf[DEVICE_LEVEL]![deviceId]!
    return this.held[tier]! - this.#quotas[tier]!
  }

  /** Replicas that devices below their quota still lack. */
  get wantedCount(): number {
    return this.#wanted[0]!
  }

  /** True if this replica may change its device in this rebalance. */
  canLeave(partition: number, replica: number): boolean {
    const moved = this.#moved[partition]!
    return moved === 0 ? this.#input.resting[partition] === 0 : ((moved >>> replica) & 1) === 1
  }

  hasMoved(partition: number): boolean {
    return this.#moved[partition] !== 0
  }

  /** Gives the replica to the device, and counts it as moved. */
  move(partition: number, replica: number, deviceId: number): void {
    this.#set(partition, replica, deviceId)
    this.#moved[partition]! |= 1 << replica
  }

  /** How many replicas too many or too few the partition has in tiers, summed: 0 if it is as far apart as the plan says. */
  violations(partition: number): number {
    let sum = 0
    for (const tier of this.#needTiers) {
      const { level } = this.#input.tree.tiers[tier]!
      sum += Math.max(0, this.#min[tier]! - this.countIn(partition, tier, level))
    }
    for (let level = 1; level <= DEVICE_LEVEL; level++) sum += this.#excessAt(partition, level)
    return sum
  }

  /** True if the replica on its device, or on `deviceId` instead, breaks no bound that it does not break already. */
  mayMove(partition: number, replica: number, deviceId: number): boolean {
    const from = this.rows[replica]![partition]!
    for (let level = 1; level <= DEVICE_LEVEL; level++) {
      const tierOf = this.#tierOf[level]!
      const target = tierOf[deviceId]!
      const source = from === NO_DEVICE ? -1 : tierOf[from]!
      if (source === target) continue
      if (this.countIn(partition, target, level) >= this.#max[target]!) return false
      if (source >= 0 && this.countIn(partition, source, level) <= this.#min[source]!) return false
    }
    return from !== deviceId
  }

  /** Replicas of the partition in the tier, not counting replica `except`. */
  countIn(partition: number, tier: number, level: number, except = -1): number {
    const tierOf = this.#tierOf[level]!
    let count = 0
    for (let replica = 0; replica < this.rows.length; replica++) {
      if (replica === except) continue
      const row = this.rows[replica]!
      if (partition >= row.length) break
      const id = row[partition]!
      if (id !== NO_DEVICE && tierOf[id] === tier) count++
    }
    return count
  }

  /**
   * A device to which the replica can go within the plan's bounds, or -1. Tiers that have too few of the partition come
   * before all others; among the rest, those that lack more are likelier (`wanting`) or the emptiest is taken (`any`).
   * `lacking` looks for such a tier at every depth: a zone with too few may stand in a region that has enough.
   */
  findSink(partition: number, replica: number, choice: SinkChoice): number {
    this.#search = { partition, replica, choice }
    return this.#findBelow(0)
  }

  /** True if the tier may take one more replica of the partition, not counting replica `except`. */
  hasRoom(
    partition: number,
    at: { readonly tier: number; readonly level: number; readonly except: number },
  ): boolean {
    return this.countIn(partition, at.tier, at.level, at.except) < this.#max[at.tier]!
  }

  /** The device that breaks the fewest bounds, and of those the emptiest; never one that holds the partition already. */
  leastBadSink(partition: number, replica: number): number {
    let best = -1
    let bestScore = Number.POSITIVE_INFINITY
    for (const tier of this.#input.tree.tiers) {
      if (tier.level !== DEVICE_LEVEL || this.#input.plan.target[tier.index]! <= 0) continue
      if (this.countIn(partition, tier.index, DEVICE_LEVEL, replica) > 0) continue
      let score = this.held[tier.index]! / Math.max(1, this.#quotas[tier.index]!) / 1e6
      for (let level = 1; level <= DEVICE_LEVEL; level++) {
        const at = this.#tierOf[level]![tier.deviceId]!
        score += Math.max(0, this.countIn(partition, at, level, replica) + 1 - this.#max[at]!)
      }
      if (score >= bestScore) continue
      best = tier.deviceId
      bestScore = score
    }
    return best
  }

  /** Looks below one tier; called for every replica that moves, so that it makes as few objects as it can. */
  #findBelow(tierIndex: number): number {
    const { partition, replica, choice } = this.#search
    const tier = this.#input.tree.tiers[tierIndex]!
    if (tier.level === DEVICE_LEVEL) {
      return this.rows[replica]![partition] === tier.deviceId ? -1 : tier.deviceId
    }
    const tiers: number[] = []
    const weights: number[] = []
    this.#addCandidates(tier, tiers, weights)
    while (tiers.length > 0) {
      const at = this.#pick(weights, choice)
      const found = this.#findBelow(tiers[at]!)
      if (found >= 0) return found
      tiers.splice(at, 1)
      weights.splice(at, 1)
    }
    return -1
  }

  /** The children that may take the replica: only those with too few of the partition, if there are any. */
  #addCandidates(tier: Tier, tiers: number[], weights: number[]): void {
    const { partition, replica, choice } = this.#search
    const level = tier.level + 1
    let onlyNeedy = false
    for (const child of tier.children) {
      const count = this.countIn(partition, child, level, replica)
      if (count >= this.#max[child]!) continue
      const needy = choice === 'lacking' ? this.#lacks(child) : count < this.#min[child]!
      if (onlyNeedy && !needy) continue
      if (needy && !onlyNeedy) {
        onlyNeedy = true
        tiers.length = 0
        weights.length = 0
      }
      const weight = this.#weightOf(child, choice)
      if (weight <= 0) continue
      tiers.push(child)
      weights.push(weight)
    }
  }

  /** True if the tier, or one below it that the replica could get to, has too few of the partition. */
  #lacks(index: number): boolean {
    // A tier without a minimum has none below it: their targets are parts of its own.
    if (this.#min[index] === 0) return false
    const { partition, replica } = this.#search
    const tier = this.#input.tree.tiers[index]!
    const count = this.countIn(partition, index, tier.level, replica)
    if (count >= this.#max[index]!) return false
    return count < this.#min[index]! || tier.children.some((child) => this.#lacks(child))
  }

  #weightOf(tier: number, choice: SinkChoice): number {
    if (choice === 'wanting') return this.#wanted[tier]!
    const quota = this.#quotas[tier]!
    return quota === 0 ? 0 : quota / (this.held[tier]! + 1)
  }

  #pick(weights: readonly number[], choice: SinkChoice): number {
    if (weights.length === 1) return 0
    if (choice !== 'wanting') return weights.indexOf(Math.max(...weights))
    let sum = 0
    for (const weight of weights) sum += weight
    let left = this.#input.random.below(sum)
    for (let at = 0; at < weights.length; at++) {
      left -= weights[at]!
      if (left < 0) return at
    }
    return weights.length - 1
  }

  /** Replicas above the max of their tiers at this level. */
  #excessAt(partition: number, level: number): number {
    const tierOf = this.#tierOf[level]!
    let sum = 0
    for (let replica = 0; replica < this.rows.length; replica++) {
      const row = this.rows[replica]!
      if (partition >= row.length) break
      const id = row[partition]!
      if (id === NO_DEVICE) continue
      const tier = tierOf[id]!
      // Counts the replicas before this one, so that each one above the max is counted once.
      let before = 0
      for (let other = 0; other < replica; other++) {
        const otherId = this.rows[other]![partition]!
        if (otherId !== NO_DEVICE && tierOf[otherId] === tier) before++
      }
      if (before >= this.#max[tier]!) sum++
    }
    return sum
  }

  #set(partition: number, replica: number, deviceId: number): void {
    const row = this.rows[replica]!
    const from = row[partition]!
    assert(from !== deviceId, 'a replica moves to another device')
    if (from !== NO_DEVICE) this.#count(from, -1)
    row[partition] = deviceId
    this.#count(deviceId, 1)
  }

  #count(deviceId: number, step: 1 | -1): void {
    const leaf = this.#tierOf[DEVICE_LEVEL]![deviceId]!
    assert(leaf >= 0, 'replicas are held by devices of the tree')
    // A device's lack changes only while it is below its quota, after a loss or before a gain.
    const below =
      step === 1 ? this.held[leaf]! < this.#quotas[leaf]! : this.held[leaf]! <= this.#quotas[leaf]!
    for (let level = 0; level <= DEVICE_LEVEL; level++) {
      const tier = this.#tierOf[level]![deviceId]!
      this.held[tier]! += step
      if (below) this.#wanted[tier]! -= step
    }
  }
}
