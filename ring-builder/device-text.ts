import type { RingDevice } from '../common/ring/ring.ts'
import { bracketed, normalizeAddress, normalizeIp } from './address.ts'
import { badArgument, type NewDevice } from './builder.ts'

/** The one-line forms of devices that swift-ring-builder takes and prints: `d0r1z1-10.0.0.1:6200R10.0.0.1:6200/sdb1_"meta"`. */

/** What to look for; every part that is given must match. */
export interface DeviceSearch {
  readonly id?: number
  readonly region?: number
  readonly zone?: number
  readonly ip?: string
  readonly port?: number
  readonly replicationIp?: string
  readonly replicationPort?: number
  readonly device?: string
  readonly weight?: number
  /** Matches if the device's meta contains it. */
  readonly meta?: string
}

export type DeviceChange = Partial<
  Pick<RingDevice, 'ip' | 'port' | 'replicationIp' | 'replicationPort' | 'device' | 'meta'>
>

const IP = String.raw`[0-9][0-9.]*|\[[^\]]*\]`
const ADDRESSES = `(?<ip>${IP})?(?::(?<port>\\d+))?(?:R(?<replicationIp>${IP})?(?::(?<replicationPort>\\d+))?)?`
const NAME = String.raw`(?:\/(?<device>[^_]*))?(?:_(?<meta>.*))?`
const SEARCH = new RegExp(
  `^(?:d(?<id>\\d+))?(?:r(?<region>\\d+))?(?:z(?<zone>\\d+))?-?${ADDRESSES}${NAME}$`,
  's',
)
const CHANGE = new RegExp(`^${ADDRESSES}${NAME}$`, 's')
const PLACE = String.raw`\[[^\]]*\]|[^\[\]/R]+?`
const ADD = new RegExp(
  `^(?:r(?<region>\\d+))?z(?<zone>\\d+)-(?<ip>${PLACE}):(?<port>\\d+)` +
    `(?:R(?<replicationIp>${PLACE}):(?<replicationPort>\\d+))?\\/(?<device>[^_]*)(?:_(?<meta>.*))?$`,
  's',
)

/** `[d<id>][r<region>][z<zone>]-[ip][:port][R[ip][:port]][/device][_meta]`; at least one part. Throws BadRingArgument. */
export function parseSearch(text: string): DeviceSearch {
  const groups = SEARCH.exec(text)?.groups
  const search = groups === undefined ? {} : partsOf(groups)
  if (Object.keys(search).length > 0) return search
  throw badArgument(`Invalid <search-value>: '${text}'`)
}

/** `[ip][:port][R[ip][:port]][/device][_meta]`; at least one part. Throws BadRingArgument. */
export function parseChange(text: string): DeviceChange {
  const groups = CHANGE.exec(text)?.groups
  const change = groups === undefined ? {} : partsOf(groups)
  if (Object.keys(change).length > 0) return change
  throw badArgument(`Invalid set info change value: '${text}'`)
}

/** `[r<region>]z<zone>-<ip>:<port>[R<ip>:<port>]/<device>[_meta]`; `regionGiven` tells a default. Throws BadRingArgument. */
export function parseAdd(
  text: string,
  weight: number,
): { readonly device: NewDevice; readonly regionGiven: boolean } {
  const groups = ADD.exec(text)?.groups
  if (groups === undefined) throw badArgument(`Invalid add value: ${text}`)
  const parts = partsOf(groups)
  const ip = parts.ip!
  const port = parts.port!
  return {
    regionGiven: parts.region !== undefined,
    device: {
      region: parts.region ?? 1,
      zone: parts.zone!,
      ip,
      port,
      replicationIp: parts.replicationIp ?? ip,
      replicationPort: parts.replicationPort ?? port,
      device: parts.device!,
      weight,
      meta: parts.meta ?? '',
    },
  }
}

/** Whether the device is one that the search means. */
export function matches(device: RingDevice, search: DeviceSearch): boolean {
  for (const key of Object.keys(search) as (keyof DeviceSearch)[]) {
    const wanted = search[key]
    if (wanted === undefined) continue
    if (key === 'meta') {
      if (!device.meta.includes(String(wanted))) return false
    } else if (key === 'ip' || key === 'replicationIp') {
      if (sameForm(device[key]) !== wanted) return false
    } else if (device[key] !== wanted) return false
  }
  return true
}

/** The device in one line, as swift-ring-builder prints it. */
export function formatDevice(device: RingDevice): string {
  const { id, region, zone, port, replicationPort, meta } = device
  const places = `${bracketed(device.ip)}:${port}R${bracketed(device.replicationIp)}:${replicationPort}`
  return `d${id}r${region}z${zone}-${places}/${device.device}_"${meta}"`
}

type DeviceParts = Omit<DeviceSearch, 'weight'>

function partsOf(groups: Record<string, string | undefined>): DeviceParts {
  const numbers = ['id', 'region', 'zone', 'port', 'replicationPort'] as const
  const ips = ['ip', 'replicationIp'] as const
  const parts: { -readonly [Key in keyof DeviceParts]: DeviceParts[Key] } = {}
  for (const key of numbers) if (groups[key] !== undefined) parts[key] = Number(groups[key])
  for (const key of ips) {
    if (groups[key] !== undefined) parts[key] = normalizeIp(groups[key].replace(/^\[|\]$/g, ''))
  }
  for (const key of ['device', 'meta'] as const) {
    if (groups[key] !== undefined) parts[key] = groups[key]
  }
  return parts
}

/** A ring of somebody else may hold an address in another form, or something that is none. */
function sameForm(address: string): string {
  try {
    return normalizeAddress(address)
  } catch {
    return address
  }
}
