import { Counter, Gauge, type Registry } from 'prom-client'
import type { DeviceStatus, ReplicationStatus } from '../common/storage-node.ts'
import type { BackendCounters } from '../proxy/backend/counters.ts'
import type { LocalNode } from '../storage-node/local-node.ts'
import type { SyncCounters } from '../storage-node/replicator/partition-sync.ts'

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
  for (const [field, help] of Object.entries<string>(helpOf)) {
    const snake = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    new Counter({
      name: `swiftlet_${area}_${snake}_total`,
      help,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(counters[field as T])
      },
    })
  }
}

/** Shows the devices of a local storage node. */
export function exposeDevices(registry: Registry, node: Pick<LocalNode, 'ownStatus'>): void {
  const gauge = gaugesOf(registry, 'device', node)
  // The threads of a node see the same disk, but each its own shards: hence how they add up.
  gauge('free_bytes', 'Bytes an ordinary user may still write', 'min', (of) => of.bytesFree)
  gauge('total_bytes', 'Size of the file system', 'min', (of) => of.bytesTotal)
  gauge('segments', 'Segment files', 'sum', (of) => of.segments)
  gauge('damage', 'Places where damage was found', 'sum', (of) => of.damage.length)
  gauge('online', '1 if the device takes reads and writes', 'min', (of) =>
    of.state === 'online' ? 1 : 0,
  )
}

/** Makes gauges of a node's devices. All gauges of a page show one reading, and that of this page. */
function gaugesOf(registry: Registry, area: string, node: Pick<LocalNode, 'ownStatus'>) {
  let reading: ReturnType<LocalNode['ownStatus']> | null = null
  const read = () => {
    reading ??= node.ownStatus().finally(() => {
      reading = null
    })
    return reading
  }
  return (
    name: string,
    help: string,
    aggregator: 'sum' | 'min' | 'max',
    /** Undefined: there is nothing to be shown. */
    sampleOf: (status: DeviceStatus) => number | undefined,
  ): Gauge =>
    new Gauge({
      name: `swiftlet_${area}_${name}`,
      help,
      labelNames: ['device'],
      registers: [registry],
      aggregator,
      async collect() {
        for (const status of await read()) {
          const sample = sampleOf(status)
          if (sample !== undefined) this.set({ device: status.device }, sample)
        }
      },
    })
}

type ReplicationCount = Exclude<keyof ReplicationStatus, 'passedAtMs' | 'passMs' | 'inStepAtMs'>

const REPLICATION_GAUGES: Readonly<Record<ReplicationCount, string>> = {
  compared: 'Partitions compared in the last pass, once for each peer',
  differing: 'Of these, partitions in which the peer lacked something',
  unreachable: 'Of these, partitions whose peer could not be asked',
  handoffs: 'Partitions that the device holds for others',
  damaged: 'Damaged records that wait for their repair',
}

/** Shows how far the devices of a node are in step with their replicas. */
export function exposeReplication(
  registry: Registry,
  node: Pick<LocalNode, 'ownStatus'>,
  counters: SyncCounters,
): void {
  exposeCounters(registry, 'replication', counters, REPLICATION_COUNTER_HELP)
  const gauge = gaugesOf(registry, 'replication', node)
  for (const [field, help] of Object.entries(REPLICATION_GAUGES)) {
    gauge(field, help, 'sum', (of) => of.replication?.[field as ReplicationCount])
  }
  gauge('pass_seconds', 'How long the last pass took', 'max', (of) =>
    seconds(of.replication?.passMs),
  )
  gauge(
    'in_step_at_seconds',
    'When a pass last found nothing to do and everybody there, in seconds since 1970; 0: none has since the start',
    'min',
    (of) => seconds(of.replication?.inStepAtMs),
  )
  gauge('passed_at_seconds', 'When the last pass ended, in seconds since 1970', 'min', (of) =>
    seconds(of.replication?.passedAtMs),
  )
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000
}
