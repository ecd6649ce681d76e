import type { Registry } from 'prom-client'
import { ChangeMarks } from '../common/change-marks.ts'
import type { ClusterMember } from '../common/cluster-member.ts'
import { type Door, openObjectStore, type StoreContext } from './assemble.ts'
import { movementView } from './cluster-status.ts'
import type { DataPaths } from './data-folder.ts'
import { diskPath } from './disks.ts'
import { readRootSecrets, readS3Keys } from './encryption-keys.ts'
import { type IdentityAccess, openIdentity } from './identity/open-identity.ts'
import { projectVersion } from './project.ts'
import { RingFolder } from './ring-folder.ts'
import { requireRings } from './rings.ts'
import type { Settings } from './settings.ts'
import type { StoreThread } from './threads/store-thread.ts'
import type { Tls } from './tls.ts'

/** What it takes to open the object store of a data folder; plain data, so that it can be sent to a thread. */
export interface OpenStoreOptions {
  readonly paths: DataPaths
  readonly settings: Settings
  readonly segmentBytes?: number | undefined
  /** Log shards of disks that are formatted now. */
  readonly shards: number
  /** Devices whose disks, if they are empty, stand for lost ones. */
  readonly replacedDisks: ReadonlySet<string>
  readonly tls?: Tls | undefined
  /** Null: the users file of the data folder. */
  readonly identity: IdentityAccess | null
}

/** A door whose rings can be changed while it serves. */
export interface ChangingStore extends Door {
  readonly rings: RingFolder
  /** Of all devices: they are one node's. */
  readonly member: ClusterMember
}

/** The object store of a data folder with its users; closing the door's two halves apart is for threads. */
export interface OpenStore extends ChangingStore {
  /** Ends the requests in flight and the daemons; the devices stay open for the other threads. */
  closeDoor(): Promise<void>
}

export async function openStore(
  options: OpenStoreOptions,
  context: Omit<StoreContext, 'metrics'> & { readonly metrics: Registry },
  thread?: StoreThread,
): Promise<OpenStore> {
  const { paths, settings, segmentBytes, shards, replacedDisks, tls } = options
  const rings = new RingFolder(paths.rings, context, { isReader: thread !== undefined })
  requireRings(rings.current(), paths.rings, settings.policies)
  const encryption = await readRootSecrets(settings, paths)
  const s3Keys = await readS3Keys(settings, paths)
  const users = await openIdentity(
    { access: options.identity, paths, prefixes: settings.resellerPrefixes },
    context,
    new ChangeMarks(thread?.marks),
  )
  try {
    const store = await openObjectStore(
      {
        settings,
        encryption,
        s3Keys,
        rings,
        identity: users.identity,
        shards,
        replacedDisks,
        movement: () => movementView(paths.rings),
        devices: settings.disks.map((disk) => ({ name: disk.device, path: diskPath(disk, paths) })),
        ...(segmentBytes !== undefined && { segmentBytes }),
        ...(thread !== undefined && { thread }),
        proxy: { version: projectVersion(), ...(tls !== undefined && { tls }) },
      },
      context,
    )
    rings.watch()
    return {
      rings,
      member: store.member,
      settle: store.settle,
      async listen(address) {
        await users.ready()
        return store.listen(address)
      },
      closeDoor: store.closeDoor,
      async close() {
        await store.close()
        rings.close()
        await users.close()
      },
    }
  } catch (error) {
    await users.close()
    throw error
  }
}
