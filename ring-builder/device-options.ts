import { type Command, InvalidArgumentError } from 'commander'
import type { RingDevice } from '../common/ring/ring.ts'
import { normalizeAddress } from './address.ts'
import { type Builder, badArgument, type NewDevice, presentDevices } from './builder.ts'
import type { RingContext } from './command.ts'
import {
  type DeviceChange,
  type DeviceSearch,
  formatDevice,
  matches,
  parseSearch,
} from './device-text.ts'

/** The option form of devices (`--region 1 --zone 2 …`), shared by the commands that look for, add or change devices. */

type Options = Readonly<Record<string, unknown>>

export function whole(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('It is not a whole number.')
  return Number(text)
}

export function decimal(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) {
    throw new InvalidArgumentError('It is not a number.')
  }
  return value
}

/** Adds the options that name a device. */
export function withDeviceOptions(parser: Command): Command {
  return parser
    .option('-u, --id <id>', 'device id', whole)
    .option('-r, --region <region>', 'region', whole)
    .option('-z, --zone <zone>', 'zone', whole)
    .option('-i, --ip <ip or hostname>', 'address')
    .option('-p, --port <port>', 'port', whole)
    .option('-j, --replication-ip <ip or hostname>', 'replication address')
    .option('-q, --replication-port <port>', 'replication port', whole)
    .option('-d, --device <name>', 'device name (such as sdb1)')
    .option('-w, --weight <weight>', 'device weight', decimal)
    .option('-m, --meta <text>', 'free text about the device')
    .option('-y, --yes', 'assume a yes response to all questions')
}

/** Adds the options that say what a device becomes. */
export function withChangeOptions(parser: Command): Command {
  return parser
    .option('-I, --change-ip <ip or hostname>', 'new address')
    .option('-P, --change-port <port>', 'new port', whole)
    .option('-J, --change-replication-ip <ip or hostname>', 'new replication address')
    .option('-Q, --change-replication-port <port>', 'new replication port', whole)
    .option('-D, --change-device <name>', 'new device name')
    .option('-M, --change-meta <text>', 'new free text')
}

const SEARCH_KEYS = [
  'id',
  'region',
  'zone',
  'ip',
  'port',
  'replicationIp',
  'replicationPort',
  'device',
  'weight',
  'meta',
] as const satisfies readonly (keyof DeviceSearch)[]

/** True if the option form is used. */
export function hasSearchOptions(options: Options): boolean {
  return SEARCH_KEYS.some((key) => options[key] !== undefined && options[key] !== '')
}

/** The search that the options mean. Throws BadRingArgument if there is none. */
export function searchFromOptions(options: Options): DeviceSearch {
  if (!hasSearchOptions(options)) throw badArgument('no search value is given')
  const given = SEARCH_KEYS.filter((key) => options[key] !== undefined && options[key] !== '')
  return Object.fromEntries(
    given.map((key) => {
      const value = options[key]
      return [
        key,
        key === 'ip' || key === 'replicationIp' ? normalizeAddress(String(value)) : value,
      ]
    }),
  )
}

export function changeFromOptions(options: Options): DeviceChange {
  const change = {
    ip: addressOption(options.changeIp),
    port: options.changePort,
    replicationIp: addressOption(options.changeReplicationIp),
    replicationPort: options.changeReplicationPort,
    device: options.changeDevice,
    meta: options.changeMeta,
  }
  const given = Object.entries(change).filter(([, value]) => value !== undefined && value !== '')
  if (given.length === 0) throw badArgument('no change is given')
  return Object.fromEntries(given)
}

/** The device that the options describe. Throws BadRingArgument for what is missing. */
export function deviceFromOptions(options: Options): NewDevice {
  for (const key of ['region', 'zone', 'ip', 'port', 'device', 'weight']) {
    if (options[key] === undefined) {
      throw badArgument(`Required argument -${key[0]}/--${key} not specified.`)
    }
  }
  const ip = normalizeAddress(String(options.ip))
  const port = Number(options.port)
  return {
    region: Number(options.region),
    zone: Number(options.zone),
    ip,
    port,
    replicationIp: addressOption(options.replicationIp) ?? ip,
    replicationPort: Number(options.replicationPort ?? port),
    device: String(options.device),
    weight: Number(options.weight),
    meta: String(options.meta ?? ''),
  }
}

/** The devices that all-in-one search values, or else the options, mean. */
export function findDevices(builder: Builder, context: RingContext): readonly RingDevice[] {
  const { args, options } = context
  if (args.length === 0) return devicesMatching(builder, searchFromOptions(options))
  if (hasSearchOptions(options)) throw badArgument('give a search value or options, not both')
  const found = new Set(args.flatMap((text) => devicesMatching(builder, parseSearch(text))))
  return [...found]
}

export function devicesMatching(builder: Builder, search: DeviceSearch): readonly RingDevice[] {
  return presentDevices(builder).filter((device) => matches(device, search))
}

/** Refuses no devices, and asks before more than one is changed. Throws BadRingArgument if nothing is to happen. */
export async function confirmDevices(
  devices: readonly RingDevice[],
  context: RingContext,
  action: string,
): Promise<void> {
  if (devices.length === 0) {
    throw badArgument('Search value matched 0 devices.\nThe on-disk ring builder is unchanged.')
  }
  if (devices.length === 1) return
  context.io.print('Matched more than one device:')
  for (const device of devices) context.io.print(`    ${formatDevice(device)}`)
  if (context.options.yes === true) return
  const question = `Are you sure you want to ${action} these ${devices.length} devices? (y/N) `
  if (!(await context.io.confirm(question))) {
    throw badArgument('Aborting: the on-disk ring builder is unchanged.')
  }
}

function addressOption(value: unknown): string | undefined {
  return value === undefined || value === '' ? undefined : normalizeAddress(String(value))
}
