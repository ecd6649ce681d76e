import { ServiceError } from '../common/errors.ts'
import { createMetrics } from '../common/metrics.ts'
import type { RingDevice } from '../common/ring/ring.ts'
import { readTextFile } from '../common/whole-file.ts'
import type { MovementStatus } from '../ring-builder/movement/keeper.ts'
import { openDoor } from './assemble.ts'
import { movementView } from './cluster-status.ts'
import { dataPaths, readClusterKey } from './data-folder.ts'
import { readRootSecrets, readS3Keys } from './encryption-keys.ts'
import { type Endpoints, endpointsOf } from './endpoints.ts'
import { accessElsewhere } from './identity/identity-access.ts'
import { openIdentity } from './identity/open-identity.ts'
import { askNewestRings } from './newest-rings.ts'
import type { ProxyConfig } from './node-config.ts'
import { explainListenError } from './ports.ts'
import { projectVersion } from './project.ts'
import { RemoteNodes } from './remote-nodes.ts'
import { RingFolder } from './ring-folder.ts'
import { startKeeper } from './ring-keeper.ts'
import { requireRings } from './rings.ts'
import { decodeSettings, type Settings } from './settings.ts'
import { readTls } from './tls.ts'
import type { UpContext } from './up.ts'

export interface RunningProxy {
  readonly endpoints: Endpoints
  /** How far the movement of partitions is; null unless this proxy keeps the rings. */
  movement(): MovementStatus | null
  close(): Promise<void>
}

/** Settings of an identity service that nobody starts here would mean nothing, and its users would not be let in. */
function requireUrl({ identity }: Settings, path: string): void {
  if (identity === undefined || identity.url !== undefined) return
  const message = `${path}: identity needs a url: only \`swiftlet up\` and \`swiftlet identity serve\` start an identity service`
  throw new ServiceError('BadConfig', message, { status: 400 })
}

/** A proxy whose storage nodes are all in other processes, at the addresses that the rings name. */
export async function startProxy(config: ProxyConfig, context: UpContext): Promise<RunningProxy> {
  const { host, port } = config
  const paths = dataPaths(config.dataFolder)
  const text = await readTextFile(paths.settings)
  if (text === null) {
    throw new ServiceError('NoConfig', `${paths.settings}: there is no such file`, { status: 404 })
  }
  const settings = decodeSettings(text, paths.settings)
  requireUrl(settings, paths.settings)
  const encryption = await readRootSecrets(settings, paths)
  const s3Keys = await readS3Keys(settings, paths)
  const tls = readTls(config)
  const nodes = new RemoteNodes(await readClusterKey(paths.clusterKey))
  const rings = new RingFolder(paths.rings, context)
  requireRings(rings.current(), paths.rings, settings.policies)
  rings.watch(askNewestRings(rings, nodes, context.random))
  const keeper = config.keeper
    ? startKeeper({ folder: paths.rings, rings, memberOf: (device) => nodes.of(device) }, context)
    : null
  const access = accessElsewhere(settings, paths)
  const users = await openIdentity({ access, paths, prefixes: settings.resellerPrefixes }, context)
  const { identity } = users
  const nodeOf = (device: RingDevice) => nodes.of(device)
  const proxy = { version: projectVersion(), ...(tls === undefined ? {} : { tls }) }
  const door = openDoor(
    {
      settings,
      encryption,
      s3Keys,
      rings,
      identity,
      nodeOf,
      proxy,
      movement: () => movementView(paths.rings),
    },
    { ...context, metrics: createMetrics() },
  )
  const close = async () => {
    await door.close()
    await keeper?.close()
    rings.close()
    await nodes.close()
    await users.close()
  }
  try {
    await users.ready()
    const listening = await door.listen({ host, port })
    return {
      endpoints: endpointsOf({ host, port: listening.port, tls: tls !== undefined }),
      movement: () => keeper?.status() ?? null,
      close,
    }
  } catch (error) {
    await close()
    throw explainListenError(error, { host, port })
  }
}
