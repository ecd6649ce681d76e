import type { Registry } from 'prom-client'
import type { DeviceStatus, ReplicationStatus } from '../common/storage-node.ts'
import type { BackendCounters } from '../proxy/backend/counters.ts'
import type { LocalNode } from '../storage-node/local-node.ts'
import type { SyncCounters } from '../storage-node/replicator/partition-sync.ts'
import { partsOfDevices } from './daemon-metrics.ts'
import { counter, expose, type Figure, gauge, secondsOf } from './figures.ts'

const COUNTER_HELP: Readonly<Record<keyof BackendCounters, string>> = {
  handoffCopies: 'Copies written to a handoff because a primary failed',
  sloppyWrites: 'Writes of sloppy policies in which handoffs stood in for primaries',
  rowsDeferred: 'Rows of sloppy policies that their writers left to the settler',
  readRepairs: 'Replicas that a read found behind and brought up to date',
  restamps: 'Writes answered with a fresh stamp because something newer was there',
  prepares: 'Ballots that were prepared: conditional writes, recoveries, completions',
  completions: 'Records of others that were made to hold at a majority before they were shown',
  contested: 'Plain writes that some replicas refused and others may have accepted',
  rowsProbed: 'Rows that a listing compared with their object',
  settled: 'Unconfirmed rows and items that were settled',
  moved: 'Objects moved to the storage policy that their container has',
  orphansRemoved: 'Objects removed because their container was gone',
  totalsWritten: 'Account rows written with new totals',
  totalsCounted: 'Listings counted row by row, because their replicas lagged in different rows',
  expired: 'Objects that the expirer deleted',
  objectsReaped: 'Objects of deleted accounts that the reaper deleted',
  containersReaped: 'Containers of deleted accounts that the reaper deleted',
  accountsReaped: 'Deleted accounts that are empty and forgotten',
}

const REPLICATION_COUNTER_HELP: Readonly<Record<keyof SyncCounters, string>> = {
  recordsSent: 'Records that a device lacked and was sent',
  rowsSent: 'Rows of listings that a device lacked and was sent',
  bytesSent: 'Bytes of records and rows sent',
  refused: 'Records that a device did not take, because it has promised a higher ballot',
  conflicts: 'Registers with the same ballot and another write: must be 0',
  released: 'Records and rows given away to the devices they belong to',
  repaired: 'Damaged records written again from a replica',
  givenUp: 'Damaged records that no majority can have had, given up',
  reclaimed: 'Deletions forgotten, after all replicas had known them',
}

/** Shows what the backend counts, read when the page is asked for. */
export function exposeBackend(registry: Registry, counters: BackendCounters): void {
  exposeCounters(registry, 'backend', counters, COUNTER_HELP)
}

function exposeCounters<T extends string>(
  registry: Registry,
  area: string,
  counters: Readonly<Record<T, number>>,
  helpOf: Readonly<Record<T, string>>,
): void {
  const figures = Object.entries<string>(helpOf).map(([field, help]) => {
    const snake = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    const of = (from: typeof counters) => from[field as T]
    return counter(`swiftlet_${area}_${snake}_total`, help, of)
  })
  expose(registry, figures, null, () => [['', counters]])
}

// The threads of a node see the same disk, but each its own shards: hence how they add up.
const DEVICE: readonly Figure<DeviceStatus>[] = [
  gauge(
    'swiftlet_device_free_bytes',
    'Bytes an ordinary user may still write',
    'min',
    (of) => of.bytesFree,
  ),
  gauge('swiftlet_device_total_bytes', 'Size of the file system', 'min', (of) => of.bytesTotal),
  gauge('swiftlet_device_segments', 'Segment files', 'sum', (of) => of.segments),
  gauge('swiftlet_device_damage', 'Places where damage was found', 'sum', (of) => of.damage.length),
  gauge('swiftlet_device_online', '1 if the device takes reads and writes', 'min', (of) =>
    of.state === 'online' ? 1 : 0,
  ),
]

const REPLICATION: readonly Figure<ReplicationStatus>[] = [
  gauge(
    'swiftlet_replication_compared',
    'Partitions compared in the last pass, once for each peer',
    'sum',
    ({ compared }) => compared,
  ),
  gauge(
    'swiftlet_replication_differing',
    'Of these, partitions in which the peer lacked something',
    'sum',
    ({ differing }) => differing,
  ),
  gauge(
    'swiftlet_replication_unreachable',
    'Of these, partitions whose peer could not be asked',
    'sum',
    ({ unreachable }) => unreachable,
  ),
  gauge(
    'swiftlet_replication_handoffs',
    'Partitions that the device holds for others, and lists of which it has only rows',
    'sum',
    ({ handoffs }) => handoffs,
  ),
  gauge(
    'swiftlet_replication_damaged',
    'Damaged records that wait for their repair',
    'sum',
    ({ damaged }) => damaged,
  ),
  gauge('swiftlet_replication_pass_seconds', 'How long the last pass took', 'max', ({ passMs }) =>
    secondsOf(passMs),
  ),
  gauge(
    'swiftlet_replication_in_step_at_seconds',
    'When a pass last found nothing to do and everybody there, in seconds since 1970; 0: none has since the start',
    'min',
    ({ inStepAtMs }) => secondsOf(inStepAtMs),
  ),
  gauge(
    'swiftlet_replication_passed_at_seconds',
    'When the last pass ended, in seconds since 1970',
    'min',
    ({ passedAtMs }) => secondsOf(passedAtMs),
  ),
]

/** Shows the devices of a local storage node. */
export function exposeDevices(registry: Registry, node: Pick<LocalNode, 'ownStatus'>): void {
  expose(registry, DEVICE, 'device', () => partsOfDevices(node, (status) => status))
}

/** Shows how far the devices of a node are in step with their replicas. */
export function exposeReplication(
  registry: Registry,
  node: Pick<LocalNode, 'ownStatus'>,
  counters: SyncCounters,
): void {
  exposeCounters(registry, 'replication', counters, REPLICATION_COUNTER_HELP)
  expose(registry, REPLICATION, 'device', () =>
    partsOfDevices(node, ({ replication }) => replication),
  )
}
