/** What runs by itself, for Prometheus: the backend's daemons and jobs, and the upkeep of devices. */
import type { Registry } from 'prom-client'
import type { DeviceStatus } from '../common/storage-node.ts'
import type { BackendActivity } from '../proxy/backend/cluster-backend.ts'
import type { PassStatus } from '../proxy/backend/periodic-pass.ts'
import type { LocalNode } from '../storage-node/local-node.ts'
import { counter, expose, type Figure, gauge, secondsOf } from './figures.ts'

const DAEMONS: readonly Figure<PassStatus>[] = [
  counter('swiftlet_daemon_passes_total', 'Passes of a daemon', ({ passes }) => passes),
  counter('swiftlet_daemon_failures_total', 'Passes that failed', ({ failures }) => failures),
  gauge('swiftlet_daemon_pass_seconds', 'How long the last pass took', 'max', ({ passMs }) =>
    secondsOf(passMs),
  ),
  gauge(
    'swiftlet_daemon_passed_at_seconds',
    'When the last pass ended, in seconds since 1970; 0: none has',
    'min',
    ({ passedAtMs }) => secondsOf(passedAtMs),
  ),
  gauge(
    'swiftlet_daemon_waiting',
    'What a daemon knew of and had not done, as of its last pass',
    'sum',
    ({ waiting }) => waiting,
  ),
]

const JOBS: readonly Figure<BackendActivity>[] = [
  gauge(
    'swiftlet_backend_jobs_waiting',
    'Jobs that no answer waits for: copies on handoffs, repair of replicas',
    'sum',
    ({ jobsWaiting }) => jobsWaiting,
  ),
  counter(
    'swiftlet_backend_jobs_dropped_total',
    'Jobs that did not fit in the queue: found again later',
    ({ jobsDropped }) => jobsDropped,
  ),
  counter('swiftlet_backend_jobs_failed_total', 'Jobs that failed', (of) => of.jobsFailed),
  gauge(
    'swiftlet_backend_devices_left_alone',
    'Devices that are not asked for a while after failures in a row',
    'max',
    ({ devicesLeftAlone }) => devicesLeftAlone,
  ),
]

type Scrub = NonNullable<DeviceStatus['scrub']>
type Compaction = NonNullable<DeviceStatus['compaction']>

const SCRUB: readonly Figure<Scrub>[] = [
  gauge('swiftlet_scrub_running', '1 while the device is being verified', 'max', (of) =>
    of.isRunning ? 1 : 0,
  ),
  gauge(
    'swiftlet_scrub_ended_at_seconds',
    'When the device was last verified whole, in seconds since 1970; 0: not since the start',
    'min',
    ({ endedAtMs }) => secondsOf(endedAtMs),
  ),
  gauge('swiftlet_scrub_pass_seconds', 'How long that took', 'max', (of) => secondsOf(of.passMs)),
  gauge('swiftlet_scrub_bytes', 'Bytes that were verified', 'sum', ({ bytes }) => bytes),
  gauge('swiftlet_scrub_damaged', 'Damaged records that were found', 'sum', (of) => of.damaged),
]

const COMPACTION: readonly Figure<Compaction>[] = [
  counter(
    'swiftlet_compaction_segments_total',
    'Segments emptied and removed',
    (of) => of.segments,
  ),
  counter(
    'swiftlet_compaction_moved_bytes_total',
    'Bytes copied because they are still wanted',
    ({ movedBytes }) => movedBytes,
  ),
  counter('swiftlet_compaction_freed_bytes_total', 'Bytes that became free', (of) => of.freedBytes),
  counter('swiftlet_compaction_failures_total', 'Compactions that failed', (of) => of.failures),
]

/** Shows what the backend does by itself. */
export function exposeActivity(registry: Registry, activity: () => BackendActivity): void {
  expose(registry, DAEMONS, 'daemon', () =>
    activity().daemons.map((status) => [status.name, status] as const),
  )
  expose(registry, JOBS, null, () => [['', activity()]])
}

/** Shows the upkeep of a node's devices. */
export function exposeUpkeep(registry: Registry, node: Pick<LocalNode, 'ownStatus'>): void {
  expose(registry, SCRUB, 'device', () => partsOfDevices(node, ({ scrub }) => scrub))
  expose(registry, COMPACTION, 'device', () => partsOfDevices(node, ({ compaction }) => compaction))
}

/** A part of each device's status, by the device's name; none of those that lack it. */
export async function partsOfDevices<T>(
  node: Pick<LocalNode, 'ownStatus'>,
  of: (status: DeviceStatus) => T | undefined,
): Promise<readonly (readonly [string, T])[]> {
  return (await node.ownStatus()).flatMap((status) => {
    const part = of(status)
    return part === undefined ? [] : [[status.device, part] as const]
  })
}
