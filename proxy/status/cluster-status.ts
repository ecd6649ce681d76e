/**
 * The state of a cluster as an operator sees it: regions, zones, nodes and devices, and what that means for partitions.
 * Nodes are asked over the channel that calls go by; one that does not answer in time is shown as unreachable.
 */
import { forEachParallel } from '../../common/bounded-parallel.ts'
import type { Clock } from '../../common/clock.ts'
import type { ItemKind } from '../../common/item.ts'
import { deviceLabel, type Placement } from '../../common/ring/placement.ts'
import type { RingDevice } from '../../common/ring/ring.ts'
import type { DeviceStatus, StorageNode } from '../../common/storage-node.ts'
import { withDeadline } from '../backend/replica-calls.ts'
import { type Finding, findingsOf } from './findings.ts'
import { partitionCounts, placedCounts } from './partition-counts.ts'
import { RemainingTime } from './remaining-time.ts'

export interface ClusterStatus {
  /** Milliseconds since 1970. */
  readonly takenAtMs: number
  readonly health: Health
  readonly findings: readonly Finding[]
  readonly regions: readonly RegionStatus[]
  readonly rings: readonly RingStatus[]
  /** What the devices hold and could hold, of those that answered. */
  readonly bytesUsed: number
  readonly bytesTotal: number
  readonly work: WorkStatus
}

/** What is being moved between devices, as its keeper last said. */
export interface MovementView {
  /** Replicas of partitions that are not yet where they belong. */
  readonly left: number
  readonly bytesPerSecond: number
  /** Null where nobody can say yet. */
  readonly secondsLeft: number | null
  /** Who is waited for, or why it cannot go on. */
  readonly troubles: readonly string[]
}

/** What the cluster is doing by itself. */
export interface WorkStatus {
  /** Partitions that are moving, over all rings. */
  readonly moving: number
  /** Partitions that are brought in step with a replica, or given to the devices they belong to. */
  readonly repairing: number
  /** Of what moves; null: not known. */
  readonly bytesPerSecond: number | null
  /** Milliseconds until both are done, by how it went lately; null: not known yet. */
  readonly remainingMs: number | null
}

/** `refusing`: some names cannot be written now. */
export const HEALTHS = ['well', 'degraded', 'refusing'] as const
export type Health = (typeof HEALTHS)[number]

export interface RegionStatus {
  readonly region: number
  readonly zones: readonly ZoneStatus[]
}

export interface ZoneStatus {
  readonly zone: number
  readonly nodes: readonly NodeStatus[]
}

export interface NodeStatus {
  /** `ip:port`. */
  readonly address: string
  /** Why it cannot be asked; empty if it answered. */
  readonly unreachable: string
  readonly devices: readonly DeviceView[]
}

export interface DeviceView {
  readonly name: string
  readonly weight: number
  /** Replicas of partitions that it is to hold, of all rings. */
  readonly partitions: number
  /** Null: its node did not answer, or does not know it. */
  readonly status: DeviceStatus | null
}

export interface RingStatus {
  readonly kind: ItemKind
  readonly policy: number
  readonly version: number
  readonly partitions: number
  readonly replicas: number
  /** Partitions of which some replica cannot be reached now. */
  readonly degraded: number
  /** Of these, those without a majority: their names cannot be written. */
  readonly refusing: number
  /** Partitions of which a replica is on its way to another device. */
  readonly moving: number
}

export interface StatusReaderOptions {
  /** The rings as they are now. */
  readonly placements: () => readonly Placement[]
  readonly nodeOf: (device: RingDevice) => StorageNode
  readonly clock: Clock
  /** What the keeper of the rings says; null: nothing was moved yet. */
  readonly movement?: () => Promise<MovementView | null>
  /** How long a node may take. */
  readonly answerMs?: number
  /** Who asks again within this time gets the same answer. */
  readonly keptMs?: number
}

const DEFAULTS = { answerMs: 2_000, keptMs: 1_000 }
const NODES_AT_ONCE = 32

/** Reads the state of the cluster; whoever asks while it is being read waits for the same answer. */
export class StatusReader {
  readonly #options: StatusReaderOptions & typeof DEFAULTS
  readonly #remaining = new RemainingTime()
  #reading: Promise<ClusterStatus> | null = null
  #readAtMs = Number.NEGATIVE_INFINITY

  constructor(options: StatusReaderOptions) {
    this.#options = { ...DEFAULTS, ...options }
  }

  /** Never takes much longer than `answerMs`, whoever is away. */
  read(): Promise<ClusterStatus> {
    const { clock, keptMs } = this.#options
    if (this.#reading === null || clock.monotonicMs() - this.#readAtMs > keptMs) {
      const reading = this.#read().catch((error: unknown) => {
        if (this.#reading === reading) this.#reading = null
        throw error
      })
      this.#reading = reading
      // Until it is there nobody asks anew.
      this.#readAtMs = Number.POSITIVE_INFINITY
      const done = () => {
        if (this.#reading === reading) this.#readAtMs = clock.monotonicMs()
      }
      reading.then(done, done)
    }
    return this.#reading
  }

  async #read(): Promise<ClusterStatus> {
    const { placements, clock } = this.#options
    const rings = placements()
    const answers = await this.#ask(devicesOf(rings))
    const movement = (await this.#options.movement?.()) ?? null
    const status = await describeCluster(rings, answers, clock.nowMs(), movement)
    const { work } = status
    const left = work.moving + work.repairing
    const estimateMs = this.#remaining.observe(clock.monotonicMs(), left)
    return { ...status, work: { ...work, remainingMs: work.remainingMs ?? estimateMs } }
  }

  async #ask(devices: readonly RingDevice[]): Promise<NodeAnswers> {
    const { nodeOf, clock, answerMs } = this.#options
    const byAddress = new Map(devices.map((device) => [addressOf(device), device]))
    const answers = new Map<string, NodeAnswer>()
    await forEachParallel(byAddress, NODES_AT_ONCE, async ([address, device]) => {
      try {
        const found = await withDeadline(nodeOf(device).status(), clock, answerMs)
        answers.set(address, new Map(found.map((status) => [status.device, status])))
      } catch (error) {
        answers.set(address, reasonOf(error))
      }
    })
    return answers
  }
}

/** What is behind it: `connect ECONNREFUSED 127.0.0.1:6200` says more than that there is no answer. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? reasonOf(error.cause) : error.message || error.name
}

/** The devices of a node by name, or why it did not answer. */
export type NodeAnswer = ReadonlyMap<string, DeviceStatus> | string
/** By `ip:port`. */
export type NodeAnswers = ReadonlyMap<string, NodeAnswer>

/** What the answers add up to. */
export async function describeCluster(
  placements: readonly Placement[],
  answers: NodeAnswers,
  nowMs: number,
  movement: MovementView | null = null,
): Promise<ClusterStatus> {
  const devices = devicesOf(placements)
  const statusOf = (device: RingDevice) => {
    const answer = answers.get(addressOf(device))
    return answer === undefined || typeof answer === 'string'
      ? null
      : (answer.get(device.device) ?? null)
  }
  const away = new Set(devices.filter((device) => !serves(statusOf(device))).map(deviceLabel))
  const placed = placedCounts(placements)
  const rings: RingStatus[] = []
  for (const placement of placements) {
    const { kind, policy, ring } = placement
    rings.push({
      kind,
      policy,
      version: ring.version,
      partitions: ring.partitionCount,
      replicas: ring.replicaCount,
      ...(await partitionCounts(placement, away)),
    })
  }
  const regions = treeOf(devices, (device) => ({
    name: device.device,
    weight: device.weight,
    partitions: placed.get(deviceLabel(device)) ?? 0,
    status: statusOf(device),
  })).map(withAnswers(answers))
  const known = devices.flatMap((device) => statusOf(device) ?? [])
  const troubles = movement === null || movement.left === 0 ? [] : movement.troubles
  const findings = findingsOf({ regions, rings, troubles, nowMs })
  return {
    takenAtMs: nowMs,
    health: rings.some(({ refusing }) => refusing > 0)
      ? 'refusing'
      : findings.some(({ severity }) => severity !== 'note')
        ? 'degraded'
        : 'well',
    findings,
    regions,
    rings,
    bytesUsed: sum(known, ({ bytesTotal, bytesFree }) => Math.max(0, bytesTotal - bytesFree)),
    bytesTotal: sum(known, ({ bytesTotal }) => bytesTotal),
    work: {
      moving: movement?.left ?? sum(rings, ({ moving }) => moving),
      repairing: sum(known, ({ replication }) =>
        replication === undefined ? 0 : replication.differing + replication.handoffs,
      ),
      bytesPerSecond: movement?.bytesPerSecond ?? null,
      remainingMs:
        movement === null || movement.left === 0 || movement.secondsLeft === null
          ? null
          : movement.secondsLeft * 1000,
    },
  }
}

/** Whether a device in this state answers reads, and votes. */
function serves(status: DeviceStatus | null): boolean {
  return status !== null && status.state !== 'offline' && status.learning !== true
}

/** All devices of the rings, those of rings before included, once each. */
function devicesOf(placements: readonly Placement[]): readonly RingDevice[] {
  const byLabel = new Map<string, RingDevice>()
  for (const { ring, previous } of placements) {
    for (const device of [...(previous?.devices ?? []), ...ring.devices]) {
      if (device !== null) byLabel.set(deviceLabel(device), device)
    }
  }
  return [...byLabel.values()]
}

function addressOf({ ip, port }: RingDevice): string {
  return `${ip.includes(':') ? `[${ip}]` : ip}:${port}`
}

function treeOf(
  devices: readonly RingDevice[],
  viewOf: (device: RingDevice) => DeviceView,
): readonly RegionStatus[] {
  return groups(devices, ({ region }) => region).map(([region, inRegion]) => ({
    region,
    zones: groups(inRegion, ({ zone }) => zone).map(([zone, inZone]) => ({
      zone,
      nodes: groups(inZone, addressOf).map(([address, onNode]) => ({
        address,
        unreachable: '',
        devices: onNode.map(viewOf).sort((a, b) => compare(a.name, b.name)),
      })),
    })),
  }))
}

function withAnswers(answers: NodeAnswers): (region: RegionStatus) => RegionStatus {
  const withAnswer = (node: NodeStatus): NodeStatus => {
    const answer = answers.get(node.address)
    return { ...node, unreachable: typeof answer === 'string' ? answer : '' }
  }
  return ({ region, zones }) => ({
    region,
    zones: zones.map(({ zone, nodes }) => ({ zone, nodes: nodes.map(withAnswer) })),
  })
}

/** In order of their keys. */
function groups<T, K extends string | number>(
  items: readonly T[],
  keyOf: (item: T) => K,
): readonly (readonly [K, readonly T[]])[] {
  const byKey = new Map<K, T[]>()
  for (const item of items) {
    const group = byKey.get(keyOf(item))
    if (group === undefined) byKey.set(keyOf(item), [item])
    else group.push(item)
  }
  return [...byKey].sort(([a], [b]) => compare(a, b))
}

/** Numbers within names by their value: disk2 before disk10. */
function compare(a: string | number, b: string | number): number {
  return String(a).localeCompare(String(b), 'en', { numeric: true })
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}
