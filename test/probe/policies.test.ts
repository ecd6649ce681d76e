/**
 * Storage policies and the settings of containers, as several proxies know them: rows are made under the settings that
 * the container has, and objects stand in the policy that their container says.
 */

import t, { type Test } from 'tap'
import { systemClock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import { type ItemKey, itemKey } from '../../common/item.ts'
import type { Ring } from '../../common/ring/ring.ts'
import { steadyRings } from '../../common/ring/ring-set.ts'
import type { ItemWrite, ListRow } from '../../common/storage-node.ts'
import type { ObjectPath } from '../../proxy/backend/backend.ts'
import type { ClusterBackend, ClusterBackendOptions } from '../../proxy/backend/cluster-backend.ts'
import { policyOf } from '../../proxy/backend/container-policy.ts'
import { rowOfWrite } from '../../proxy/backend/rows.ts'
import type { LocalNode } from '../../storage-node/local-node.ts'
import { Replicator } from '../../storage-node/replicator/replicator.ts'
import { ClusterUnderTest, HASHING, until } from '../support/cluster-nodes.ts'
import { onLoopback, ringOver } from '../support/ring-over.ts'
import { seededRandom } from '../support/seeded-random.ts'

const META = { headers: {} }
const NODES = 6

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
function ringOfPolicy({ ring }: ClusterUnderTest, policy: number): Ring {
  if (policy === 0) return ring
  const ports = ring.devices.map((device) => device!.port)
  return ringOver(onLoopback(ports), { replicas: 3, partPower: 4, device: 'd', rotate: 1 })
}

function twoPolicies(cluster: ClusterUnderTest): Partial<ClusterBackendOptions> {
  const { ring } = cluster
  const rings = [ringOfPolicy(cluster, 0), ringOfPolicy(cluster, 1)]
  const objects = rings
  return {
    rings: steadyRings({ account: ring, container: ring, objects }),
    policies: [0, 1],
  }
}

function primariesOf(cluster: ClusterUnderTest, item: ItemKey): readonly number[] {
  const ring = item.kind === 'object' ? ringOfPolicy(cluster, item.policy) : cluster.ring
  return ring.primaries(ring.partitionOf(item.placement)).map(({ id }) => id)
}

const list = itemKey(HASHING, 'container', '/a/c')
const keyOf = (name: string, policy: number) => itemKey(HASHING, 'object', `/a/c/${name}`, policy)

/** These nodes cannot be reached, until they are back. */
function away(cluster: ClusterUnderTest, nodes: readonly number[]): void {
  for (const node of nodes) {
    cluster.setFault(node, (method) => {
      if (method !== 'confirm') throw new ServiceError('Unreachable', 'away', { status: 503 })
    })
  }
}

function back(cluster: ClusterUnderTest): void {
  for (let node = 0; node < NODES; node++) cluster.setFault(node, null)
}

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
  // A replica that has yet to hear of a row's deletion keeps the container for a moment.
  await until('the container is deleted', async () => {
    return (await backend.deleteContainer('a', 'c')).status === 'done'
  })
  t.match(await backend.putContainer('a', 'c', { meta: META, policy }), {
    status: 'done',
    existed: false,
  })
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
  const [first] = primariesOf(cluster, list)
  away(cluster, [first!])
  await a.postContainer('a', 'c', { headers: { 'x-container-write': '' } })
  back(cluster)
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
  for (const id of primariesOf(cluster, item)) {
    await cluster.node(id).write('d', write, Buffer.from('ghost'))
  }
  const row: ListRow = rowOfWrite(write, 'ghost', 5)
  const [primary] = primariesOf(cluster, list)
  await cluster.node(primary!).putRow('d', list, row)
  t.strictSame(await names(a), [])
  t.equal(await a.readObject(await placeOf(a, 'ghost')), null)

  const settling = backend({ settleAgeMs: 0 })
  await until('it is gone', async () => {
    await settling.runDaemonsOnce()
    return !(await isAnywhere(cluster, 'ghost', 0))
  })
  await until('its row is gone', async () => {
    await settling.runDaemonsOnce()
    const page = await cluster.node(primary!).list('d', list, { limit: 9 })
    return page!.entries.length === 0
  })
  t.match(await a.deleteContainer('a', 'c'), { status: 'done' })
})

/** Passes of all nodes' replicators until none has anything to do. */
async function replicate(cluster: ClusterUnderTest): Promise<void> {
  const placements = [
    { kind: 'account', policy: 0, ring: cluster.ring, previous: null },
    { kind: 'container', policy: 0, ring: cluster.ring, previous: null },
    ...[0, 1].map((policy) => {
      return {
        kind: 'object',
        policy,
        ring: ringOfPolicy(cluster, policy),
        previous: null,
      } as const
    }),
  ] as const
  const replicators = Array.from({ length: NODES }, (_, index) => {
    const node = cluster.node(index) as LocalNode
    return new Replicator({
      node,
      placements: () => placements,
      ownName: ({ id }) => (id === index ? 'd' : null),
      nodeOf: ({ id }) => cluster.node(id),
      clock: systemClock,
      graceMs: 0,
    })
  })
  await until('the replicas are in step', async () => {
    const busy: boolean[] = []
    for (const replicator of replicators) busy.push(await replicator.pass())
    return !busy.includes(true)
  })
}

/** An object of the policy whose last two primaries leave the container its majority, or do not. */
function nameWith(cluster: ClusterUnderTest, policy: number, keepsContainer: boolean): string {
  const listed = primariesOf(cluster, list)
  for (let count = 0; ; count++) {
    const name = `o${count}`
    const gone = primariesOf(cluster, keyOf(name, policy)).slice(1)
    const hit = gone.filter((node) => listed.includes(node)).length
    if (keepsContainer ? hit < 2 : hit === 2) return name
  }
}

async function textOf(backend: ClusterBackend, name: string, newest = false) {
  const read = await backend.readObject(await placeOf(backend, name), { newest })
  if (read === null) return null
  if (read.body instanceof Uint8Array) return String(Buffer.from(read.body))
  if (read.body === null) return ''
  const pieces: Uint8Array[] = []
  for await (const piece of read.body.stream(0, read.body.bytes)) pieces.push(piece)
  await read.body.close()
  return String(Buffer.concat(pieces))
}

t.test(
  'two of three primaries away: 503 in a strict policy, handoffs in a sloppy one',
  async (t) => {
    const { cluster, backend } = await open(t)
    const sloppy = () =>
      backend({ sloppyPolicies: [1], settleAgeMs: 0, errorLimit: { count: 99, forMs: 1 } })
    const [a, b] = [sloppy(), sloppy()]
    await a.putContainer('a', 'c', { meta: META, policy: 0 })
    const strict = nameWith(cluster, 0, true)
    await a.cachedContainer('a', 'c')
    away(cluster, primariesOf(cluster, keyOf(strict, 0)).slice(1))
    await t.rejects(put(a, await placeOf(a, strict)), { code: 'NoQuorum', status: 503 })
    back(cluster)
    await until('what is left of it is settled', async () => {
      await a.runDaemonsOnce()
      await t.resolves(a.deleteObject(await placeOf(a, strict)))
      return (await a.deleteContainer('a', 'c')).status === 'done'
    })

    await a.putContainer('a', 'c', { meta: META, policy: 1 })
    const name = nameWith(cluster, 1, true)
    const place = await placeOf(a, name)
    const [first, ...others] = primariesOf(cluster, keyOf(name, 1))
    t.match(await put(a, place), { status: 'done', existed: false })
    away(cluster, others)
    const meta = { etag: 'e2', headers: {} }
    const body = Buffer.from('second')
    t.match(await a.putObject(place, { meta, body }), { status: 'done', existed: true })
    const absent = { ifNoneMatch: ['*'] }
    t.match(await put(a, place, absent), { status: 'precondition-failed' })
    t.match(await a.postObject(place, { meta: { headers: { 'x-object-meta-a': '1' } } }), {
      status: 'done',
      info: { bytes: 6, meta: { etag: 'e2', headers: { 'x-object-meta-a': '1' } } },
    })
    t.equal(await textOf(b, name), 'second', 'another proxy reads it')
    t.strictSame(await names(b), [name])
    const long = Buffer.alloc(300_000, 'x')
    const streamed = nameOn(cluster, [first!, ...others], name)
    const writer = await a.openObject({ ...place, object: streamed })
    await writer.write(long)
    t.match(await writer.commit(meta), { status: 'done' })
    t.equal((await textOf(b, streamed))?.length, long.length)
    const deleted = nameOn(cluster, [first!, ...others], streamed)
    t.match(await put(a, { ...place, object: deleted }), { status: 'done' })
    t.match(await a.deleteObject({ ...place, object: deleted }), { status: 'done', existed: true })
    t.ok(a.counters.sloppyWrites >= 5)

    t.comment('the first primary goes too: what stands on handoffs is read and written')
    away(cluster, [first!, ...others])
    t.equal(await textOf(b, name), 'second')
    t.equal(await textOf(b, deleted), null)
    t.match(await a.putObject(place, { meta, body: Buffer.from('third') }), { status: 'done' })
    t.equal(await textOf(b, name), 'third')

    t.comment('they return, and do not know yet')
    back(cluster)
    t.equal(await textOf(b, name), 'second', 'no read-after-write after a failure')
    t.equal(await textOf(b, name, true), 'second', 'X-Newest asks the primaries, as in Swift')
    await replicate(cluster)
    await a.runDaemonsOnce()
    await replicate(cluster)
    t.equal(await textOf(b, name), 'third')
    t.equal(await textOf(b, deleted), null)
    t.equal((await textOf(b, streamed))?.length, long.length)
    t.strictSame(await names(b), [name, streamed].sort())
    for (const [object, isLive] of [
      [name, true],
      [streamed, true],
      [deleted, false],
    ] as const) {
      const item = keyOf(object, 1)
      const homes = primariesOf(cluster, item)
      for (let node = 0; node < NODES; node++) {
        const read = await cluster.node(node).read('d', item, { head: true })
        if (homes.includes(node)) t.equal(read!.info.deleted, !isLive, `${object} on ${node}`)
        else t.equal(read, null, `${object} not on ${node}`)
      }
    }
  },
)

/** The next name in line with these primaries in policy 1. */
function nameOn(cluster: ClusterUnderTest, nodes: readonly number[], after: string): string {
  for (let count = Number(after.slice(1)) + 1; ; count++) {
    const name = `o${count}`
    if (String(primariesOf(cluster, keyOf(name, 1))) === String(nodes)) return name
  }
}

t.test('a sloppy object waits for its row while the container has no majority', async (t) => {
  const { cluster, backend } = await open(t)
  const a = backend({ sloppyPolicies: [1], settleAgeMs: 0, errorLimit: { count: 99, forMs: 1 } })
  await a.putContainer('a', 'c', { meta: META, policy: 1 })
  await until('all its replicas have the container', async () => {
    const reads = primariesOf(cluster, list).map((id) => cluster.node(id).read('d', list))
    return (await Promise.all(reads)).every((read) => read !== null)
  })
  const name = nameWith(cluster, 1, false)
  away(cluster, primariesOf(cluster, keyOf(name, 1)).slice(1))
  const fresh = backend({ sloppyPolicies: [1] })
  t.match(await put(fresh, await placeOf(fresh, name)), { status: 'done' })
  t.equal(fresh.counters.rowsDeferred, 1)
  t.equal(await textOf(fresh, name), name)
  await t.rejects(names(fresh), { code: 'NoQuorum', status: 503 })
  const other = backend()
  await t.rejects(placeOf(other, name), { code: 'NoQuorum', status: 503 })
  back(cluster)
  await until('the row is there', async () => {
    await a.runDaemonsOnce()
    return (await names(a)).length === 1
  })
})

t.test('a sloppy object whose container was made again meanwhile is moved', async (t) => {
  const { cluster, backend } = await open(t)
  const sloppy = { sloppyPolicies: [1], errorLimit: { count: 99, forMs: 1 } }
  const [a, b] = [backend(sloppy), backend(sloppy)]
  await a.putContainer('a', 'c', { meta: META, policy: 1 })
  const old = await placeOf(b, 'o')
  const long = Buffer.alloc(200_000, 'y')
  // B reaches a minority of the container's replicas, and believes what it has in memory.
  const cut = primariesOf(cluster, list).slice(1)
  const write = async (object: string, body: Buffer) => {
    const writer = await b.openObject({ ...old, object })
    await writer.write(body)
    return writer.commit({ etag: 'e', contentType: 'x/y', headers: { 'x-object-meta-a': 'b' } })
  }
  await remake(a, 0)
  t.match(await put(a, await placeOf(a, 'newer')), { status: 'done' })
  for (const node of cut) {
    cluster.setFault(node, (method) => {
      if (method === 'putRow' || method === 'list') {
        throw new ServiceError('Unreachable', 'away', { status: 503 })
      }
    })
  }
  t.match(await put(b, old), { status: 'done' }, 'acknowledged in the old policy')
  t.match(await write('long', long), { status: 'done' })
  t.equal(b.counters.rowsDeferred, 2)
  back(cluster)
  t.strictSame(await names(a), ['newer'])
  const settling = backend({ ...sloppy, settleAgeMs: 0 })
  await until('they are where the container is', async () => {
    await settling.runDaemonsOnce()
    return (await names(a)).length === 3
  })
  t.equal(await textOf(a, 'o'), 'o')
  t.equal((await textOf(a, 'long'))?.length, long.length)
  const { info } = (await a.readObject(await placeOf(a, 'long')))!
  t.match(info.meta, { etag: 'e', contentType: 'x/y', headers: { 'x-object-meta-a': 'b' } })
  t.equal(settling.counters.moved, 2)
  for (const name of ['o', 'long']) t.notOk(await isAnywhere(cluster, name, 1), name)
})

t.test('two proxies that make one container with two policies agree on one', async (t) => {
  const { cluster, a, b } = await open(t)
  for (let round = 0; round < 20; round++) {
    const name = `both${round}`
    await Promise.allSettled([
      a.putContainer('a', name, { meta: META, policy: 0 }),
      b.putContainer('a', name, { meta: META, policy: 1 }),
    ])
    const { policy } = (await a.readContainer('a', name))!
    t.equal((await b.readContainer('a', name))!.policy, policy)
    const item = itemKey(HASHING, 'container', `/a/${name}`)
    await until('its replicas agree', async () => {
      const reads = primariesOf(cluster, item).map((id) => cluster.node(id).read('d', item))
      const policies = (await Promise.all(reads)).map((read) => read && policyOf(read.info))
      return policies.every((one) => one === policy)
    })
  }
})

/** Has the proxy read the container. */
const knowing = async (proxy: ClusterBackend, container: string) =>
  proxy.cachedContainer('a', container)

t.test('strict: whatever is acknowledged is where its container is', async (t) => {
  const { cluster, backend } = await open(t)
  const seed = Number(process.env.SWIFTLET_SEED ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}`)
  const random = seededRandom(seed)
  const proxies = [0, 1, 2].map(() => backend({ errorLimit: { count: 99, forMs: 1 } }))
  const away = () => new ServiceError('Unreachable', 'now and then', { status: 503 })
  for (let node = 0; node < NODES; node++) {
    cluster.setFault(node, (method) => {
      if (method !== 'confirm' && random.chance(0.05)) throw away()
    })
  }
  const rounds = Number(process.env.SWIFTLET_PROBE === 'long' ? 200 : 20)
  const acknowledged: ObjectPath[] = []
  let refused = 0
  for (let round = 0; round < rounds; round++) {
    const container = `r${round}`
    const settled = (work: Promise<unknown>) => work.catch(() => {})
    const [maker, ...writers] = proxies
    await settled(maker!.putContainer('a', container, { meta: META, policy: 0 }))
    const write = async (proxy: ClusterBackend, name: number) => {
      const known = await proxy.cachedContainer('a', container)
      if (known === null) return
      const path = { account: 'a', container, object: `o${name}`, policy: known.policy }
      try {
        const { status } = await put(proxy, { ...path, settings: known.metaStamp })
        if (status === 'done') acknowledged.push(path)
      } catch {
        refused++
      }
    }
    await Promise.all(writers.map(async (proxy) => settled(knowing(proxy, container))))
    // The writers believe in the first container while it is made again, and begin at any moment of that.
    const remaking = async () => {
      for (const policy of [1, 0]) {
        await settled(maker!.deleteContainer('a', container))
        await settled(maker!.putContainer('a', container, { meta: META, policy }))
      }
    }
    const writing = writers.map(async (proxy, index) => {
      for (let turn = random.below(60); turn > 0; turn--) await new Promise(setImmediate)
      for (let count = 0; count < 2; count++) await settled(write(proxy, index * 10 + count))
    })
    await Promise.all([remaking(), ...writing])
  }
  back(cluster)
  const reader = backend()
  for (const path of acknowledged) {
    const { account, container, object } = path
    const now = await reader.readContainer(account, container)
    if (now === null) {
      t.fail(`${container} was deleted over ${object}`)
      continue
    }
    const found = await reader.readObject({ ...path, policy: now.policy })
    if (found === null) t.fail(`${container}/${object} is not in policy ${now.policy}`)
    const page = await reader.listContainer(account, container, { limit: 100 })
    const isListed = page!.entries.some((entry) => 'name' in entry && entry.name === object)
    if (!isListed) t.fail(`${container}/${object} is not listed`)
  }
  t.ok(acknowledged.length > rounds / 2, `${acknowledged.length} acknowledged`)
  t.comment(`${refused} refused`)
})
