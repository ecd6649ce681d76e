/**
 * Faults that are planted to see whether they are caught: a simulation that finds nothing proves nothing before it was
 * seen to find something. None of them is a switch in production code; they sit in the simulated machines or in wrappers
 * around what clients and proxies talk to.
 */
import { ServiceError } from '../../../common/errors.ts'
import { type ItemKey, itemKey, objectName } from '../../../common/item.ts'
import { inAnyEpoch, placementOf, type RingSource } from '../../../common/ring/ring-set.ts'
import { compareStamps, type Stamp } from '../../../common/stamp.ts'
import type {
  ItemInfo,
  ItemRead,
  ItemWrite,
  StorageNode,
  WriteOutcome,
} from '../../../common/storage-node.ts'
import type { Backend, ObjectPath, ReadOptions } from '../../../proxy/backend/backend.ts'
import type { Trouble } from './nemesis.ts'
import { DEVICE, type SimHost } from './sim-host.ts'
import type { ProxyParts } from './sim-proxy.ts'
import { hostIndexOf } from './sim-rings.ts'
import { rotUnseen } from './unseen-rot.ts'

export interface PlantedFault {
  readonly name: string
  /** What is wrong, in a line. */
  readonly what: string
  /** Disks say that they have synced and have not. */
  readonly syncIsANoOp?: boolean
  /** Storage nodes take what their disk has lost for what was never there. */
  readonly withoutLearning?: boolean
  /** All clients write one name without a pause. */
  readonly isCrowded?: boolean
  /** Replicators rest so long even after they had something to do: replicas that lag do so for a while. */
  readonly replicationMs?: number
  /** Pause of clients. */
  readonly thinkMs?: number
  /** Troubles that every seed has. */
  readonly troubles?: readonly Trouble[]
  /** Storage nodes do not replicate. */
  readonly withoutReplication?: boolean
  /** All proxies use this one, and wall clocks all show the same time, which moves in steps of so many milliseconds. */
  readonly proposer?: number
  readonly clockStepMs?: number
  readonly wrapLink?: (link: StorageNode) => StorageNode
  /** What proxies take for the rings. */
  readonly wrapRings?: (rings: RingSource) => RingSource
  readonly wrapBackend?: (backend: Backend, proxy: ProxyParts) => Backend
  /** Done to a host whose process is about to die. */
  readonly harm?: (host: SimHost) => void
}

export const PLANTED_FAULTS: readonly PlantedFault[] = [
  {
    name: 'restamp',
    what: 'a write that ended in conflict is stamped anew and sent again, although it may have happened',
    wrapBackend: restamping,
  },
  {
    name: 'newer-is-success',
    what: 'a replica that holds something newer counts as success for a plain write',
    wrapLink: newerIsSuccess,
  },
  {
    name: 'repropose',
    what: 'recovery proposes a plain write again although a conditional write may have consumed it',
    wrapLink: hidingDependents,
    isCrowded: true,
  },
  {
    name: 'no-sync',
    what: 'fdatasync is left out: disks forget what was acknowledged when the power goes',
    syncIsANoOp: true,
  },
  {
    name: 'no-replication',
    what: 'storage nodes do not bring their replicas together: reads and settlers alone do not reach everything',
    withoutReplication: true,
    withoutLearning: true,
  },
  {
    name: 'no-learning',
    what: 'a node that has lost part of its log, or its disk, answers that it never had what it lost',
    withoutLearning: true,
    troubles: ['disk-loss'],
    replicationMs: 60_000,
    thinkMs: 300,
  },
  {
    name: 'new-ring-only',
    what: 'while partitions move, a majority of the new ring is enough',
    wrapRings: newRingOnly,
    troubles: ['ring-change', 'partition'],
    replicationMs: 60_000,
    thinkMs: 300,
  },
  {
    name: 'no-checksum',
    what: 'bodies are not verified: a flipped bit on the disk is served',
    harm: rotUnseen,
  },
  {
    name: 'one-replica-reads',
    what: 'R = 1: a read asks one replica and believes it',
    wrapBackend: oneReplicaReads,
  },
  {
    name: 'equal-stamps',
    what: 'two proxies have the same proposer id, and clocks that show the same time',
    proposer: 7,
    clockStepMs: 60_000,
    isCrowded: true,
  },
]

export function plantedFault(name: string): PlantedFault | undefined {
  return PLANTED_FAULTS.find((fault) => fault.name === name)
}

const RESENDS_MAX = 3

function restamping(backend: Backend): Backend {
  const again = async <T>(write: () => Promise<T>): Promise<T> => {
    for (let sent = 1; ; sent++) {
      try {
        return await write()
      } catch (error) {
        const isConflict = error instanceof ServiceError && error.code === 'NoQuorum'
        if (!isConflict || sent === RESENDS_MAX) throw error
      }
    }
  }
  return {
    ...backend,
    putObject: (path, put) => again(() => backend.putObject(path, put)),
    deleteObject: (path, options) => again(() => backend.deleteObject(path, options)),
  }
}

function newerIsSuccess(link: StorageNode): StorageNode {
  return replaceMethods(link, {
    async write(device: string, write: ItemWrite, body: Uint8Array | null) {
      const outcome = await link.write(device, write, body)
      const isPlain = write.condition === undefined && /^(put|delete)$/.test(write.action)
      if (outcome.status !== 'superseded' || !isPlain) return outcome
      return { status: 'done', info: infoOf(write, body), existed: true } satisfies WriteOutcome
    },
  })
}

/**
 * A proxy whose plain write met a conflict takes records that were made out of others for older than its own, which is
 * what a recovery that does not know of conditional writes amounts to.
 */
function hidingDependents(link: StorageNode): StorageNode {
  const inConflict = new Map<string, Stamp>()
  const madeAt = new Map<string, Stamp>()
  return replaceMethods(link, {
    async write(device: string, write: ItemWrite, body: Uint8Array | null) {
      const isPlain = write.condition === undefined && /^(put|delete)$/.test(write.action)
      if (isPlain) inConflict.set(write.item.name, write.stamp)
      // What is completed nevertheless is completed as it is.
      const metaStamp = madeAt.get(write.writeId)
      if (write.record === undefined || metaStamp === undefined) {
        return link.write(device, write, body)
      }
      return link.write(device, { ...write, record: { ...write.record, metaStamp } }, body)
    },
    async prepare(device: string, item: ItemKey, ballot: Stamp) {
      const outcome = await link.prepare(device, item, ballot)
      const own = inConflict.get(item.name)
      if (outcome.status !== 'promised' || own === undefined) return outcome
      const { current } = outcome
      if (current?.dependent !== true || compareStamps(current.metaStamp, own) < 0) return outcome
      madeAt.set(current.writeId, current.metaStamp)
      return { ...outcome, current: { ...current, metaStamp: justBelow(own) } }
    },
  })
}

function justBelow({ ticks, proposer }: Stamp): Stamp {
  return { ticks: ticks - 1, proposer }
}

function infoOf(write: ItemWrite, body: Uint8Array | null): ItemInfo {
  const { item, action, stamp, ballot, writeId, meta } = write
  return {
    name: item.name,
    policy: item.policy,
    deleted: action === 'delete',
    stamp,
    metaStamp: stamp,
    ballot,
    writeId,
    bytes: body?.length ?? 0,
    meta,
  }
}

function newRingOnly(rings: RingSource): RingSource {
  return {
    current() {
      const { epoch, placements } = rings.current()
      return {
        epoch,
        placements: placements.map((placement) => ({ ...placement, previous: null })),
      }
    },
    refresh: () => rings.refresh(),
  }
}

function oneReplicaReads(backend: Backend, proxy: ProxyParts): Backend {
  return {
    ...backend,
    async readObject(path: ObjectPath, options: ReadOptions = {}): Promise<ItemRead | null> {
      const name = objectName(path.account, path.container, path.object)
      const item = itemKey(proxy.hashing, 'object', name, path.policy)
      const { ring } = placementOf(proxy.rings.current(), 'object', path.policy)
      const primaries = ring.primaries(ring.partitionOf(item.placement))
      const node = proxy.nodeOf(hostIndexOf(proxy.random.pick(primaries)!))
      const read = await node.read(DEVICE, inAnyEpoch(item), { head: options.head ?? false })
      return read === null || read.info.deleted ? null : read
    },
  }
}

/** The same node with some methods of its own. */
export function replaceMethods(node: StorageNode, methods: object): StorageNode {
  return new Proxy(node, {
    get: (target, name) =>
      Reflect.has(methods, name) ? Reflect.get(methods, name) : Reflect.get(target, name),
  })
}
