/**
 * Storage policies and the settings of containers, as several proxies know them: rows are made under the settings that
 * the container has, and objects stand in the policy that their container says.
 */
import t, { type Test } from 'tap'
import { ServiceError } from '../../common/errors.ts'
import { itemKey } from '../../common/item.ts'
import type { ItemWrite, ListRow } from '../../common/storage-node.ts'
import type { ObjectPath } from '../../proxy/backend/backend.ts'
import type { ClusterBackend, ClusterBackendOptions } from '../../proxy/backend/cluster-backend.ts'
import { rowOfWrite } from '../../proxy/backend/rows.ts'
import { ClusterUnderTest, HASHING, until } from '../support/cluster-nodes.ts'
import { onLoopback, ringOver } from '../support/ring-over.ts'

const META = { headers: {} }
const NODES = 4

async function open(t: Test) {
  const cluster = await ClusterUnderTest.open(t, { nodes: NODES, replicas: 3, local: true })
  // The clock's timers do not keep a process alive that has no sockets.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const backend = (extra: Partial<ClusterBackendOptions> = {}) =>
    cluster.backend({ ...twoPolicies(cluster), ...extra })
  const [a, b] = [backend(), backend()]
  await a.putAccount('a', META)
  return { cluster, backend, a, b }
}

/** Policy 1 has a ring of its own, with the same devices in another order. */
function twoPolicies({ ring }: ClusterUnderTest): Partial<ClusterBackendOptions> {
  const ports = ring.devices.map((device) => device!.port)
  const other = ringOver(onLoopback(ports), { replicas: 3, partPower: 4, device: 'd', rotate: 1 })
  const object = (policy: number) => (policy === 0 ? ring : other)
  return { rings: { account: ring, container: ring, object }, policies: [0, 1] }
}

const list = itemKey(HASHING, 'container', '/a/c')
const keyOf = (name: string, policy: number) => itemKey(HASHING, 'object', `/a/c/${name}`, policy)

/** Where the object lives as this proxy knows the container. */
async function placeOf(backend: ClusterBackend, object: string): Promise<ObjectPath> {
  const { policy, metaStamp } = (await backend.cachedContainer('a', 'c'))!
  return { account: 'a', container: 'c', object, policy, settings: metaStamp }
}

const put = (backend: ClusterBackend, place: ObjectPath, condition = {}) =>
  backend.putObject(place, {
    meta: { etag: 'e', headers: {} },
    body: Buffer.from(place.object),
    ...(Object.keys(condition).length > 0 && { condition }),
  })

async function names(backend: ClusterBackend): Promise<unknown[]> {
  const page = await backend.listContainer('a', 'c', { limit: 100 })
  return page!.entries.map((entry) => ('name' in entry ? entry.name : entry.subdir))
}

async function remake(backend: ClusterBackend, policy: number): Promise<void> {
  t.match(await backend.deleteContainer('a', 'c'), { status: 'done' })
  t.match(await backend.putContainer('a', 'c', { meta: META, policy }), { status: 'done' })
}

/** Whether any node holds a live record of the object in the policy. */
async function isAnywhere(cluster: ClusterUnderTest, name: string, policy: number) {
  for (let node = 0; node < NODES; node++) {
    const read = await cluster.node(node).read('d', keyOf(name, policy), { head: true })
    if (read !== null && !read.info.deleted) return true
  }
  return false
}

t.test(
  'a container that was made again with another policy takes nothing of the old one',
  async (t) => {
    const { cluster, a, b } = await open(t)
    await a.putContainer('a', 'c', { meta: META, policy: 0 })
    const old = await placeOf(b, 'o')
    t.match(await put(b, old), { status: 'done' })
    t.match(await b.deleteObject(old), { status: 'done' })
    await remake(a, 1)

    const kinds: Record<string, () => Promise<unknown>> = {
      put: () => put(b, { ...old, object: 'put' }),
      conditional: () => put(b, { ...old, object: 'conditional' }, { ifNoneMatch: ['*'] }),
      async stream() {
        const writer = await b.openObject({ ...old, object: 'stream' })
        await writer.write(Buffer.from('stream'))
        await writer.commit({ etag: 'e', headers: {} })
      },
    }
    for (const [name, write] of Object.entries(kinds)) {
      await t.rejects(write(), { code: 'ContainerRemade', status: 503 }, name)
      await until('what it wrote is removed', async () => !(await isAnywhere(cluster, name, 0)))
      t.notOk(await isAnywhere(cluster, name, 1))
    }
    t.strictSame(await names(a), [])

    await put(a, await placeOf(a, 'o'))
    await t.rejects(b.deleteObject(old), { code: 'ContainerRemade' })
    t.strictSame(
      await names(a),
      ['o'],
      'a deletion in the old policy removes no row of the new one',
    )
    t.match(await placeOf(b, 'o'), { policy: 1 }, 'the refusal told the proxy')
    t.match(await put(b, await placeOf(b, 'p')), { status: 'done' })
    t.strictSame(await names(a), ['o', 'p'])
    t.match(await a.readContainer('a', 'c'), { policy: 1 })
  },
)

t.test('a change of settings costs another proxy one more look, and no failure', async (t) => {
  const { cluster, a, b } = await open(t)
  await a.putContainer('a', 'c', { meta: META, policy: 0 })
  const known = await placeOf(b, 'o')
  const headers = { 'x-container-write': 'x:y' }
  await a.postContainer('a', 'c', { headers })
  t.match(await put(b, known), { status: 'done' })
  t.match((await b.cachedContainer('a', 'c'))!.meta, { headers })
  t.strictSame(await names(a), ['o'])
  const settings = (await placeOf(b, 'o')).settings!
  t.ok(settings.ticks > known.settings!.ticks)

  t.comment('a replica that missed the change does not stand in the way')
  const primaries = cluster.ring.primaries(cluster.ring.partitionOf(list.placement))
  cluster.setFault(primaries[0]!.id, (method) => {
    if (method !== 'confirm') throw new ServiceError('Unreachable', 'away', { status: 503 })
  })
  await a.postContainer('a', 'c', { headers: { 'x-container-write': '' } })
  cluster.setFault(primaries[0]!.id, null)
  t.match(await put(b, { ...known, settings }), { status: 'done' })
  t.match(await put(b, await placeOf(b, 'p')), { status: 'done' })
})

t.test('what a dead writer left in the old policy is not shown, and goes', async (t) => {
  const { cluster, backend, a } = await open(t)
  await a.putContainer('a', 'c', { meta: META, policy: 0 })
  await remake(a, 1)
  // The object on all its replicas, its row on one that believed in the old container.
  const { ticks } = (await a.readContainer('a', 'c'))!.stamp
  const stamp = { ticks: ticks + 1, proposer: 256 }
  const item = keyOf('ghost', 0)
  const write: ItemWrite = {
    ...{ item, action: 'put', stamp, ballot: stamp, writeId: 'a'.repeat(16) },
    meta: { etag: 'e', headers: {} },
  }
  for (const { id } of cluster.ring.primaries(cluster.ring.partitionOf(item.placement))) {
    await cluster.node(id).write('d', write, Buffer.from('ghost'))
  }
  const row: ListRow = rowOfWrite(write, 'ghost', 5)
  const primary = cluster.ring.primaries(cluster.ring.partitionOf(list.placement))[0]!
  await cluster.node(primary.id).putRow('d', list, row)
  t.strictSame(await names(a), [])
  t.equal(await a.readObject(await placeOf(a, 'ghost')), null)

  const settling = backend({ settleAgeMs: 0 })
  await until('it is gone', async () => {
    await settling.runDaemonsOnce()
    return !(await isAnywhere(cluster, 'ghost', 0))
  })
  await until('its row is gone', async () => {
    await settling.runDaemonsOnce()
    const page = await cluster.node(primary.id).list('d', list, { limit: 9 })
    return page!.entries.length === 0
  })
  t.match(await a.deleteContainer('a', 'c'), { status: 'done' })
})
