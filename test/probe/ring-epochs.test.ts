/** Rings that change under proxies and nodes: who has to refuse, who repeats, and what a quorum is meanwhile. */
import t, { type Test } from 'tap'
import { type ItemKey, itemKey } from '../../common/item.ts'
import type { Placement } from '../../common/ring/placement.ts'
import type { Ring } from '../../common/ring/ring.ts'
import type { RingSet, RingSource } from '../../common/ring/ring-set.ts'
import type { BodyReader } from '../../common/storage-node.ts'
import type { ClusterBackend } from '../../proxy/backend/cluster-backend.ts'
import { ClusterUnderTest, HASHING, pathOf } from '../support/cluster-nodes.ts'
import { ringOver } from '../support/ring-over.ts'

const META = { headers: {} }
const NODES = 4
const KINDS = ['account', 'container', 'object'] as const

/** Rings of one process; what `newest` gives is had by asking. */
class TestRings implements RingSource {
  #set: RingSet
  readonly #newest: () => RingSet
  asked = 0

  constructor(set: RingSet, newest: () => RingSet) {
    this.#set = set
    this.#newest = newest
  }

  current(): RingSet {
    return this.#set
  }

  async refresh(): Promise<void> {
    this.asked++
    this.#set = this.#newest()
  }
}

/** Every partition moves: one of three replicas to the fourth node. */
class Moving {
  readonly cluster: ClusterUnderTest
  readonly sets: { readonly before: RingSet; readonly joint: RingSet; readonly after: RingSet }
  readonly after: Ring
  newest: RingSet

  static async open(t: Test): Promise<Moving> {
    return new Moving(await ClusterUnderTest.open(t, { nodes: NODES, replicas: 3 }))
  }

  private constructor(cluster: ClusterUnderTest) {
    this.cluster = cluster
    const { ring } = cluster
    const nodes = ring.devices.map((device) => ({ ip: device!.ip, port: device!.port }))
    const shape = { replicas: 3, partPower: ring.partPower, device: 'd' }
    // Partition p on p + 1, p + 2, p + 3 instead of p, p + 1, p + 2.
    this.after = ringOver(nodes, { ...shape, rotate: 1 })
    const movedAt = new Uint32Array(ring.partitionCount).fill(1)
    const setOf = (epoch: number, of: Omit<Placement, 'kind' | 'policy'>): RingSet => ({
      epoch,
      placements: KINDS.map((kind) => ({ kind, policy: 0, ...of })),
    })
    this.sets = {
      before: setOf(0, { ring, previous: null }),
      joint: setOf(1, { ring: this.after, previous: ring, movedAt }),
      after: setOf(2, { ring: this.after, previous: null, movedAt }),
    }
    this.newest = this.sets.before
  }

  /** A proxy with rings of its own. */
  proxy(set = this.newest): { readonly backend: ClusterBackend; readonly rings: TestRings } {
    const rings = new TestRings(set, () => this.newest)
    return { rings, backend: this.cluster.backend({ rings }) }
  }

  teachAll(set: RingSet): void {
    this.newest = set
    for (let index = 0; index < NODES; index++) this.cluster.teach(index, set)
  }

  /** The nodes of an item by what becomes of them. */
  sidesOf({ placement }: ItemKey) {
    const ids = (ring: Ring) => ring.primaries(ring.partitionOf(placement)).map(({ id }) => id)
    const [before, after] = [ids(this.cluster.ring), ids(this.after)]
    return {
      leaving: before.find((id) => !after.includes(id))!,
      arriving: after.find((id) => !before.includes(id))!,
      staying: before.filter((id) => after.includes(id)),
    }
  }

  async has(index: number, item: ItemKey): Promise<boolean> {
    return (await this.cluster.node(index).read('d', { ...item, epoch: -1 })) !== null
  }
}

function isGone(method: string): void {
  if (method !== 'confirm') throw new Error('by the test')
}

const keyOf = (name: string) => itemKey(HASHING, 'object', `/a/c/${name}`, 0)

const put = (backend: ClusterBackend, name: string, body = name) =>
  backend.putObject(pathOf(name), { meta: { etag: body, headers: {} }, body: Buffer.from(body) })

async function text(backend: ClusterBackend, name: string): Promise<string | null> {
  const read = await backend.readObject(pathOf(name))
  if (read === null) return null
  if (read.body instanceof Uint8Array) return Buffer.from(read.body).toString()
  const pieces: Uint8Array[] = []
  const body = read.body as BodyReader
  for await (const piece of body.stream(0, body.bytes)) pieces.push(Buffer.from(piece))
  await body.close()
  return Buffer.concat(pieces).toString()
}

async function filled(t: Test) {
  const moving = await Moving.open(t)
  const { backend } = moving.proxy()
  await backend.putAccount('a', META)
  await backend.putContainer('a', 'c', { meta: META, policy: 0 })
  for (const name of ['one', 'two', 'gone']) await put(backend, name)
  return { moving, backend }
}

t.test('whoever has older rings is refused, asks for newer ones and does it again', async (t) => {
  const { moving } = await filled(t)
  const { before } = moving.sets
  moving.teachAll(moving.sets.joint)
  const big = 'x'.repeat(200_000)
  const writer = async (backend: ClusterBackend) => {
    const body = await backend.openObject(pathOf('big'))
    await body.write(Buffer.from(big))
    return body.commit({ etag: 'e', headers: {} })
  }
  const create = { meta: META, body: Buffer.from('x'), condition: { ifNoneMatch: ['*'] } }
  const post = { meta: { headers: { 'x-object-meta-a': 'b' } } }
  const operations: [string, (backend: ClusterBackend) => Promise<unknown>, object | string][] = [
    ['GET', (backend) => text(backend, 'one'), 'one'],
    ['PUT', (backend) => put(backend, 'one', 'again'), { status: 'done' }],
    ['PUT of a blob', writer, { status: 'done' }],
    [
      'PUT on condition',
      (backend) => backend.putObject(pathOf('one'), create),
      { status: 'precondition-failed' },
    ],
    ['POST', (backend) => backend.postObject(pathOf('two'), post), { status: 'done' }],
    ['DELETE', (backend) => backend.deleteObject(pathOf('gone')), { status: 'done' }],
    [
      'a listing',
      (backend) => backend.listContainer('a', 'c', { limit: 9 }),
      { entries: [{ name: 'big' }, { name: 'one' }, { name: 'two' }] },
    ],
    [
      'a container',
      (backend) => backend.putContainer('a', 'd', { meta: META, policy: 0 }),
      { status: 'done' },
    ],
    ['an account', (backend) => backend.readAccount('a'), { name: '/a' }],
  ]
  for (const [what, operate, expected] of operations) {
    const { backend, rings } = moving.proxy(before)
    t.match(await operate(backend), expected, what)
    t.ok(rings.asked > 0, `${what}: by newer rings`)
  }
  const { backend } = moving.proxy()
  t.equal(await text(backend, 'one'), 'again')
  t.equal(await text(backend, 'big'), big)
  t.equal(await text(backend, 'gone'), null)
})

t.test('without newer rings to be had it is a 503, and nothing was done', async (t) => {
  const { moving } = await filled(t)
  const { before, joint } = moving.sets
  moving.teachAll(joint)
  moving.newest = before
  const { backend } = moving.proxy(before)
  await t.rejects(put(backend, 'one', 'refused'), { code: 'NoQuorum' })
  await t.rejects(text(backend, 'one'), { code: 'NoQuorum' })
  await t.rejects(backend.listContainer('a', 'c', { limit: 1 }), { code: 'NoQuorum' })
  moving.newest = joint
  t.equal(await text(moving.proxy().backend, 'one'), 'one')
})

t.test('what one replica took by older rings is brought to its end by newer ones', async (t) => {
  const { moving } = await filled(t)
  const { before, joint } = moving.sets
  const item = keyOf('one')
  const { leaving, staying, arriving } = moving.sidesOf(item)
  moving.newest = joint
  for (const index of [...staying, arriving]) moving.cluster.teach(index, joint)
  const { backend } = moving.proxy(before)
  t.match(await put(backend, 'one', 'new'), { status: 'done' })
  for (const index of [leaving, ...staying, arriving]) t.ok(await moving.has(index, item))
  t.equal(await text(moving.proxy().backend, 'one'), 'new')
})

t.test('while a partition moves three of its four devices are a quorum', async (t) => {
  const { moving } = await filled(t)
  moving.teachAll(moving.sets.joint)
  const { backend } = moving.proxy()
  const { leaving, staying, arriving } = moving.sidesOf(keyOf('one'))
  const away = (...indexes: number[]) => {
    for (let index = 0; index < NODES; index++) {
      const isAway = indexes.includes(index)
      moving.cluster.setFault(index, isAway ? isGone : null)
    }
  }
  for (const index of [leaving, staying[0]!, staying[1]!, arriving]) {
    away(index)
    const { backend: other } = moving.proxy()
    t.match(await put(other, 'one', `without ${index}`), { status: 'done' })
    t.equal(await text(other, 'one'), `without ${index}`)
  }
  away(leaving, staying[0]!)
  await t.rejects(
    put(backend, 'one', 'refused'),
    { code: 'NoQuorum' },
    'a majority of neither is none',
  )
})

t.test('a ballot that was prepared by older rings is prepared anew', async (t) => {
  const { moving } = await filled(t)
  const { joint, before } = moving.sets
  const { backend, rings } = moving.proxy(before)
  // The rings change between the two phases.
  for (let index = 0; index < NODES; index++) {
    moving.cluster.setFault(index, (method) => {
      if (method === 'write' && moving.newest === before) moving.teachAll(joint)
    })
  }
  const change = { meta: META, body: Buffer.from('x'), condition: { ifMatch: ['one'] } }
  const { prepares } = backend.counters
  t.match(await backend.putObject(pathOf('one'), change), { status: 'done' })
  t.equal(backend.counters.prepares - prepares, 2)
  t.equal(rings.current().epoch, 1)
})

t.test('after the move the devices that are left are enough', async (t) => {
  const { moving } = await filled(t)
  moving.teachAll(moving.sets.joint)
  const names = ['one', 'two']
  const joint = moving.proxy().backend
  for (const name of names) await put(joint, name, `${name} moved`)
  moving.teachAll(moving.sets.after)
  const { backend } = moving.proxy()
  for (const name of names) {
    const { leaving } = moving.sidesOf(keyOf(name))
    moving.cluster.setFault(leaving, isGone)
    t.equal(await text(backend, name), `${name} moved`)
    t.equal(await text(joint, name), `${name} moved`, 'and for those who do not know yet')
    moving.cluster.setFault(leaving, null)
  }
  const late = moving.proxy(moving.sets.before)
  t.match(await put(late.backend, 'one', 'late'), { status: 'done' })
  t.equal(late.rings.current().epoch, 2)
  t.equal(await text(backend, 'one'), 'late')
})
