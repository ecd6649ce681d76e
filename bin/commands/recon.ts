import { Argument, Command } from 'commander'
import { formatBytes } from '../../common/config.ts'
import type { ClusterStatus, DeviceView } from '../../proxy/status/cluster-status.ts'
import { type DataOptions, openStoreClient, withDataOptions } from '../data-options.ts'
import type { StoreClient } from '../store-client.ts'

const PROXY_KINDS = ['version', 'time', 'load', 'mem', 'requests'] as const
const DEVICE_KINDS = [
  'devices',
  'diskusage',
  'unmounted',
  'quarantined',
  'replication',
  'auditor',
] as const
const KINDS = [...PROXY_KINDS, ...DEVICE_KINDS] as const
type DeviceKind = (typeof DEVICE_KINDS)[number]

/** `swiftlet recon KIND…`: what swift-recon asks of all servers, in one line each. */
export function reconCommand(): Command {
  return withDataOptions(new Command('recon'))
    .description('numbers of a running Swiftlet: its proxy and every device')
    .addArgument(new Argument('<kind...>', 'what to ask').choices([...KINDS]))
    .action(async (kinds: readonly string[], options: DataOptions) => {
      const client = await openStoreClient(options)
      for (const kind of kinds) {
        const found = isDeviceKind(kind)
          ? await deviceReport(client, kind)
          : await proxyReport(client, kind)
        if (options.json === true) console.log(JSON.stringify({ kind, found }))
        else for (const line of linesOf(kind, found)) console.log(line)
      }
    })
}

type Found = Readonly<Record<string, unknown>>

function isDeviceKind(kind: string): kind is DeviceKind {
  return DEVICE_KINDS.some((one) => one === kind)
}

async function proxyReport(client: StoreClient, kind: string): Promise<Found> {
  const found = await client.get<unknown>(`/recon/${kind}`)
  return typeof found === 'object' && found !== null ? (found as Found) : { [kind]: found }
}

async function deviceReport(client: StoreClient, kind: DeviceKind): Promise<Found> {
  const { regions } = await client.get<ClusterStatus>('/status.json')
  const nodes = regions.flatMap(({ zones }) => zones.flatMap((zone) => zone.nodes))
  const entries = nodes.flatMap(({ address, unreachable, devices }) =>
    devices.map((device): [string, unknown] => [
      `${address}/${device.name}`,
      unreachable === '' ? deviceValue(device, kind) : unreachable,
    ]),
  )
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
}

/** Undefined: there is nothing to say of the device. */
function deviceValue({ status, weight, partitions }: DeviceView, kind: DeviceKind): unknown {
  if (status === null) return 'unknown to its node'
  switch (kind) {
    case 'devices':
      return `${status.state}, weight ${weight}, ${partitions} partitions`
    case 'diskusage': {
      const used = status.bytesTotal - status.bytesFree
      const share = status.bytesTotal === 0 ? 0 : (used / status.bytesTotal) * 100
      return `${formatBytes(used)} of ${formatBytes(status.bytesTotal)}, ${share.toFixed(1)} %`
    }
    case 'unmounted':
      return status.state === 'offline' ? status.reason : undefined
    case 'quarantined':
      return status.damage.length
    case 'replication':
      return status.replication
    case 'auditor':
      return status.scrub
  }
}

function linesOf(kind: string, found: Found): readonly string[] {
  const entries = Object.entries(found)
  if (entries.length === 0) return [`${kind}: nothing`]
  return entries.map(([name, value]) => {
    const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
    return name === kind ? `${kind}: ${text}` : `${kind} ${name}: ${text}`
  })
}
