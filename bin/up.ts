import { UserIdentity } from '../auth/user-identity.ts'
import { UsersFile } from '../auth/users-file.ts'
import type { Clock } from '../common/clock.ts'
import type { Log } from '../common/log.ts'
import { createMetrics } from '../common/metrics.ts'
import type { Random } from '../common/random.ts'
import { type ObjectStore, openObjectStore } from './assemble.ts'
import { type DataFolder, openDataFolder, readKeys } from './data-folder.ts'
import {
  checkSameDisks,
  checkUnchanged,
  chooseDisks,
  type DiskChoice,
  diskPath,
  noteDisks,
} from './disks.ts'
import { type Endpoints, endpointsOf, writeEndpoints } from './endpoints.ts'
import { checkPortFree, DEFAULT_PORTS, explainListenError } from './ports.ts'
import { projectVersion } from './project.ts'
import { localDevice, readRings, writeRings } from './rings.ts'
import { readTls, type Tls } from './tls.ts'

export interface UpOptions extends DiskChoice {
  /** The data folder; made if it is not there. */
  readonly data: string
  readonly host: string
  /** Added to every default port. */
  readonly portOffset: number
  readonly segmentBytes?: number
  /** PEM files; both or none. */
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly adminPassword?: string
}

export interface UpContext {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** A running Swiftlet. */
export interface Running {
  readonly folder: DataFolder
  readonly endpoints: Endpoints
  /** Ends the requests in flight, closes everything and frees the data folder; idempotent. */
  close(): Promise<void>
}

/** All in one: the object store over the disks of this machine, on one data folder. */
export async function startUp(options: UpOptions, context: UpContext): Promise<Running> {
  const address = { host: options.host, port: DEFAULT_PORTS.objectStore + options.portOffset }
  const tls = readTls(options)
  // Before anything is made or opened: of all mistakes at the start it is the most frequent.
  await checkPortFree(address.host, address.port)
  const folder = await openFolder(options, context)
  try {
    await checkSameDisks(folder.settings, folder.paths)
    const { store, users } = await openStore(folder, { ...options, tls }, context)
    try {
      await noteDisks(folder.settings, folder.paths)
      const { port } = await store.listen(address).catch((error: unknown) => {
        throw explainListenError(error, address)
      })
      const endpoints = endpointsOf({ host: address.host, port, tls: tls !== undefined })
      await writeEndpoints(folder.paths.endpoints, endpoints)
      return {
        folder,
        endpoints,
        close: closeOnce(async () => {
          await store.close()
          users.close()
          folder.lock.release()
        }),
      }
    } catch (error) {
      users.close()
      await store.close()
      throw error
    }
  } catch (error) {
    folder.lock.release()
    throw error
  }
}

function openFolder(options: UpOptions, context: UpContext): Promise<DataFolder> {
  const { random, clock } = context
  return openDataFolder(options.data, {
    random,
    ...(options.adminPassword === undefined ? {} : { adminPassword: options.adminPassword }),
    choose: (paths) => chooseDisks(options, paths),
    check: (paths, settings) => checkUnchanged(options, settings, paths),
    fill: (paths, settings) =>
      writeRings(paths.rings, {
        clusterId: settings.clusterId,
        placement: settings.hashing.placement,
        replicaCount: settings.replicaCount,
        policies: settings.policies,
        devices: settings.disks.map(({ device }, index) =>
          localDevice(device, {
            zone: index + 1,
            ip: '127.0.0.1',
            port: DEFAULT_PORTS.storageNode,
          }),
        ),
        nowS: Math.floor(clock.nowMs() / 1000),
      }),
  })
}

async function openStore(
  folder: DataFolder,
  options: Pick<UpOptions, 'segmentBytes'> & { readonly tls: Tls | undefined },
  context: UpContext,
): Promise<{ readonly store: ObjectStore; readonly users: UsersFile }> {
  const { paths, settings } = folder
  const tokenKeys = await readKeys(paths.tokenKey)
  const rings = readRings(paths.rings, settings.policies)
  const users = await UsersFile.open(paths.users, context)
  const identity = new UserIdentity({ ...context, users: () => users.users, tokenKeys })
  try {
    const store = await openObjectStore(
      {
        settings,
        rings,
        identity,
        devices: settings.disks.map((disk) => ({ name: disk.device, path: diskPath(disk, paths) })),
        ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
        proxy: {
          version: projectVersion(),
          ...(options.tls === undefined ? {} : { tls: options.tls }),
        },
      },
      { ...context, metrics: createMetrics() },
    )
    return { store, users }
  } catch (error) {
    users.close()
    throw error
  }
}

function closeOnce(close: () => Promise<void>): () => Promise<void> {
  let closing: Promise<void> | null = null
  return () => {
    closing ??= close()
    return closing
  }
}
