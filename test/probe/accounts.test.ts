/** Accounts as a whole: the reaper that empties deleted ones, and the list of all of them. */
import t, { type Test } from 'tap'
import { ServiceError } from '../../common/errors.ts'
import { itemKey } from '../../common/item.ts'
import { deletedAtOf } from '../../proxy/backend/account-status.ts'
import type { ClusterBackend } from '../../proxy/backend/cluster-backend.ts'
import { ClusterUnderTest, HASHING, pathOf, skewedClock, until } from '../support/cluster-nodes.ts'

const META = { headers: {} }
const HOUR_MS = 3_600_000

async function open(t: Test) {
  const cluster = await ClusterUnderTest.open(t, { nodes: 3, replicas: 3, local: true })
  // The clock's timers do not keep a process alive that has no sockets.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  return { cluster, backend: cluster.backend() }
}

async function fill(backend: ClusterBackend, containers: number, objects: number) {
  await backend.putAccount('a', META)
  for (let number = 0; number < containers; number++) {
    const container = `c${number}`
    await backend.putContainer('a', container, { meta: META, policy: 0 })
    for (let object = 0; object < objects; object++) {
      const put = { meta: { etag: 'e', headers: {} }, body: Buffer.from('x') }
      await backend.putObject(pathOf(`o${object}`, container), put)
    }
  }
}

const named = async (backend: ClusterBackend) =>
  (await backend.listAccounts({ limit: 100 })).accounts.map(({ name }) => name)

t.test(
  'a deleted account is emptied by whoever comes by, and forgotten when it is old',
  async (t) => {
    const { cluster, backend } = await open(t)
    await fill(backend, 12, 2)
    await backend.putAccount('b', META)
    t.match(await backend.deleteAccount('none'), { status: 'not-found' })
    t.match(await backend.deleteAccount('a'), { status: 'done' })
    t.match(await backend.deleteAccount('a'), { status: 'not-found' })
    t.ok(deletedAtOf((await backend.readAccount('a'))!) !== null)

    const waiting = cluster.backend({ delayReapingMs: HOUR_MS })
    await waiting.runDaemonsOnce()
    t.equal(waiting.counters.objectsReaped, 0, 'not before its time')

    const other = cluster.backend()
    let writes = 0
    cluster.setFault(0, (method) => {
      if (method === 'write' && ++writes % 5 === 0) {
        throw new ServiceError('Unreachable', 'now and then', { status: 503 })
      }
    })
    await until('it is empty', async () => {
      await other.runDaemonsOnce()
      return (await other.listAccount('a', { limit: 1 }))!.entries.length === 0
    })
    cluster.setFault(0, null)
    t.equal(other.counters.objectsReaped, 24)
    t.equal(other.counters.containersReaped, 12)
    t.equal(await other.readContainer('a', 'c3'), null)
    t.equal(await other.readObject(pathOf('o1', 'c3')), null)
    t.ok(await other.readAccount('a'), 'the mark stays')
    t.strictSame(await named(other), ['a', 'b'])
    t.match(await other.readAccount('b'), { deleted: false })

    const later = cluster.backend({ clock: skewedClock(60_000), accountReclaimMs: 1_000 })
    await later.runDaemonsOnce()
    t.equal(later.counters.accountsReaped, 1)
    t.equal(await later.readAccount('a'), null)
    t.strictSame(await named(later), ['b'])
    t.match(await later.putAccount('a', META), { status: 'done', existed: false })
    await until('it is listed again', async () => (await named(later)).length === 2)
  },
)

t.test('one account that cannot be emptied does not keep the others from it', async (t) => {
  const { cluster, backend } = await open(t)
  await fill(backend, 1, 2)
  await backend.putAccount('b', META)
  await backend.putContainer('b', 'c', { meta: META, policy: 0 })
  await backend.deleteAccount('a')
  await backend.deleteAccount('b')
  const stuck = itemKey(HASHING, 'object', '/a/c0/o1', 0).hash
  for (const node of [0, 1, 2]) {
    cluster.setFault(node, (method, [, about]) => {
      const item = (about as { readonly item?: { readonly hash: string } })?.item
      if (method === 'write' && item?.hash === stuck) {
        throw new ServiceError('Unreachable', 'stuck', { status: 503 })
      }
    })
  }
  await backend.runDaemonsOnce()
  t.equal(await backend.readContainer('b', 'c'), null)
  t.ok(await backend.readContainer('a', 'c0'))
  await backend.runDaemonsOnce()
  const reap = backend.activity().daemons.find(({ name }) => name === 'reap')
  t.match(reap, { passes: 2, failures: 0, waiting: 1 })
  for (const node of [0, 1, 2]) cluster.setFault(node, null)
  await until('it goes on', async () => {
    await backend.runDaemonsOnce()
    return (await backend.readContainer('a', 'c0')) === null
  })
})

t.test('a crash between row and mark leaves an account that can be used', async (t) => {
  const { cluster, backend } = await open(t)
  await fill(backend, 1, 1)
  for (const node of [0, 1, 2]) {
    cluster.setFault(node, (method, [, item]) => {
      const kind = (item as { readonly kind?: string })?.kind
      if (method === 'prepare' && kind === 'account') {
        throw new ServiceError('Unreachable', 'the proxy dies here', { status: 503 })
      }
    })
  }
  await t.rejects(backend.deleteAccount('a'), { code: 'NoQuorum' })
  for (const node of [0, 1, 2]) cluster.setFault(node, null)
  await backend.runDaemonsOnce()
  t.ok(await backend.readContainer('a', 'c0'))
  t.match(await backend.putAccount('a', META), { status: 'done', existed: true })
  t.match(await backend.deleteAccount('a'), { status: 'done' })
  await until('it is empty', async () => {
    await backend.runDaemonsOnce()
    return (await backend.readContainer('a', 'c0')) === null
  })
})
