import { ServiceError } from '../../common/errors.ts'
import type { RingData } from '../../common/ring/ring.ts'
import { encodeRing } from '../../common/ring/ring-file.ts'
import { deviceIdBytesFor } from '../../common/ring/ring-table.ts'
import { worstBalance } from '../balance-figures.ts'
import { type Builder, ringOf } from '../builder.ts'
import {
  type BareCommand,
  type BuilderCommand,
  EXIT_SUCCESS,
  EXIT_WARNING,
  type RingContext,
} from '../command.ts'
import { findDevices, withDeviceOptions } from '../device-options.ts'
import { dispersionByTier, measureDispersion } from '../dispersion.ts'
import { buildReplicaPlan } from '../replica-plan.ts'
import { deviceTable, dispersionTable, hasWeight, summaryLines } from '../report.ts'
import { buildTierTree } from '../tier-tree.ts'
import { validateBuilder } from '../validate.ts'

/** The commands that only look. */

/** What runs when no command is named. */
export const reportCommand: BuilderCommand = {
  name: 'report',
  readOnly: true,
  usage: '',
  summary: 'Show the ring and its devices (also without a command)',
  needsBuilder: true,
  async run(context, builder) {
    const { io, files } = context
    io.print(`${files.builderPath}, build version ${builder.version}, id ${builder.id}`)
    for (const line of summaryLines(builder, io.nowMs() / 1000)) io.print(line)
    const upToDate = await compareRing(context, builder)
    for (const line of deviceTable(builder)) io.print(line)
    for (const line of partPowerLines(builder, upToDate)) io.print(line)
    if (!hasWeight(builder)) {
      io.print('There are no devices in this ring, or all devices have been deleted')
    }
    return EXIT_SUCCESS
  },
}

const versionCommand: BareCommand = {
  name: 'version',
  readOnly: true,
  usage: '',
  summary: 'Show format and build version of the ring file',
  needsBuilder: false,
  async run({ io, files, namedRingPath }) {
    const paths = namedRingPath === undefined ? Object.values(files.ringPaths) : [namedRingPath]
    let seen = 0
    for (const path of paths) {
      const ring = await files.readRing(path)
      if (ring === null) continue
      seen++
      const idBytes = deviceIdBytesFor(ring.data.devices.length)
      io.print(
        `${path}: Serialization version: ${FORMAT_VERSIONS[ring.format]} (${idBytes}-byte IDs), ` +
          `build version: ${ring.data.version}, placement: ${ring.data.placement}`,
      )
    }
    if (seen === 0)
      throw new ServiceError('RingMissing', `There is no ring file ${paths.join(' or ')}`)
    return EXIT_SUCCESS
  },
}

const FORMAT_VERSIONS = { swiftlet: 'swiftlet 1', 'swift-v1': '1', 'swift-v2': '2' } as const

const searchCommand: BuilderCommand = {
  name: 'search',
  readOnly: true,
  usage: '<search> … | [search options]',
  summary: 'Show matching devices',
  details: `A search value is d<id>r<region>z<zone>-<ip>:<port>R<r_ip>:<r_port>/<device>_<meta>, any part of it:
  d74 · r4 · z1 · z1-1.2.3.4 · 1.2.3.4 · z1:5678 · :5678 · R5.6.7.8 · R:5678 · /sdb1 · _shiny · [::1]`,
  configure: withDeviceOptions,
  needsBuilder: true,
  async run(context, builder) {
    const devices = findDevices(builder, context)
    if (devices.length === 0) throw noneFound()
    for (const line of deviceTable(builder, devices)) context.io.print(line)
    return EXIT_SUCCESS
  },
}

const listPartsCommand: BuilderCommand = {
  name: 'list_parts',
  readOnly: true,
  usage: '<search> … | [search options]',
  summary: 'List the partitions on matching devices, those with most matches first',
  configure: withDeviceOptions,
  needsBuilder: true,
  async run(context, builder) {
    requireRebalanced(context, builder)
    const devices = findDevices(builder, context)
    const matchesByPartition = countMatches(builder, new Set(devices.map((device) => device.id)))
    if (matchesByPartition.size === 0) throw noneFound()
    context.io.print('Partition   Matches')
    const sorted = [...matchesByPartition].sort((a, b) => b[1] - a[1] || a[0] - b[0])
    for (const [partition, count] of sorted) {
      context.io.print(`${String(partition).padStart(9)}   ${String(count).padStart(7)}`)
    }
    return EXIT_SUCCESS
  },
}

const dispersionCommand: BuilderCommand = {
  name: 'dispersion',
  usage: '[tier filter (regular expression)] [options]',
  summary: 'Show tiers that hold too many replicas of a partition',
  configure: (parser) =>
    parser
      .option('--recalculate', 'measure anew and save the figure')
      .option('-v, --verbose', 'show every tier'),
  needsBuilder: true,
  async run(context, builder) {
    requireRebalanced(context, builder)
    const { io, options } = context
    const measured = await remeasured(context, builder)
    io.print(
      `Dispersion is ${measured.dispersion!.toFixed(6)}, Balance is ${worstBalance(measured).toFixed(6)}, ` +
        `Overload is ${(builder.overload * 100).toFixed(2)}%`,
    )
    io.print(`Required overload is ${(100 * requiredOverload(builder)).toFixed(6)}%`)
    const tiers = dispersionByTier(dispersionInput(builder)).filter(tierFilter(context))
    const worst = tiers.reduce<(typeof tiers)[number] | undefined>(
      (found, tier) => (tier.dispersion > (found?.dispersion ?? 0) ? tier : found),
      undefined,
    )
    if (worst !== undefined)
      io.print(`Worst tier is ${worst.dispersion.toFixed(6)} (${worst.name})`)
    if (options.verbose === true && tiers.length > 0) {
      for (const line of dispersionTable(tiers)) io.print(line)
    }
    return worst === undefined ? EXIT_SUCCESS : EXIT_WARNING
  },
}

const validateCommand: BuilderCommand = {
  name: 'validate',
  readOnly: true,
  usage: '',
  summary: 'Check the assignments',
  needsBuilder: true,
  async run(_context, builder) {
    validateBuilder(builder)
    return EXIT_SUCCESS
  },
}

export const INSPECT_COMMANDS = [
  reportCommand,
  versionCommand,
  searchCommand,
  listPartsCommand,
  dispersionCommand,
  validateCommand,
] as const

/** Says whether the ring file is the builder's; true if it is. */
async function compareRing({ io, files }: RingContext, builder: Builder): Promise<boolean> {
  const path = files.ringPathFor(builder)
  try {
    const ring = await files.readRing(path)
    if (ring === null) {
      io.print(`Ring file ${path} not found, probably it hasn't been written yet`)
      return false
    }
    const same = Buffer.compare(comparable(ring.data), comparable(ringOf(builder))) === 0
    io.print(`Ring file ${path} is ${same ? 'up-to-date' : 'obsolete'}`)
    return same
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    io.print(`Ring file ${path} is invalid: ${error.message}`)
    return false
  }
}

/** A ring's bytes without what Swift's files do not hold. */
function comparable(ring: RingData): Uint8Array {
  const { minPartHours: _, ...rest } = ring
  return encodeRing({ ...rest, replicaCount: 0 })
}

function partPowerLines(builder: Builder, upToDate: boolean): readonly string[] {
  const { partPower, nextPartPower } = builder
  if (nextPartPower === null) return []
  if (nextPartPower > partPower) {
    return [
      `\nPreparing increase of partition power (${partPower} -> ${nextPartPower})`,
      'Relink on all nodes before moving on to increase_partition_power.',
    ]
  }
  return [
    `\nIncreased partition power (${partPower} -> ${nextPartPower})`,
    ...(upToDate ? [] : ['First run write_ring now and copy the ring file to all nodes.']),
    'Clean up on all nodes before moving on to finish_increase_partition_power.',
  ]
}

async function remeasured(context: RingContext, builder: Builder): Promise<Builder> {
  const dispersion = measureDispersion(dispersionInput(builder))
  if (context.options.recalculate !== true) return { ...builder, dispersion }
  const next = { ...builder, dispersion, version: builder.version + 1 }
  await context.files.saveBuilder(next)
  return next
}

function dispersionInput(builder: Builder): Parameters<typeof measureDispersion>[0] {
  const { devices, replicas, rows, partPower } = builder
  return { devices, replicas, rows, partitionCount: 2 ** partPower }
}

function requiredOverload(builder: Builder): number {
  const { devices, replicas, overload } = builder
  const usable = devices.filter((device) => device !== null && device.weight > 0)
  if (usable.length < replicas) return 0
  return buildReplicaPlan({ tree: buildTierTree(devices), devices, replicas, overload })
    .requiredOverload
}

function tierFilter({ args }: RingContext): (tier: { readonly name: string }) => boolean {
  const [pattern] = args
  if (pattern === undefined) return () => true
  try {
    // Anchored at the start, as Python's re.match is.
    const filter = new RegExp(`^(?:${pattern})`)
    return ({ name }) => filter.test(name)
  } catch (cause) {
    throw new ServiceError('BadRingArgument', `"${pattern}" is no regular expression`, { cause })
  }
}

function countMatches(builder: Builder, ids: ReadonlySet<number>): ReadonlyMap<number, number> {
  const counts = new Map<number, number>()
  for (const row of builder.rows) {
    for (const [partition, id] of row.entries()) {
      if (ids.has(id)) counts.set(partition, (counts.get(partition) ?? 0) + 1)
    }
  }
  return counts
}

function requireRebalanced({ files }: RingContext, builder: Builder): void {
  if (builder.rows.length > 0) return
  throw new ServiceError(
    'RingNotRebalanced',
    `Specified builder file "${files.builderPath}" is not rebalanced yet. Please rebalance first.`,
  )
}

function noneFound(): ServiceError {
  return new ServiceError('DeviceMissing', 'No matching devices found')
}
