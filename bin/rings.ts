import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../common/clock.ts'
import { ServiceError } from '../common/errors.ts'
import type { Placement } from '../common/ring/ring.ts'
import { encodeRing } from '../common/ring/ring-file.ts'
import { findPlacement, type RingSet } from '../common/ring/ring-set.ts'
import { replaceFile } from '../common/whole-file.ts'
import {
  addDevice,
  type Builder,
  createBuilder,
  type NewDevice,
  ringOf,
} from '../ring-builder/builder.ts'
import { encodeBuilder } from '../ring-builder/builder-file.ts'
import { rebalance } from '../ring-builder/rebalance.ts'
import { makeFolder } from './folders.ts'
import { readRingSet } from './ring-folder.ts'
import type { Settings } from './settings.ts'

/** What the rings of a cluster follow from, besides its disks. */
export function ringPlan(settings: Settings, { clock }: { readonly clock: Clock }) {
  return {
    clusterId: settings.clusterId,
    placement: settings.hashing.placement,
    replicaCount: settings.replicaCount,
    policies: settings.policies,
    nowS: Math.floor(clock.nowMs() / 1000),
  }
}

/** A policy and the replicas of its ring, if they are not the cluster's. */
export interface PolicyRing {
  readonly index: number
  readonly replicaCount?: number
}

export interface RingPlan {
  /** Names the cluster; with the ring's name it seeds the placement. */
  readonly clusterId: string
  readonly placement: Placement
  readonly replicaCount: number
  /** There are 2^partPower partitions; by default about a thousand a device. */
  readonly partPower?: number
  readonly devices: readonly NewDevice[]
  readonly policies: readonly PolicyRing[]
  /** Seconds since 1970. */
  readonly nowS: number
}

/** One disk 1, two 2, three or more 3. */
export function defaultReplicas(diskCount: number): number {
  return Math.min(Math.max(diskCount, 1), 3)
}

/** About a thousand partitions a disk: even shares now, and room for a hundred times as many disks. */
export function partPowerFor(diskCount: number): number {
  return 10 + Math.ceil(Math.log2(diskCount))
}

/** Where a device is to stand in the rings. */
export interface NewPlace {
  readonly region?: number
  readonly zone: number
  readonly ip: string
  readonly port: number
  readonly weight?: number
}

/** A device as rings take it, which is reached at one address for everything. */
export function newDevice(device: string, place: NewPlace): NewDevice {
  const { region = 1, zone, ip, port, weight = 100 } = place
  return {
    region,
    zone,
    ip,
    port,
    replicationIp: ip,
    replicationPort: port,
    device,
    weight,
    meta: '',
  }
}

/** Builds the rings and writes them with their builders, for `swiftlet ring` to go on from. */
export async function writeRings(folder: string, plan: RingPlan): Promise<void> {
  makeFolder(folder)
  for (const name of ['account', 'container']) await writeRing(folder, name, plan)
  for (const policy of plan.policies) await writePolicyRing(folder, policy, plan)
}

/**
 * Gives policies that were added to the settings their rings, over the devices that the container ring has. Rings that
 * are there stay as they are. Throws a 400 `BadDisks` for more replicas than devices.
 */
export async function addPolicyRings(
  folder: string,
  plan: Omit<RingPlan, 'devices'>,
): Promise<void> {
  const missing = plan.policies.filter(
    (policy) => !existsSync(join(folder, `${objectRingName(policy)}.ring`)),
  )
  if (missing.length === 0) return
  const container = readRingSet(folder).placements.find(({ kind }) => kind === 'container')
  const devices = (container?.ring.devices ?? []).filter((device) => device !== null)
  for (const policy of missing) {
    const replicaCount = policy.replicaCount ?? plan.replicaCount
    if (replicaCount > devices.length) {
      const message = `policy ${policy.index} wants ${replicaCount} replicas, and there are ${devices.length} disks`
      throw new ServiceError('BadDisks', message, { status: 400 })
    }
    await writePolicyRing(folder, policy, { ...plan, devices })
  }
}

function writePolicyRing(folder: string, policy: PolicyRing, plan: RingPlan): Promise<void> {
  const { replicaCount = plan.replicaCount } = policy
  return writeRing(folder, objectRingName(policy), { ...plan, replicaCount })
}

async function writeRing(folder: string, name: string, plan: RingPlan): Promise<void> {
  const builder = buildRing(name, plan)
  await replaceFile(join(folder, `${name}.builder`), encodeBuilder(builder))
  await replaceFile(join(folder, `${name}.ring`), encodeRing(ringOf(builder)))
}

/** Throws a 404 `NoRing` if accounts, containers or one of the policies have no ring in the folder. */
export function requireRings(
  set: RingSet,
  folder: string,
  policies: readonly { readonly index: number }[],
): void {
  const wanted = [
    ['account', 'account', 0],
    ['container', 'container', 0],
    ...policies.map((policy) => [objectRingName(policy), 'object', policy.index] as const),
  ] as const
  for (const [name, kind, policy] of wanted) {
    if (findPlacement(set, kind, policy) !== undefined) continue
    const message = `${join(folder, `${name}.ring`)}: there is no such ring`
    throw new ServiceError('NoRing', message, { status: 404 })
  }
}

function buildRing(name: string, plan: RingPlan): Builder {
  const id = `${plan.clusterId}`
  const first = createBuilder({
    id,
    partPower: plan.partPower ?? partPowerFor(plan.devices.length),
    replicas: plan.replicaCount,
    minPartHours: 1,
    placement: plan.placement,
  })
  const filled = plan.devices.reduce((builder, device) => addDevice(builder, device).builder, first)
  return rebalance(filled, { seed: `${plan.clusterId} ${name}`, nowS: plan.nowS }).builder
}

/** Swift's names: `object.ring`, `object-1.ring`. */
export function objectRingName(policy: { readonly index: number }): string {
  return policy.index === 0 ? 'object' : `object-${policy.index}`
}
