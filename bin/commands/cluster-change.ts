/** `swiftlet cluster add|drain|lost|replace|movement`: what changes the devices of a cluster, while it runs. */
import { resolve } from 'node:path'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { Command, InvalidArgumentError } from 'commander'
import { systemClock as clock } from '../../common/clock.ts'
import { formatBytes } from '../../common/config.ts'
import { ServiceError } from '../../common/errors.ts'
import { normalizeAddress } from '../../ring-builder/address.ts'
import type { MovementStatus } from '../../ring-builder/movement/keeper.ts'
import { dataPaths } from '../data-folder.ts'
import { wholeNumber } from '../option-values.ts'
import { readMovement } from '../ring-keeper.ts'
import { changeTargets, type DeviceChange, type DevicePlace } from '../ring-targets.ts'
import { newDevice } from '../rings.ts'

interface DataFlags {
  readonly data: string
}

interface AddFlags extends DataFlags {
  readonly region: number
  readonly zone: number
  readonly weight: number
}

const SMALL = { min: 0, max: 1_000_000 }
const PLACES = 'ADDRESS:PORT/DEVICE, ADDRESS:PORT (a node), ADDRESS, zone:N or region:N/zone:N'

/** The commands that change a cluster; `data` is where it is by default. */
export function clusterChangeCommands(data: string): readonly Command[] {
  const on = (name: string) =>
    new Command(name).option('--data <folder>', 'the folder of the cluster with its rings', data)
  return [
    on('add')
      .description('add devices: they are filled while the cluster goes on')
      .argument('<devices...>', 'ADDRESS:PORT/DEVICE of storage nodes that run')
      .requiredOption('--zone <n>', 'their zone', wholeNumber(SMALL))
      .option('--region <n>', 'their region', wholeNumber(SMALL), 1)
      .option('--weight <n>', 'their share beside other devices', wholeNumber(SMALL), 100)
      .action((devices: readonly string[], flags: AddFlags) => add(devices, flags)),
    on('drain')
      .description('move everything off devices that still work, then take them out')
      .argument('<place>', PLACES)
      .action((place: string, flags: DataFlags) => remove(place, flags, false)),
    on('lost')
      .description('give up devices that are gone: the others replace what they held')
      .argument('<place>', PLACES)
      .action((place: string, flags: DataFlags) => remove(place, flags, true)),
    on('replace')
      .description('have one device take the place of another')
      .argument('<device>', 'ADDRESS:PORT/DEVICE that goes')
      .argument('<by>', 'ADDRESS:PORT/DEVICE that comes')
      .option('--lost', 'the one that goes cannot be read any more', false)
      .action((device: string, by: string, flags: DataFlags & { readonly lost: boolean }) =>
        replace(device, by, flags),
      ),
    on('movement')
      .description('say how far the cluster is with moving data')
      .action(async (flags: DataFlags) => {
        console.log(movementLine(await readMovement(ringsOf(flags))))
      }),
  ]
}

async function add(texts: readonly string[], flags: AddFlags): Promise<void> {
  const { region, zone, weight } = flags
  const devices = texts.map((text) => {
    const { ip, port, device } = parseDevice(text)
    return newDevice(device, { region, zone, ip, port, weight })
  })
  await change(flags, { kind: 'add', devices }, 'will be filled')
}

async function remove(text: string, flags: DataFlags, lost: boolean): Promise<void> {
  const where = parsePlace(text)
  await change(flags, { kind: 'remove', where, lost }, lost ? 'given up' : 'will be emptied')
}

async function replace(
  text: string,
  byText: string,
  flags: DataFlags & { readonly lost: boolean },
): Promise<void> {
  const by = parseDevice(byText)
  const where = parseDevice(text)
  await change(flags, { kind: 'replace', where, by, lost: flags.lost }, `replaced by ${byText}`)
}

async function change(flags: DataFlags, wanted: DeviceChange, what: string): Promise<void> {
  const labels = await changeTargets(ringsOf(flags), wanted, {
    nowS: Math.floor(clock.nowMs() / 1000),
    sleep: (delayMs) => sleepMs(delayMs),
  })
  for (const label of labels) console.log(`${label}: ${what}`)
  console.log(
    `The cluster moves data by itself; \`npx swiftlet cluster movement --data ${flags.data}\` says how far it is.`,
  )
}

/** One line for a person. */
export function movementLine(status: MovementStatus | null): string {
  if (status === null) return 'nothing was moved yet'
  const { state, left, underWay, moved, troubles } = status
  const trouble = troubles.length === 0 ? '' : `; ${troubles.join('; ')}`
  if (state === 'idle')
    return `every partition is where it belongs (epoch ${status.epoch})${trouble}`
  const sent = `${formatBytes(status.bytesSent)} sent, ${formatBytes(status.bytesPerSecond)}/s`
  const time = status.secondsLeft === null ? '' : `, about ${status.secondsLeft} s left`
  const counts = `${left + underWay} replicas of partitions left (${underWay} under way), ${moved} moved`
  return `${state}: ${counts}, ${sent}${time}${trouble}`
}

function ringsOf({ data }: DataFlags): string {
  return dataPaths(resolve(data)).rings
}

function parseDevice(text: string): Required<Pick<DevicePlace, 'ip' | 'port' | 'device'>> {
  const { ip, port, device } = parsePlace(text)
  if (ip === undefined || port === undefined || device === undefined) throw notAPlace(text)
  return { ip, port, device }
}

function parsePlace(text: string): DevicePlace {
  const place = /^(?:region:(\d+)(?:\/|$))?(?:zone:(\d+))?$/.exec(text)
  if (text !== '' && place !== null) {
    const [, region, zone] = place
    return {
      ...(region === undefined ? {} : { region: Number(region) }),
      ...(zone === undefined ? {} : { zone: Number(zone) }),
    }
  }
  const match = /^(\[[^\]]+\]|[^:/[\]]+)(?::(\d{1,5})(?:\/([^/\s]+))?)?$/.exec(text)
  if (match === null) throw notAPlace(text)
  const [, address, port, device] = match
  try {
    return {
      ip: normalizeAddress(address!),
      ...(port === undefined ? {} : { port: Number(port) }),
      ...(device === undefined ? {} : { device }),
    }
  } catch (error) {
    throw error instanceof ServiceError ? notAPlace(text) : error
  }
}

function notAPlace(text: string): InvalidArgumentError {
  return new InvalidArgumentError(`${text}: not a place of devices.`)
}
