/** Containers whose replicas lag: whatever was acknowledged is counted and told, whichever replicas are asked. */
import t, { type Test } from 'tap'
import { ServiceError } from '../../common/errors.ts'
import { itemKey } from '../../common/item.ts'
import type { ItemWrite, ListRow } from '../../common/storage-node.ts'
import type { ClusterBackend } from '../../proxy/backend/cluster-backend.ts'
import { ClusterUnderTest, HASHING, pathOf } from '../support/cluster-nodes.ts'

const META = { headers: {} }
const NODES = [0, 1, 2]

interface Rig {
  readonly cluster: ClusterUnderTest
  readonly backend: ClusterBackend
  /** The object's rows do not arrive at this node until they are let in. */
  readonly hold: (node: number, object: string) => () => void
  /** The node answers nothing until it is let. */
  readonly cut: (node: number) => () => void
  readonly total: () => Promise<{ objects: number; bytes: number }>
}

async function open(t: Test): Promise<Rig> {
  const cluster = await ClusterUnderTest.open(t, { nodes: 3, replicas: 3, local: true })
  // The clock's timers do not keep a process alive that has no sockets.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const backend = cluster.backend()
  await backend.putAccount('a', META)
  await backend.putContainer('a', 'c', { meta: META, policy: 0 })
  const held = new Map<string, (() => void)[]>()
  const cutOff = new Set<number>()
  for (const node of NODES) {
    cluster.setFault(node, (method, parameters) => {
      if (cutOff.has(node)) throw new ServiceError('Unreachable', 'cut', { status: 503 })
      if (method !== 'putRow') return undefined
      const waiting = held.get(`${node} ${(parameters[2] as ListRow).name}`)
      return waiting && new Promise<void>((resolve) => waiting.push(resolve))
    })
  }
  const hold = (node: number, object: string) => {
    const key = `${node} ${object}`
    const waiting: (() => void)[] = []
    held.set(key, waiting)
    return () => {
      held.delete(key)
      for (const resume of waiting) resume()
    }
  }
  const cut = (node: number) => {
    cutOff.add(node)
    return () => void cutOff.delete(node)
  }
  const total = async () => {
    const { objects, bytes } = (await backend.readContainer('a', 'c', { totals: true }))!.stats!
    return { objects, bytes }
  }
  return { cluster, backend, hold, cut, total }
}

/** A row as replication brings it. */
function rowOf(name: string, bytes: number): ListRow {
  const stamp = { ticks: 1_000_000, proposer: 0 }
  const stamps = { stamp, metaStamp: stamp, ballot: stamp }
  const what = { etag: 'e', contentType: 't', policy: 0, count: 1, deleted: false, confirmed: true }
  return { name, bytes, ...stamps, ...what }
}

const put = (backend: ClusterBackend, name: string, bytes: number) =>
  backend.putObject(pathOf(name), {
    meta: { etag: 'e', headers: {} },
    body: Buffer.alloc(bytes),
  })

t.test('what one replica lacks is counted, and what it still has is not', async (t) => {
  const { backend, hold, total } = await open(t)
  for (const node of NODES) {
    const release = hold(node, 'o')
    await put(backend, 'o', 5)
    t.strictSame(await total(), { objects: 1, bytes: 5 }, `node ${node} lacks the row`)
    release()
    const releaseDeletion = hold(node, 'o')
    await backend.deleteObject(pathOf('o'))
    t.strictSame(await total(), { objects: 0, bytes: 0 }, `node ${node} still has the row`)
    const page = await backend.listContainer('a', 'c', { limit: 0 })
    t.equal(page!.info.stats!.objects, 0, 'nor does a listing count it')
    releaseDeletion()
  }
})

t.test('replicas that lag in different rows complete each other', async (t) => {
  const { backend, hold, cut, total } = await open(t)
  for (const node of NODES) {
    const [second, gone] = [(node + 1) % 3, (node + 2) % 3]
    const releases = [hold(node, `x${node}`), hold(second, `y${node}`), hold(second, 'z')]
    await put(backend, `x${node}`, 5)
    await put(backend, `y${node}`, 7)
    await put(backend, 'z', node)
    const join = cut(gone)
    t.strictSame(await total(), {
      objects: 2 * node + 3,
      bytes: 12 * (node + 1) + node,
    })
    join()
    for (const release of releases) release()
  }
  t.equal(backend.counters.totalsCounted, 0)
})

t.test('a listing tells of its container what was acknowledged last', async (t) => {
  const { cluster, backend } = await open(t)
  const list = async () => (await backend.listContainer('a', 'c', { limit: 10 }))!.info.meta.headers
  for (const node of NODES) {
    // Proposals for containers come late at this node.
    let release = () => {}
    const late = new Promise<void>((resolve) => {
      release = resolve
    })
    cluster.setFault(node, (method, [, write]) =>
      method === 'write' && (write as ItemWrite).item.kind === 'container' ? late : undefined,
    )
    const headers = { 'x-container-meta-a': `${node}` }
    await backend.postContainer('a', 'c', { headers })
    t.equal((await list())['x-container-meta-a'], `${node}`, `node ${node} lacks it`)
    cluster.setFault(node, null)
    release()
  }
})

t.test('rows that were missed long ago are found by counting', async (t) => {
  const { cluster, backend, hold, cut, total } = await open(t)
  const releases = [hold(0, 'missed by 0'), hold(1, 'missed by 1')]
  await put(backend, 'missed by 0', 1)
  await put(backend, 'missed by 1', 1)
  // What a shard remembers is of all its lists.
  const other = itemKey(HASHING, 'container', '/a/other')
  const rows = Array.from({ length: 1000 }, (_, index) => rowOf(`o${index}`, index))
  for (const node of NODES) {
    await cluster.node(node).putRows('d', other, rows)
    await cluster.node(node).putRows(
      'd',
      other,
      rows.map((row) => ({ ...row, name: `p${row.name}` })),
    )
  }
  // Both lag, and neither remembers what the other lacks.
  cut(2)
  t.strictSame(await total(), { objects: 2, bytes: 2 })
  t.equal(backend.counters.totalsCounted, 1)
  for (const release of releases) release()
})

t.test('nodes that know no totals yet are listed', async (t) => {
  const { cluster, backend, hold, total } = await open(t)
  const release = hold(0, 'o')
  await put(backend, 'o', 5)
  for (const node of NODES) {
    cluster.setFault(node, (method) => {
      if (method !== 'totals') return
      throw new ServiceError('NoSuchOperation', 'no operation totals', { status: 404 })
    })
  }
  for (let looks = 0; looks < 5; looks++) t.strictSame(await total(), { objects: 1, bytes: 5 })
  t.equal(backend.activity().devicesLeftAlone, 0)
  release()
})

t.test('while others write, what was acknowledged is counted', async (t) => {
  const { cluster, backend, total } = await open(t)
  let acknowledged = 0
  let begun = 0
  let turn = 0
  for (const node of NODES) {
    // Rows come late at one node after the other, and out of order.
    cluster.setFault(node, async (method) => {
      if (method !== 'putRow' || ++turn % 3 !== node) return
      for (let ticks = turn % 7; ticks > 0; ticks--) await new Promise(setImmediate)
    })
  }
  const writer = async (index: number) => {
    for (let count = 0; count < 12; count++) {
      begun++
      await put(backend, `${index}/${count}`, 1)
      acknowledged++
    }
  }
  const writers = Promise.all([0, 1, 2, 3].map(writer))
  const wrong: string[] = []
  let isOver = false
  void writers.then(() => {
    isOver = true
  })
  while (!isOver) {
    const least = acknowledged
    const { objects } = await total()
    if (objects < least || objects > begun) wrong.push(`${objects}, not ${least} to ${begun}`)
    // Calls of local nodes take no turn of the event loop: disks want one, too.
    await new Promise(setImmediate)
  }
  await writers
  t.strictSame(wrong, [])
  t.strictSame(await total(), { objects: 48, bytes: 48 })
  t.equal(backend.counters.totalsCounted, 0, 'nothing was counted row by row')
})
