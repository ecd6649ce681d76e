import { type Assignment, NO_DEVICE } from './assignment.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { TierTree } from './tier-tree.ts'

/**
 * The three passes that bring a table to its plan, each moving as little as it can:
 *
 *   placeHomeless  replicas without a device get one
 *   disperse       replicas that stand too close to others of their partition move apart
 *   balance        devices above their quota give to devices below it
 *
 * Where no single move is within the bounds, `balance` looks for a chain: a gives to b, b gives to c.
 */

/** Called now and then with how far a pass is. */
export type PassProgress = (done: number, total: number) => void

/** A pass reports every so many partitions or devices. */
const REPORT_EVERY = 1 << 14

/** Checks of one replica against one device that all chains of a stage may cost together: about half a second. */
const CHAIN_CHECKS_MAX = 30_000_000

/** Gives every replica without a device one; afterwards none is without. */
export function placeHomeless(
  assignment: Assignment,
  options: {
    readonly tree: TierTree
    readonly random: SeededRandom
    readonly onProgress: PassProgress
  },
): void {
  const homeless = homelessPartitions(assignment)
  options.random.shuffle(homeless)
  const placed = new PlacedReplicas(assignment, options.tree)
  for (const [done, partition] of homeless.entries()) {
    if (done % REPORT_EVERY === 0) options.onProgress(done, homeless.length)
    for (const [replica, row] of assignment.rows.entries()) {
      if (partition >= row.length || row[partition] !== NO_DEVICE) continue
      assignment.move(partition, replica, homeFor(assignment, { partition, replica, placed }))
      placed.add({ partition, replica })
    }
  }
}

/** Moves replicas of partitions that are not as far apart as the plan says, one of each partition. */
export function disperse(
  assignment: Assignment,
  options: {
    readonly partitionCount: number
    readonly random: SeededRandom
    readonly onProgress: PassProgress
  },
): void {
  const { partitionCount, random, onProgress } = options
  const order = Uint32Array.from({ length: partitionCount }, (_, partition) => partition)
  random.shuffle(order)
  for (const [done, partition] of order.entries()) {
    if (done % REPORT_EVERY === 0) onProgress(done, partitionCount)
    if (assignment.violations(partition) > 0) dispersePartition(assignment, partition)
  }
}

/** Moves replicas from devices above their quota to devices below it, as long as moves within the bounds are found. */
export function balance(
  assignment: Assignment,
  options: {
    readonly deviceIds: readonly number[]
    readonly random: SeededRandom
    readonly onProgress: PassProgress
  },
): void {
  const { random, onProgress } = options
  const deviceIds = [...options.deviceIds]
  random.shuffle(deviceIds)
  const givers = deviceIds.filter((id) => assignment.excessOf(id) > 0)
  if (givers.length === 0) return
  const slots = new SlotIndex(assignment, random)
  // What has moved already costs nothing to send on.
  for (const only of ['moved', 'all'] as const) {
    for (const [done, giver] of givers.entries()) {
      onProgress(done, givers.length)
      giveDirectly(assignment, { giver, slots, only })
    }
    giveByChains(assignment, { givers, deviceIds, slots, only })
  }
}

function homelessPartitions(assignment: Assignment): number[] {
  const partitions: number[] = []
  const rows = assignment.rows
  for (let partition = 0; partition < (rows[0]?.length ?? 0); partition++) {
    if (rows.some((row) => row[partition] === NO_DEVICE)) partitions.push(partition)
  }
  return partitions
}

function homeFor(assignment: Assignment, slot: Slot & { readonly placed: PlacedReplicas }): number {
  const { partition, replica } = slot
  const wanting = assignment.findSink(partition, replica, 'wanting')
  if (wanting >= 0) return wanting
  const ceded = slot.placed.cedeTo(slot)
  if (ceded >= 0) return ceded
  // Nobody who lacks replicas can take this one: put it where it belongs. The balance pass
  // evens that out, and first by sending on what has moved already, so that nothing moves twice.
  const any = assignment.findSink(partition, replica, 'any')
  return any >= 0 ? any : assignment.leastBadSink(partition, replica)
}

interface Slot {
  readonly partition: number
  readonly replica: number
}

/** Replicas looked at for one that has no home, among those that could go elsewhere but whose device does not suit it. */
const UNSUITABLE_MAX = 64

/**
 * The replicas that this pass has placed, by region. Where only devices at their quota could take a replica, one that
 * was placed there a moment ago may go elsewhere instead: that moves nothing twice.
 */
class PlacedReplicas {
  readonly #assignment: Assignment
  readonly #regions: readonly number[]
  readonly #regionOf: Int32Array
  readonly #slots = new Map<number, Slot[]>()
  /** Those that one look passed over; they go back for the next. */
  readonly #unsuitable: Slot[] = []

  constructor(assignment: Assignment, tree: TierTree) {
    this.#assignment = assignment
    this.#regions = tree.tiers[0]?.children ?? []
    this.#regionOf = tree.tierOf[1]!
  }

  add(slot: Slot): void {
    const region = this.#regionOf[this.#assignment.rows[slot.replica]![slot.partition]!]!
    const slots = this.#slots.get(region)
    if (slots === undefined) this.#slots.set(region, [slot])
    else slots.push(slot)
  }

  /** Sends one of them to a device that lacks replicas and returns the device that it left, which suits `slot`; or -1. */
  cedeTo({ partition, replica }: Slot): number {
    for (const region of this.#regions) {
      if (!this.#assignment.hasRoom(partition, { tier: region, level: 1, except: replica }))
        continue
      const slots = this.#slots.get(region) ?? []
      for (let unsuitable = 0; slots.length > 0 && unsuitable < UNSUITABLE_MAX; ) {
        const slot = slots.pop()!
        const device = this.#assignment.rows[slot.replica]![slot.partition]!
        const sink = this.#assignment.findSink(slot.partition, slot.replica, 'wanting')
        // What lacks replicas only shrinks in this pass: one without a sink is not looked at again.
        if (sink < 0 || !this.#assignment.mayMove(slot.partition, slot.replica, sink)) continue
        if (slot.partition !== partition && this.#assignment.mayMove(partition, replica, device)) {
          this.#assignment.move(slot.partition, slot.replica, sink)
          this.add(slot)
          return device
        }
        unsuitable++
        this.#unsuitable.push(slot)
      }
      slots.push(...this.#unsuitable.splice(0))
    }
    return -1
  }
}

interface DispersingMove {
  readonly replica: number
  readonly deviceId: number
  readonly violations: number
  readonly excess: number
}

/** The move of one replica that leaves the fewest violations; among equals, from the fullest device. */
function dispersePartition(assignment: Assignment, partition: number): void {
  let best: DispersingMove | undefined
  const violations = assignment.violations(partition)
  for (let replica = 0; replica < assignment.rows.length; replica++) {
    if (partition >= assignment.rows[replica]!.length) break
    if (!assignment.canLeave(partition, replica)) continue
    const move = dispersingMove(assignment, { partition, replica })
    if (move === undefined || move.violations >= violations) continue
    if (best === undefined || isBetter(move, best)) best = move
  }
  if (best !== undefined) assignment.move(partition, best.replica, best.deviceId)
}

function isBetter(a: DispersingMove, b: DispersingMove): boolean {
  return a.violations === b.violations ? a.excess > b.excess : a.violations < b.violations
}

function dispersingMove(
  assignment: Assignment,
  slot: { readonly partition: number; readonly replica: number },
): DispersingMove | undefined {
  const { partition, replica } = slot
  const wanting = assignment.findSink(partition, replica, 'wanting')
  const sink = wanting >= 0 ? wanting : assignment.findSink(partition, replica, 'any')
  const move = sink < 0 ? undefined : tryMove(assignment, { ...slot, deviceId: sink })
  if (move !== undefined && move.violations < assignment.violations(partition)) return move
  // A tier below one that has enough: the search above does not see it.
  const lacking = assignment.findSink(partition, replica, 'lacking')
  return lacking < 0 ? undefined : tryMove(assignment, { ...slot, deviceId: lacking })
}

function tryMove(
  assignment: Assignment,
  slot: { readonly partition: number; readonly replica: number; readonly deviceId: number },
): DispersingMove {
  const { partition, replica, deviceId } = slot
  const row = assignment.rows[replica]!
  const from = row[partition]!
  // Tried on the table and taken back: violations reads nothing but the table.
  row[partition] = deviceId
  const violations = assignment.violations(partition)
  row[partition] = from
  return { replica, deviceId, violations, excess: assignment.excessOf(from) }
}

function giveDirectly(
  assignment: Assignment,
  options: {
    readonly giver: number
    readonly slots: SlotIndex
    readonly only: Movables
  },
): void {
  const { giver, slots, only } = options
  for (const slot of slots.of(giver)) {
    if (assignment.excessOf(giver) <= 0 || assignment.wantedCount === 0) return
    const { partition, replica } = slots.read(slot)
    if (!isMovable(assignment, { partition, replica, only })) continue
    const sink = assignment.findSink(partition, replica, 'wanting')
    if (sink < 0 || !assignment.mayMove(partition, replica, sink)) continue
    assignment.move(partition, replica, sink)
    slots.add(slot, sink)
  }
}

/** Which replicas a pass may move: those that have moved in this rebalance, or all that are allowed to. */
type Movables = 'moved' | 'all'

function isMovable(
  assignment: Assignment,
  slot: { readonly partition: number; readonly replica: number; readonly only: Movables },
): boolean {
  const { partition, replica, only } = slot
  if (only === 'moved' && !assignment.hasMoved(partition)) return false
  return assignment.canLeave(partition, replica)
}

function giveByChains(
  assignment: Assignment,
  options: {
    readonly givers: readonly number[]
    readonly deviceIds: readonly number[]
    readonly slots: SlotIndex
    readonly only: Movables
  },
): void {
  const budget = { checks: CHAIN_CHECKS_MAX }
  for (const giver of options.givers) {
    while (assignment.excessOf(giver) > 0 && assignment.wantedCount > 0 && budget.checks > 0) {
      const chain = findChain(assignment, { ...options, giver, budget })
      if (chain === null || !runChain(assignment, { chain, slots: options.slots })) break
    }
  }
}

interface ChainStep {
  readonly slot: number
  readonly from: number
  readonly to: number
}

/** The shortest chain of moves from the giver to a device below its quota, or null; breadth first over devices. */
function findChain(
  assignment: Assignment,
  options: {
    readonly giver: number
    readonly deviceIds: readonly number[]
    readonly slots: SlotIndex
    readonly only: Movables
    readonly budget: { checks: number }
  },
): ChainStep[] | null {
  const { giver, slots, budget, only } = options
  const stepTo = new Map<number, ChainStep>()
  const unseen = new Set(options.deviceIds)
  unseen.delete(giver)
  const queue = [giver]
  for (const from of queue) {
    for (const slot of slots.of(from)) {
      const { partition, replica } = slots.read(slot)
      if (!isMovable(assignment, { partition, replica, only })) continue
      for (const to of unseen) {
        if (budget.checks-- <= 0) return null
        if (!assignment.mayMove(partition, replica, to)) continue
        stepTo.set(to, { slot, from, to })
        if (assignment.excessOf(to) < 0) return chainTo(to, { stepTo, giver })
        unseen.delete(to)
        queue.push(to)
      }
    }
  }
  return null
}

function chainTo(
  last: number,
  options: { readonly stepTo: ReadonlyMap<number, ChainStep>; readonly giver: number },
): ChainStep[] {
  const chain: ChainStep[] = []
  for (let at = last; at !== options.giver; at = chain.at(-1)!.from) {
    chain.push(options.stepTo.get(at)!)
  }
  return chain
}

/** Runs the chain from its end; stops, and says so, where an earlier step of it took a later one's ground. */
function runChain(
  assignment: Assignment,
  options: { readonly chain: readonly ChainStep[]; readonly slots: SlotIndex },
): boolean {
  const { slots } = options
  for (const { slot, to } of options.chain) {
    const { partition, replica } = slots.read(slot)
    if (!assignment.canLeave(partition, replica)) return false
    if (!assignment.mayMove(partition, replica, to)) return false
    assignment.move(partition, replica, to)
    slots.add(slot, to)
  }
  return true
}

/** Which replicas a device holds: an index over the table, and what moved since. A slot is replica * partitions + partition. */
class SlotIndex {
  readonly #rows: readonly Uint32Array[]
  readonly #partitionCount: number
  readonly #starts: Uint32Array
  readonly #slots: Float64Array
  readonly #added = new Map<number, number[]>()

  constructor(assignment: Assignment, random: SeededRandom) {
    this.#rows = assignment.rows
    this.#partitionCount = assignment.rows[0]?.length ?? 0
    let highest = 0
    for (const row of this.#rows) for (const id of row) if (id > highest) highest = id
    this.#starts = new Uint32Array(highest + 2)
    for (const row of this.#rows) for (const id of row) this.#starts[id + 1]!++
    for (let id = 0; id <= highest; id++) this.#starts[id + 1]! += this.#starts[id]!
    this.#slots = new Float64Array(this.#starts[highest + 1]!)
    const next = this.#starts.slice()
    // From a random partition on, so that repeated rebalances do not always take from the same ones.
    const first = random.below(this.#partitionCount)
    for (const [replica, row] of this.#rows.entries()) {
      for (let step = 0; step < row.length; step++) {
        const partition = (first + step) % row.length
        this.#slots[next[row[partition]!]!++] = replica * this.#partitionCount + partition
      }
    }
  }

  read(slot: number): { readonly partition: number; readonly replica: number } {
    return {
      partition: slot % this.#partitionCount,
      replica: Math.floor(slot / this.#partitionCount),
    }
  }

  /** The device's slots as they are now; moves during the iteration are seen. */
  *of(deviceId: number): Generator<number, void, undefined> {
    const end = this.#starts[deviceId + 1] ?? 0
    for (let at = this.#starts[deviceId] ?? 0; at < end; at++) {
      if (this.#isOn(deviceId, this.#slots[at]!)) yield this.#slots[at]!
    }
    for (const slot of this.#added.get(deviceId) ?? []) if (this.#isOn(deviceId, slot)) yield slot
  }

  add(slot: number, deviceId: number): void {
    const added = this.#added.get(deviceId)
    if (added === undefined) this.#added.set(deviceId, [slot])
    else added.push(slot)
  }

  #isOn(deviceId: number, slot: number): boolean {
    const { partition, replica } = this.read(slot)
    return this.#rows[replica]![partition] === deviceId
  }
}
