import { networkInterfaces } from 'node:os'
import type { Registry } from 'prom-client'
import type { Placement } from '../common/ring/placement.ts'
import type { RingDevice } from '../common/ring/ring.ts'
import type { StorageNode } from '../common/storage-node.ts'
import type { LocalNode } from '../storage-node/local-node.ts'
import { Replicator } from '../storage-node/replicator/replicator.ts'
import { exposeReplication } from './store-metrics.ts'
import type { UpContext } from './up.ts'

export interface ReplicationOptions {
  readonly node: LocalNode
  readonly placements: () => readonly Placement[]
  /** The name here of a device of the rings; null if it is another node's. */
  readonly ownName: (device: RingDevice) => string | null
  /** How rings would name a device that is in none of them; null: nobody knows. */
  readonly labelOf?: (name: string) => string | null
  readonly nodeOf: (device: RingDevice) => StorageNode
  /** Threads that share the node's devices, each with a replicator for its own shards. */
  readonly threads?: number
}

/** Of all devices of a node together. */
const BYTES_PER_SECOND = 50 * 1024 * 1024

/** Starts what keeps the node's devices in step with their replicas, and shows it in the metrics and in the node's status. */
export function startReplication(
  options: ReplicationOptions,
  context: UpContext & { readonly metrics: Registry },
): Replicator {
  const { node, threads = 1 } = options
  const { clock, log, metrics } = context
  const bytesPerSecond = BYTES_PER_SECOND / threads
  const replicator = new Replicator({ ...options, clock, log, bytesPerSecond })
  node.reportReplication((device) => replicator.status(device))
  exposeReplication(metrics, node, replicator.counters)
  replicator.start()
  return replicator
}

/** Says which devices of the rings are a node's own: by its port, its address and the names of its devices. */
export function ownDevices(node: {
  readonly host: string
  readonly port: number
  readonly address?: string
  readonly devices: readonly { readonly name: string }[]
}): (device: RingDevice) => string | null {
  const names = new Set(node.devices.map(({ name }) => name))
  const addresses = new Set(addressesOf(node.address ?? node.host))
  return ({ ip, port, device }) =>
    port === node.port && addresses.has(ip) && names.has(device) ? device : null
}

function addressesOf(host: string): readonly string[] {
  if (host !== '0.0.0.0' && host !== '::') return [host]
  return Object.values(networkInterfaces()).flatMap(
    (all) => all?.map(({ address }) => address) ?? [],
  )
}
