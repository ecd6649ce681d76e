import { ServiceError } from '../common/errors.ts'
import { createMetrics } from '../common/metrics.ts'
import { type LocalNode, openLocalNode } from '../storage-node/local-node.ts'
import type { Replicator } from '../storage-node/replicator/replicator.ts'
import { serveStorageNode } from '../storage-node/server/node-server.ts'
import { exposeUpkeep } from './daemon-metrics.ts'
import { readClusterKey } from './data-folder.ts'
import { explainDeviceInUse } from './device-holder.ts'
import type { StorageNodeConfig } from './node-config.ts'
import { checkPortFree, explainListenError } from './ports.ts'
import { RemoteNodes } from './remote-nodes.ts'
import { ownDevices, startReplication } from './replication.ts'
import { readPlacements } from './rings.ts'
import { exposeDevices } from './store-metrics.ts'
import type { UpContext } from './up.ts'

export interface RunningStorageNode {
  readonly port: number
  close(): Promise<void>
}

/**
 * One storage node, for proxies in other processes. With `replacedDisks`, empty disks stand for lost ones: they learn from
 * their replicas before they vote. Without, an empty disk is that of a new cluster.
 */
export async function startStorageNode(
  config: StorageNodeConfig,
  context: UpContext,
  options: { readonly replacedDisks?: boolean } = {},
): Promise<RunningStorageNode> {
  const { host, port, devices, segmentBytes } = config
  const newDisks = options.replacedDisks === true
  if (newDisks && config.ringFolder === undefined) {
    const message = 'without ringFolder nobody is known to learn from'
    throw new ServiceError('BadConfig', message, { status: 400 })
  }
  const clusterKey = await readClusterKey(config.clusterKeyFile)
  await checkPortFree(host, port)
  const node = await openLocalNode({
    ...context,
    devices,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
    ...(config.ringFolder === undefined ? {} : { learns: { newDisks } }),
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
  let replicator: Replicator | null = null
  const closeNode = async () => {
    await replicator?.stop()
    await peers.close()
    await node.close()
  }
  try {
    replicator = replicate(node, config, peers, { ...context, metrics })
    const server = await serveStorageNode(node, {
      ...context,
      host,
      port,
      clusterKey,
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

function replicate(
  node: LocalNode,
  config: StorageNodeConfig,
  peers: RemoteNodes,
  context: Parameters<typeof startReplication>[1],
): Replicator | null {
  const { ringFolder } = config
  if (ringFolder === undefined) {
    context.log.warn('no-replication', { reason: 'the config names no ringFolder' })
    return null
  }
  const placements = readPlacements(ringFolder)
  return startReplication(
    {
      node,
      placements: () => placements,
      ownName: ownDevices(config),
      nodeOf: (device) => peers.of(device),
    },
    context,
  )
}
