import {
  addDevice,
  type Builder,
  badArgument,
  changeInfo,
  changePlace,
  removeDevice,
} from '../builder.ts'
import { type BuilderCommand, EXIT_SUCCESS, type RingContext } from '../command.ts'
import {
  changeFromOptions,
  confirmDevices,
  deviceFromOptions,
  devicesMatching,
  findDevices,
  hasSearchOptions,
  searchFromOptions,
  whole,
  withChangeOptions,
  withDeviceOptions,
} from '../device-options.ts'
import {
  type DeviceChange,
  formatDevice,
  parseAdd,
  parseChange,
  parseSearch,
} from '../device-text.ts'

/** The commands that change the list of devices. None moves a partition: that is rebalance. */

const addCommand: BuilderCommand = {
  name: 'add',
  usage:
    '[r<region>]z<zone>-<ip>:<port>[R<r_ip>:<r_port>]/<device>_<meta> <weight> … | --region … --zone … --ip … --port … --device … --weight …',
  summary: 'Add devices; no partition moves before rebalance',
  configure: withDeviceOptions,
  needsBuilder: true,
  async run(context, builder) {
    let next = builder
    for (const device of newDevices(context)) {
      const { builder: grown, added } = addDevice(next, device)
      next = grown
      context.io.print(
        `Device ${formatDevice(added)} with ${pythonFloat(added.weight)} weight got id ${added.id}`,
      )
    }
    await context.files.saveBuilder(next)
    return EXIT_SUCCESS
  },
}

const setWeightCommand = placeCommand('weight', 'Change the weight of devices', parseWeight)
const setRegionCommand = placeCommand('region', 'Move devices to another region', parseWhole)
const setZoneCommand = placeCommand('zone', 'Move devices to another zone', parseWhole)

const setInfoCommand: BuilderCommand = {
  name: 'set_info',
  usage:
    '<search> [<ip>][:<port>][R[<r_ip>][:<r_port>]][/<device>][_<meta>] … | [search options] --change-ip …',
  summary: 'Change address, name or meta of devices; write_ring afterwards',
  configure: (parser) => withChangeOptions(withDeviceOptions(parser)),
  needsBuilder: true,
  async run(context, builder) {
    let next = builder
    for (const { devices, value } of searchesAndValues(builder, context, parseChange)) {
      const change: DeviceChange = value ?? changeFromOptions(context.options)
      await confirmDevices(devices, context, 'update the info for')
      for (const { id } of devices) {
        const before = formatDevice(next.devices[id]!)
        next = changeInfo(next, id, change)
        context.io.print(`Device ${before} is now ${formatDevice(next.devices[id]!)}`)
      }
    }
    await context.files.saveBuilder(next)
    return EXIT_SUCCESS
  },
}

const removeCommand: BuilderCommand = {
  name: 'remove',
  usage: '<search> … | [search options]',
  summary: 'Mark failed devices for removal; the next rebalance takes them out',
  configure: withDeviceOptions,
  needsBuilder: true,
  async run(context, builder) {
    const devices = findDevices(builder, context)
    await confirmDevices(devices, context, 'remove')
    let next = builder
    for (const device of devices) {
      next = removeDevice(next, device.id)
      context.io.print(
        `${formatDevice(device)} marked for removal and will be removed next rebalance.`,
      )
    }
    await context.files.saveBuilder(next)
    return EXIT_SUCCESS
  },
}

export const DEVICE_COMMANDS: readonly BuilderCommand[] = [
  addCommand,
  setWeightCommand,
  setRegionCommand,
  setZoneCommand,
  setInfoCommand,
  removeCommand,
]

/** A number as Python prints a float: scripts look for `1.0`. */
export function pythonFloat(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value)
}

function newDevices(context: RingContext): ReturnType<typeof deviceFromOptions>[] {
  const { args, options, io } = context
  if (args.length === 0) return [deviceFromOptions(options)]
  if (hasSearchOptions(options)) throw badArgument('give device strings or options, not both')
  return pairs(args).map(([text, weight]) => {
    const { device, regionGiven } = parseAdd(text, parseWeight(weight))
    if (!regionGiven) io.warn(`WARNING: No region specified for ${text}. Defaulting to region 1.`)
    return device
  })
}

function placeCommand(
  field: 'weight' | 'region' | 'zone',
  summary: string,
  parse: (text: string) => number,
): BuilderCommand {
  return {
    name: `set_${field}`,
    usage: `<search> <${field}> [<search> <${field}>] … | [search options] <${field}>`,
    summary,
    configure: withDeviceOptions,
    needsBuilder: true,
    async run(context, builder) {
      let next = builder
      for (const { devices, value } of searchesAndValues(builder, context, parse)) {
        const target = value ?? parse(onlyArgument(context))
        await confirmDevices(devices, context, `update the ${field} for`)
        for (const { id } of devices) {
          next = changePlace(next, id, { [field]: target })
          const shown = field === 'weight' ? pythonFloat(target) : target
          context.io.print(`${formatDevice(next.devices[id]!)} ${field} set to ${shown}`)
        }
      }
      await context.files.saveBuilder(next)
      return EXIT_SUCCESS
    },
  }
}

/** Search and value pairs, or the one search of the options with its value left to the caller. */
function searchesAndValues<T>(
  builder: Builder,
  context: RingContext,
  parse: (text: string) => T,
): readonly { readonly devices: ReturnType<typeof devicesMatching>; readonly value?: T }[] {
  const { args, options } = context
  if (hasSearchOptions(options)) {
    return [{ devices: devicesMatching(builder, searchFromOptions(options)) }]
  }
  return pairs(args).map(([search, value]) => ({
    devices: devicesMatching(builder, parseSearch(search)),
    value: parse(value),
  }))
}

function onlyArgument(context: RingContext): string {
  const [value, ...others] = context.args
  if (value === undefined || others.length > 0) throw badArgument('give the options and one value')
  return value
}

function pairs(args: readonly string[]): readonly (readonly [string, string])[] {
  if (args.length === 0 || args.length % 2 !== 0) {
    throw badArgument('arguments must come in pairs; see help')
  }
  return Array.from({ length: args.length / 2 }, (_, at) => [args[2 * at]!, args[2 * at + 1]!])
}

function parseWeight(text: string): number {
  const weight = Number(text)
  if (text.trim() === '' || !Number.isFinite(weight) || weight < 0) {
    throw badArgument(`Invalid weight value: ${text}`)
  }
  return weight
}

function parseWhole(text: string): number {
  try {
    return whole(text)
  } catch {
    throw badArgument(`Invalid value: ${text} is not a whole number`)
  }
}
