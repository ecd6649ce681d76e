/** The backend over one replica: every path between the proxy's HTTP side and the engine. */
import t, { type Test } from 'tap'
import { systemClock } from '../../common/clock.ts'
import { itemKey } from '../../common/item.ts'
import { randomWriteId, systemRandom } from '../../common/random.ts'
import { StampClock } from '../../common/stamp.ts'
import type { BodyReader, ListRow } from '../../common/storage-node.ts'
import type { ClusterBackend } from '../../proxy/backend/cluster-backend.ts'
import { ClusterUnderTest, HASHING, pathOf, skewedClock, until } from '../support/cluster-nodes.ts'

const META = { headers: {} }
// The proxies' own clock: one of whole milliseconds is behind what they draw within one.
const stamps = new StampClock({ nowMs: () => systemClock.nowMs(), proposer: 0xff00 })

async function open(t: Test, extra: Parameters<ClusterUnderTest['backend']>[0] = {}) {
  const cluster = await ClusterUnderTest.open(t, { nodes: 1, replicas: 1, local: true })
  const backend = cluster.backend(extra)
  await backend.putAccount('a', META)
  await backend.putContainer('a', 'c', { meta: META, policy: 0 })
  return { cluster, backend, node: cluster.node(0) }
}

const put = (backend: ClusterBackend, name: string, body = name, meta = META) =>
  backend.putObject(pathOf(name), {
    meta: { etag: `etag of ${body}`, contentType: 'text/plain', ...meta },
    body: Buffer.from(body),
  })

async function names(backend: ClusterBackend, container = 'c', limit = 100) {
  const page = await backend.listContainer('a', container, { limit })
  return page?.entries.map((entry) => ('name' in entry ? entry.name : `>${entry.subdir}`))
}

async function text(backend: ClusterBackend, name: string): Promise<string | null> {
  const read = await backend.readObject(pathOf(name))
  return read === null ? null : Buffer.from(read.body as Uint8Array).toString()
}

function ghostRow(name: string, extra: Partial<ListRow> = {}): ListRow {
  const stamp = stamps.next()
  return {
    name,
    stamp,
    metaStamp: stamp,
    ballot: stamp,
    deleted: false,
    bytes: 1,
    count: 1,
    etag: 'ghost',
    contentType: 'x/y',
    policy: 0,
    confirmed: false,
    ...extra,
  }
}

t.test('objects and their rows', async (t) => {
  const { backend } = await open(t)
  t.equal(await backend.readObject(pathOf('o')), null)
  t.match(await put(backend, 'o', 'one'), { status: 'done', existed: false })
  t.match(await put(backend, 'o', 'two'), { status: 'done', existed: true })
  t.equal(await text(backend, 'o'), 'two')
  t.strictSame(await names(backend), ['o'])
  t.match(await backend.listContainer('a', 'c', { limit: 1 }), {
    entries: [{ bytes: 3, etag: 'etag of two', contentType: 'text/plain', confirmed: true }],
    info: { stats: { rows: 1, bytes: 3 } },
  })
  const post = { meta: { contentType: 'new/type', headers: { 'x-object-meta-a': 'b' } } }
  t.match(await backend.postObject(pathOf('o'), post), { status: 'done' })
  t.match(await backend.listContainer('a', 'c', { limit: 1 }), {
    entries: [{ contentType: 'new/type', etag: 'etag of two' }],
  })
  t.match(await backend.postObject(pathOf('none'), post), { status: 'not-found' })
  t.match(await backend.deleteObject(pathOf('o')), { status: 'done' })
  t.equal(await backend.readObject(pathOf('o')), null)
  t.strictSame(await names(backend), [])
  t.match(await backend.deleteObject(pathOf('o')), { status: 'not-found' })
})

t.test('conditions; a refused write leaves no row', async (t) => {
  const { backend } = await open(t)
  const create = (name: string) =>
    backend.putObject(pathOf(name), {
      meta: { etag: 'e', headers: {} },
      body: Buffer.from('x'),
      condition: { ifNoneMatch: ['*'] },
    })
  t.match(await create('o'), { status: 'done' })
  t.match(await create('o'), { status: 'precondition-failed', current: { bytes: 1 } })
  const other = { condition: { ifMatch: ['other'] } }
  t.match(await backend.deleteObject(pathOf('o'), other), { status: 'precondition-failed' })
  t.match(await backend.deleteObject(pathOf('none'), other), { status: 'precondition-failed' })
  t.strictSame(await names(backend), ['o'])
  t.match(await backend.deleteObject(pathOf('o'), { condition: { ifMatch: ['e'] } }), {
    status: 'done',
  })
  t.strictSame(await names(backend), [])
})

t.test('bodies of any length', async (t) => {
  const { backend } = await open(t)
  const body = Buffer.from(systemRandom.bytes(2_000_000))
  const writer = await backend.openObject(pathOf('big'))
  for (let at = 0; at < body.length; at += 300_000) {
    await writer.write(body.subarray(at, at + 300_000))
  }
  t.strictSame(await names(backend), [], 'nothing before the commit')
  t.match(await writer.commit({ etag: 'e', contentType: 't', headers: {} }), { status: 'done' })
  const reader = (await backend.readObject(pathOf('big')))!.body as BodyReader
  const pieces: Uint8Array[] = []
  for await (const piece of reader.stream(0, reader.bytes)) pieces.push(piece)
  await reader.close()
  t.ok(body.equals(Buffer.concat(pieces)))
  t.match(await backend.listContainer('a', 'c', { limit: 1 }), { entries: [{ bytes: 2_000_000 }] })

  const aborted = await backend.openObject(pathOf('aborted'))
  await aborted.write(body)
  await aborted.abort()
  const refused = await backend.openObject(pathOf('big'))
  await refused.write(body)
  t.match(await refused.commit(META, { ifNoneMatch: ['*'] }), { status: 'precondition-failed' })
  t.strictSame(await names(backend), ['big'])
})

t.test('a proxy whose clock is behind stamps above what it finds', async (t) => {
  const { cluster, backend } = await open(t)
  const ahead = cluster.backend({ clock: skewedClock(60_000) })
  await put(ahead, 'o', 'from the future')
  t.match(await put(backend, 'o', 'later'), { status: 'done', existed: true })
  t.equal(await text(backend, 'o'), 'later')
  t.ok(backend.counters.restamps > 0)
  await put(ahead, 'p', 'from the future')
  const behind = cluster.backend()
  t.match(await behind.deleteObject(pathOf('p')), { status: 'done' })
  t.strictSame(await names(backend), ['o'])
  await put(ahead, 'q', 'from the future')
  const streaming = cluster.backend()
  const writer = await streaming.openObject(pathOf('q'))
  await writer.write(Buffer.from('streamed later'))
  t.match(await writer.commit(META), { status: 'done' }, 'a stream looks before it is stamped')
})

t.test('containers and accounts', async (t) => {
  const { backend, cluster } = await open(t)
  t.match(await backend.readAccount('a'), { name: '/a', stats: { rows: 1 } })
  t.equal(await backend.readAccount('b'), null)
  t.equal(await backend.listAccount('b', { limit: 10 }), null)
  t.equal(await backend.readContainer('a', 'none'), null)
  t.equal(await backend.cachedContainer('a', 'none'), null)

  const headers = { 'x-container-read': '.r:*' }
  const made = await backend.putContainer('a', 'd', { meta: { headers }, policy: 3 })
  t.match(made, { status: 'done', existed: false, info: { policy: 3 } })
  t.match(await backend.readContainer('a', 'd'), { policy: 3, meta: { headers } })
  t.match(await backend.cachedContainer('a', 'd'), { policy: 3 })
  t.notOk(backend.cachedContainer('a', 'd') instanceof Promise, 'at once when known')
  t.match(await backend.putContainer('a', 'd', { meta: META, policy: 1 }), { existed: true })
  t.match(await backend.readContainer('a', 'd'), { policy: 3 }, 'a policy is for good')
  await backend.postContainer('a', 'd', { headers: { 'x-container-read': '' } })
  t.equal((await backend.cachedContainer('a', 'd'))!.meta.headers['x-container-read'], undefined)

  const accountNames = async () =>
    (await backend.listAccount('a', { limit: 10 }))!.entries.map((e) => 'name' in e && e.name)
  t.strictSame(await accountNames(), ['c', 'd'])
  t.match(await backend.listAccount('a', { limit: 10 }), {
    entries: [{ policy: 0 }, { policy: 3, confirmed: true }],
  })
  await put(backend, 'o')
  t.match(await backend.deleteContainer('a', 'c'), { status: 'not-empty' })
  await backend.deleteObject(pathOf('o'))
  t.match(await backend.deleteContainer('a', 'c'), { status: 'done' })
  t.equal(await backend.cachedContainer('a', 'c'), null)
  t.match(await backend.deleteContainer('a', 'c'), { status: 'not-found' })
  t.strictSame(await accountNames(), ['d'])
  t.match(await backend.deleteAccount('a'), { status: 'done' })
  const reaping = cluster.backend({ accountReclaimMs: 0 })
  await reaping.runDaemonsOnce()
  await reaping.runDaemonsOnce()
  t.equal(await backend.readContainer('a', 'd'), null)
  t.equal(await backend.readAccount('a'), null)
  const orphan = backend.putContainer('a', 'late', { meta: META, policy: 0 })
  await t.rejects(orphan, { code: 'NoSuchAccount', status: 404 })
})

t.test(
  'an object whose container is gone is refused and does not come to light later',
  async (t) => {
    const { backend } = await open(t)
    await backend.deleteContainer('a', 'c')
    await t.rejects(put(backend, 'o'), { code: 'NoSuchContainer', status: 404 })
    await backend.putContainer('a', 'c', { meta: META, policy: 0 })
    await until('the orphan is gone', async () => (await text(backend, 'o')) === null)
    t.strictSame(await names(backend), [])
    t.match(await put(backend, 'o'), { status: 'done' })
    t.strictSame(await names(backend), ['o'])
  },
)

t.test('a row without its object is not shown, and goes when it is old enough', async (t) => {
  const { backend, cluster, node } = await open(t)
  const list = itemKey(HASHING, 'container', '/a/c')
  await put(backend, 'a')
  await put(backend, 'z')
  for (const name of ['b', 'c', 'd']) await node.putRow('d', list, ghostRow(name))
  t.strictSame(await names(backend), ['a', 'z'])
  t.strictSame(await names(backend, 'c', 2), ['a', 'z'], 'a page is filled up')
  t.match(await backend.readContainer('a', 'c'), { stats: { rows: 5 } })
  await backend.runDaemonsOnce()
  t.match(await backend.readContainer('a', 'c'), { stats: { rows: 5 } }, 'not before its time')
  await cluster.backend({ settleAgeMs: 0 }).runDaemonsOnce()
  t.match(await backend.readContainer('a', 'c'), { stats: { rows: 2 } })
})

t.test('a row of another version shows what is there', async (t) => {
  const { backend, cluster, node } = await open(t)
  const list = itemKey(HASHING, 'container', '/a/c')
  await put(backend, 'o', 'real')
  await node.putRow('d', list, ghostRow('o', { bytes: 999 }))
  const shown = { entries: [{ name: 'o', bytes: 4, etag: 'etag of real' }] }
  t.match(await backend.listContainer('a', 'c', { limit: 10 }), shown)
  await cluster.backend({ settleAgeMs: 0 }).runDaemonsOnce()
  t.match(await node.list('d', list, { limit: 10 }), shown, 'put right at the node')
  t.match(await put(backend, 'o', 'newer'), { status: 'done' })
  t.match(await backend.listContainer('a', 'c', { limit: 10 }), { entries: [{ bytes: 5 }] })
})

t.test('objects without their row, deleted objects with one', async (t) => {
  const { backend, cluster, node } = await open(t)
  const lost = itemKey(HASHING, 'object', '/a/c/lost', 0)
  const stamp = stamps.next()
  const write = { stamp, ballot: stamp, writeId: randomWriteId(systemRandom), meta: META }
  await node.write('d', { ...write, item: lost, action: 'put' }, Buffer.from('x'))
  await put(backend, 'dead')
  const dead = itemKey(HASHING, 'object', '/a/c/dead', 0)
  const later = stamps.next()
  const deletion = { ...write, stamp: later, ballot: later, item: dead, action: 'delete' } as const
  await node.write('d', deletion, null)
  t.strictSame(await names(backend), ['dead'], 'as a crash in the middle left it')
  await cluster.backend({ settleAgeMs: 0 }).runDaemonsOnce()
  t.strictSame(await names(backend), ['lost'])
  t.strictSame(await node.unconfirmed('d', { ageMs: 0, limit: 10 }), [])
})

t.test('a write that lands after its row was settled gets its row back', async (t) => {
  const { backend, cluster, node } = await open(t)
  const list = itemKey(HASHING, 'container', '/a/c')
  const settler = cluster.backend({ settleAgeMs: 0 })
  const row = ghostRow('slow', { etag: 'slow' })
  await node.putRow('d', list, row)
  await settler.runDaemonsOnce()
  t.match(await backend.readContainer('a', 'c'), { stats: { rows: 0 } })
  const write = {
    item: itemKey(HASHING, 'object', '/a/c/slow', 0),
    action: 'put',
    stamp: row.stamp,
    ballot: row.ballot,
    writeId: randomWriteId(systemRandom),
    meta: { etag: 'slow', headers: {} },
  } as const
  await node.write('d', write, Buffer.from('x'))
  await settler.runDaemonsOnce()
  t.strictSame(await names(backend), ['slow'])
})

t.test('container totals reach the account, and deleted containers do not come back', async (t) => {
  const { backend } = await open(t)
  await put(backend, 'o', 'twelve bytes')
  await backend.runDaemonsOnce()
  t.match(await backend.readAccount('a'), { stats: { rows: 1, objects: 1, bytes: 12 } })
  await put(backend, 'p', 'more')
  await backend.deleteObject(pathOf('o'))
  await backend.runDaemonsOnce()
  t.match(await backend.readAccount('a'), { stats: { objects: 1, bytes: 4 } })
  t.match(await backend.listAccount('a', { limit: 1 }), { entries: [{ count: 1, bytes: 4 }] })
  // Deletion, reports and creation at the same time, many times over.
  await backend.deleteObject(pathOf('p'))
  for (let round = 0; round < 20; round++) {
    await Promise.all([
      backend.deleteContainer('a', 'c'),
      backend.runDaemonsOnce(),
      backend.runDaemonsOnce(),
    ])
    t.strictSame((await backend.listAccount('a', { limit: 10 }))!.entries, [], `round ${round}`)
    await Promise.all([
      backend.putContainer('a', 'c', { meta: META, policy: 0 }),
      backend.runDaemonsOnce(),
    ])
    t.match(await backend.listAccount('a', { limit: 10 }), { entries: [{ name: 'c' }] })
  }
})

t.test('expired objects are deleted with their rows', async (t) => {
  const { backend } = await open(t)
  const headers = (seconds: number) => ({ headers: { 'x-delete-at': String(seconds) } })
  const now = Math.floor(Date.now() / 1000)
  await put(backend, 'due', 'x', headers(now - 10))
  await put(backend, 'later', 'x', headers(now + 1000))
  await put(backend, 'never')
  await backend.runDaemonsOnce()
  t.strictSame(await names(backend), ['later', 'never'])
  t.equal(backend.counters.expired, 1)
  t.equal(await backend.readObject(pathOf('due')), null)
})

t.test('daemons run by themselves and end with close', async (t) => {
  const { backend } = await open(t, { totalsMs: 20 })
  backend.start()
  await put(backend, 'o', '123')
  await until('totals', async () => (await backend.readAccount('a'))!.stats!.bytes === 3)
  await backend.close()
  await backend.close()
})

t.test('failures of a device are no failures of the client', async (t) => {
  const { backend, cluster } = await open(t)
  await cluster.stop(0)
  await t.rejects(put(backend, 'o'), { status: 503, code: 'DeviceOffline' })
  await t.rejects(async () => backend.readObject(pathOf('o')), { status: 503 } as never)
  await t.rejects(backend.listContainer('a', 'c', { limit: 1 }), { code: 'DeviceOffline' })
})

t.test('listings in pages, with unconfirmed rows in between', async (t) => {
  const { backend, node } = await open(t)
  const list = itemKey(HASHING, 'container', '/a/c')
  const real = Array.from({ length: 40 }, (_, index) => `o${String(index).padStart(3, '0')}`)
  await Promise.all(real.map((name) => put(backend, name)))
  await Promise.all(real.map((name) => node.putRow('d', list, ghostRow(`${name} ghost`))))
  for (const reverse of [false, true]) {
    const seen: string[] = []
    for (let marker = ''; ; ) {
      const page = await backend.listContainer('a', 'c', { limit: 7, marker, reverse })
      const part = page!.entries.map((entry) => ('name' in entry ? entry.name : ''))
      if (part.length === 0) break
      t.ok(part.length === 7 || seen.length + part.length === 40, 'pages are full')
      seen.push(...part)
      marker = part.at(-1)!
    }
    t.strictSame(seen, reverse ? real.toReversed() : real)
  }
})
