import type { Clock } from '../common/clock.ts'
import { createMetrics } from '../common/metrics.ts'
import { deviceLabel } from '../common/ring/placement.ts'
import { openLocalNode } from '../storage-node/local-node.ts'
import { NodeMember } from '../storage-node/node-member.ts'
import { RingGuard } from '../storage-node/ring-guard.ts'
import { serveStorageNode } from '../storage-node/server/node-server.ts'
import { exposeUpkeep } from './daemon-metrics.ts'
import { readClusterKey } from './data-folder.ts'
import { explainDeviceInUse } from './device-holder.ts'
import { placedNames } from './empty-disks.ts'
import { askNewestRings } from './newest-rings.ts'
import type { StorageNodeConfig } from './node-config.ts'
import { checkPortFree, explainListenError } from './ports.ts'
import { RemoteNodes } from './remote-nodes.ts'
import { ownDevices, startReplication } from './replication.ts'
import { type AskForRings, RingFolder } from './ring-folder.ts'
import { exposeDevices } from './store-metrics.ts'
import type { UpContext } from './up.ts'

export interface RunningStorageNode {
  readonly port: number
  close(): Promise<void>
}

/**
 * One storage node, for proxies in other processes. An empty disk on which the rings that it knows place something stands
 * for a lost one: it learns from its replicas before it votes. With `replacedDisks` every empty disk does, for a node that
 * has lost its rings, too. Otherwise an empty disk is that of a new cluster.
 */
export async function startStorageNode(
  config: StorageNodeConfig,
  context: UpContext,
  options: { readonly replacedDisks?: boolean } = {},
): Promise<RunningStorageNode> {
  const { host, port, devices, segmentBytes } = config
  const clusterKey = await readClusterKey(config.clusterKeyFile)
  await checkPortFree(host, port)
  const rings = new RingFolder(config.ringFolder, context)
  const guard = new RingGuard()
  rings.onChange((set) => guard.use(set))
  const ownName = ownDevices(config)
  const newDisks =
    options.replacedDisks === true
      ? new Set(devices.map(({ name }) => name))
      : placedNames(rings.current(), ownName)
  const node = await openLocalNode({
    ...context,
    devices,
    guard,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
    learns: { newDisks },
  }).catch((error: unknown) => {
    throw explainDeviceInUse(
      error,
      devices.map((device) => device.path),
    )
  })
  const peers = new RemoteNodes(clusterKey)
  const metrics = createMetrics()
  exposeDevices(metrics, node)
  exposeUpkeep(metrics, node)
  const replicator = startReplication(
    {
      node,
      placements: () => rings.current().placements,
      ownName,
      labelOf: (name) => labelOf(config, name),
      nodeOf: (device) => peers.of(device),
    },
    { ...context, metrics },
  )
  rings.onChange(({ placements }) => {
    // When a movement has ended, what was left behind is to be given away.
    if (placements.every(({ previous }) => previous === null)) replicator.wake()
  })
  // The keeper tells it of newer ones, as long as it is needed; besides, a person may copy them here.
  rings.watch(nowAndThen(askNewestRings(rings, peers, context.random), context.clock))
  const closeNode = async () => {
    rings.close()
    await replicator.stop()
    await peers.close()
    await node.close()
  }
  try {
    const server = await serveStorageNode(node, {
      ...context,
      host,
      port,
      clusterKey,
      member: new NodeMember({ node, rings, replicator }),
      metrics: () => metrics.metrics(),
    })
    return {
      port: server.port,
      async close() {
        await server.close()
        await closeNode()
      },
    }
  } catch (error) {
    await closeNode()
    throw explainListenError(error, { host, port })
  }
}

/** Who was away when the rings came to do without it would be told by nobody, and keep what it has. */
const ASK_MS = 15_000
const ASKED_MAX = 3

function nowAndThen(ask: AskForRings, clock: Clock): AskForRings {
  let nextMs = clock.monotonicMs() + ASK_MS
  return async (known) => {
    if (clock.monotonicMs() < nextMs) return null
    nextMs = clock.monotonicMs() + ASK_MS
    return ask(known, { nodesMax: ASKED_MAX })
  }
}

/** How rings would name one of its devices; null behind a wildcard. */
function labelOf({ address, host, port }: StorageNodeConfig, device: string): string | null {
  const ip = address ?? host
  return ip === '0.0.0.0' || ip === '::' ? null : deviceLabel({ ip, port, device })
}
