/** Containers that are the same in Swiftlet and in Debian's Swift, each pushing to the other by its own daemon. */
import { join } from 'node:path'
import t from 'tap'
import { missingDebianSwift, startDebianSwift } from '../../bench/peers/debian-swift.ts'
import { freePort } from '../../bench/store-process.ts'
import { ContainerSyncer } from '../../proxy/layers/sync/container-syncer.ts'
import { type Call, httpClient, signIn } from '../api/http-client.ts'
import { openTestStore } from '../api/swift-store.ts'

const skip = (await missingDebianSwift()) ?? false
const KEY = 'the key of the realm'

t.test('what is written in one is in the other', { timeout: 300_000, skip }, async (t) => {
  const folder = t.testdir({ ours: {}, theirs: {} })
  const ports = { ours: await freePort(), theirs: await freePort() }
  const url = (port: number) => `http://127.0.0.1:${port}/v1/`
  const clusters = [
    { name: 'ours', url: url(ports.ours) },
    { name: 'theirs', url: url(ports.theirs) },
  ]
  const containerSync = { realms: [{ name: 'realm', key: KEY, clusters }], intervalSeconds: 86_400 }
  const store = await openTestStore(join(folder, 'ours'), {
    layers: { containerSync },
    listenPort: ports.ours,
  })
  t.teardown(() => store.close())
  const lines = clusters.map((cluster) => `cluster_${cluster.name} = ${cluster.url}\n`)
  const realms = `[realm]\nkey = ${KEY}\n${lines.join('')}`
  const swift = await startDebianSwift({
    folder: join(folder, 'theirs'),
    replicas: 1,
    threads: 1,
    sync: { port: ports.theirs, realms, current: '//realm/theirs' },
  })
  const client = httpClient(ports.ours)
  const peer = httpClient(ports.theirs)
  t.teardown(async () => {
    client.close()
    peer.close()
    await swift.stop()
  })
  const own = await signIn(client.call, 'test:tester', 'testing')
  const ours: Call = (method, path, options) => own(method, `/v1/AUTH_test${path}`, options)
  const their = await signIn(peer.call, 'bench:bench', 'bench')
  const theirs: Call = (method, path, options) => their(method, `/v1/AUTH_bench${path}`, options)
  const pair = async (name: string) => {
    const key = { 'x-container-sync-key': 'of both containers' }
    const to = (where: string) => ({
      headers: { ...key, 'x-container-sync-to': `//realm/${where}/${name}` },
    })
    t.ok((await ours('PUT', `/${name}`, to('theirs/AUTH_bench'))).status < 300)
    t.ok((await theirs('PUT', `/${name}`, to('ours/AUTH_test'))).status < 300)
  }
  const syncer = new ContainerSyncer(containerSync, store.context)
  /** Both ways, and once more for what came meanwhile. */
  const settle = async () => {
    for (let i = 0; i < 2; i++) {
      await syncer.pass()
      await swift.syncOnce()
    }
  }
  const big = Buffer.alloc(300_000, 'big')
  const sides = { ours, theirs }
  await pair('plain')
  await pair('whole')
  for (const [name, call] of Object.entries(sides)) {
    const headers = { 'x-object-meta-from': name, 'content-type': 'text/x-test' }
    await call('PUT', `/plain/${name}-%C3%BC`, { headers, body: name })
    await call('PUT', `/plain/${name}-big`, { body: big })
    await call('PUT', `/plain/${name}-goes`, { body: name })
    const link = { headers: { 'x-symlink-target': `plain/${name}-big` } }
    t.equal((await call('PUT', `/whole/${name}-link`, link)).status, 201)
    const manifest = JSON.stringify([
      { path: `/plain/${name}-%C3%BC`.replace('%C3%BC', 'ü') },
      { path: `/plain/${name}-big` },
    ])
    const slo = await call('PUT', `/whole/${name}-slo?multipart-manifest=put`, { body: manifest })
    t.equal(slo.status, 201, slo.body)
  }
  await settle()
  for (const [name, call] of [
    ['ours', theirs],
    ['theirs', ours],
  ] as const) {
    const small = await call('GET', `/plain/${name}-%C3%BC`)
    t.equal(small.body, name)
    t.match(small.headers, { 'x-object-meta-from': name, 'content-type': 'text/x-test' })
    t.ok((await call('GET', `/plain/${name}-big`)).bytes.equals(big))
    t.ok((await call('GET', `/whole/${name}-link`)).bytes.equals(big), `the link of ${name}`)
    const whole = Buffer.concat([Buffer.from(name), big])
    t.ok((await call('GET', `/whole/${name}-slo`)).bytes.equals(whole), `the large one of ${name}`)
  }
  await ours('DELETE', '/plain/ours-goes')
  await theirs('DELETE', '/plain/theirs-goes')
  await ours('POST', '/plain/theirs-%C3%BC', { headers: { 'x-object-meta-from': 'changed' } })
  await settle()
  for (const call of [ours, theirs]) {
    t.equal((await call('GET', '/plain/ours-goes')).status, 404)
    t.equal((await call('GET', '/plain/theirs-goes')).status, 404)
    const changed = await call('HEAD', '/plain/theirs-%C3%BC')
    t.equal(changed.headers['x-object-meta-from'], 'changed')
  }
  const names = async (call: Call) => (await call('GET', '/plain')).body
  t.equal(await names(ours), await names(theirs))
})
