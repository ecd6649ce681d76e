/** Several storage nodes over real sockets, three replicas: what holds while nodes are away, and when they return. */
import t, { type Test } from 'tap'
import { ServiceError } from '../../common/errors.ts'
import { type ItemKey, itemKey } from '../../common/item.ts'
import { systemRandom } from '../../common/random.ts'
import type { BodyReader, ItemWrite, StorageNode } from '../../common/storage-node.ts'
import type { ClusterBackend } from '../../proxy/backend/cluster-backend.ts'
import { ClusterUnderTest, HASHING, pathOf, skewedClock, until } from '../support/cluster-nodes.ts'

const META = { headers: {} }
const NODES = 4

async function open(t: Test, nodes = NODES) {
  const cluster = await ClusterUnderTest.open(t, { nodes, replicas: 3 })
  const backend = cluster.backend()
  await backend.putAccount('a', META)
  await backend.putContainer('a', 'c', { meta: META, policy: 0 })
  return { cluster, backend }
}

const put = (backend: ClusterBackend, name: string, body = name) =>
  backend.putObject(pathOf(name), {
    meta: { etag: `etag of ${body}`, contentType: 'text/plain', headers: {} },
    body: Buffer.from(body),
  })

async function names(backend: ClusterBackend) {
  const page = await backend.listContainer('a', 'c', { limit: 1000 })
  return page?.entries.map((entry) => ('name' in entry ? entry.name : `>${entry.subdir}`))
}

async function text(backend: ClusterBackend, name: string): Promise<string | null> {
  const read = await backend.readObject(pathOf(name))
  return read === null ? null : Buffer.from(read.body as Uint8Array).toString()
}

const objectKey = (name: string) => itemKey(HASHING, 'object', `/a/c/${name}`, 0)
const listKey = itemKey(HASHING, 'container', '/a/c')

/** The indexes of the nodes that are the item's primaries, in ring order. */
function primariesOf(cluster: ClusterUnderTest, item: ItemKey): readonly number[] {
  const { ring } = cluster
  return ring.primaries(ring.partitionOf(item.placement)).map(({ id }) => id)
}

/** A name whose primaries are these nodes, in this order. */
function nameOn(cluster: ClusterUnderTest, primaries: readonly number[], prefix = 'o'): string {
  for (let count = 0; ; count++) {
    const name = `${prefix}${count}`
    if (String(primariesOf(cluster, objectKey(name))) === String(primaries)) return name
  }
}

async function textAt(node: StorageNode, name: string): Promise<string | null> {
  const read = await node.read('d', objectKey(name))
  if (read === null || read.info.deleted) return null
  return Buffer.from(read.body as Uint8Array).toString()
}

async function blobText(backend: ClusterBackend, name: string): Promise<Buffer> {
  const reader = (await backend.readObject(pathOf(name)))!.body as BodyReader
  const pieces: Uint8Array[] = []
  for await (const piece of reader.stream(0, reader.bytes)) pieces.push(Buffer.from(piece))
  await reader.close()
  return Buffer.concat(pieces)
}

t.test('all nodes up', async (t) => {
  const { cluster, backend } = await open(t)
  const all = Array.from({ length: 30 }, (_, index) => `o${String(index).padStart(2, '0')}`)
  for (const name of all) t.match(await put(backend, name), { status: 'done', existed: false })
  t.strictSame(await names(backend), all)
  for (const name of all) t.equal(await text(backend, name), name)
  t.match(await put(backend, 'o00', 'again'), { status: 'done', existed: true })
  t.equal(await text(backend, 'o00'), 'again')
  await until('all primaries have it', async () => {
    const nodes = primariesOf(cluster, objectKey('o00'))
    const texts = await Promise.all(nodes.map((index) => textAt(cluster.node(index), 'o00')))
    return texts.every((found) => found === 'again')
  })
  const post = { meta: { contentType: 'x/y', headers: { 'x-object-meta-a': 'b' } } }
  t.match(await backend.postObject(pathOf('o01'), post), { status: 'done' })
  t.match(await backend.readObject(pathOf('o01')), { info: { meta: post.meta } })
  t.match(await backend.listContainer('a', 'c', { limit: 1, prefix: 'o01' }), {
    entries: [{ contentType: 'x/y' }],
  })
  t.match(await backend.deleteObject(pathOf('o02')), { status: 'done' })
  t.match(await backend.deleteObject(pathOf('o02')), { status: 'not-found' })
  t.equal(await text(backend, 'o02'), null)
  t.strictSame(
    await names(backend),
    all.filter((name) => name !== 'o02'),
  )
  t.match(await backend.deleteContainer('a', 'c'), { status: 'not-empty' })
  await backend.runDaemonsOnce()
  t.match(await backend.readAccount('a'), { stats: { rows: 1, objects: 29 } })

  const create = { meta: META, body: Buffer.from('x'), condition: { ifNoneMatch: ['*'] } }
  t.match(await backend.putObject(pathOf('o03'), create), { status: 'precondition-failed' })
  t.match(await backend.putObject(pathOf('new'), create), { status: 'done' })

  const body = Buffer.from(systemRandom.bytes(3_000_000))
  const writer = await backend.openObject(pathOf('big'))
  for (let at = 0; at < body.length; at += 1_000_000) {
    await writer.write(body.subarray(at, at + 1_000_000))
  }
  t.match(await writer.commit({ etag: 'e', headers: {} }), { status: 'done' })
  t.ok(body.equals(await blobText(backend, 'big')))
})

t.test(
  'one node away: everything goes on, handoffs take its copies, reads repair it',
  async (t) => {
    const { cluster, backend } = await open(t)
    const name = nameOn(cluster, [1, 2, 3])
    const dead = nameOn(cluster, [1, 2, 3], 'dead')
    const big = nameOn(cluster, [1, 2, 3], 'big')
    const handoff = cluster.node(0)
    await put(backend, name, 'old')
    await put(backend, dead)
    await cluster.stop(1)

    t.match(await put(backend, name, 'new'), { status: 'done' })
    t.equal(await text(backend, name), 'new')
    t.match(await backend.deleteObject(pathOf(dead)), { status: 'done' })
    t.equal(await text(backend, dead), null)
    const body = Buffer.from(systemRandom.bytes(500_000))
    const writer = await backend.openObject(pathOf(big))
    await writer.write(body)
    t.match(await writer.commit({ etag: 'e', headers: {} }), { status: 'done' })
    t.strictSame(await names(backend), [name, big].sort())
    t.match(await backend.putContainer('a', 'd', { meta: META, policy: 0 }), { status: 'done' })

    await until('copies on the handoff', async () => {
      const [object, tombstone, blob] = await Promise.all(
        [name, dead, big].map((each) => handoff.read('d', objectKey(each), { head: true })),
      )
      const isThere = object?.info.bytes === 3 && tombstone?.info.deleted === true
      return isThere && blob !== null && backend.counters.handoffCopies >= 3
    })

    await cluster.start(1)
    t.equal(await textAt(cluster.node(1), name), 'old')
    await until('reads put the node right', async () => {
      t.equal(await text(backend, name), 'new', 'never the old one')
      t.equal(await text(backend, dead), null, 'never the deleted one')
      t.ok(body.equals(await blobText(backend, big)))
      const held = await Promise.all(
        [name, dead, big].map((each) => cluster.node(1).read('d', objectKey(each), { head: true })),
      )
      const isNew = (await textAt(cluster.node(1), name)) === 'new'
      return isNew && held[0] !== null && held[1]?.info.deleted === true && held[2] !== null
    })
    t.equal(await textAt(cluster.node(1), name), 'new')
    t.ok(backend.counters.readRepairs >= 3)
  },
)

t.test('two of three away: 503, and handoffs do not count', async (t) => {
  const { cluster, backend } = await open(t)
  const name = nameOn(cluster, [0, 1, 2])
  await put(backend, name)
  await cluster.stop(0)
  await cluster.stop(1)
  const noQuorum = { code: 'NoQuorum', status: 503, retryAfterSeconds: 5 }
  await t.rejects(put(backend, name, 'refused'), noQuorum)
  await t.rejects(async () => backend.readObject(pathOf(name)), noQuorum)
  await t.rejects(backend.deleteObject(pathOf(name)), noQuorum)
  await t.rejects(backend.openObject(pathOf(name)), noQuorum)
  await cluster.start(0)
  await cluster.start(1)
  // What was refused may have happened or not; afterwards it is one of the two, for good.
  await until('a quorum is back', async () => {
    const found = await text(backend, name).catch(() => undefined)
    return found !== undefined
  })
  const settled = await text(backend, name)
  for (let read = 0; read < 10; read++) t.equal(await text(backend, name), settled)
})

t.test('a write that only one replica took is completed by the read that sees it', async (t) => {
  const { cluster, backend } = await open(t)
  const name = nameOn(cluster, [0, 1, 2])
  await put(backend, name, 'old')
  const refuse = (method: string) => {
    if (method === 'write') throw new Error('refused by the test')
  }
  cluster.setFault(1, refuse)
  cluster.setFault(2, refuse)
  await t.rejects(put(backend, name, 'new'), { code: 'NoQuorum' })
  await t.rejects(text(backend, name), { code: 'NoQuorum' }, 'neither new nor old can be shown')
  cluster.setFault(1, null)
  cluster.setFault(2, null)
  await until('devices are tried again', async () => {
    const found = await text(backend, name).catch(() => undefined)
    return found === 'new'
  })
  await until('all have it', async () => {
    const texts = await Promise.all([0, 1, 2].map((index) => textAt(cluster.node(index), name)))
    return texts.every((found) => found === 'new')
  })
  t.match(await backend.listContainer('a', 'c', { limit: 1 }), {
    entries: [{ name, etag: 'etag of new' }],
  })
})

t.test('a replica that missed the last writes does not judge conditions or posts', async (t) => {
  const { cluster, backend } = await open(t)
  const name = nameOn(cluster, [0, 1, 2])
  const deaf = (method: string) => {
    if (method === 'write') throw new Error('refused by the test')
  }
  await put(backend, name, 'old')
  cluster.setFault(0, deaf)
  await backend.deleteObject(pathOf(name))
  cluster.setFault(0, null)
  const post = { meta: { headers: { 'x-object-meta-a': 'b' } } }
  t.match(await backend.postObject(pathOf(name), post), { status: 'not-found' })
  t.equal(await text(backend, name), null, 'the post did not bring it back')
  cluster.setFault(1, deaf)
  await put(backend, name, 'new')
  cluster.setFault(1, null)
  const create = { meta: META, body: Buffer.from('x'), condition: { ifNoneMatch: ['*'] } }
  t.match(await backend.putObject(pathOf(name), create), { status: 'precondition-failed' })
  t.equal(await text(backend, name), 'new')
})

t.test('of many conditional creations at once one succeeds', async (t) => {
  const { cluster, backend } = await open(t)
  const backends = [backend, cluster.backend(), cluster.backend()]
  for (let round = 0; round < 5; round++) {
    const bodies = backends.map((_, index) => `${round} by ${index}`)
    const outcomes = await Promise.all(
      backends.map((each, index) =>
        each
          .putObject(pathOf(`once ${round}`), {
            meta: META,
            body: Buffer.from(bodies[index]!),
            condition: { ifNoneMatch: ['*'] },
          })
          .catch((error) => ({ status: error.code })),
      ),
    )
    const winners = bodies.filter((_, index) => outcomes[index]!.status === 'done')
    t.equal(winners.length, 1, `${outcomes.map(({ status }) => status)}`)
    const found = await text(backend, `once ${round}`)
    t.equal(found, winners[0])
  }
})

t.test('listings: rows that a replica missed, rows that it should not have', async (t) => {
  const { cluster, backend } = await open(t)
  const [first, second] = primariesOf(cluster, listKey)
  const deafToRows = (method: string) => {
    if (method === 'putRow') throw new Error('refused by the test')
  }
  const all = Array.from({ length: 12 }, (_, index) => `o${String(index).padStart(2, '0')}`)
  for (const [index, name] of all.entries()) {
    cluster.setFault(index % 2 === 0 ? first! : second!, deafToRows)
    await put(backend, name)
    cluster.setFault(first!, null)
    cluster.setFault(second!, null)
  }
  t.strictSame(await names(backend), all)
  for (const limit of [1, 5]) {
    const page = await backend.listContainer('a', 'c', { limit, marker: 'o03' })
    const part = page!.entries.map((entry) => 'name' in entry && entry.name)
    t.strictSame(part, all.slice(4, 4 + limit))
  }
  cluster.setFault(first!, deafToRows)
  await backend.deleteObject(pathOf('o00'))
  await backend.deleteObject(pathOf('o01'))
  cluster.setFault(first!, null)
  t.strictSame(await names(backend), all.slice(2), 'deleted though one replica still has the rows')
  await until('listings put the replicas right', async () => {
    await names(backend)
    const pages = await Promise.all(
      primariesOf(cluster, listKey).map((index) =>
        cluster.node(index).list('d', listKey, { limit: 100, marker: 'o01' }),
      ),
    )
    return pages.every((page) => page!.entries.length === 10)
  })
})

t.test('a container made while a replica of it was away', async (t) => {
  const { cluster, backend } = await open(t)
  const away = primariesOf(cluster, itemKey(HASHING, 'container', '/a/late'))[0]!
  await cluster.stop(away)
  await backend.putContainer('a', 'late', { meta: META, policy: 0 })
  const write = (name: string) =>
    backend.putObject(pathOf(name, 'late'), { meta: META, body: Buffer.from(name) })
  for (let index = 0; index < 5; index++) await write(`before ${index}`)
  await cluster.start(away)
  await until('it is reached again', async () => {
    const page = await backend.listContainer('a', 'late', { limit: 100 })
    t.equal(page!.entries.length, 5)
    const info = await cluster.node(away).read('d', itemKey(HASHING, 'container', '/a/late'))
    return info !== null
  })
  await write('after')
  t.equal((await backend.listContainer('a', 'late', { limit: 100 }))!.entries.length, 6)
  t.match(await backend.deleteContainer('a', 'late'), { status: 'not-empty' })
})

t.test('rows that only a replica that lags still has do not keep a container', async (t) => {
  const { cluster, backend } = await open(t)
  t.match(await put(backend, 'o'), { status: 'done' })
  const [lagging] = primariesOf(cluster, listKey)
  await until('all have the row', async () => {
    const pages = await Promise.all(
      primariesOf(cluster, listKey).map((id) => cluster.node(id).list('d', listKey, { limit: 9 })),
    )
    return pages.every((page) => page?.entries.length === 1)
  })
  t.match(await backend.deleteContainer('a', 'c'), { status: 'not-empty' })
  cluster.setFault(lagging!, (method) => {
    if (method === 'putRow') throw new ServiceError('Unreachable', 'away', { status: 503 })
  })
  t.match(await backend.deleteObject(pathOf('o')), { status: 'done' })
  cluster.setFault(lagging!, null)
  t.match(await backend.deleteContainer('a', 'c'), { status: 'done' })
  t.equal(await backend.readContainer('a', 'c'), null)
  t.match(await backend.putContainer('a', 'c', { meta: META, policy: 0 }), { existed: false })
  t.strictSame(await names(backend), [])
  t.match(await put(backend, 'p'), { status: 'done' })
  t.strictSame(await names(backend), ['p'])
})

t.test('two replicas need both', async (t) => {
  const cluster = await ClusterUnderTest.open(t, { nodes: 2, replicas: 2 })
  const backend = cluster.backend()
  await backend.putAccount('a', META)
  await backend.putContainer('a', 'c', { meta: META, policy: 0 })
  await put(backend, 'o')
  t.equal(await text(backend, 'o'), 'o')
  await cluster.stop(1)
  await t.rejects(put(backend, 'o', 'new'), { code: 'NoQuorum' })
})

t.test('full devices are a 507, one full device is not', async (t) => {
  const { cluster, backend } = await open(t, 3)
  const full = (method: string, [, write]: readonly unknown[]) => {
    const isDelete = (write as ItemWrite | undefined)?.action === 'delete'
    if (method === 'openBody' || (method === 'write' && !isDelete)) {
      throw new ServiceError('DeviceFull', 'no space', { status: 507 })
    }
  }
  await put(backend, 'o')
  cluster.setFault(0, full)
  t.match(await put(backend, 'p'), { status: 'done' })
  cluster.setFault(1, full)
  cluster.setFault(2, full)
  await t.rejects(put(backend, 'q'), { code: 'DeviceFull', status: 507 })
  await t.rejects(backend.openObject(pathOf('q')), { code: 'DeviceFull', status: 507 })
  t.match(await backend.deleteObject(pathOf('o')), { status: 'done' }, 'deletes still work')
})

t.test('a replica that hangs does not stop the others', async (t) => {
  const { cluster } = await open(t)
  const backend = cluster.backend({ deadlineMs: 300, errorLimit: { count: 2, forMs: 60_000 } })
  const name = nameOn(cluster, [0, 1, 2])
  await backend.cachedContainer('a', 'c')
  const release: (() => void)[] = []
  cluster.setFault(0, () => new Promise((resolve) => release.push(resolve)))
  const started = Date.now()
  t.match(await put(backend, name), { status: 'done' })
  t.ok(Date.now() - started < 250, 'a majority is enough')
  for (let read = 0; read < 20; read++) t.equal(await text(backend, name), name)
  t.ok(Date.now() - started < 3_000, 'it is left alone after some errors')
  for (const resume of release) resume()
})

t.test('a stream goes on without a replica that fails in the middle', async (t) => {
  const { cluster, backend } = await open(t)
  const name = nameOn(cluster, [0, 1, 2], 'big')
  const body = Buffer.from(systemRandom.bytes(4_000_000))
  cluster.setFault(2, async (method) => {
    if (method === 'openBody') throw new ServiceError('Unreachable', 'by the test', { status: 503 })
  })
  const writer = await backend.openObject(pathOf(name))
  await writer.write(body.subarray(0, 2_000_000))
  await writer.write(body.subarray(2_000_000))
  t.match(await writer.commit({ etag: 'e', headers: {} }), { status: 'done' })
  cluster.setFault(2, null)
  t.ok(body.equals(await blobText(backend, name)))
  await until('the handoff has it', async () => {
    return (await cluster.node(3).read('d', objectKey(name), { head: true })) !== null
  })

  const second = await backend.openObject(pathOf(name))
  await second.write(body)
  await cluster.stop(2)
  await second.write(body)
  await second.write(body)
  t.match(await second.commit({ etag: 'e', headers: {} }), { status: 'done' })
  t.equal((await blobText(backend, name)).length, 12_000_000)
})

t.test('proxies with clocks apart do not lose the later write', async (t) => {
  const { cluster, backend } = await open(t)
  const ahead = cluster.backend({ clock: skewedClock(30_000) })
  for (let round = 0; round < 10; round++) {
    await put(ahead, 'o', `ahead ${round}`)
    t.match(await put(backend, 'o', `behind ${round}`), { status: 'done' })
    t.equal(await text(ahead, 'o'), `behind ${round}`)
  }
})

t.test('random faults: what was acknowledged is there, what was deleted is not', async (t) => {
  const { cluster, backend } = await open(t)
  const seed = Number(process.env.SEED ?? systemRandom.below(1_000_000))
  t.comment(`SEED=${seed}`)
  let state = seed
  const random = (limit: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * limit)
  }
  // One node at a time fails some of its writes before or after they happen.
  const acknowledged = new Map<string, string | null>()
  const uncertain = new Set<string>()
  for (let step = 0; step < Number(process.env.STEPS ?? 100); step++) {
    for (let index = 0; index < NODES; index++) cluster.setFault(index, null)
    cluster.setFault(random(NODES), (method) => {
      if ((method === 'write' || method === 'putRow') && random(2) === 0) {
        throw new Error('refused by the test')
      }
    })
    const name = `o${random(10)}`
    try {
      if (random(3) === 0) {
        await backend.deleteObject(pathOf(name))
        acknowledged.set(name, null)
      } else {
        await put(backend, name, `step ${step}`)
        acknowledged.set(name, `step ${step}`)
      }
      uncertain.delete(name)
    } catch {
      uncertain.add(name)
    }
  }
  for (let index = 0; index < NODES; index++) cluster.setFault(index, null)
  const expected = [...acknowledged].filter(([name]) => !uncertain.has(name))
  t.ok(expected.length > 0)
  const listed = new Set(await names(backend))
  for (const [name, body] of expected) {
    t.equal(await text(backend, name), body, name)
    t.equal(listed.has(name), body !== null, `${name} is listed as it is`)
  }
})
