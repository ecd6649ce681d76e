/**
 * The part power of rings grows on a running cluster, in Swift's steps. A placement is 32 bits whatever the part power, and
 * its top bits are the partition: no data moves, and nothing is written anew.
 */
import t from 'tap'
import { systemClock } from '../../common/clock.ts'
import { itemKey } from '../../common/item.ts'
import { Ring } from '../../common/ring/ring.ts'
import { type RingSet, steadyRings } from '../../common/ring/ring-set.ts'
import type { ClusterBackend } from '../../proxy/backend/cluster-backend.ts'
import { addDevice, type Builder, createBuilder, ringOf } from '../../ring-builder/builder.ts'
import {
  cancelPartPower,
  finishPartPower,
  increasePartPower,
  preparePartPower,
} from '../../ring-builder/part-power.ts'
import { rebalance } from '../../ring-builder/rebalance.ts'
import type { LocalNode } from '../../storage-node/local-node.ts'
import { Replicator } from '../../storage-node/replicator/replicator.ts'
import { ClusterUnderTest, HASHING, pathOf, until } from '../support/cluster-nodes.ts'

const META = { headers: {} }
const NODES = 5
const STEPS: readonly (readonly [string, (builder: Builder) => Builder])[] = [
  ['prepare', preparePartPower],
  ['cancel', cancelPartPower],
  ['finish the cancellation', finishPartPower],
  ['prepare again', preparePartPower],
  ['increase', increasePartPower],
  ['finish', finishPartPower],
]

function firstBuilder({ ring }: ClusterUnderTest): Builder {
  const empty = createBuilder({
    id: 'grows',
    partPower: 4,
    replicas: 3,
    minPartHours: 1,
    placement: 'xxh64',
  })
  const devices = ring.devices.filter((device) => device !== null)
  const filled = devices.reduce((builder, device) => addDevice(builder, device).builder, empty)
  return rebalance(filled, { seed: 'grows', nowS: 1_700_000_000 }).builder
}

/** Writes through one proxy and reads through the other, until it is told to stop. */
class Load {
  readonly written: string[] = []
  #isOver = false
  readonly #running: Promise<void>[]

  constructor(proxies: readonly ClusterBackend[]) {
    this.#running = proxies.map((proxy, index) =>
      this.#run(proxy, proxies[(index + 1) % proxies.length]!, index),
    )
  }

  async #run(writer: ClusterBackend, reader: ClusterBackend, index: number): Promise<void> {
    for (let count = 0; !this.#isOver; count++) {
      const name = `o${index}-${count}`
      const body = Buffer.from(name)
      const { status } = await writer.putObject(pathOf(name), {
        meta: { etag: name, ...META },
        body,
      })
      if (status !== 'done') throw new Error(`${name}: ${status}`)
      const read = await reader.readObject(pathOf(name))
      if (String(Buffer.from(read!.body as Uint8Array)) !== name) throw new Error(`${name} differs`)
      this.written.push(name)
    }
  }

  async end(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#running)
  }
}

t.test('reads, writes and replication go on through all steps', async (t) => {
  const cluster = await ClusterUnderTest.open(t, { nodes: NODES, replicas: 3, local: true })
  // The clock's timers do not keep a process alive that has no sockets.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  let builder = firstBuilder(cluster)
  const first = new Ring(ringOf(builder))
  /** What each process believes: proxies and nodes get to know a new ring one by one. */
  const proxyRings = [first, first]
  const nodeRings = Array.from({ length: NODES }, () => first)
  const sets = new Map<Ring, RingSet>()
  const setOf = (ring: Ring): RingSet => {
    const set =
      sets.get(ring) ?? steadyRings({ account: ring, container: ring, objects: [ring] }).current()
    sets.set(ring, set)
    return set
  }
  const proxies = proxyRings.map((_, index) =>
    cluster.backend({
      rings: { current: () => setOf(proxyRings[index]!), refresh: async () => {} },
    }),
  )
  const replicators = nodeRings.map((_, index) => {
    return new Replicator({
      node: cluster.node(index) as LocalNode,
      placements: () =>
        (['account', 'container', 'object'] as const).map((kind) => {
          return { kind, policy: 0, ring: nodeRings[index]!, previous: null }
        }),
      ownName: ({ id }) => (id === index ? 'd' : null),
      nodeOf: ({ id }) => cluster.node(id),
      clock: systemClock,
      graceMs: 500,
    })
  })
  const [a, b] = proxies
  await a!.putAccount('a', META)
  await a!.putContainer('a', 'c', { meta: META, policy: 0 })

  const load = new Load(proxies)
  const enough = (count: number) =>
    until(`${count} more writes`, async () => load.written.length >= count)
  await enough(50)
  for (const [step, change] of STEPS) {
    builder = change(builder)
    const ring = new Ring(ringOf(builder))
    proxyRings[0] = ring
    for (const index of [0, 1, 2]) nodeRings[index] = ring
    await enough(load.written.length + 30)
    for (const replicator of replicators) await replicator.pass()
    proxyRings[1] = ring
    nodeRings.fill(ring)
    await enough(load.written.length + 30)
    for (const replicator of replicators) await replicator.pass()
    t.pass(`${step}: partition power ${ring.partPower}`)
  }
  await load.end()
  const last = nodeRings[0]!
  t.equal(last.partPower, first.partPower + 1)
  t.equal(last.nextPartPower, undefined)

  await until('all digests are equal', async () => {
    const busy: boolean[] = []
    for (const replicator of replicators) busy.push(await replicator.pass())
    return !busy.includes(true)
  })
  for (const replicator of replicators) {
    t.match(replicator.counters, { released: 0, conflicts: 0 }, 'nothing was given away')
    const { compared, ...behind } = replicator.status('d')
    t.ok(compared > 0, `${compared} partitions compared`)
    t.match(behind, { differing: 0, unreachable: 0, handoffs: 0 })
  }
  const idsOf = (ring: Ring, placement: number) =>
    String(ring.primaries(ring.partitionOf(placement)).map(({ id }) => id))
  for (const name of load.written) {
    const { placement } = itemKey(HASHING, 'object', `/a/c/${name}`, 0)
    if (idsOf(first, placement) !== idsOf(last, placement)) t.fail(`${name} would have to move`)
    const read = await b!.readObject(pathOf(name))
    if (String(Buffer.from(read!.body as Uint8Array)) !== name) t.fail(`${name} differs`)
  }
  const page = await a!.listContainer('a', 'c', { limit: 10_000 })
  t.equal(page!.entries.length, load.written.length)
})
