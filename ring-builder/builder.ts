import { ServiceError } from '../common/errors.ts'
import type { Placement, RingData, RingDevice } from '../common/ring/ring.ts'

/**
 * What a builder knows: the ring, and what it takes to change it sensibly. A value: every operation returns a new one,
 * the arrays inside are never changed. Nothing moves before the next rebalance.
 */
export interface Builder {
  /** 32 hex digits, the same for the builder's whole life. */
  readonly id: string
  /** Grows with every change. */
  readonly version: number
  readonly partPower: number
  readonly nextPartPower: number | null
  /** May be fractional. */
  readonly replicas: number
  readonly minPartHours: number
  /** How far a device may exceed its weight's share for dispersion's sake; 0.1 is 10 %. */
  readonly overload: number
  readonly placement: Placement
  /** Position is the id; null where a device was removed. */
  readonly devices: readonly (RingDevice | null)[]
  /** Devices that the next rebalance takes out. */
  readonly removedIds: readonly number[]
  /** True if devices or replicas changed since the last rebalance. */
  readonly devicesChanged: boolean
  /** As in RingData; empty before the first rebalance. */
  readonly rows: readonly Uint32Array[]
  /** By partition: second since 1970 of its last move, 0 for never. */
  readonly lastMovedS: Uint32Array
  /** Share of replicas that stand too close to others, in percent, at the last rebalance; null before. */
  readonly dispersion: number | null
}

export const PART_POWER_MAX = 32
/** Bound of the bit set that records which replicas of a partition moved. */
export const REPLICAS_MAX = 32
/** Replicas of all partitions together in a ring that is assigned: 2^26 partitions of 4, 1 GiB of table. */
export const SLOTS_MAX = 2 ** 28
const MIN_PART_HOURS_MAX = 24 * 365

/** A device that is not in the builder yet. */
export type NewDevice = Omit<RingDevice, 'id'>

/** Starts a builder without devices. Throws ServiceError BadRingArgument. */
export function createBuilder(options: {
  readonly id: string
  readonly partPower: number
  readonly replicas: number
  readonly minPartHours: number
  readonly placement: Placement
}): Builder {
  const { partPower, replicas, minPartHours } = options
  if (!Number.isInteger(partPower) || partPower < 0 || partPower > PART_POWER_MAX) {
    throw badArgument(
      `part_power must be a whole number from 0 to ${PART_POWER_MAX} (was ${partPower})`,
    )
  }
  checkReplicas(replicas)
  checkMinPartHours(minPartHours)
  return {
    id: options.id,
    version: 0,
    partPower,
    nextPartPower: null,
    replicas,
    minPartHours,
    overload: 0,
    placement: options.placement,
    devices: [],
    removedIds: [],
    devicesChanged: false,
    rows: [],
    // Made at the first rebalance: a builder of 2^32 partitions can be created and looked at.
    lastMovedS: new Uint32Array(0),
    dispersion: null,
  }
}

/** The ring that the builder describes now. */
export function ringOf(builder: Builder): RingData {
  return {
    version: builder.version,
    partPower: builder.partPower,
    replicaCount: builder.replicas,
    minPartHours: builder.minPartHours,
    ...(builder.nextPartPower === null ? {} : { nextPartPower: builder.nextPartPower }),
    devices: builder.devices,
    replicaToPartToDevice: builder.rows,
    placement: builder.placement,
  }
}

/**
 * A builder from a ring, for when the builder is lost. What a ring does not say is lost: overload, when partitions
 * moved (all may move at once) and, in Swift's files, min_part_hours.
 */
export function builderFromRing(
  ring: RingData,
  options: { readonly id: string; readonly minPartHours: number },
): Builder {
  checkMinPartHours(options.minPartHours)
  return {
    id: options.id,
    version: ring.version,
    partPower: ring.partPower,
    nextPartPower: ring.nextPartPower ?? null,
    replicas: Math.max(1, ring.replicaCount),
    minPartHours: options.minPartHours,
    overload: 0,
    placement: ring.placement,
    devices: ring.devices,
    removedIds: [],
    devicesChanged: false,
    rows: ring.replicaToPartToDevice,
    lastMovedS: new Uint32Array(ring.replicaToPartToDevice[0]?.length ?? 0),
    dispersion: null,
  }
}

/** Devices that are there, those marked for removal included. */
export function presentDevices(builder: Builder): readonly RingDevice[] {
  return builder.devices.filter((device): device is RingDevice => device !== null)
}

/** Replicas that each device holds, by id. */
export function partsByDevice(builder: Builder): Uint32Array {
  const parts = new Uint32Array(builder.devices.length)
  for (const row of builder.rows) for (const id of row) parts[id]!++
  return parts
}

/** Adds a device at the first free id. Throws ServiceError DeviceExists, BadRingArgument or PartPowerIncreasing. */
export function addDevice(
  builder: Builder,
  device: NewDevice,
): { readonly builder: Builder; readonly added: RingDevice } {
  refuseWhileIncreasing(builder, 'adding devices')
  checkDevice(device)
  refuseSamePlace(builder, { ...device, id: -1 })
  const hole = builder.devices.indexOf(null)
  const id = hole < 0 ? builder.devices.length : hole
  const added = { ...device, id }
  const devices = [...builder.devices]
  devices[id] = added
  return { builder: changed(builder, { devices, devicesChanged: true }), added }
}

/** Changes a device's weight, region or zone: the next rebalance follows. Throws ServiceError DeviceRemoved, BadRingArgument. */
export function changePlace(
  builder: Builder,
  id: number,
  change: { readonly weight?: number; readonly region?: number; readonly zone?: number },
): Builder {
  if (builder.removedIds.includes(id)) {
    throw new ServiceError(
      'DeviceRemoved',
      `device ${id} is marked for removal and can not be changed`,
    )
  }
  const device = { ...deviceAt(builder, id), ...change }
  checkDevice(device)
  return changed(builder, { devices: replaced(builder.devices, device), devicesChanged: true })
}

/** Changes where a device is reached and what it is called; no data moves. Throws ServiceError DeviceExists, BadRingArgument. */
export function changeInfo(
  builder: Builder,
  id: number,
  change: Partial<
    Pick<RingDevice, 'ip' | 'port' | 'replicationIp' | 'replicationPort' | 'device' | 'meta'>
  >,
): Builder {
  const device = { ...deviceAt(builder, id), ...change }
  checkDevice(device)
  refuseSamePlace(builder, device)
  return changed(builder, { devices: replaced(builder.devices, device) })
}

/** Marks a device as gone. Throws ServiceError PartPowerIncreasing. */
export function removeDevice(builder: Builder, id: number): Builder {
  refuseWhileIncreasing(builder, 'removing devices')
  if (builder.removedIds.includes(id)) return builder
  return changed(builder, {
    devices: replaced(builder.devices, { ...deviceAt(builder, id), weight: 0 }),
    removedIds: [...builder.removedIds, id],
    devicesChanged: true,
  })
}

export function setMinPartHours(builder: Builder, minPartHours: number): Builder {
  checkMinPartHours(minPartHours)
  return { ...builder, minPartHours }
}

/** Sets the replica count; the next rebalance adds or drops replicas. */
export function setReplicas(builder: Builder, replicas: number): Builder {
  checkReplicas(replicas)
  const slots = (count: number): number => Math.floor(2 ** builder.partPower * count)
  return {
    ...builder,
    replicas,
    devicesChanged: builder.devicesChanged || slots(replicas) !== slots(builder.replicas),
  }
}

export function setOverload(builder: Builder, overload: number): Builder {
  if (!Number.isFinite(overload) || overload < 0)
    throw badArgument('Overload must be non-negative.')
  return { ...builder, overload }
}

/** Lets every partition move again at the next rebalance, whenever it moved. */
export function pretendMinPartHoursPassed(builder: Builder): Builder {
  return { ...builder, lastMovedS: new Uint32Array(builder.lastMovedS.length) }
}

/** Seconds until every partition may move again. */
export function minPartSecondsLeft(builder: Builder, nowS: number): number {
  let newestS = 0
  for (const movedS of builder.lastMovedS) if (movedS > newestS) newestS = movedS
  if (newestS === 0) return 0
  return Math.max(0, Math.ceil(newestS + builder.minPartHours * 3600 - nowS))
}

/** Throws ServiceError PartPowerIncreasing while a partition power increase is under way. */
export function refuseWhileIncreasing(builder: Builder, what: string): void {
  if (builder.nextPartPower === null) return
  throw new ServiceError(
    'PartPowerIncreasing',
    `Partition power increase in progress. You need to finish the increase first before ${what}.`,
  )
}

/** Throws ServiceError RingTooLarge for a table that this program would not hold in memory. */
export function refuseTooLarge(partPower: number, replicas: number): void {
  if (2 ** partPower * replicas <= SLOTS_MAX) return
  throw new ServiceError(
    'RingTooLarge',
    `2^${partPower} partitions with ${replicas} replicas are more than the ${SLOTS_MAX} that can be assigned`,
  )
}

export function badArgument(message: string): ServiceError {
  return new ServiceError('BadRingArgument', message)
}

function changed(builder: Builder, change: Partial<Builder>): Builder {
  return { ...builder, ...change, version: builder.version + 1 }
}

function deviceAt(builder: Builder, id: number): RingDevice {
  const device = builder.devices[id]
  if (device === undefined || device === null) throw badArgument(`there is no device ${id}`)
  return device
}

function replaced(
  devices: readonly (RingDevice | null)[],
  device: RingDevice,
): readonly (RingDevice | null)[] {
  return devices.map((old, id) => (id === device.id ? device : old))
}

function refuseSamePlace(builder: Builder, device: RingDevice): void {
  const same = presentDevices(builder).find(
    (other) =>
      other.id !== device.id &&
      other.ip === device.ip &&
      other.port === device.port &&
      other.device === device.device,
  )
  if (same === undefined) return
  throw new ServiceError(
    'DeviceExists',
    `Device ${same.id} already uses ${same.ip}:${same.port}/${same.device}.`,
  )
}

function checkDevice(device: NewDevice): void {
  for (const key of ['region', 'zone'] as const) {
    if (!Number.isSafeInteger(device[key]) || device[key] < 0) {
      throw badArgument(`Invalid ${key} value: ${device[key]}`)
    }
  }
  for (const key of ['port', 'replicationPort'] as const) {
    if (!Number.isInteger(device[key]) || device[key] < 0 || device[key] > 0xffff) {
      throw badArgument(`Invalid port value: ${device[key]}`)
    }
  }
  if (!Number.isFinite(device.weight) || device.weight < 0) {
    throw badArgument(`Invalid weight value: ${device.weight}`)
  }
  if (
    device.device.length === 0 ||
    device.device !== device.device.trim() ||
    device.device.includes('/')
  ) {
    throw badArgument('Invalid device name')
  }
}

function checkReplicas(replicas: number): void {
  if (!(replicas >= 1)) throw badArgument(`replicas must be at least 1 (was ${replicas})`)
  if (replicas > REPLICAS_MAX)
    throw badArgument(`replicas must be at most ${REPLICAS_MAX} (was ${replicas})`)
}

function checkMinPartHours(hours: number): void {
  if (Number.isInteger(hours) && hours >= 0 && hours <= MIN_PART_HOURS_MAX) return
  throw badArgument(
    `min_part_hours must be a whole number from 0 to ${MIN_PART_HOURS_MAX} (was ${hours})`,
  )
}
