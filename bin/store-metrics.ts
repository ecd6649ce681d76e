import { Counter, Gauge, type Registry } from 'prom-client'
import type { StorageNode } from '../common/storage-node.ts'
import type { BackendCounters } from '../proxy/backend/counters.ts'

const COUNTER_HELP: Readonly<Record<keyof BackendCounters, string>> = {
  handoffCopies: 'Copies written to a handoff because a primary failed',
  readRepairs: 'Replicas that a read found behind and brought up to date',
  restamps: 'Writes answered with a fresh stamp because something newer was there',
  prepares: 'Ballots that were prepared: conditional writes, recoveries, completions',
  completions: 'Records of others that were made to hold at a majority before they were shown',
  contested: 'Plain writes that some replicas refused and others may have accepted',
  rowsProbed: 'Rows that a listing compared with their object',
  settled: 'Unconfirmed rows and items that were settled',
  orphansRemoved: 'Objects removed because their container was gone',
  totalsWritten: 'Account rows written with new totals',
  expired: 'Objects that the expirer deleted',
}

/** Shows what the backend counts, read when the page is asked for. */
export function exposeBackend(registry: Registry, counters: BackendCounters): void {
  for (const [field, help] of Object.entries(COUNTER_HELP)) {
    const snake = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    new Counter({
      name: `swiftlet_backend_${snake}_total`,
      help,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(counters[field as keyof BackendCounters])
      },
    })
  }
}

/** Shows the devices of a local storage node. */
export function exposeDevices(registry: Registry, node: StorageNode): void {
  // The threads of a node see the same disk, but each its own shards: hence how they add up.
  const gauge = (name: string, help: string, aggregator: 'sum' | 'min') =>
    new Gauge({
      name: `swiftlet_device_${name}`,
      help,
      labelNames: ['device'],
      registers: [registry],
      aggregator,
    })
  const bytesFree = gauge('free_bytes', 'Bytes an ordinary user may still write', 'min')
  const segments = gauge('segments', 'Segment files', 'sum')
  const damage = gauge('damage', 'Places where damage was found', 'sum')
  new Gauge({
    name: 'swiftlet_device_online',
    help: '1 if the device takes reads and writes',
    labelNames: ['device'],
    registers: [registry],
    aggregator: 'min',
    async collect() {
      for (const status of await node.status()) {
        const labels = { device: status.device }
        this.set(labels, status.state === 'online' ? 1 : 0)
        bytesFree.set(labels, status.bytesFree)
        segments.set(labels, status.segments)
        damage.set(labels, status.damage.length)
      }
    },
  })
}
