/** Symbolic links over a real socket, on the real engine. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { httpClient, signIn } from './http-client.ts'
import { openTestStore } from './swift-store.ts'

const store = await openTestStore(t.testdir())
const client = httpClient(store.port)
t.teardown(async () => {
  client.close()
  await store.close()
})
const { call } = client

const owner = await signIn(call, 'test:tester', 'testing')
const stranger = await signIn(call, 'test2:tester2', 'testing2')
const ACCOUNT = '/v1/AUTH_test'
const md5 = (data: string) => createHash('md5').update(data).digest('hex')
const EMPTY = md5('')

for (const path of [`${ACCOUNT}/c`, `${ACCOUNT}/links`]) await owner('PUT', path)
await owner('PUT', `${ACCOUNT}/silver`, { headers: { 'x-storage-policy': 'silver' } })
await owner('PUT', `${ACCOUNT}/silver/target%20%C3%A4`, {
  body: '0123456789',
  headers: { 'content-type': 'text/plain', 'x-object-meta-color': 'blue' },
})
const TARGET = 'silver/target%20%C3%A4'

const link = (name: string, target: string, headers: Record<string, string> = {}) =>
  owner('PUT', `${ACCOUNT}/links/${name}`, { headers: { 'x-symlink-target': target, ...headers } })

t.test('a link reads as its target, in another container and policy', async (t) => {
  const made = await link('soft', TARGET)
  t.equal(made.status, 201)
  t.equal(made.headers.etag, EMPTY)
  const read = await owner('GET', `${ACCOUNT}/links/soft`)
  t.equal(read.body, '0123456789')
  t.equal(read.headers['content-type'], 'text/plain')
  t.equal(read.headers['x-object-meta-color'], 'blue')
  t.equal(read.headers['content-location'], `${ACCOUNT}/${TARGET}`)
  const part = await owner('GET', `${ACCOUNT}/links/soft`, { headers: { range: 'bytes=2-3' } })
  t.equal(part.status, 206)
  t.equal(part.body, '23')
  const match = { headers: { 'if-none-match': md5('0123456789') } }
  t.equal((await owner('GET', `${ACCOUNT}/links/soft`, match)).status, 304)
  const own = await owner('HEAD', `${ACCOUNT}/links/soft?symlink=get`)
  t.equal(own.headers['x-symlink-target'], TARGET)
  t.equal(own.headers['content-length'], '0')
  t.equal(own.headers['content-type'], 'application/symlink')
  t.notOk(own.headers['content-location'])
})

t.test('a dangling link is not found, and says what is not', async (t) => {
  await link('dangling', 'c/nothing')
  const answer = await owner('GET', `${ACCOUNT}/links/dangling`)
  t.equal(answer.status, 404)
  t.equal(answer.headers['content-location'], `${ACCOUNT}/c/nothing`)
  await link('nowhere', 'no-container/o')
  t.equal((await owner('HEAD', `${ACCOUNT}/links/nowhere`)).status, 404)
  t.equal((await owner('HEAD', `${ACCOUNT}/links/nowhere?symlink=get`)).status, 200)
})

t.test('what is no link is refused', async (t) => {
  for (const [target, status] of [
    ['c', 412],
    ['/c/o', 412],
    ['c/', 412],
    ['c/%00', 412],
    ['links/self', 400],
  ] as const) {
    t.equal((await link('self', target)).status, status, target)
  }
  t.equal((await link('self', 'c/o', { 'x-symlink-target-account': 'a/b' })).status, 412)
  t.equal((await link('self', TARGET, { 'x-symlink-target-etag': 'a;b' })).status, 400)
  const full = await owner('PUT', `${ACCOUNT}/links/self`, {
    headers: { 'x-symlink-target': 'c/o' },
    body: 'x',
  })
  t.equal(full.status, 400)
  t.equal((await owner('HEAD', `${ACCOUNT}/links/self?symlink=get`)).status, 404)
})

t.test('a static link holds to its target', async (t) => {
  const etag = md5('0123456789')
  t.equal((await link('hard', TARGET, { 'x-symlink-target-etag': 'wrong' })).status, 409)
  const missing = await link('hard', 'c/nothing', { 'x-symlink-target-etag': etag })
  t.equal(missing.status, 409)
  t.equal(missing.headers['content-location'], `${ACCOUNT}/c/nothing`)
  t.equal((await link('hard', TARGET, { 'x-symlink-target-etag': `"${etag}"` })).status, 201)
  t.equal((await owner('GET', `${ACCOUNT}/links/hard`)).body, '0123456789')
  const own = await owner('HEAD', `${ACCOUNT}/links/hard?symlink=get`)
  t.equal(own.headers['x-symlink-target-etag'], etag)
  t.equal(own.headers['content-type'], 'text/plain', 'of its target')
  await owner('PUT', `${ACCOUNT}/c/changing`, { body: 'one' })
  await link('pinned', 'c/changing', { 'x-symlink-target-etag': md5('one') })
  await owner('PUT', `${ACCOUNT}/c/changing`, { body: 'two' })
  t.equal((await owner('GET', `${ACCOUNT}/links/pinned`)).status, 409)
})

t.test('links lead over two links, not over three', async (t) => {
  await link('a', TARGET)
  await link('b', 'links/a')
  await link('c', 'links/b')
  await link('loop', 'links/pool')
  await link('pool', 'links/loop')
  t.equal((await owner('GET', `${ACCOUNT}/links/b`)).body, '0123456789')
  const far = await owner('GET', `${ACCOUNT}/links/c`)
  t.equal(far.status, 409)
  t.match(far.body, 'Too many levels of symbolic links')
  t.equal((await owner('GET', `${ACCOUNT}/links/loop`)).status, 409)
})

t.test('a link into another account needs access there', async (t) => {
  await stranger('PUT', '/v1/AUTH_test2/theirs')
  await stranger('PUT', '/v1/AUTH_test2/theirs/o', { body: 'theirs' })
  await link('across', 'theirs/o', { 'x-symlink-target-account': 'AUTH_test2' })
  t.equal((await owner('GET', `${ACCOUNT}/links/across`)).status, 403)
  await stranger('POST', '/v1/AUTH_test2/theirs', {
    headers: { 'x-container-read': 'test:tester' },
  })
  const read = await owner('GET', `${ACCOUNT}/links/across`)
  t.equal(read.body, 'theirs')
  t.equal(read.headers['content-location'], '/v1/AUTH_test2/theirs/o')
})

t.test('POST is to the link, DELETE of the link', async (t) => {
  await link('posted', TARGET)
  const posted = await owner('POST', `${ACCOUNT}/links/posted`, {
    headers: { 'x-object-meta-own': '1' },
  })
  t.equal(posted.status, 307)
  t.equal(posted.headers.location, `${ACCOUNT}/${TARGET}`)
  const own = await owner('HEAD', `${ACCOUNT}/links/posted?symlink=get`)
  t.equal(own.headers['x-object-meta-own'], '1')
  t.equal(own.headers['x-symlink-target'], TARGET, 'still a link')
  t.notOk((await owner('HEAD', `${ACCOUNT}/links/posted`)).headers['x-object-meta-own'])
  const target = { headers: { 'x-symlink-target': 'c/o' } }
  t.equal((await owner('POST', `${ACCOUNT}/links/posted`, target)).status, 400)
  t.equal((await owner('DELETE', `${ACCOUNT}/links/posted`)).status, 204)
  t.equal((await owner('GET', `${ACCOUNT}/${TARGET}`)).body, '0123456789')
})

t.test('listings say where links lead', async (t) => {
  const rows = JSON.parse((await owner('GET', `${ACCOUNT}/links?format=json`)).body)
  const row = (name: string) => rows.find((one: { name: string }) => one.name === name)
  t.match(row('soft'), { hash: EMPTY, bytes: 0, symlink_path: `${ACCOUNT}/${TARGET}` })
  t.notOk('symlink_etag' in row('soft'))
  t.match(row('hard'), { symlink_etag: md5('0123456789'), symlink_bytes: 10 })
  t.equal(row('across').symlink_path, '/v1/AUTH_test2/theirs/o')
  const xml = (await owner('GET', `${ACCOUNT}/links?format=xml&prefix=soft`)).body
  t.match(xml, `<hash>${EMPTY}</hash>`)
})

t.test('copies are of the target, or with symlink=get of the link', async (t) => {
  const copy = (query: string, headers: Record<string, string> = {}) =>
    owner('PUT', `${ACCOUNT}/c/copy${query}`, {
      headers: { 'x-copy-from': 'links/hard', ...headers },
    })
  t.equal((await copy('')).status, 201)
  const plain = await owner('GET', `${ACCOUNT}/c/copy?symlink=get`)
  t.equal(plain.body, '0123456789')
  t.notOk(plain.headers['x-symlink-target'])
  t.equal((await copy('?symlink=get')).status, 201)
  const linked = await owner('HEAD', `${ACCOUNT}/c/copy?symlink=get`)
  t.equal(linked.headers['x-symlink-target'], TARGET)
  t.equal(linked.headers['x-symlink-target-etag'], md5('0123456789'))
  t.equal((await owner('GET', `${ACCOUNT}/c/copy`)).body, '0123456789')
})

t.test('large objects of links, and links to large objects', async (t) => {
  const manifest = JSON.stringify([{ path: '/links/soft' }, { path: '/links/hard', range: '0-1' }])
  const made = await owner('PUT', `${ACCOUNT}/c/slo?multipart-manifest=put`, { body: manifest })
  t.equal(made.status, 201)
  const slo = await owner('GET', `${ACCOUNT}/c/slo?multipart-manifest=get`)
  t.equal(
    (await link('large', 'c/slo', { 'x-symlink-target-etag': slo.headers.etag! })).status,
    201,
  )
  t.equal((await owner('GET', `${ACCOUNT}/links/large`)).body, '012345678901')
  const [row] = JSON.parse((await owner('GET', `${ACCOUNT}/links?format=json&prefix=large`)).body)
  t.match(row, { symlink_bytes: 12, slo_etag: made.headers.etag })
})

t.test('what makes a link a link is not for clients to set or see', async (t) => {
  await owner('PUT', `${ACCOUNT}/c/plain`, {
    body: 'plain',
    headers: { 'x-object-sysmeta-symlink-target': TARGET, 'x-backend-etag-is-at': 'x' },
  })
  const read = await owner('GET', `${ACCOUNT}/c/plain`)
  t.equal(read.body, 'plain')
  const own = await owner('GET', `${ACCOUNT}/links/soft?symlink=get`)
  for (const name of Object.keys({ ...read.headers, ...own.headers })) {
    t.notMatch(name, /sysmeta|backend/)
  }
})
