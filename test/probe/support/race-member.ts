/**
 * A member of the race in race.test.ts, each a process of its own: a storage node, or a proxy's backend that takes orders
 * from the test and may be told to die between the two phases of a decision.
 */
import { systemClock } from '../../../common/clock.ts'
import { systemRandom } from '../../../common/random.ts'
import { steadyRings } from '../../../common/ring/ring-set.ts'
import type { StorageNode } from '../../../common/storage-node.ts'
import {
  type ClusterBackend,
  createClusterBackend,
} from '../../../proxy/backend/cluster-backend.ts'
import { createRemoteNode } from '../../../proxy/backend/remote-node.ts'
import { openLocalNode } from '../../../storage-node/local-node.ts'
import { serveStorageNode } from '../../../storage-node/server/node-server.ts'
import { onLoopback, ringOver } from '../../support/ring-over.ts'

/** What a process is to be: the first message that it gets. */
export type Role =
  | { readonly role: 'node'; readonly path: string; readonly port: number }
  | {
      readonly role: 'proxy'
      readonly proposer: number
      readonly ports: readonly number[]
      readonly skewMs: number
    }

/** When a proxy kills itself: a majority has promised; or one replica has been sent the accept as well. */
export type Death = 'promised' | 'accepting'

export type Order =
  | { readonly id: number; readonly what: 'setup' }
  | { readonly id: number; readonly what: 'read'; readonly name: string }
  | {
      readonly id: number
      readonly what: 'put'
      readonly name: string
      readonly body: string
      /** Absent: whatever is there; null: nothing may be there. */
      readonly over?: string | null
      readonly deathAt?: Death
    }

export interface Answer {
  readonly id: number
  /** An outcome's status, or an error's code. */
  readonly status: string
  readonly body?: string
  readonly writeId?: string
}

const CLUSTER_KEY = 'a key that all of the race share'
const PATH = { account: 'a', container: 'c', policy: 0 } as const
const META = { headers: {} }

process.once('message', (role: Role) => {
  const ready = role.role === 'node' ? serveNode(role) : serveProxy(role)
  ready.then(
    (port) => process.send?.({ ready: port }),
    (error) => {
      console.error(error)
      process.exit(1)
    },
  )
})
process.on('disconnect', () => process.exit(0))

async function serveNode(role: Extract<Role, { role: 'node' }>): Promise<number> {
  const node = await openLocalNode({
    devices: [{ name: 'd', path: role.path }],
    clock: systemClock,
    random: systemRandom,
  })
  const address = { host: '127.0.0.1', port: role.port }
  return (await serveStorageNode(node, { ...address, clusterKey: CLUSTER_KEY })).port
}

async function serveProxy(role: Extract<Role, { role: 'proxy' }>): Promise<number> {
  const ring = ringOver(onLoopback(role.ports), { replicas: 3, partPower: 2, device: 'd' })
  const backend = createClusterBackend({
    hashing: { prefix: 'p', suffix: 's', placement: 'xxh64' },
    rings: steadyRings({ account: ring, container: ring, objects: [ring] }),
    nodeOf: ({ port }) =>
      deadly(createRemoteNode({ ip: '127.0.0.1', port, clusterKey: CLUSTER_KEY })),
    clock: { ...systemClock, nowMs: () => systemClock.nowMs() + role.skewMs },
    random: systemRandom,
    proposer: role.proposer,
  })
  process.on('message', (order: Order) => {
    obey(backend, order).then(
      (answer) => process.send?.({ ...answer, id: order.id }),
      (error) => process.send?.({ id: order.id, status: String(error.code ?? error) }),
    )
  })
  return 0
}

async function obey(backend: ClusterBackend, order: Order): Promise<Omit<Answer, 'id'>> {
  switch (order.what) {
    case 'setup':
      await backend.putAccount('a', META)
      return backend.putContainer('a', 'c', { meta: META, policy: 0 })
    case 'read': {
      const read = await backend.readObject({ ...PATH, object: order.name })
      if (read === null) return { status: 'absent' }
      const body = Buffer.from(read.body as Uint8Array).toString()
      return { status: 'read', body, writeId: read.info.writeId }
    }
    case 'put': {
      const { name, body, over, deathAt } = order
      if (deathAt !== undefined) doom = { name: `/a/c/${name}`, deathAt, promises: 0 }
      const condition = over === null ? { ifNoneMatch: ['*'] } : { ifWriteId: over }
      return backend.putObject({ ...PATH, object: name }, {
        meta: { etag: body, headers: {} },
        body: Buffer.from(body),
        ...(over !== undefined && { condition }),
      } as Parameters<ClusterBackend['putObject']>[1])
    }
  }
}

let doom: { readonly name: string; readonly deathAt: Death; promises: number } | null = null

/** The node; who is doomed dies on the way to it. */
function deadly(node: StorageNode): StorageNode {
  const own: Pick<StorageNode, 'prepare' | 'write'> = {
    async prepare(device, item, ballot) {
      const outcome = await node.prepare(device, item, ballot)
      if (doom?.name === item.name && outcome.status === 'promised') doom.promises++
      return outcome
    },
    async write(device, write, body) {
      const isDue = doom?.name === write.item.name && doom.promises >= 2
      if (!isDue) return node.write(device, write, body)
      if (doom?.deathAt === 'accepting') await node.write(device, write, body)
      process.kill(process.pid, 'SIGKILL')
      return new Promise(() => {})
    },
  }
  return new Proxy(node, {
    get: (target, name: keyof StorageNode) =>
      name === 'prepare' || name === 'write' ? own[name] : target[name]?.bind(target),
  })
}
