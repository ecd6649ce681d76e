/** What Swift's recon says of servers, from what this cluster knows of itself: by Swift's names and units. Pure. */
import { createHash } from 'node:crypto'
import type { ItemHashing } from '../../common/item.ts'
import type { RingSet } from '../../common/ring/ring-set.ts'
import type { DeviceStatus } from '../../common/storage-node.ts'
import type { BackendActivity } from '../backend/cluster-backend.ts'
import type { ClusterStatus } from './cluster-status.ts'

/** What reports are made of. */
export interface ReconFacts {
  readonly status: ClusterStatus
  readonly rings: RingSet
  /** Of the backend of who answers. */
  readonly activity: BackendActivity
  readonly hashing: ItemHashing
}

type Report = (facts: ReconFacts) => unknown

/** By their path below `/recon/`. What is null is not there in this software, or was not done yet. */
export const RECON_REPORTS: Readonly<Record<string, Report>> = {
  devices: ({ status }) =>
    Object.fromEntries(
      nodesOf(status).map(({ address, devices }) => [address, devices.map(({ name }) => name)]),
    ),
  unmounted: (facts) => disksOf(facts).flatMap((disk) => (disk.isThere ? [] : [unmountedOf(disk)])),
  diskusage: (facts) => disksOf(facts).map(usageOf),
  quarantined: (facts) => quarantinedOf(knownDevices(facts)),
  driveaudit: (facts) => ({
    drive_audit_errors: disksOf(facts).filter(({ isWell }) => !isWell).length,
  }),
  ringmd5: ({ rings }) =>
    Object.fromEntries(
      rings.placements.map(({ kind, policy, ring }) => [
        kind === 'object' ? `object-${policy}.ring` : `${kind}.ring`,
        ring.md5,
      ]),
    ),
  swiftconfmd5: ({ hashing }) => ({ 'swiftlet.json': md5(JSON.stringify(hashing)) }),
  async: ({ activity }) => {
    const settle = daemonOf(activity, 'settle')
    const waiting = activity.jobsWaiting + (settle?.waiting ?? 0)
    return { async_pending: waiting, async_pending_last: secondsOrNull(settle?.passedAtMs) }
  },
  'updater/container': ({ activity }) => ({
    container_updater_sweep: secondsOrNull(daemonOf(activity, 'totals')?.passMs),
  }),
  'updater/object': ({ activity }) => {
    const settle = daemonOf(activity, 'settle')
    return {
      object_updater_sweep: secondsOrNull(settle?.passMs),
      object_updater_stats: null,
      object_updater_last: secondsOrNull(settle?.passedAtMs),
    }
  },
  'expirer/object': ({ activity }) => ({
    object_expiration_pass: secondsOrNull(daemonOf(activity, 'expire')?.passMs),
    expired_last_pass: null,
  }),
  replication: (facts) => objectReplication(facts),
  'replication/account': (facts) => replicationOf(facts),
  'replication/container': (facts) => replicationOf(facts),
  'replication/object': (facts) => objectReplication(facts),
  'auditor/account': (facts) => listAudits(facts, 'account'),
  'auditor/container': (facts) => listAudits(facts, 'container'),
  'auditor/object': (facts) => ({
    object_auditor_stats_ALL: auditOf(facts),
    object_auditor_stats_ZBF: null,
  }),
  sharding: () => ({ sharding_stats: null, sharding_time: null, sharding_last: null }),
  relinker: () => ({}),
  'reconstruction/object': () => ({
    object_reconstruction_last: null,
    object_reconstruction_time: null,
  }),
}

interface Disk {
  readonly device: string
  readonly isThere: boolean
  /** Takes reads and writes. */
  readonly isWell: boolean
  readonly reason: string
  readonly bytesTotal: number
  readonly bytesFree: number
}

function nodesOf({ regions }: ClusterStatus) {
  return regions.flatMap(({ zones }) => zones.flatMap(({ nodes }) => nodes))
}

function disksOf({ status }: ReconFacts): Disk[] {
  return nodesOf(status).flatMap(({ address, unreachable, devices }) =>
    devices.map(({ name, status: found }) => ({
      device: `${address}/${name}`,
      isThere: found !== null && found.state !== 'offline',
      isWell: found?.state === 'online',
      reason: unreachable || found?.reason || '',
      bytesTotal: found?.bytesTotal ?? 0,
      bytesFree: found?.bytesFree ?? 0,
    })),
  )
}

function knownDevices({ status }: ReconFacts): DeviceStatus[] {
  return nodesOf(status).flatMap(({ devices }) => devices.flatMap((device) => device.status ?? []))
}

function unmountedOf({ device, reason }: Disk) {
  return { device, mounted: reason || false }
}

function usageOf(disk: Disk) {
  if (!disk.isThere) return { ...unmountedOf(disk), size: '', used: '', avail: '' }
  const { device, bytesTotal, bytesFree } = disk
  const used = Math.max(0, bytesTotal - bytesFree)
  return { device, mounted: true, size: bytesTotal, used, avail: bytesFree }
}

/** Damage is of records, whatever they are of. */
function quarantinedOf(devices: readonly DeviceStatus[]) {
  const objects = sum(devices.map(({ damage }) => damage.length))
  return { objects, containers: 0, accounts: 0, policies: { 0: { objects } } }
}

/** All kinds of records are compared in one pass: the slowest device's, and what all of them found. */
function replicationOf(facts: ReconFacts) {
  const found = knownDevices(facts).flatMap(({ replication }) => replication ?? [])
  if (found.length === 0 || found.some(({ passedAtMs }) => passedAtMs === 0)) {
    return { replication_time: null, replication_stats: null, replication_last: null }
  }
  const attempted = sum(found.map(({ compared }) => compared))
  const failure = sum(found.map(({ unreachable }) => unreachable))
  return {
    replication_time: seconds(Math.max(...found.map(({ passMs }) => passMs))),
    replication_stats: {
      attempted,
      success: attempted - failure,
      failure,
      diff: sum(found.map(({ differing }) => differing)),
      handoffs: sum(found.map(({ handoffs }) => handoffs)),
    },
    replication_last: seconds(Math.min(...found.map(({ passedAtMs }) => passedAtMs))),
  }
}

/** Swift tells the time of objects in minutes. */
function objectReplication(facts: ReconFacts) {
  const found = replicationOf(facts)
  const time = found.replication_time === null ? null : found.replication_time / 60
  return {
    ...found,
    replication_time: time,
    object_replication_time: time,
    object_replication_last: found.replication_last,
  }
}

function auditOf(facts: ReconFacts) {
  const found = knownDevices(facts).flatMap(({ scrub }) => scrub ?? [])
  if (found.length === 0 || found.some(({ endedAtMs }) => endedAtMs === 0)) return null
  return {
    audit_time: seconds(Math.max(...found.map(({ passMs }) => passMs))),
    start_time: seconds(Math.min(...found.map(({ endedAtMs, passMs }) => endedAtMs - passMs))),
    bytes_processed: sum(found.map(({ bytes }) => bytes)),
    errors: 0,
    quarantined: sum(found.map(({ damaged }) => damaged)),
  }
}

/** Records of all kinds are verified in one pass. */
function listAudits(facts: ReconFacts, kind: 'account' | 'container') {
  const found = auditOf(facts)
  return {
    [`${kind}_audits_passed`]: null,
    [`${kind}_auditor_pass_completed`]: found?.audit_time ?? null,
    [`${kind}_audits_since`]: found?.start_time ?? null,
    [`${kind}_audits_failed`]: found?.quarantined ?? null,
  }
}

function daemonOf({ daemons }: BackendActivity, name: string) {
  return daemons.find((daemon) => daemon.name === name)
}

function seconds(ms: number): number {
  return ms / 1000
}

/** Null for what was not done yet. */
function secondsOrNull(ms: number | undefined): number | null {
  return ms === undefined || ms === 0 ? null : seconds(ms)
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex')
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}
