import { resolve } from 'node:path'
import { Command } from 'commander'
import { ServiceError } from '../../common/errors.ts'
import { locateItem } from '../../common/ring/located.ts'
import type { RingDevice } from '../../common/ring/ring.ts'
import { ringSetOf } from '../../common/ring/ring-set-file.ts'
import { readTextFile } from '../../common/whole-file.ts'
import { dataPaths } from '../data-folder.ts'
import { DEFAULT_DATA } from '../defaults.ts'
import { wholeNumber } from '../option-values.ts'
import { readRingSet } from '../ring-folder.ts'
import { decodeSettings, type Settings } from '../settings.ts'

interface GetNodesOptions {
  readonly data: string
  readonly policy?: string
  readonly handoffs: number
  readonly json?: boolean
}

/** `swiftlet get-nodes`: reads the rings only, nothing needs to run. */
export function getNodesCommand(): Command {
  return new Command('get-nodes')
    .description('where an account, a container or an object is kept, and who stands in')
    .argument('<account>')
    .argument('[container]')
    .argument('[object]')
    .option('--data <folder>', 'the data folder, or that of a proxy', DEFAULT_DATA)
    .option('--policy <name>', "an object's storage policy; the default one if it is not given")
    .option('--handoffs <n>', 'so many stand-ins', wholeNumber({ min: 0, max: 1000 }), 3)
    .option('--json', 'as JSON, one line')
    .action(async (account: string, ...rest: unknown[]) => {
      const [container, object, options] = rest as [string?, string?, GetNodesOptions?]
      await printNodes({ account, container, object }, options!)
    })
}

async function printNodes(
  name: {
    readonly account: string
    readonly container?: string | undefined
    readonly object?: string | undefined
  },
  options: GetNodesOptions,
): Promise<void> {
  const paths = dataPaths(resolve(options.data))
  const text = await readTextFile(paths.settings)
  if (text === null) {
    throw new ServiceError('NoDataFolder', `${paths.folder}: no Swiftlet was started here yet`)
  }
  const settings = decodeSettings(text, paths.settings)
  const { account, container, object } = name
  const { item, partition, devices, handoffs } = locateItem(
    ringSetOf(readRingSet(paths.rings)),
    settings.hashing,
    {
      account,
      ...(container !== undefined && { container }),
      ...(object !== undefined && { object, policy: policyIndex(settings, options.policy) }),
    },
  )
  const standIns: RingDevice[] = []
  for (const device of handoffs) {
    if (standIns.length >= options.handoffs) break
    standIns.push(device)
  }
  const hash = Buffer.from(item.hash, 'latin1').toString('hex')
  if (options.json === true) {
    const primaries = devices.map(placeOf)
    console.log(
      JSON.stringify({
        name: item.name,
        partition,
        hash,
        devices: primaries,
        handoffs: standIns.map(placeOf),
      }),
    )
    return
  }
  console.log(`${item.kind}: ${item.name}`)
  console.log(`partition: ${partition}`)
  console.log(`hash: ${hash}`)
  for (const device of devices) console.log(`device: ${lineOf(device)}`)
  for (const device of standIns) console.log(`handoff: ${lineOf(device)}`)
}

function policyIndex({ policies }: Settings, name: string | undefined): number {
  if (name === undefined) return policies.find((policy) => policy.default)?.index ?? 0
  const found = policies.find((policy) => [policy.name, ...(policy.aliases ?? [])].includes(name))
  if (found !== undefined) return found.index
  throw new ServiceError('NoSuchPolicy', `there is no storage policy ${name}`, { status: 404 })
}

function placeOf({ ip, port, device, region, zone }: RingDevice) {
  return { ip, port, device, region, zone }
}

function lineOf({ ip, port, device, region, zone }: RingDevice): string {
  return `${ip.includes(':') ? `[${ip}]` : ip}:${port} ${device} (region ${region}, zone ${zone})`
}
