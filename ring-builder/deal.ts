import assert from 'node:assert'
import { fill, type ReplicaPlan } from './replica-plan.ts'
import type { SeededRandom } from './seeded-random.ts'
import { DEVICE_LEVEL, type TierTree } from './tier-tree.ts'

/**
 * The first assignment of a ring, dealt like cards from the cluster down to the devices. It meets every quota exactly
 * and puts floor or ceil of a tier's replicanths of each partition into the tier, by construction:
 *
 * A tier's partitions come in hands: those of which it gets k + 1 replicas, and those of which it gets k. Each hand is
 * cut into chunks, and a chunk of n partitions with m replicas each is m rounds of n cards. Children take their cards
 * one after the other in random order; as a child takes fewer than n extra cards, it is cut at most once, by the end of
 * a round, and in the next round it begins with partitions that it did not get in this one.
 *
 *     round 0   |  child c  |   child a   | child b ..|      each round is the chunk's partitions, shuffled anew
 *     round 1   |.. child b |  child d  | child e     |      b's cards of round 1 are none of its cards of round 0
 */
export interface DealInput {
  readonly tree: TierTree
  readonly plan: ReplicaPlan
  readonly quotas: Int32Array
  readonly partitionCount: number
  /** Lengths of the rows; all but the last equal partitionCount. */
  readonly rowLengths: readonly number[]
  readonly random: SeededRandom
}

/** Partitions of which a tier gets the same number of replicas. */
interface Hand {
  readonly replicas: number
  readonly partitions: Uint32Array
}

/** More chunks mix which children share partitions; each costs a pass over the children. */
const CHUNKS_MAX = 64
const PARTITIONS_PER_CHILD_AND_CHUNK = 8

/** The rows of the table, or null where fractional replicas leave no exact deal (the caller then places one by one). */
export function dealPartitions(input: DealInput): Uint32Array[] | null {
  const { partitionCount, rowLengths, random } = input
  const table = new Table(rowLengths, partitionCount)
  const whole = rowLengths.filter((length) => length === partitionCount).length
  const extra = whole === rowLengths.length ? 0 : rowLengths.at(-1)!
  const all = Uint32Array.from({ length: partitionCount }, (_, partition) => partition)
  const hands: Hand[] = [
    { replicas: whole + 1, partitions: all.slice(0, extra) },
    { replicas: whole, partitions: all.slice(extra) },
  ]
  if (!dealTier(0, { hands: hands.filter(isPlayed), input, table })) return null
  table.shuffleReplicas(random)
  return table.rows
}

function dealTier(
  tierIndex: number,
  deal: { readonly hands: readonly Hand[]; readonly input: DealInput; readonly table: Table },
): boolean {
  const { hands, input, table } = deal
  const tier = input.tree.tiers[tierIndex]!
  if (tier.level === DEVICE_LEVEL) {
    if (hands.some((hand) => hand.replicas > 1)) return false
    for (const { partitions } of hands) table.place(partitions, tier.deviceId)
    return true
  }
  const children = tier.children.filter((child) => input.quotas[child]! > 0)
  const shares = shareHands(children, { hands, input })
  if (shares === null) return false
  const childHands = children.map(() => new GrowingHands())
  for (const [at, hand] of hands.entries()) {
    dealHand(hand, { amounts: shares[at]!, childHands, random: input.random })
  }
  return children.every((child, at) =>
    dealTier(child, { hands: childHands[at]!.finish(), input, table }),
  )
}

/** How many cards of each hand each child takes (by hand, then child), or null if the bounds leave no way. */
function shareHands(
  children: readonly number[],
  deal: { readonly hands: readonly Hand[]; readonly input: DealInput },
): number[][] | null {
  const { quotas, plan } = deal.input
  const quotaOf = children.map((child) => quotas[child]!)
  const min = children.map((child) => plan.replicasMin[child]!)
  const max = children.map((child) => plan.replicasMax[child]!)
  const [first, second, third] = deal.hands
  if (first === undefined) return []
  if (third !== undefined) return null
  const firstCount = first.partitions.length
  const secondCount = second?.partitions.length ?? 0
  const bounds = {
    weights: quotaOf,
    min: quotaOf.map((quota, at) =>
      Math.max(min[at]! * firstCount, quota - max[at]! * secondCount),
    ),
    max: quotaOf.map((quota, at) =>
      Math.min(max[at]! * firstCount, quota - min[at]! * secondCount),
    ),
  }
  if (bounds.min.some((low, at) => low > bounds.max[at]!)) return null
  const firstShares = wholeFill(first.replicas * firstCount, bounds)
  if (firstShares === null) return null
  if (second === undefined) return [firstShares]
  return [firstShares, quotaOf.map((quota, at) => quota - firstShares[at]!)]
}

/** `fill` in whole numbers; null if the bounds do not allow the total. */
function wholeFill(
  total: number,
  bounds: { readonly weights: number[]; readonly min: number[]; readonly max: number[] },
): number[] | null {
  const shares = fill(total, bounds).map(Math.floor)
  let left = total - shares.reduce((sum, share) => sum + share, 0)
  for (let moved = true; left !== 0 && moved; ) {
    moved = false
    for (let at = 0; at < shares.length && left !== 0; at++) {
      const step = Math.sign(left)
      const next = shares[at]! + step
      if (next > bounds.max[at]! || next < bounds.min[at]!) continue
      shares[at] = next
      left -= step
      moved = true
    }
  }
  return left === 0 ? shares : null
}

function dealHand(
  hand: Hand,
  deal: {
    readonly amounts: readonly number[]
    readonly childHands: readonly GrowingHands[]
    readonly random: SeededRandom
  },
): void {
  const { childHands, random } = deal
  const partitions = hand.partitions.slice()
  random.shuffle(partitions)
  const left = [...deal.amounts]
  let undealt = partitions.length
  const chunkCount = Math.max(
    1,
    Math.min(
      CHUNKS_MAX,
      Math.floor(partitions.length / (left.length * PARTITIONS_PER_CHILD_AND_CHUNK)),
    ),
  )
  for (let chunk = 0; chunk < chunkCount; chunk++) {
    const size = Math.ceil(undealt / (chunkCount - chunk))
    const at = partitions.length - undealt
    const amounts = chunkAmounts(left, { size, undealt, total: size * hand.replicas })
    dealChunk(partitions.subarray(at, at + size), { amounts, childHands, random })
    for (const [child, amount] of amounts.entries()) left[child]! -= amount
    undealt -= size
  }
}

/** The children's parts of one chunk: proportional, and rounded so that what stays for the other chunks keeps its bounds. */
function chunkAmounts(
  left: readonly number[],
  chunk: { readonly size: number; readonly undealt: number; readonly total: number },
): number[] {
  const exact = left.map((amount) => (amount * chunk.size) / chunk.undealt)
  const amounts = exact.map((amount) => Math.floor(amount + 1e-9))
  let rest = chunk.total - amounts.reduce((sum, amount) => sum + amount, 0)
  const order = exact
    .map((amount, at) => ({ at, fraction: amount - amounts[at]! }))
    .filter(({ fraction }) => fraction > 1e-9)
    .sort((a, b) => b.fraction - a.fraction)
  for (const { at } of order) {
    if (rest <= 0) break
    amounts[at]!++
    rest--
  }
  assert(rest === 0, 'the children take all cards of a chunk')
  return amounts
}

function dealChunk(
  partitions: Uint32Array,
  deal: {
    readonly amounts: readonly number[]
    readonly childHands: readonly GrowingHands[]
    readonly random: SeededRandom
  },
): void {
  const { amounts, childHands, random } = deal
  const size = partitions.length
  const order = Array.from(amounts.keys()).filter((child) => amounts[child]! > 0)
  random.shuffle(order)
  const cards = partitions.slice()
  random.shuffle(cards)
  let next = 0
  for (const child of order) {
    const everyOne = Math.floor(amounts[child]! / size)
    const extraCount = amounts[child]! - everyOne * size
    const extras = new Uint32Array(extraCount)
    const before = Math.min(extraCount, size - next)
    extras.set(cards.subarray(next, next + before))
    next += before
    if (before < extraCount) {
      startNextRound(cards, {
        notFirst: extras.subarray(0, before),
        count: extraCount - before,
        random,
      })
      next = extraCount - before
      extras.set(cards.subarray(0, next), before)
    }
    if (next === size) {
      random.shuffle(cards)
      next = 0
    }
    childHands[child]!.add(everyOne + 1, extras)
    if (everyOne > 0) childHands[child]!.add(everyOne, without(partitions, extras))
  }
}

/** Shuffles the cards so that the first `count` are none of `notFirst`. */
function startNextRound(
  cards: Uint32Array,
  round: { readonly notFirst: Uint32Array; readonly count: number; readonly random: SeededRandom },
): void {
  round.random.shuffle(cards)
  const refused = new Set(round.notFirst)
  let front = 0
  for (let at = 0; front < round.count; at++) {
    const card = cards[at]!
    if (refused.has(card)) continue
    cards[at] = cards[front]!
    cards[front] = card
    front++
  }
}

function without(partitions: Uint32Array, excluded: Uint32Array): Uint32Array {
  const set = new Set(excluded)
  return partitions.filter((partition) => !set.has(partition))
}

function isPlayed(hand: Hand): boolean {
  return hand.replicas > 0 && hand.partitions.length > 0
}

/** A child's hands while they are dealt, chunk by chunk. */
class GrowingHands {
  readonly #pieces = new Map<number, Uint32Array[]>()

  add(replicas: number, partitions: Uint32Array): void {
    if (partitions.length === 0) return
    const pieces = this.#pieces.get(replicas)
    if (pieces === undefined) this.#pieces.set(replicas, [partitions])
    else pieces.push(partitions)
  }

  finish(): Hand[] {
    const hands = [...this.#pieces].map(([replicas, pieces]) => {
      const partitions = new Uint32Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
      let at = 0
      for (const piece of pieces) {
        partitions.set(piece, at)
        at += piece.length
      }
      return { replicas, partitions }
    })
    return hands.sort((a, b) => b.replicas - a.replicas)
  }
}

/** The rows while they fill up. */
class Table {
  readonly rows: Uint32Array[]
  readonly #filled: Uint8Array

  constructor(rowLengths: readonly number[], partitionCount: number) {
    this.rows = rowLengths.map((length) => new Uint32Array(length))
    this.#filled = new Uint8Array(partitionCount)
  }

  place(partitions: Uint32Array, deviceId: number): void {
    for (const partition of partitions) this.rows[this.#filled[partition]!++]![partition] = deviceId
  }

  /** The deal goes from the first region to the last; the order of a partition's replicas must not. */
  shuffleReplicas(random: SeededRandom): void {
    for (let partition = 0; partition < this.#filled.length; partition++) {
      for (let last = this.#filled[partition]! - 1; last > 0; last--) {
        const other = random.below(last + 1)
        const kept = this.rows[last]![partition]!
        this.rows[last]![partition] = this.rows[other]![partition]!
        this.rows[other]![partition] = kept
      }
    }
  }
}
