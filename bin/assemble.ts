import type { Registry } from 'prom-client'
import { ChangeMarks } from '../common/change-marks.ts'
import type { Clock } from '../common/clock.ts'
import type { ClusterMember } from '../common/cluster-member.ts'
import type { Identity } from '../common/identity.ts'
import type { Log } from '../common/log.ts'
import type { Random } from '../common/random.ts'
import { locateItem } from '../common/ring/located.ts'
import type { RingDevice } from '../common/ring/ring.ts'
import type { RingSource } from '../common/ring/ring-set.ts'
import type { StorageNode } from '../common/storage-node.ts'
import { createClusterBackend } from '../proxy/backend/cluster-backend.ts'
import { encryptedBackend } from '../proxy/encryption/encrypted-backend.ts'
import type { RootSecrets } from '../proxy/encryption/root-secrets.ts'
import { createProxyServer, type ProxyOptions, type ProxyServer } from '../proxy/server.ts'
import { type MovementView, StatusReader } from '../proxy/status/cluster-status.ts'
import { ItemReporter } from '../proxy/status/item-report.ts'
import { openLocalNode } from '../storage-node/local-node.ts'
import { NodeMember } from '../storage-node/node-member.ts'
import { RingGuard } from '../storage-node/ring-guard.ts'
import { exposeActivity, exposeUpkeep } from './daemon-metrics.ts'
import { startReplication } from './replication.ts'
import type { RingFolder } from './ring-folder.ts'
import type { Settings } from './settings.ts'
import { exposeBackend, exposeDevices } from './store-metrics.ts'
import type { StoreThread } from './threads/store-thread.ts'

/** What every part is given; no part reads time, randomness or the log from elsewhere. */
export interface StoreContext {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Registry
}

/** A start waits no longer than this for what a crash left half done; the rest is settled in the background. */
const SETTLE_MS_MAX = 10_000

export interface DoorOptions {
  readonly settings: Pick<
    Settings,
    | 'hashing'
    | 'policies'
    | 'delayReapingSeconds'
    | 'expiryDelays'
    | 'layers'
    | 'limits'
    | 's3'
    | 'resellerPrefixes'
  >
  readonly rings: RingSource
  readonly identity: Identity
  /** The storage node of each ring device. */
  readonly nodeOf: (device: RingDevice) => StorageNode
  /** Set: objects are enciphered with them. */
  readonly encryption?: RootSecrets | undefined
  /** Set: clients of S3 may ask for encryption with them. */
  readonly s3Keys?: RootSecrets | undefined
  /** What the keeper of the rings says, for the status page. */
  readonly movement: () => Promise<MovementView | null>
  /** Other threads' proxies note there, too, what they change. */
  readonly marks?: ChangeMarks
  readonly proxy: Pick<ProxyOptions, 'tls' | 'version' | 'versionsSettle' | 'turnsMemory'>
}

/** A proxy with its backend: the door to storage nodes wherever they are. */
export interface Door {
  /** Settles what a crash left half done; only when nobody is served yet, by this proxy or another. */
  settle(): Promise<void>
  listen: ProxyServer['listen']
  /** Ends the requests in flight, then the daemons; storage nodes stay open. Idempotent. */
  close(): Promise<void>
}

export function openDoor(options: DoorOptions, context: StoreContext): Door {
  const { settings, rings, identity, nodeOf, proxy, encryption } = options
  const backend = createClusterBackend({
    hashing: settings.hashing,
    rings,
    nodeOf,
    policies: settings.policies.map((policy) => policy.index),
    sloppyPolicies: settings.policies
      .filter((policy) => policy.consistency === 'swift')
      .map((policy) => policy.index),
    ...(settings.expiryDelays && { expiryDelays: settings.expiryDelays }),
    delayReapingMs: (settings.delayReapingSeconds ?? 0) * 1000,
    ...(options.marks !== undefined && { marks: options.marks }),
    // Two proxies that drew the same number would have to write the same name in the same 10 us to be confused.
    proposer: context.random.below(2 ** 24),
    clock: context.clock,
    random: context.random,
    log: context.log,
  })
  exposeBackend(context.metrics, backend.counters)
  exposeActivity(context.metrics, () => backend.activity())
  const status = new StatusReader({
    placements: () => rings.current().placements,
    nodeOf,
    clock: context.clock,
    movement: options.movement,
  })
  const items = new ItemReporter({
    rings: () => rings.current(),
    hashing: settings.hashing,
    nodeOf,
    clock: context.clock,
  })
  const server = createProxyServer({
    ...context,
    ...proxy,
    backend:
      encryption === undefined
        ? backend
        : encryptedBackend({ backend, roots: encryption, random: context.random }),
    identity,
    policies: settings.policies,
    allowAccountManagement: true,
    ...(settings.layers !== undefined && { layers: settings.layers }),
    ...(settings.limits && { limits: settings.limits }),
    ...(settings.resellerPrefixes && { resellerPrefixes: settings.resellerPrefixes }),
    s3: { ...settings.s3, ...(options.s3Keys !== undefined && { keys: options.s3Keys }) },
    readStatus: () => status.read(),
    recon: {
      rings: () => rings.current(),
      activity: () => backend.activity(),
      hashing: settings.hashing,
    },
    inspect: (name, handoffsMax) => items.report(name, handoffsMax),
    locate: (name) => locateItem(rings.current(), settings.hashing, name),
  })
  return {
    settle: () => backend.settleAfterStart({ timeMsMax: SETTLE_MS_MAX }),
    async listen(address) {
      const listening = await server.listen(address)
      backend.start()
      return listening
    },
    async close() {
      await server.close()
      await backend.close()
    },
  }
}

export interface ObjectStoreOptions extends Omit<DoorOptions, 'nodeOf' | 'rings'> {
  readonly rings: RingFolder
  /** Devices of this process, by their name in the ring. */
  readonly devices: readonly { readonly name: string; readonly path: string }[]
  readonly segmentBytes?: number
  /** Log shards of devices that are formatted now. */
  readonly shards?: number
  /** Devices whose disks, if they are empty, stand for lost ones. */
  readonly replacedDisks: ReadonlySet<string>
  /** Set if the devices are shared with other threads. */
  readonly thread?: StoreThread
}

export interface ObjectStore extends Door {
  readonly node: StorageNode
  /** The node's part when the rings change. */
  readonly member: ClusterMember
  /** Ends the requests in flight and the daemons; the devices stay open. */
  closeDoor(): Promise<void>
}

/** The whole object store in one process: a proxy, its backend and a storage node that costs a function call. */
export async function openObjectStore(
  options: ObjectStoreOptions,
  context: StoreContext,
): Promise<ObjectStore> {
  const { devices, rings, segmentBytes, shards, replacedDisks, thread } = options
  const { clock, random, log } = context
  const guard = new RingGuard()
  rings.onChange((set) => guard.use(set))
  const node = await openLocalNode({
    devices,
    guard,
    clock,
    random,
    log,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
    ...(shards === undefined ? {} : { shards }),
    ...(devices.length > 1 && { learns: learnsOptions(replacedDisks, thread) }),
    ...thread,
  })
  exposeDevices(context.metrics, node)
  exposeUpkeep(context.metrics, node)
  // Shard n of every device falls to the same thread: each thread compares its own shards of all of them.
  const replicator = startReplication(
    {
      node,
      placements: () => rings.current().placements,
      ownName: ({ device }) => device,
      nodeOf: () => node,
      ...(thread === undefined ? {} : { threads: thread.peers.count }),
    },
    context,
  )
  rings.onChange(({ placements }) => {
    // When a movement has ended, what was left behind is to be given away.
    if (placements.every(({ previous }) => previous === null)) replicator.wake()
  })
  // Only the threads of this process have to know of a change, and they do.
  const proxy = {
    ...options.proxy,
    versionsSettle: false,
    ...(thread !== undefined && { turnsMemory: thread.turns }),
  }
  const marks = new ChangeMarks(thread?.marks)
  const door = openDoor({ ...options, proxy, marks, nodeOf: () => node }, context)
  return {
    node,
    member: new NodeMember({ node, rings, replicator }),
    settle: door.settle,
    listen: door.listen,
    closeDoor: door.close,
    async close() {
      await door.close()
      await replicator.stop()
      await node.close()
    },
  }
}

/** All proxies end with the process: nothing is under way when it starts, unless only a thread of it does. */
function learnsOptions(newDisks: ReadonlySet<string>, thread: StoreThread | undefined) {
  return thread?.isRestart === true ? { newDisks } : { newDisks, operationMsMax: 0 }
}
