import { type Command, Option } from 'commander'
import { ServiceError } from '../../common/errors.ts'
import { PLACEMENTS, type Placement } from '../../common/ring/ring.ts'
import { RING_FORMATS, type RingFormat } from '../../common/ring/ring-file.ts'
import { BALANCE_MAX, worstBalance } from '../balance-figures.ts'
import {
  type Builder,
  badArgument,
  builderFromRing,
  createBuilder,
  minPartSecondsLeft,
} from '../builder.ts'
import {
  type BareCommand,
  type BuilderCommand,
  EXIT_SUCCESS,
  EXIT_WARNING,
  type ExitCode,
  type RingContext,
} from '../command.ts'
import { type RebalancePass, type RebalanceResult, rebalance } from '../rebalance.ts'
import { hoursText } from '../report.ts'
import { validateBuilder } from '../validate.ts'

/** The commands that make builders and rings. */

const createCommand: BareCommand = {
  name: 'create',
  usage: '<part_power> <replicas> <min_part_hours>',
  summary: 'Start a builder of 2^part_power partitions',
  configure: (parser) =>
    parser.addOption(
      new Option(
        '--placement <hash>',
        'how names become partitions: xxh64, or md5 for rings that Swift reads too',
      )
        .choices([...PLACEMENTS])
        .default('xxh64'),
    ),
  needsBuilder: false,
  async run({ io, files, args, options }) {
    const [partPower, replicas, minPartHours, ...others] = args
    if (minPartHours === undefined || others.length > 0) {
      throw badArgument('create takes <part_power> <replicas> <min_part_hours>')
    }
    const builder = createBuilder({
      id: io.randomId(),
      partPower: numberOf(partPower!),
      replicas: numberOf(replicas!),
      minPartHours: numberOf(minPartHours),
      placement: options.placement as Placement,
    })
    if (await files.builderExists()) {
      throw new ServiceError(
        'BuilderExists',
        `${files.builderPath} is there already; remove it first if you mean to start anew`,
      )
    }
    await files.saveBuilder(builder, { backup: true })
    return EXIT_SUCCESS
  },
}

const rebalanceCommand: BuilderCommand = {
  name: 'rebalance',
  usage: '[options]',
  summary: 'Assign partitions to devices, moving as few as possible, and write the ring',
  configure: (parser) =>
    withFormatOptions(parser)
      .option('-f, --force', 'save even if less than 1% changed')
      .option('-s, --seed <seed>', 'the same seed gives the same ring')
      .option('-d, --debug', 'say what each pass does'),
  needsBuilder: true,
  async run(context, builder) {
    const { io, args, options } = context
    const nowS = io.nowMs() / 1000
    const seed = (options.seed as string | undefined) ?? args[0] ?? io.randomId()
    const result = rebalance(builder, { seed, nowS, onProgress: progressPrinter(context) })
    const verdict = judge({ builder, result, nowS, force: options.force === true })
    if (verdict !== null) {
      for (const line of verdict) io.print(line)
      return EXIT_WARNING
    }
    validateBuilder(result.builder)
    await context.files.saveRing(result.builder, { format: formatOf(result.builder, options) })
    await context.files.saveBuilder(result.builder, { backup: true })
    return reportRebalance(context, result)
  },
}

const writeRingCommand: BuilderCommand = {
  name: 'write_ring',
  usage: '[options]',
  summary: 'Write the ring file again, such as after set_info',
  configure: (parser) =>
    withFormatOptions(parser).addOption(
      new Option('--dev-id-bytes <bytes>', 'width of device ids (swift-v2 only)').choices([
        '2',
        '4',
      ]),
    ),
  needsBuilder: true,
  async run({ io, files, options }, builder) {
    if (builder.devices.length === 0) throw badArgument('Unable to write empty ring.')
    if (builder.rows.length === 0) {
      io.warn(
        'WARNING: Writing a ring with no partition assignments but with devices; did you forget to run "rebalance"?',
      )
    }
    const width =
      options.devIdBytes === undefined ? {} : { deviceIdBytes: Number(options.devIdBytes) as 2 | 4 }
    await files.saveRing(builder, { format: formatOf(builder, options), ...width })
    return EXIT_SUCCESS
  },
}

/** What Swift assumes where a ring does not say. */
const MIN_PART_HOURS_DEFAULT = 24

const writeBuilderCommand: BareCommand = {
  name: 'write_builder',
  usage: '[min_part_hours]',
  summary: 'Make a builder from a ring file (what a ring does not say is lost)',
  needsBuilder: false,
  async run({ io, files, args, namedRingPath }) {
    if (await files.builderExists()) {
      throw new ServiceError(
        'BuilderExists',
        `Cowardly refusing to overwrite existing Ring Builder file: ${files.builderPath}`,
      )
    }
    const paths = namedRingPath === undefined ? Object.values(files.ringPaths) : [namedRingPath]
    const rings = await Promise.all(paths.map((path) => files.readRing(path)))
    const ring = rings.find((read) => read !== null)?.data
    if (ring === undefined)
      throw new ServiceError('RingMissing', `There is no ring file ${paths.join(' or ')}`)
    const known = args[0] === undefined ? ring.minPartHours : numberOf(args[0])
    if (known === undefined) {
      io.warn('WARNING: default min_part_hours may not match the value in the lost builder.')
    }
    await files.saveBuilder(
      builderFromRing(ring, { id: io.randomId(), minPartHours: known ?? MIN_PART_HOURS_DEFAULT }),
    )
    return EXIT_SUCCESS
  },
}

export const BUILD_COMMANDS = [
  createCommand,
  rebalanceCommand,
  writeRingCommand,
  writeBuilderCommand,
] as const

function withFormatOptions(parser: Command): Command {
  return parser
    .addOption(
      new Option('--format <format>', 'format of the ring file; default by placement').choices([
        ...RING_FORMATS,
      ]),
    )
    .addOption(
      new Option('--format-version <version>', "version of Swift's ring file").choices(['1', '2']),
    )
}

/** The format asked for; else ours, or Swift's version 1 for rings that Swift can read. */
function formatOf(builder: Builder, options: RingContext['options']): RingFormat {
  if (options.format !== undefined) return options.format as RingFormat
  if (options.formatVersion !== undefined) {
    return options.formatVersion === '2' ? 'swift-v2' : 'swift-v1'
  }
  return builder.placement === 'md5' ? 'swift-v1' : 'swiftlet'
}

/** Why the rebalance is not worth saving, or null if it is: the rules of swift-ring-builder. */
function judge(outcome: {
  readonly builder: Builder
  readonly result: RebalanceResult
  readonly nowS: number
  readonly force: boolean
}): readonly string[] | null {
  const { builder, result, nowS, force } = outcome
  if (force) return null
  if (result.moved === 0 && result.removed === 0) {
    const secondsLeft = minPartSecondsLeft(builder, nowS)
    return [
      'No partitions could be reassigned.',
      secondsLeft > 0
        ? `The time between rebalances must be at least min_part_hours: ${builder.minPartHours} hours (${hoursText(secondsLeft)} remaining)`
        : 'There is no need to do so at this time',
    ]
  }
  if (builder.devicesChanged) return null
  const before = worstBalance(builder)
  const after = worstBalance(result.builder)
  const balanceChanged =
    Math.abs(before - after) >= 1 || (before === BALANCE_MAX && after === BALANCE_MAX)
  const dispersionChanged =
    builder.dispersion === null || Math.abs(builder.dispersion - result.builder.dispersion!) >= 1
  if (balanceChanged || dispersionChanged) return null
  return ['Cowardly refusing to save rebalance as it did not change at least 1%.']
}

function reportRebalance({ io }: RingContext, result: RebalanceResult): ExitCode {
  const { builder, moved } = result
  const balance = worstBalance(builder)
  const dispersion = builder.dispersion!
  const share = (100 * moved) / 2 ** builder.partPower
  io.print(
    `Reassigned ${moved} (${share.toFixed(2)}%) partitions. Balance is now ${balance.toFixed(2)}.  ` +
      `Dispersion is now ${dispersion.toFixed(2)}`,
  )
  const rule = '-'.repeat(79)
  if (dispersion > 0) {
    io.print(rule)
    io.print(
      `NOTE: Dispersion of ${dispersion.toFixed(6)} indicates some parts are not\n` +
        '      optimally dispersed.\n\n' +
        '      You may want to adjust some device weights, increase\n' +
        '      the overload or review the dispersion report.',
    )
    io.print(rule)
    return EXIT_WARNING
  }
  if (balance > 5 && balance / 100 > builder.overload) {
    io.print(rule)
    io.print(
      `NOTE: Balance of ${balance.toFixed(2)} indicates you should push this\n` +
        `      ring, wait at least ${builder.minPartHours} hours, and rebalance/repush.`,
    )
    io.print(rule)
    return EXIT_WARNING
  }
  return EXIT_SUCCESS
}

/** A long rebalance says how far it is, at most once a second; `--debug` says every pass. */
function progressPrinter(
  context: RingContext,
): (pass: RebalancePass, done: number, total: number) => void {
  const { io, options } = context
  const debug = options.debug === true
  let lastMs = io.nowMs()
  let lastPass = ''
  return (pass, done, total) => {
    const nowMs = io.nowMs()
    if (nowMs - lastMs < 1000 && !(debug && pass !== lastPass)) return
    lastMs = nowMs
    lastPass = pass
    io.warn(`rebalance: ${pass} ${total === 0 ? 100 : Math.floor((100 * done) / total)}%`)
  }
}

function numberOf(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || Number.isNaN(value))
    throw badArgument(`"${text}" is not a valid number.`)
  return value
}
