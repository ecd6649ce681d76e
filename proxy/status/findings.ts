/** What an operator should look at, in words: pure. */
import type { DeviceStatus } from '../../common/storage-node.ts'
import type { DeviceView, NodeStatus, RegionStatus, RingStatus } from './cluster-status.ts'
import { agoText, countText } from './quantity-text.ts'

/** `alarm`: somebody has to do something now; `warning`: soon; `note`: the cluster sees to it itself. */
export const SEVERITIES = ['alarm', 'warning', 'note'] as const
export type Severity = (typeof SEVERITIES)[number]

export interface Finding {
  readonly severity: Severity
  /** What it is about: a device, a node, a ring. */
  readonly where: string
  readonly text: string
}

/** A device is as good as full: time to add another. */
const FULLNESS_MAX = 0.85
/** A device that has not been in step for so long is behind. */
const BEHIND_MS_MAX = 3600 * 1000
const SCRUB_MS_MAX = 14 * 24 * 3600 * 1000

/** The gravest first. */
export function findingsOf(cluster: {
  readonly regions: readonly RegionStatus[]
  readonly rings: readonly RingStatus[]
  /** Of what moves between devices. */
  readonly troubles: readonly string[]
  readonly nowMs: number
}): readonly Finding[] {
  const nodes = cluster.regions.flatMap(({ zones }) => zones.flatMap((zone) => zone.nodes))
  const findings = [
    ...cluster.rings.flatMap(ringFindings),
    ...cluster.troubles.map((text) => warning('movement', text)),
    ...nodes.flatMap((node) => nodeFindings(node, cluster.nowMs)),
  ]
  return SEVERITIES.flatMap((severity) => findings.filter((found) => found.severity === severity))
}

/** `object`, `object-1`. */
export function ringName({ kind, policy }: Pick<RingStatus, 'kind' | 'policy'>): string {
  return policy === 0 ? kind : `${kind}-${policy}`
}

function ringFindings(ring: RingStatus): readonly Finding[] {
  const where = `${ringName(ring)} ring`
  const of = `of ${countText(ring.partitions)} partitions`
  return [
    ...(ring.refusing > 0
      ? [alarm(where, `${countText(ring.refusing)} ${of} have no majority: writes are refused`)]
      : []),
    ...(ring.degraded > ring.refusing
      ? [
          warning(
            where,
            `${countText(ring.degraded - ring.refusing)} ${of} have a replica that cannot be reached`,
          ),
        ]
      : []),
    ...(ring.moving > 0
      ? [note(where, `${countText(ring.moving)} ${of} are moving to another device`)]
      : []),
  ]
}

function nodeFindings(node: NodeStatus, nowMs: number): readonly Finding[] {
  if (node.unreachable !== '') {
    return [alarm(node.address, `does not answer: ${node.unreachable}`)]
  }
  return node.devices.flatMap((device) => deviceFindings(node, device, nowMs))
}

function deviceFindings(
  { address }: NodeStatus,
  { name, status, partitions }: DeviceView,
  nowMs: number,
): readonly Finding[] {
  const where = `${address}/${name}`
  if (status === null) return [alarm(where, 'is in the ring, and its node does not know it')]
  return [
    ...stateFindings(where, status),
    ...(partitions > 0 ? replicationFindings(where, status, nowMs) : []),
    ...scrubFindings(where, status, nowMs),
  ]
}

function stateFindings(where: string, status: DeviceStatus): readonly Finding[] {
  const { state, reason, damage } = status
  const findings: Finding[] = []
  if (state === 'offline') findings.push(alarm(where, `is offline: ${reason}`))
  if (state === 'read-only') findings.push(alarm(where, `takes no writes: ${reason}`))
  if (status.learning === true) findings.push(note(where, `does not vote yet: ${reason}`))
  if (state === 'full') findings.push(alarm(where, 'is full'))
  else if (fullnessOf(status) > FULLNESS_MAX) {
    findings.push(warning(where, `is ${Math.round(fullnessOf(status) * 100)} % full`))
  }
  if (damage.length > 0) {
    const waiting = status.replication?.damaged ?? 0
    const repaired = waiting === 0 ? 'nothing waits for repair' : `${waiting} wait for repair`
    const first = damage[0]!
    findings.push(
      warning(where, `damage at ${countText(damage.length)} places (${first}); ${repaired}`),
    )
  }
  return findings
}

function replicationFindings(
  where: string,
  { replication }: DeviceStatus,
  nowMs: number,
): readonly Finding[] {
  if (replication === undefined || replication.passedAtMs === 0) return []
  const { differing, unreachable, handoffs, inStepAtMs } = replication
  const open = [
    ...(differing > 0 ? [`${countText(differing)} partitions differ from a replica's`] : []),
    ...(unreachable > 0 ? [`${countText(unreachable)} could not be compared`] : []),
    ...(handoffs > 0 ? [`${countText(handoffs)} are held for others`] : []),
  ]
  if (open.length === 0) return []
  const isLong = inStepAtMs > 0 && nowMs - inStepAtMs > BEHIND_MS_MAX
  const since = inStepAtMs === 0 ? '' : `; in step ${agoText(nowMs - inStepAtMs)}`
  return [{ severity: isLong ? 'warning' : 'note', where, text: `${open.join(', ')}${since}` }]
}

function scrubFindings(where: string, { scrub }: DeviceStatus, nowMs: number): readonly Finding[] {
  if (scrub === undefined || scrub.endedAtMs === 0) return []
  const ageMs = nowMs - scrub.endedAtMs
  return ageMs > SCRUB_MS_MAX ? [warning(where, `was verified last ${agoText(ageMs)}`)] : []
}

/** From 0 to 1. */
export function fullnessOf(status: Pick<DeviceStatus, 'bytesTotal' | 'bytesFree'>): number {
  const { bytesTotal, bytesFree } = status
  if (bytesTotal <= 0) return 0
  return Math.min(1, Math.max(0, 1 - bytesFree / bytesTotal))
}

function alarm(where: string, text: string): Finding {
  return { severity: 'alarm', where, text }
}

function warning(where: string, text: string): Finding {
  return { severity: 'warning', where, text }
}

function note(where: string, text: string): Finding {
  return { severity: 'note', where, text }
}
