/** Containers of two Swiftlets that push to each other, over real sockets. */
import { createHmac } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../../bench/store-process.ts'
import type { LayerOptions } from '../../proxy/layers/layer-options.ts'
import { ContainerSyncer } from '../../proxy/layers/sync/container-syncer.ts'
import { parseSyncTo, SYNC_DEFAULTS } from '../../proxy/layers/sync/sync-realms.ts'
import { changedAt, parseTimestamp } from '../../proxy/layers/sync/sync-time.ts'
import { type Call, httpClient } from './http-client.ts'
import { openTestStore } from './swift-store.ts'

const folder = t.testdir({ here: {}, there: {} })
const ports = { here: await freePort(), there: await freePort() }
const url = (port: number) => `http://127.0.0.1:${port}/v1`
const REALM = {
  name: 'Realm',
  key: 'realm key',
  key2: 'the next realm key',
  clusters: [
    { name: 'here', url: `${url(ports.here)}/` },
    { name: 'there', url: url(ports.there) },
  ],
}
const SYNC = { realms: [REALM], allowedHosts: ['127.0.0.1'], intervalSeconds: 86_400 }
const ACCOUNT = '/v1/AUTH_test'

/** A store whose pushes the test starts itself. */
async function open(name: keyof typeof ports) {
  const layers: LayerOptions = { containerSync: SYNC }
  const store = await openTestStore(join(folder, name), { layers, listenPort: ports[name] })
  const { call, close } = httpClient(store.port)
  const headers = { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' }
  const token = (await call('GET', '/auth/v1.0', { headers })).headers['x-auth-token']!
  const owner: Call = (method, path, options = {}) =>
    call(method, path, { ...options, headers: { 'x-auth-token': token, ...options.headers } })
  const syncer = new ContainerSyncer(SYNC, store.context)
  t.teardown(async () => {
    close()
    await store.close()
  })
  return { store, call, owner, push: () => syncer.pass() }
}

const here = await open('here')
const there = await open('there')

async function pair(name: string, target = `//realm/there/AUTH_test/${name}`) {
  const key = { 'x-container-sync-key': 'container key' }
  const forth = { ...key, 'x-container-sync-to': target }
  const back = { ...key, 'x-container-sync-to': `//REALM/HERE/AUTH_test/${name}` }
  t.equal((await there.owner('PUT', `${ACCOUNT}/${name}`, { headers: back })).status, 201)
  t.equal((await here.owner('PUT', `${ACCOUNT}/${name}`, { headers: forth })).status, 201)
}

/** Until neither has anything to push: they come to rest. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) {
    const [one, other] = [await here.push(), await there.push()]
    if (!one && !other) return
  }
  t.fail('the two push for ever')
}

t.test('what is written in one is in the other, and they come to rest', async (t) => {
  await here.owner('PUT', `${ACCOUNT}/both`)
  await here.owner('PUT', `${ACCOUNT}/both/before`, { body: 'written before' })
  const key = { 'x-container-sync-key': 'container key' }
  const to = (cluster: string) => ({
    ...key,
    'x-container-sync-to': `//realm/${cluster}/AUTH_test/both`,
  })
  await there.owner('PUT', `${ACCOUNT}/both`, { headers: to('here') })
  t.equal((await here.owner('POST', `${ACCOUNT}/both`, { headers: to('there') })).status, 204)
  const shown = (await here.owner('HEAD', `${ACCOUNT}/both`)).headers
  t.equal(shown['x-container-sync-to'], '//realm/there/AUTH_test/both')

  const long = Buffer.alloc(300_000, 'long')
  await here.owner('PUT', `${ACCOUNT}/both/%C3%BC/long`, {
    body: long,
    headers: { 'content-type': 'text/x-test', 'x-object-meta-color': 'green' },
  })
  await there.owner('PUT', `${ACCOUNT}/both/from-there`, { body: 'from there' })
  await settle()
  t.equal((await there.owner('GET', `${ACCOUNT}/both/before`)).body, 'written before')
  const pushed = await there.owner('GET', `${ACCOUNT}/both/%C3%BC/long`)
  t.ok(pushed.bytes.equals(long))
  t.match(pushed.headers, { 'content-type': 'text/x-test', 'x-object-meta-color': 'green' })
  t.equal((await here.owner('GET', `${ACCOUNT}/both/from-there`)).body, 'from there')
  t.equal(await here.push(), false, 'nothing is left to push')

  await here.owner('DELETE', `${ACCOUNT}/both/from-there`)
  await there.owner('POST', `${ACCOUNT}/both/before`, { headers: { 'x-object-meta-seen': 'yes' } })
  await settle()
  t.equal((await there.owner('GET', `${ACCOUNT}/both/from-there`)).status, 404)
  t.equal((await here.owner('HEAD', `${ACCOUNT}/both/before`)).headers['x-object-meta-seen'], 'yes')
})

t.test('of two writes the later one stays in both', async (t) => {
  await pair('race')
  await here.owner('PUT', `${ACCOUNT}/race/o`, { body: 'first' })
  await there.owner('PUT', `${ACCOUNT}/race/o`, { body: 'second' })
  await settle()
  t.equal((await here.owner('GET', `${ACCOUNT}/race/o`)).body, 'second')
  t.equal((await there.owner('GET', `${ACCOUNT}/race/o`)).body, 'second')
  await there.owner('DELETE', `${ACCOUNT}/race/o`)
  await here.owner('PUT', `${ACCOUNT}/race/o`, { body: 'third' })
  await settle()
  t.equal((await there.owner('GET', `${ACCOUNT}/race/o`)).body, 'third')
})

t.test(
  'large objects and links go as what they are, before or after what they lead to',
  async (t) => {
    await pair('parts')
    await pair('whole')
    await here.owner('PUT', `${ACCOUNT}/parts/1`, { body: 'one ' })
    await here.owner('PUT', `${ACCOUNT}/parts/2`, { body: 'two, and more' })
    const manifest = JSON.stringify([
      { path: '/parts/1' },
      { path: '/parts/2', range: '0-2' },
      { data: Buffer.from('!').toString('base64') },
    ])
    const meta = { 'content-type': 'text/x-large', 'x-object-meta-color': 'green' }
    const slo = `${ACCOUNT}/whole/slo`
    const made = await here.owner('PUT', `${slo}?multipart-manifest=put`, {
      body: manifest,
      headers: meta,
    })
    t.equal(made.status, 201)
    const { etag } = made.headers
    const link = { headers: { 'x-symlink-target': 'whole/slo' } }
    t.equal((await here.owner('PUT', `${ACCOUNT}/whole/dynamic`, link)).status, 201)
    const one = (await here.owner('HEAD', `${ACCOUNT}/parts/1`)).headers.etag!
    const pinned = { 'x-symlink-target': 'parts/1', 'x-symlink-target-etag': one }
    t.equal((await here.owner('PUT', `${ACCOUNT}/whole/pinned`, { headers: pinned })).status, 201)
    const dlo = await here.owner('PUT', `${ACCOUNT}/whole/dlo`, {
      headers: { 'x-object-manifest': 'parts/2' },
    })
    t.equal(dlo.status, 201)
    await settle()
    const seen = await there.owner('GET', slo)
    t.equal(seen.body, 'one two!')
    t.match(seen.headers, { etag, 'x-static-large-object': 'True', ...meta })
    t.equal((await there.owner('GET', `${ACCOUNT}/whole/dynamic`)).body, 'one two!')
    t.equal((await there.owner('GET', `${ACCOUNT}/whole/pinned`)).body, 'one ')
    t.equal((await there.owner('GET', `${ACCOUNT}/whole/dlo`)).body, 'two, and more')
    const listing = async (side: typeof here) =>
      JSON.parse((await side.owner('GET', `${ACCOUNT}/whole?format=json`)).body).map(
        ({ last_modified: _, ...row }: Record<string, unknown>) => row,
      )
    t.same(await listing(there), await listing(here))
    await there.owner('DELETE', `${slo}?multipart-manifest=delete`)
    await settle()
    t.equal((await here.owner('GET', slo)).status, 404)
    t.equal((await here.owner('GET', `${ACCOUNT}/parts/1`)).status, 404, 'its segments, too')
  },
)

t.test('what a cluster sends as a manifest has to be one', async (t) => {
  await pair('bad')
  const put = (body: string) => {
    const path = '/v1/AUTH_test/bad/slo'
    const time = (Date.now() / 1000).toFixed(5)
    const text = ['PUT', path, time, 'nonce', 'container key'].join('\n')
    const signature = createHmac('sha1', REALM.key).update(text).digest('hex')
    const auth = { 'x-container-sync-auth': `realm nonce ${signature}`, 'x-timestamp': time }
    return there.call('PUT', path, { body, headers: { ...auth, 'x-static-large-object': 'True' } })
  }
  const segment = { name: '/parts/1', bytes: 4, hash: 'x', content_type: 'a', last_modified: 'b' }
  t.equal((await put(JSON.stringify([segment]))).status, 201)
  for (const bad of [
    'rubbish',
    '{}',
    '[]',
    '[1]',
    JSON.stringify([{ ...segment, name: 'c/o' }]),
    JSON.stringify([{ ...segment, name: '/\0versions\0c/o' }]),
    JSON.stringify([{ ...segment, bytes: -1 }]),
    JSON.stringify([{ ...segment, range: '2-9' }]),
    JSON.stringify([{ data: '*' }]),
  ]) {
    t.equal((await put(bad)).status, 400, bad)
  }
  const owner = { headers: { 'x-static-large-object': 'True' }, body: JSON.stringify([segment]) }
  t.equal((await there.owner('PUT', `${ACCOUNT}/bad/own`, owner)).status, 400, 'owners cannot')
})

t.test('only who may delete makes the other cluster delete', async (t) => {
  await pair('rights')
  await there.owner('PUT', `${ACCOUNT}/rights/o`, { body: 'not pushed yet' })
  t.equal((await here.call('DELETE', `${ACCOUNT}/rights/o`)).status, 401)
  const bad = { headers: { etag: '0'.repeat(32) }, body: 'refused' }
  t.equal((await here.owner('PUT', `${ACCOUNT}/rights/o`, bad)).status, 422)
  await here.push()
  t.equal((await there.owner('GET', `${ACCOUNT}/rights/o`)).body, 'not pushed yet')
  await settle()
  t.equal((await here.owner('GET', `${ACCOUNT}/rights/o`)).body, 'not pushed yet')
})

t.test('a deletion keeps its time on its way back', async (t) => {
  await pair('echo')
  await here.owner('PUT', `${ACCOUNT}/echo/o`, { body: 'old' })
  await settle()
  await here.owner('DELETE', `${ACCOUNT}/echo/o`)
  await here.push()
  await here.owner('PUT', `${ACCOUNT}/echo/o`, { body: 'new' })
  await there.push()
  t.equal((await here.owner('GET', `${ACCOUNT}/echo/o`)).body, 'new')
  await settle()
  t.equal((await there.owner('GET', `${ACCOUNT}/echo/o`)).body, 'new')
})

t.test('a full URL will do where its host is allowed, and what fails is tried again', async (t) => {
  await pair('full', `${url(ports.there)}/AUTH_test/full`)
  await here.owner('PUT', `${ACCOUNT}/full/o`, { body: 'by the key alone' })
  const wrong = { 'x-container-sync-key': 'another key' }
  await there.owner('POST', `${ACCOUNT}/full`, { headers: wrong })
  t.equal(await here.push(), true)
  t.equal((await there.owner('GET', `${ACCOUNT}/full/o`)).status, 404)
  await there.owner('POST', `${ACCOUNT}/full`, {
    headers: { 'x-container-sync-key': 'container key' },
  })
  await settle()
  t.equal((await there.owner('GET', `${ACCOUNT}/full/o`)).body, 'by the key alone')
})

t.test('nobody gets in without both keys', async (t) => {
  await pair('closed')
  const path = `${ACCOUNT}/closed/o`
  const now = `${Math.floor(Date.now() / 1000)}.00000`
  const auth = (given: {
    key?: string
    user?: string
    realm?: string
    method?: string
    at?: string
  }) => {
    const {
      key = 'realm key',
      user = 'container key',
      realm = 'REALM',
      method = 'PUT',
      at = now,
    } = given
    const text = [method, path, at, 'nonce', user].join('\n')
    return `${realm} nonce ${createHmac('sha1', key).update(text).digest('hex')}`
  }
  const put = (value: string, more = {}) =>
    there.call('PUT', path, {
      headers: { 'x-container-sync-auth': value, 'x-timestamp': now, ...more },
      body: 'pushed',
    })
  for (const bad of [
    auth({ key: 'guess' }),
    auth({ user: 'guess' }),
    auth({ realm: 'OTHER' }),
    auth({ method: 'DELETE' }),
    auth({ at: '1.00000' }),
    'REALM nonce',
    `${auth({})} more`,
    '',
  ]) {
    const answer = await put(bad)
    t.equal(answer.status, 401, bad)
  }
  t.equal((await put(auth({}))).status, 201)
  t.equal((await put(auth({ key: 'the next realm key' }))).status, 202, 'known already')
  const elsewhere = await there.call('PUT', `${ACCOUNT}/race/o`, {
    headers: { 'x-container-sync-auth': auth({}), 'x-timestamp': now },
    body: 'x',
  })
  t.equal(elsewhere.status, 401, 'a signature is for one path')
  for (const bad of [
    '//realm/there/AUTH_test',
    '//none/there/a/c',
    '//realm/none/a/c',
    'ftp://127.0.0.1/v1/a/c',
    'http://10.0.0.1/v1/a/c',
    'http://127.0.0.1/v1/a',
    'nonsense',
  ]) {
    const headers = { 'x-container-sync-to': bad }
    t.equal((await here.owner('POST', `${ACCOUNT}/closed`, { headers })).status, 400, bad)
  }
  t.notMatch(JSON.stringify(there.store.lines), /container key|realm key/)
})

t.test('targets and times are read strictly', async (t) => {
  const settings = { ...SYNC_DEFAULTS, realms: [REALM] }
  t.strictSame(parseSyncTo('//realm/Here/a/c/', settings), {
    url: `${url(ports.here)}/a/c`,
    realm: { name: 'REALM', key: 'realm key' },
  })
  t.match(parseSyncTo(`${url(ports.here)}/a/c`, settings), /Invalid host/)
  t.equal(parseTimestamp('1772366400.12345'), 177236640012345)
  t.equal(parseTimestamp('1772366400.5_0000000000000001'), 177236640050000)
  for (const bad of ['', 'x', '1.123456', '-1.0', '1e9']) t.equal(parseTimestamp(bad), null, bad)
  const info = (stamp: number, meta: number) => ({
    stamp: { ticks: stamp, proposer: 0 },
    metaStamp: { ticks: meta, proposer: 0 },
    meta: { headers: { 'x-object-sysmeta-sync-timestamp': '0000000001.00000' } },
  })
  t.equal(changedAt(info(500_000, 500_000) as never), 100_000, 'as its source has it')
  t.equal(changedAt(info(500_000, 600_000) as never), 600_000, 'until it is changed here')
})
