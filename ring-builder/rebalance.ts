import { ServiceError } from '../common/errors.ts'
import type { RingDevice } from '../common/ring/ring.ts'
import { Assignment, NO_DEVICE } from './assignment.ts'
import { type Builder, refuseTooLarge, refuseWhileIncreasing } from './builder.ts'
import { dealPartitions } from './deal.ts'
import { measureDispersion } from './dispersion.ts'
import { buildQuotas } from './quotas.ts'
import { balance, disperse, placeHomeless } from './reassign.ts'
import { buildReplicaPlan } from './replica-plan.ts'
import { SeededRandom } from './seeded-random.ts'
import { buildTierTree } from './tier-tree.ts'

/** The passes of a rebalance, in their order. */
export const REBALANCE_PASSES = ['deal', 'place', 'disperse', 'balance', 'measure'] as const
export type RebalancePass = (typeof REBALANCE_PASSES)[number]

export interface RebalanceOptions {
  /** The same seed and builder give the same ring. */
  readonly seed: string
  /** Now, in seconds since 1970: decides which partitions rest, and is noted for those that move. */
  readonly nowS: number
  /** Called some times in each pass. */
  readonly onProgress?: (pass: RebalancePass, done: number, total: number) => void
}

export interface RebalanceResult {
  readonly builder: Builder
  /** Replicas that are on another device than before, or are new. */
  readonly moved: number
  /** Devices that left the ring. */
  readonly removed: number
}

/**
 * Assigns replicas to devices by weight, as far apart as the plan allows, moving as few as that takes: at most one
 * replica of a partition (replicas on removed devices aside, which have no choice), and none of a partition that moved
 * less than min_part_hours ago. Pure: the result depends on nothing but the arguments. Throws ServiceError
 * TooFewDevices, PartPowerIncreasing or RingTooLarge.
 */
export function rebalance(builder: Builder, options: RebalanceOptions): RebalanceResult {
  refuseWhileIncreasing(builder, 'rebalancing')
  const weighty = builder.devices.filter((device) => device !== null && device.weight > 0)
  if (weighty.length < builder.replicas) {
    throw new ServiceError(
      'TooFewDevices',
      `Replica count of ${builder.replicas} requires more than ${weighty.length} devices`,
    )
  }
  refuseTooLarge(builder.partPower, builder.replicas)
  const devices = withoutRemoved(builder)
  const random = new SeededRandom(options.seed)
  const tree = buildTierTree(devices)
  const { replicas, overload } = builder
  const plan = buildReplicaPlan({ tree, devices, replicas, overload })
  const layout: Layout = {
    partitionCount: 2 ** builder.partPower,
    rowLengths: rowLengthsOf(builder),
  }
  const job: RebalanceJob = { builder, devices, tree, plan, random, layout, options }
  const rows = builder.rows.length === 0 ? firstRows(job) : adjustedRows(job)
  const moved = countMoved(builder.rows, rows)
  options.onProgress?.('measure', 0, 1)
  const next: Builder = {
    ...builder,
    version: builder.version + 1,
    devices,
    removedIds: [],
    devicesChanged: false,
    rows,
    lastMovedS: movedAt(builder, {
      rows,
      nowS: options.nowS,
      partitionCount: layout.partitionCount,
    }),
    dispersion: measureDispersion({
      devices,
      replicas,
      partitionCount: layout.partitionCount,
      rows,
    }),
  }
  return { builder: next, moved, removed: builder.removedIds.length }
}

interface Layout {
  readonly partitionCount: number
  readonly rowLengths: readonly number[]
}

interface RebalanceJob {
  readonly builder: Builder
  readonly devices: readonly (RingDevice | null)[]
  readonly tree: ReturnType<typeof buildTierTree>
  readonly plan: ReturnType<typeof buildReplicaPlan>
  readonly random: SeededRandom
  readonly layout: Layout
  readonly options: RebalanceOptions
}

/** The device list without those marked for removal, and without empty places at its end. */
function withoutRemoved(builder: Builder): (RingDevice | null)[] {
  const removed = new Set(builder.removedIds)
  const devices = builder.devices.map((device, id) => (removed.has(id) ? null : device))
  while (devices.at(-1) === null) devices.pop()
  return devices
}

/** One row per whole replica, and a short one for the fraction. */
function rowLengthsOf(builder: Builder): readonly number[] {
  const partitionCount = 2 ** builder.partPower
  const whole = Math.floor(builder.replicas)
  const rest = Math.floor(partitionCount * (builder.replicas - whole))
  const lengths = new Array<number>(whole).fill(partitionCount)
  return rest === 0 ? lengths : [...lengths, rest]
}

function firstRows(job: RebalanceJob): Uint32Array[] {
  const { tree, plan, random, layout, options } = job
  options.onProgress?.('deal', 0, 1)
  const dealt = dealPartitions({
    tree,
    plan,
    random,
    ...layout,
    quotas: buildQuotas({
      tree,
      plan,
      partitionCount: layout.partitionCount,
      slotCount: slotCountOf(layout),
      held: new Int32Array(tree.tiers.length),
    }),
  })
  return dealt ?? adjustedRows(job)
}

function adjustedRows(job: RebalanceJob): Uint32Array[] {
  const { builder, tree, plan, random, layout, options } = job
  const { partitionCount } = layout
  const assignment = new Assignment({
    tree,
    plan,
    partitionCount,
    rows: rowsOfLengths(builder, layout.rowLengths),
    resting: restingPartitions(builder, { partitionCount, nowS: options.nowS }),
    random,
  })
  const progressOf = (pass: RebalancePass) => (done: number, total: number) =>
    options.onProgress?.(pass, done, total)
  assignment.setQuotas(
    buildQuotas({
      tree,
      plan,
      partitionCount,
      slotCount: slotCountOf(layout),
      held: assignment.held,
    }),
  )
  placeHomeless(assignment, { tree, random, onProgress: progressOf('place') })
  disperse(assignment, { partitionCount, random, onProgress: progressOf('disperse') })
  const deviceIds = job.devices.flatMap((device) => (device === null ? [] : [device.id]))
  balance(assignment, { deviceIds, random, onProgress: progressOf('balance') })
  return assignment.rows
}

/** Copies of the rows in the lengths they are to have; NO_DEVICE where a replica is new or its device goes. */
function rowsOfLengths(builder: Builder, lengths: readonly number[]): Uint32Array[] {
  const removed = new Uint8Array(builder.devices.length)
  for (const id of builder.removedIds) removed[id] = 1
  return lengths.map((length, replica) => {
    const old = builder.rows[replica] ?? new Uint32Array(0)
    const row = new Uint32Array(length).fill(NO_DEVICE)
    row.set(old.subarray(0, length))
    if (builder.removedIds.length === 0) return row
    for (let partition = 0; partition < row.length; partition++) {
      const id = row[partition]!
      if (id !== NO_DEVICE && removed[id] === 1) row[partition] = NO_DEVICE
    }
    return row
  })
}

function restingPartitions(
  builder: Builder,
  options: { readonly partitionCount: number; readonly nowS: number },
): Uint8Array {
  const resting = new Uint8Array(options.partitionCount)
  const movableBeforeS = options.nowS - builder.minPartHours * 3600
  for (const [partition, movedS] of builder.lastMovedS.entries()) {
    if (movedS !== 0 && movedS > movableBeforeS) resting[partition] = 1
  }
  return resting
}

function slotCountOf(layout: Layout): number {
  return layout.rowLengths.reduce((sum, length) => sum + length, 0)
}

function countMoved(before: readonly Uint32Array[], after: readonly Uint32Array[]): number {
  let moved = 0
  for (const [replica, row] of after.entries()) {
    const old = before[replica]
    for (let partition = 0; partition < row.length; partition++) {
      if (row[partition] !== old?.[partition]) moved++
    }
  }
  return moved
}

function movedAt(
  builder: Builder,
  now: {
    readonly rows: readonly Uint32Array[]
    readonly nowS: number
    readonly partitionCount: number
  },
): Uint32Array {
  const lastMovedS = new Uint32Array(now.partitionCount)
  lastMovedS.set(builder.lastMovedS)
  for (const [replica, row] of now.rows.entries()) {
    const old = builder.rows[replica]
    for (let partition = 0; partition < row.length; partition++) {
      if (row[partition] !== old?.[partition]) lastMovedS[partition] = Math.floor(now.nowS)
    }
  }
  return lastMovedS
}
