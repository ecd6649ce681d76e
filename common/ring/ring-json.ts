import { ServiceError } from '../errors.ts'
import { PLACEMENTS, type Placement, type RingDevice } from './ring.ts'

/** Reads the JSON parts of ring files into types: once, at the border. Every failure is a ServiceError RingDamaged. */

export type JsonObject = { readonly [key: string]: unknown }

/** Device fields as Swift's files name them, by our names. */
export const SWIFT_DEVICE_KEYS = {
  id: 'id',
  region: 'region',
  zone: 'zone',
  ip: 'ip',
  port: 'port',
  replicationIp: 'replication_ip',
  replicationPort: 'replication_port',
  device: 'device',
  weight: 'weight',
  meta: 'meta',
} as const satisfies Record<keyof RingDevice, string>

/** Our own files use our own names. */
export const OWN_DEVICE_KEYS = Object.fromEntries(
  Object.keys(SWIFT_DEVICE_KEYS).map((key) => [key, key]),
) as Record<keyof RingDevice, string>

/** The device as an object whose keys are `keys`' values. */
export function deviceToJson(
  device: RingDevice | null,
  keys: Record<keyof RingDevice, string>,
): JsonObject | null {
  if (device === null) return null
  const names = Object.entries(keys) as [keyof RingDevice, string][]
  return Object.fromEntries(names.map(([own, key]) => [key, device[own]]))
}

/** The list of devices of a file; every device stands at its id. */
export function devicesFromJson(
  value: unknown,
  keys: Record<keyof RingDevice, string>,
): (RingDevice | null)[] {
  if (!Array.isArray(value)) throw damagedJson('it has no list of devices')
  return value.map((entry: unknown, id) =>
    entry === null ? null : deviceFromJson(objectOf(entry, `device ${id}`), { keys, id }),
  )
}

function deviceFromJson(
  json: JsonObject,
  options: { readonly keys: Record<keyof RingDevice, string>; readonly id: number },
): RingDevice {
  const { keys, id } = options
  const where = `device ${id}`
  if (json[keys.id] !== id) throw damagedJson(`${where} has the id ${String(json[keys.id])}`)
  const ip = textOf(json[keys.ip], `${where}'s ip`)
  const port = wholeOf(json[keys.port], `${where}'s port`)
  return {
    id,
    // Rings from before Swift had regions and replication networks leave these out.
    region: wholeOf(json[keys.region] ?? 1, `${where}'s region`),
    zone: wholeOf(json[keys.zone], `${where}'s zone`),
    ip,
    port,
    replicationIp: textOf(json[keys.replicationIp] ?? ip, `${where}'s replication ip`),
    replicationPort: wholeOf(json[keys.replicationPort] ?? port, `${where}'s replication port`),
    device: textOf(json[keys.device], `${where}'s name`),
    weight: numberOf(json[keys.weight], `${where}'s weight`),
    meta: textOf(json[keys.meta] ?? '', `${where}'s meta`),
  }
}

export function objectOf(value: unknown, what: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw damagedJson(`${what} is no object`)
  }
  return value as JsonObject
}

export function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string') throw damagedJson(`${what} is no text`)
  return value
}

/** A finite number that is not negative. */
export function numberOf(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    throw damagedJson(`${what} is no number`)
  }
  return value
}

export function wholeOf(value: unknown, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw damagedJson(`${what} is no whole number`)
  }
  return value as number
}

/** undefined for a value that is not there (or null), else a whole number. */
export function optionalWholeOf(value: unknown, what: string): number | undefined {
  return value === undefined || value === null ? undefined : wholeOf(value, what)
}

export function partPowerOf(value: unknown): number {
  const partPower = wholeOf(value, 'the partition power')
  if (partPower > 32) throw damagedJson(`the partition power is ${partPower}`)
  return partPower
}

export function placementOf(value: unknown): Placement {
  const placement = PLACEMENTS.find((known) => known === value)
  if (placement === undefined) throw damagedJson(`the placement hash ${String(value)} is unknown`)
  return placement
}

export function damagedJson(detail: string): ServiceError {
  return new ServiceError('RingDamaged', `the ring file is damaged: ${detail}`)
}
