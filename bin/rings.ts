import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../common/clock.ts'
import { ServiceError, systemErrorCode } from '../common/errors.ts'
import type { Placement } from '../common/ring/placement.ts'
import { type Placement as PlacementHash, Ring } from '../common/ring/ring.ts'
import { decodeRing, encodeRing } from '../common/ring/ring-file.ts'
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
import type { Settings } from './settings.ts'

/** The rings of a cluster: one for accounts, one for containers, one for each storage policy's objects. */
export interface Rings {
  readonly account: Ring
  readonly container: Ring
  readonly object: (policy: number) => Ring
}

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
  readonly placement: PlacementHash
  readonly replicaCount: number
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

/** A disk of a node on this machine, in a zone of its own unless said otherwise. */
export function localDevice(
  device: string,
  place: { readonly zone: number; readonly ip: string; readonly port: number },
): NewDevice {
  const { zone, ip, port } = place
  return {
    region: 1,
    zone,
    ip,
    port,
    replicationIp: ip,
    replicationPort: port,
    device,
    weight: 100,
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
  const devices = readRing(folder, 'container').devices.filter((device) => device !== null)
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

/** Reads the rings of the policies. Throws a 404 `NoRing` or what the ring file's reader finds wrong. */
export function readRings(folder: string, policies: readonly { readonly index: number }[]): Rings {
  const byPolicy = new Map(
    policies.map((policy) => [policy.index, readRing(folder, objectRingName(policy))]),
  )
  return {
    account: readRing(folder, 'account'),
    container: readRing(folder, 'container'),
    object(policy) {
      const ring = byPolicy.get(policy)
      if (ring === undefined) {
        throw new ServiceError('NoSuchPolicy', `no ring for storage policy ${policy}`, {
          status: 503,
        })
      }
      return ring
    },
  }
}

/** All rings as a storage node looks at them; `policies` are those that have a ring. */
export function placementsOf(
  rings: Rings,
  policies: readonly { readonly index: number }[],
): readonly Placement[] {
  return [
    { kind: 'account', policy: 0, ring: rings.account, previous: null },
    { kind: 'container', policy: 0, ring: rings.container, previous: null },
    ...policies.map(({ index }) => ({
      kind: 'object' as const,
      policy: index,
      ring: rings.object(index),
      previous: null,
    })),
  ]
}

/** The rings that lie in a folder, whatever policies there are. Throws as `readRings` does. */
export function readPlacements(folder: string): readonly Placement[] {
  const policies = readdirSync(folder).flatMap((name) => {
    const match = /^object(?:-(\d+))?\.ring$/.exec(name)
    return match === null ? [] : [{ index: Number(match[1] ?? 0) }]
  })
  return placementsOf(readRings(folder, policies), policies)
}

function buildRing(name: string, plan: RingPlan): Builder {
  const id = `${plan.clusterId}`
  const first = createBuilder({
    id,
    partPower: partPowerFor(plan.devices.length),
    replicas: plan.replicaCount,
    minPartHours: 1,
    placement: plan.placement,
  })
  const filled = plan.devices.reduce((builder, device) => addDevice(builder, device).builder, first)
  return rebalance(filled, { seed: `${plan.clusterId} ${name}`, nowS: plan.nowS }).builder
}

function readRing(folder: string, name: string): Ring {
  const path = join(folder, `${name}.ring`)
  try {
    return new Ring(decodeRing(readFileSync(path)))
  } catch (error) {
    const missing = systemErrorCode(error) === 'ENOENT'
    throw new ServiceError(
      missing ? 'NoRing' : 'BadRing',
      `${path}: ${missing ? 'there is no such ring' : (error as Error).message}`,
      { status: missing ? 404 : 500, cause: error },
    )
  }
}

/** Swift's names: `object.ring`, `object-1.ring`. */
function objectRingName(policy: { readonly index: number }): string {
  return policy.index === 0 ? 'object' : `object-${policy.index}`
}
