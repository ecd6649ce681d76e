import { openLocalNode } from '../storage-node/local-node.ts'
import { serveStorageNode } from '../storage-node/server/node-server.ts'
import { readClusterKey } from './data-folder.ts'
import { explainDeviceInUse } from './device-holder.ts'
import type { StorageNodeConfig } from './node-config.ts'
import { checkPortFree, explainListenError } from './ports.ts'
import type { UpContext } from './up.ts'

export interface RunningStorageNode {
  readonly port: number
  close(): Promise<void>
}

/** One storage node, for proxies in other processes. */
export async function startStorageNode(
  config: StorageNodeConfig,
  context: UpContext,
): Promise<RunningStorageNode> {
  const { host, port, devices, segmentBytes } = config
  const clusterKey = await readClusterKey(config.clusterKeyFile)
  await checkPortFree(host, port)
  const node = await openLocalNode({
    ...context,
    devices,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
  }).catch((error: unknown) => {
    throw explainDeviceInUse(
      error,
      devices.map((device) => device.path),
    )
  })
  try {
    const server = await serveStorageNode(node, { ...context, host, port, clusterKey })
    return {
      port: server.port,
      async close() {
        await server.close()
        await node.close()
      },
    }
  } catch (error) {
    await node.close()
    throw explainListenError(error, { host, port })
  }
}
