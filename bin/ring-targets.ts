/**
 * How the rings are to be: the builders in the folder of the rings, and `lost.json` with the devices that are given up.
 * Commands change them; the keeper moves partitions until the rings are so.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseConfig } from '../common/config.ts'
import { ServiceError } from '../common/errors.ts'
import { deviceLabel } from '../common/ring/placement.ts'
import type { RingDevice } from '../common/ring/ring.ts'
import { readTextFile, replaceFile } from '../common/whole-file.ts'
import {
  addDevice,
  type Builder,
  changeInfo,
  type NewDevice,
  presentDevices,
  pretendMinPartHoursPassed,
  removeDevice,
  ringOf,
  setReplicas,
} from '../ring-builder/builder.ts'
import { decodeBuilder, encodeBuilder } from '../ring-builder/builder-file.ts'
import { readRingFile, withBuilderLock } from '../ring-builder/builder-store.ts'
import type { KeeperTargets } from '../ring-builder/movement/keeper.ts'
import type { RingTarget } from '../ring-builder/movement/move-plan.ts'
import { rebalance } from '../ring-builder/rebalance.ts'
import { readRingSet } from './ring-folder.ts'

/** A change of the cluster's devices. */
export type DeviceChange =
  | { readonly kind: 'add'; readonly devices: readonly NewDevice[] }
  /** `lost`: they cannot be read any more. */
  | { readonly kind: 'remove'; readonly where: DevicePlace; readonly lost: boolean }
  | {
      readonly kind: 'replace'
      readonly where: DevicePlace
      readonly by: Pick<RingDevice, 'ip' | 'port' | 'device'>
      readonly lost: boolean
    }
  /** Of accounts, containers and the objects of these policies. */
  | {
      readonly kind: 'replicas'
      readonly replicaCount: number
      readonly policies: ReadonlySet<number>
    }

export interface ChangeOptions {
  readonly nowS: number
  readonly sleep: (delayMs: number) => Promise<void>
}

/** Labels of devices by what a folder of rings says of them. */
export interface RingPlaces {
  /** In a builder, and not on their way out. */
  readonly wanted: ReadonlySet<string>
  /** In a ring, be it the one before. */
  readonly placed: ReadonlySet<string>
  /** Given up. */
  readonly lost: ReadonlySet<string>
}

/** Devices by where they are: what is absent is any. */
export type DevicePlace = Partial<Pick<RingDevice, 'ip' | 'port' | 'device' | 'zone' | 'region'>>

const LOST_FILE = 'lost.json'
/** Rebalances after one change: each moves at most one replica of a partition. */
const ROUNDS_MAX = 16

/** Reads the targets, anew only when a file has changed. Throws what is wrong with a builder. */
export function ringTargets(folder: string): () => Promise<KeeperTargets> {
  let stamps = ''
  let targets: KeeperTargets = { rings: [], lost: new Set() }
  return async () => {
    const now = stampsOf(folder)
    if (now === stamps) return targets
    const rings: RingTarget[] = []
    for (const { name, kind, policy } of builderNames(folder)) {
      const ring = ringOf(await readBuilder(join(folder, name)))
      if (ring.replicaToPartToDevice.length > 0) rings.push({ kind, policy, ring })
    }
    targets = { rings, lost: new Set(await readLost(folder)) }
    stamps = now
    return targets
  }
}

/** Which devices the rings have, and are to have. */
export async function readPlaces(folder: string): Promise<RingPlaces> {
  const wanted = new Set<string>()
  for (const { name } of builderNames(folder)) {
    const builder = await readBuilder(join(folder, name))
    for (const device of presentDevices(builder)) {
      if (!builder.removedIds.includes(device.id)) wanted.add(deviceLabel(device))
    }
  }
  const placed = new Set<string>()
  for (const { ring, previous } of readRingSet(folder).placements) {
    for (const device of [...ring.devices, ...(previous?.devices ?? [])]) {
      if (device !== null) placed.add(deviceLabel(device))
    }
  }
  return { wanted, placed, lost: new Set(await readLost(folder)) }
}

/**
 * Changes all rings' builders, and balances them anew; what of a change is there already is left alone. Resolves with the
 * labels of the devices concerned. Throws a ServiceError, with nothing changed, for devices that are not there, for one
 * that is there already, and where too few would be left.
 */
export async function changeTargets(
  folder: string,
  change: DeviceChange,
  options: ChangeOptions,
): Promise<readonly string[]> {
  const names = builderNames(folder)
  if (names.length === 0) {
    throw new ServiceError('NoBuilders', `${folder}: there are no builders here`, { status: 404 })
  }
  return withBuilderLock(join(folder, 'all.builder'), options, async () => {
    const lost = new Set(await readLost(folder))
    const changed: { readonly path: string; readonly builder: Builder }[] = []
    const labels = new Set<string>()
    for (const { name, kind, policy } of names) {
      const path = join(folder, name)
      const before = await readBuilder(path)
      const after = applied(before, change, { kind, policy, labels })
      if (after !== before) changed.push({ path, builder: balanced(after, name, options.nowS) })
    }
    if (changed.length === 0 && change.kind !== 'replicas') throw nothingToChange(change)
    refuseLeaving(folder, change)
    if ((change.kind === 'remove' || change.kind === 'replace') && change.lost)
      for (const label of labels) lost.add(label)
    // First who is lost: a keeper that saw only the builders would wait for them.
    await writeLost(folder, lost)
    for (const { path, builder } of changed) await replaceFile(path, encodeBuilder(builder))
    return [...labels]
  })
}

/** Forgets lost devices that no ring has any more. */
export async function tidyLost(folder: string, present: ReadonlySet<string>): Promise<void> {
  const lost = await readLost(folder)
  const left = lost.filter((label) => present.has(label))
  if (left.length < lost.length) await writeLost(folder, new Set(left))
}

function applied(
  builder: Builder,
  change: DeviceChange,
  { kind, policy, labels }: Pick<RingTarget, 'kind' | 'policy'> & { readonly labels: Set<string> },
): Builder {
  if (change.kind === 'replicas') {
    const { replicaCount, policies } = change
    const follows = kind !== 'object' || policies.has(policy)
    return follows && builder.replicas !== replicaCount
      ? setReplicas(builder, replicaCount)
      : builder
  }
  if (change.kind === 'add') {
    const known = new Set(presentDevices(builder).map(deviceLabel))
    const fresh = change.devices.filter((device) => !known.has(deviceLabel(device)))
    for (const device of fresh) labels.add(deviceLabel(device))
    return fresh.reduce((result, device) => addDevice(result, device).builder, builder)
  }
  const found = presentDevices(builder).filter(
    (device) => !builder.removedIds.includes(device.id) && isAt(device, change.where),
  )
  for (const device of found) labels.add(deviceLabel(device))
  if (change.kind === 'remove') {
    return found.reduce((result, device) => removeDevice(result, device.id), builder)
  }
  const [device, another] = found
  if (device === undefined) return builder
  if (another !== undefined) {
    throw new ServiceError('NotOneDevice', 'one device is replaced by one', { status: 400 })
  }
  const { ip, port } = change.by
  return changeInfo(builder, device.id, { ...change.by, replicationIp: ip, replicationPort: port })
}

/** Balanced as far as it goes, however lately partitions have moved: they move one replica at a time anyway. */
function balanced(builder: Builder, seed: string, nowS: number): Builder {
  let result = builder
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const next = rebalance(pretendMinPartHoursPassed(result), { seed, nowS })
    result = next.builder
    if (next.moved === 0) break
  }
  return result
}

/** A device that is on its way out cannot come in again meanwhile: its partitions would not know which it is. */
function refuseLeaving(folder: string, change: DeviceChange): void {
  if (change.kind === 'remove' || change.kind === 'replicas') return
  const coming = new Set((change.kind === 'add' ? change.devices : [change.by]).map(deviceLabel))
  for (const { ring, previous } of readRingSet(folder).placements) {
    for (const device of [...ring.devices, ...(previous?.devices ?? [])]) {
      if (device === null || !coming.has(deviceLabel(device))) continue
      const message = `${deviceLabel(device)} is still in a ring: wait until it has left`
      throw new ServiceError('DeviceExists', message, { status: 409 })
    }
  }
}

function isAt(device: RingDevice, where: DevicePlace): boolean {
  const fields = Object.keys(where) as (keyof DevicePlace)[]
  return fields.every((field) => device[field] === where[field])
}

function nothingToChange(change: DeviceChange): ServiceError {
  return change.kind === 'add'
    ? new ServiceError('DeviceExists', 'all of these devices are there already', { status: 409 })
    : new ServiceError('NoSuchDevice', 'no ring has such a device', { status: 404 })
}

function builderNames(folder: string) {
  return readdirSync(folder).flatMap((name) => {
    const match = /^(account|container|object)(?:-(\d+))?\.builder$/.exec(name)
    if (match === null) return []
    const kind = match[1] as RingTarget['kind']
    return [{ name, kind, policy: Number(match[2] ?? 0) }]
  })
}

async function readBuilder(path: string): Promise<Builder> {
  const bytes = await readRingFile(path)
  if (bytes === null) throw new ServiceError('NoBuilders', `${path}: there is no such file`)
  try {
    return decodeBuilder(bytes)
  } catch (error) {
    throw new ServiceError('BadRing', `${path}: ${(error as Error).message}`, { cause: error })
  }
}

async function readLost(folder: string): Promise<readonly string[]> {
  const path = join(folder, LOST_FILE)
  const text = await readTextFile(path)
  return text === null ? [] : parseConfig(text, path).texts('devices')
}

async function writeLost(folder: string, lost: ReadonlySet<string>): Promise<void> {
  const text = `${JSON.stringify({ devices: [...lost].sort() }, null, 2)}\n`
  await replaceFile(join(folder, LOST_FILE), text)
}

function stampsOf(folder: string): string {
  const names = [...builderNames(folder).map(({ name }) => name), LOST_FILE]
  return names
    .map((name) => {
      const stat = statSync(join(folder, name), { throwIfNoEntry: false })
      return stat === undefined ? '' : `${name} ${stat.ino} ${stat.mtimeMs} ${stat.size}`
    })
    .join('\n')
}
