import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../common/clock.ts'
import type { Log } from '../common/log.ts'
import { createMetrics } from '../common/metrics.ts'
import type { Random } from '../common/random.ts'
import { type DataFolder, openDataFolder } from './data-folder.ts'
import { explainDeviceInUse } from './device-holder.ts'
import { deviceShards } from './device-shards.ts'
import { changeDisks, upDevice } from './disk-changes.ts'
import {
  checkChoice,
  chooseDisks,
  type DiskChoice,
  diskPath,
  noteDisks,
  realFolders,
} from './disks.ts'
import { areAllEmpty, placedNames } from './empty-disks.ts'
import { clientUrlOf, type Endpoints, endpointsOf, writeEndpoints } from './endpoints.ts'
import {
  checkIdentityPort,
  noteCloud,
  startUpIdentity,
  type UpIdentity,
} from './identity/own-identity.ts'
import type { LogsOptions } from './logs.ts'
import { type ChangingStore, openStore } from './open-store.ts'
import { checkPortFree, DEFAULT_PORTS, explainListenError } from './ports.ts'
import { readRingSet } from './ring-folder.ts'
import { startKeeper } from './ring-keeper.ts'
import { ringPlan, writeRings } from './rings.ts'
import { StoreThreads } from './threads/store-threads.ts'
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
  /** The file of the identity service's audit events. */
  readonly auditLog?: string
  /** Threads that serve; 1: everything on the main one. */
  readonly threads: number
  /** How a thread opens its log. */
  readonly logs: Omit<LogsOptions, 'clock'>
  /** Called when the store cannot go on after it was started. */
  readonly onFatal: (error: Error) => void
}

export interface UpContext {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** A running Swiftlet. */
export interface Running {
  readonly folder: DataFolder
  /** What this start changes about disks and replicas. */
  readonly notes: readonly string[]
  readonly endpoints: Endpoints
  readonly store: ChangingStore
  /** Ends the requests in flight, closes everything and frees the data folder; idempotent. */
  close(): Promise<void>
}

/** All in one: identity, and the object store over the disks of this machine, on one data folder. */
export async function startUp(options: UpOptions, context: UpContext): Promise<Running> {
  const { host, portOffset } = options
  const address = { host, port: DEFAULT_PORTS.objectStore + portOffset }
  const identityPort = DEFAULT_PORTS.identity + portOffset
  const tls = readTls(options)
  // Before anything is made or opened: of all mistakes at the start it is the most frequent.
  await checkPortFree(address.host, address.port)
  const opened = await openFolder(options, context)
  const ending: (() => Promise<void>)[] = [async () => opened.lock.release()]
  const close = closeOnce(async () => {
    for (const end of ending.reverse()) await end()
  })
  try {
    if (opened.settings.identity?.url === undefined) await checkIdentityPort(host, identityPort)
    const { folder, notes } = await changeDisks(
      { ...options, disks: realFolders(options.disks) },
      opened,
      {
        rings: ringPlan(opened.settings, context),
        nowS: Math.floor(context.clock.nowMs() / 1000),
        sleep: (delayMs) => sleep(delayMs),
      },
    )
    const { settings, paths } = folder
    const objectStore = clientUrlOf({ ...address, tls: tls !== undefined })
    const { tlsCert, tlsKey, adminPassword, logs, auditLog } = options
    const identity = startUpIdentity(
      {
        host,
        port: identityPort,
        objectStore,
        tls,
        setAdminPassword: adminPassword !== undefined,
        ...(tlsCert !== undefined && { tlsCert }),
        ...(tlsKey !== undefined && { tlsKey }),
      },
      folder,
      { logs, context, ...(auditLog !== undefined && { auditLog }) },
    )
    ending.push(() => identity.close())
    const store = await open(folder, address, { ...options, tls, identity }, context)
    ending.push(() => store.close())
    await noteDisks(settings, paths)
    await store.settle()
    await identity.started
    const { port } = await store.listen(address).catch((error: unknown) => {
      throw explainListenError(error, address)
    })
    const endpoints = {
      ...endpointsOf({ host, port, tls: tls !== undefined }),
      identity: identity.url,
    }
    await writeEndpoints(paths.endpoints, endpoints)
    await noteCloud(paths, settings, { identityUrl: identity.url, certificateFile: tlsCert })
    const keeper = startKeeper(
      { folder: paths.rings, rings: store.rings, memberOf: () => store.member },
      context,
    )
    ending.push(() => keeper.close())
    return { folder, notes, endpoints, store, close }
  } catch (error) {
    await close()
    throw error
  }
}

function openFolder(options: UpOptions, context: UpContext): Promise<DataFolder> {
  const { random } = context
  return openDataFolder(options.data, {
    random,
    users: 'identity',
    ...(options.adminPassword === undefined ? {} : { adminPassword: options.adminPassword }),
    choose: (paths) => chooseDisks(options, paths),
    check: (paths, settings) => checkChoice(options, settings, paths),
    fill: (paths, settings) =>
      writeRings(paths.rings, {
        ...ringPlan(settings, context),
        devices: settings.disks.map(({ device }) => upDevice(device)),
      }),
  })
}

/** Says of a failure what a person needs to know. */
async function open(
  folder: DataFolder,
  address: { readonly host: string; readonly port: number },
  options: UpOptions & { readonly tls: Tls | undefined; readonly identity: UpIdentity },
  context: UpContext,
): Promise<ChangingStore> {
  const { paths, settings } = folder
  const devices = settings.disks.map((disk) => diskPath(disk, paths))
  return openThreads(folder, address, options, context).catch((error: unknown) => {
    throw explainDeviceInUse(explainListenError(error, address), devices)
  })
}

/** On one thread everything runs here; several share the devices and the address. */
async function openThreads(
  folder: DataFolder,
  address: { readonly host: string; readonly port: number },
  options: UpOptions & { readonly tls: Tls | undefined; readonly identity: UpIdentity },
  context: UpContext,
): Promise<ChangingStore> {
  const { paths, settings } = folder
  const { segmentBytes, tls, identity, threads, logs, onFatal } = options
  const disks = settings.disks.map((disk) => diskPath(disk, paths))
  const { shards, areEqual } = await deviceShards(disks, threads)
  const replacedDisks = replacedDisksOf(folder)
  const store = {
    paths,
    settings,
    segmentBytes,
    shards,
    replacedDisks,
    tls,
    identity: identity.access,
  }
  // A thread compares the replicas of its own shards; where disks are cut differently there is no such thing.
  if (!areEqual) context.log.warn('one-thread', { reason: 'the disks have not the same shards' })
  if (threads === 1 || !areEqual) return openStore(store, { ...context, metrics: createMetrics() })
  return StoreThreads.open(address, { count: threads, store, logs }, { ...context, onFatal })
}

/**
 * In a folder that was in use an empty disk stands for one that was lost, wherever rings place something on it: without
 * learning first, two of three would outvote the third, and what only that one has would be removed.
 */
function replacedDisksOf({ paths, settings }: DataFolder): ReadonlySet<string> {
  const disks = settings.disks.map((disk) => ({ name: disk.device, path: diskPath(disk, paths) }))
  if (areAllEmpty(disks)) return new Set()
  return placedNames(readRingSet(paths.rings), ({ device }) => device)
}

function closeOnce(close: () => Promise<void>): () => Promise<void> {
  let closing: Promise<void> | null = null
  return () => {
    closing ??= close()
    return closing
  }
}
