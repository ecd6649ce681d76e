/** Layers that are off until they are set, over real sockets: of domains, rates, names, writes, ETags, and /info. */
import { createHmac } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { LayerOptions } from '../../proxy/layers/layer-options.ts'
import type { ProxyOptions } from '../../proxy/proxy-options.ts'
import { WRITE_OFFSET } from '../../proxy/s3/object/object-headers.ts'
import { changeBy } from '../../proxy/s3/routing/route-call.ts'
import { S3_ROUTES } from '../../proxy/s3/routing/routes.ts'
import { type Call, httpClient } from './http-client.ts'
import { sendSigned, testCredentials } from './s3-store.ts'
import { openTestStore } from './swift-store.ts'

const folder = t.testdir()
const ACCOUNT = '/v1/AUTH_test'
let stores = 0

/** A store with these layers; `as` signs in. */
async function storeWith(layers: LayerOptions, options: Partial<ProxyOptions> = {}) {
  const store = await openTestStore(join(folder, `store${++stores}`), { layers, ...options })
  const { call, close } = httpClient(store.port)
  t.teardown(async () => {
    close()
    await store.close()
  })
  const as = async (user: string, key: string): Promise<Call> => {
    const headers = { 'x-auth-user': user, 'x-auth-key': key }
    const token = (await call('GET', '/auth/v1.0', { headers })).headers['x-auth-token']!
    return (method, path, options = {}) =>
      call(method, path, { ...options, headers: { 'x-auth-token': token, ...options.headers } })
  }
  const owner = await as('test:tester', 'testing')
  const reseller = await as('admin:admin', 'admin')
  return { store, call, owner, reseller }
}

t.test('names that were forbidden are refused', async (t) => {
  const { owner, call } = await storeWith({ nameCheck: { bytesMax: 40 } })
  t.equal((await owner('PUT', `${ACCOUNT}/c`)).status, 201)
  t.equal((await owner('PUT', `${ACCOUNT}/c/good`, { body: '' })).status, 201)
  for (const bad of ['a%3Cb', 'a%22b', '../x', 'x/./y', 'x/..', 'long'.repeat(10)]) {
    const answer = await owner('PUT', `${ACCOUNT}/c/${bad}`, { body: '' })
    t.equal(answer.status, 400, bad)
    t.match(answer.body, /^Object\/Container\/Account name (contains|longer)/)
  }
  t.match(JSON.parse((await call('GET', '/info')).body).name_check, { maximum_length: 40 })
})

t.test('an account or all of them take no writes', async (t) => {
  const { owner, reseller } = await storeWith({ readOnly: { allowDeletes: true } })
  t.equal((await owner('PUT', `${ACCOUNT}/c`)).status, 201)
  const mark = (value: string) =>
    reseller('POST', ACCOUNT, { headers: { 'x-account-read-only': value } })
  t.equal((await owner('POST', ACCOUNT, { headers: { 'x-account-read-only': 'no' } })).status, 403)
  t.equal((await mark('true')).status, 204)
  t.equal((await owner('HEAD', ACCOUNT)).headers['x-account-read-only'], 'true')
  const refused = await owner('PUT', `${ACCOUNT}/c/o`, { body: '' })
  t.equal(refused.status, 405)
  t.equal(refused.body, 'Writes are disabled for this account.')
  t.equal((await owner('POST', ACCOUNT, { headers: { 'x-account-meta-a': 'b' } })).status, 405)
  t.equal((await owner('GET', `${ACCOUNT}/c`)).status, 204)
  t.equal((await owner('DELETE', `${ACCOUNT}/c/o`)).status, 404, 'deletions are let through')
  t.equal((await mark('')).status, 204)
  t.equal((await owner('PUT', `${ACCOUNT}/c/o`, { body: '' })).status, 201)

  const cluster = await storeWith({ readOnly: { cluster: true } })
  t.equal((await cluster.owner('PUT', `${ACCOUNT}/c`)).status, 405)
  t.equal((await cluster.owner('DELETE', `${ACCOUNT}/c`)).status, 405)
  const writable = { headers: { 'x-account-read-only': 'false' } }
  t.equal((await cluster.reseller('POST', ACCOUNT, writable)).status, 204)
  t.equal((await cluster.owner('PUT', `${ACCOUNT}/c`)).status, 201)
})

t.test('an account that takes no writes takes none by S3', async (t) => {
  const s3 = { credentials: testCredentials, partBytesMin: 1 }
  const versionsSettle = false
  const { owner, reseller, store } = await storeWith({ readOnly: {} }, { s3, versionsSettle })
  t.equal((await sendSigned(store.port, { method: 'PUT', path: '/reads' })).status, 200)
  t.equal((await owner('PUT', `${ACCOUNT}/reads/o`, { body: 'o' })).status, 201)
  const mark = (value: string) =>
    reseller('POST', ACCOUNT, { headers: { 'x-account-read-only': value } })
  t.equal((await mark('true')).status, 204)
  const paths = { service: '/', bucket: '/reads', object: '/reads/o' }
  const copy = { 'x-amz-copy-source': '/reads/o', 'x-amz-metadata-directive': 'REPLACE' }
  const headers = { [WRITE_OFFSET]: '1', 'x-amz-rename-source': 'o', ...copy }
  const field = (name: string) =>
    `--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\nx\r\n`
  const form = {
    body: `${field('key')}${field('file')}--b--\r\n`,
    headers: { 'content-type': 'multipart/form-data; boundary=b' },
    key: null,
  }
  let refused = 0
  for (const { name, on, method, query = '', header = '' } of S3_ROUTES) {
    const own = Object.entries(headers).filter(
      ([one]) => header.startsWith('x-amz-copy') === one.startsWith('x-amz-copy') || one === header,
    )
    const asked = {
      method,
      path: `${paths[on]}${query === '' ? '' : `?${query}`}`,
      headers: Object.fromEntries(own.filter(([one]) => header !== '' || one.includes('rename'))),
      ...(name === 'PostObject' && form),
    }
    const { status, code } = await sendSigned(store.port, asked)
    const isWrite = changeBy({ name, method }) !== 'nothing'
    if (isWrite) t.equal(`${status} ${code}`, '405 MethodNotAllowed', name)
    else t.not(status, 405, name)
    if (isWrite) refused++
  }
  t.ok(refused > 45, `${refused} actions`)
  const put = await sendSigned(store.port, { method: 'PUT', path: '/new' })
  t.equal(put.code, 'MethodNotAllowed', 'and no bucket is made')
})

t.test('an object whose time has come is brought back, where that is allowed', async (t) => {
  const { owner } = await storeWith({}, { allowOpenExpired: true })
  await owner('PUT', `${ACCOUNT}/c`)
  await owner('PUT', `${ACCOUNT}/v`, { headers: { 'x-versions-enabled': 'true' } })
  const paths = [`${ACCOUNT}/c/o`, `${ACCOUNT}/v/o`]
  const deleteAt = Math.ceil(Date.now() / 1000) + 2
  const headers = { 'x-delete-at': String(deleteAt) }
  for (const path of paths) {
    t.equal((await owner('PUT', path, { body: 'body', headers })).status, 201)
  }
  while (Date.now() <= deleteAt * 1000) await new Promise((resolve) => setImmediate(resolve))
  for (const path of paths) {
    const post = (headers: Record<string, string>) => owner('POST', path, { headers })
    t.equal((await post({ 'x-object-meta-a': 'b' })).status, 404)
    t.equal((await post({ 'x-open-expired': 'false' })).status, 404)
    t.equal((await post({ 'x-open-expired': 'true', 'x-object-meta-a': 'b' })).status, 202)
    const back = await owner('GET', path)
    t.match(back, { status: 200, body: 'body', headers: { 'x-object-meta-a': 'b' } })
    t.notOk('x-delete-at' in back.headers)
  }
})

t.test('limits, addresses and the way out of a load balancer are set', async (t) => {
  const disableFile = join(t.testdir(), 'disabled')
  const api = {
    accountAutocreate: false,
    containersPerAccountMax: 2,
    containersPerAccountWhitelist: ['AUTH_free'],
    storageUrlBase: 'https://store.example.com',
    healthcheckDisableFile: disableFile,
  }
  const { owner, reseller, call } = await storeWith({ api }, { limits: { objectNameBytesMax: 5 } })
  t.equal((await owner('PUT', `${ACCOUNT}/one`)).status, 404, 'nobody has made the account')
  for (const account of [ACCOUNT, '/v1/AUTH_free']) await reseller('PUT', account)
  for (const name of ['one', 'two', 'one']) {
    t.match((await owner('PUT', `${ACCOUNT}/${name}`)).status, /20[12]/)
  }
  const third = await owner('PUT', `${ACCOUNT}/three`)
  t.match(third, { status: 403, body: /Reached container limit of 2/ })
  for (const name of ['one', 'two', 'three']) {
    t.equal((await reseller('PUT', `/v1/AUTH_free/${name}`)).status, 201)
  }
  t.equal((await owner('PUT', `${ACCOUNT}/one/short`, { body: '' })).status, 201)
  t.equal((await owner('PUT', `${ACCOUNT}/one/longer`, { body: '' })).status, 400)
  const headers = { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' }
  const signedIn = await call('GET', '/auth/v1.0', { headers })
  t.equal(signedIn.headers['x-storage-url'], 'https://store.example.com/v1/AUTH_test')
  t.equal((await call('GET', '/healthcheck')).status, 200)
  await writeFile(disableFile, '')
  t.match(await call('GET', '/healthcheck'), { status: 503, body: 'DISABLED BY FILE' })
  await rm(disableFile)
  t.equal((await call('GET', '/healthcheck')).status, 200)
})

t.test('the access log is as its template says, without secrets', async (t) => {
  const template =
    '{client_ip} {remote_addr.anonymized} {method} {path} {status_int} {account.anonymized} {object} ' +
    '{bytes_recvd} {bytes_sent} {auth_token} {policy_index} {source} {headers}'
  const accessLog = {
    template,
    headers: true,
    headersOnly: ['X-Auth-Token', 'X-Auth-Key', 'Range'],
  }
  const { owner, call, store } = await storeWith({ accessLog })
  await owner('PUT', `${ACCOUNT}/c`)
  const headers = { range: 'bytes=0-1', 'x-forwarded-for': '9.9.9.9, 8.8.8.8', 'x-auth-key': 'KEY' }
  await owner('PUT', `${ACCOUNT}/c/o%20p`, { body: 'abcd', headers })
  await owner('GET', `${ACCOUNT}/c/o%20p`, { headers })
  await call('GET', `${ACCOUNT}/c/o?temp_url_sig=SECRET&temp_url_expires=1`)
  const lines = store.lines.filter(({ event }) => event === 'request').map(({ line }) => `${line}`)
  const anonymous = '\\{MD5\\}[0-9a-f]{32}'
  const token = '[^ ]{16}\\.\\.\\.'
  const get = new RegExp(
    `^9\\.9\\.9\\.9 ${anonymous} GET ${ACCOUNT}/c/o%2520p 206 ${anonymous} o%20p - 2 ${token} 0 - `,
  )
  t.ok(lines.some((line) => get.test(line)))
  t.ok(lines.some((line) => /Range:%20bytes%3D0-1/.test(line)))
  t.ok(lines.some((line) => / PUT .* 201 .* 4 - /.test(line)))
  t.notMatch(JSON.stringify(store.lines), /SECRET|KEY|AUTH_test"/)
})

t.test('who is too fast waits, or is told to slow down', async (t) => {
  const { owner, reseller } = await storeWith({
    ratelimit: {
      accountPerSecond: 2,
      waitSecondsMax: 1,
      containerRates: [{ objects: 1, perSecond: 5 }],
      accountBlacklist: ['AUTH_black'],
    },
  })
  const many = await Promise.all(
    Array.from({ length: 12 }, (_, i) => owner('PUT', `${ACCOUNT}/c${i}`)),
  )
  const statuses = many.map(({ status }) => status)
  t.ok(statuses.filter((status) => status === 201).length >= 2)
  t.ok(statuses.includes(498))
  t.equal(many.find(({ status }) => status === 498)!.body, 'Slow down')
  const black = await reseller('PUT', '/v1/AUTH_black/c')
  t.equal(black.status, 497)
  t.equal(black.body, 'Your account has been blacklisted')
  const set = (value: string) =>
    reseller('POST', '/v1/AUTH_own', { headers: { 'x-account-global-write-ratelimit': value } })
  t.equal((await set('fast')).status, 400)
  t.equal((await set('BLACKLIST')).status, 204)
  t.equal((await reseller('PUT', '/v1/AUTH_own/c')).status, 497)
})

t.test('ETags are quoted where it is asked for', async (t) => {
  const { owner } = await storeWith({ etagQuoter: {} })
  await owner('PUT', `${ACCOUNT}/c`)
  await owner('PUT', `${ACCOUNT}/c/o`, { body: 'x' })
  const etag = async () => (await owner('GET', `${ACCOUNT}/c/o`)).headers.etag!
  t.match(await etag(), /^[0-9a-f]{32}$/)
  const header = { 'x-container-rfc-compliant-etags': 'yes' }
  t.equal((await owner('POST', `${ACCOUNT}/c`, { headers: header })).status, 204)
  t.match(await etag(), /^"[0-9a-f]{32}"$/)
  t.equal((await owner('HEAD', `${ACCOUNT}/c`)).headers['x-container-rfc-compliant-etags'], 'True')
  const match = { 'if-none-match': await etag() }
  t.equal((await owner('GET', `${ACCOUNT}/c/o`, { headers: match })).status, 304)
  await owner('POST', `${ACCOUNT}/c`, {
    headers: { 'x-remove-container-rfc-compliant-etags': 'x' },
  })
  t.match(await etag(), /^[0-9a-f]{32}$/)
  await owner('POST', ACCOUNT, { headers: { 'x-account-rfc-compliant-etags': 'true' } })
  t.match(await etag(), /^"/)
})

/** Answers CNAME questions on loopback; `asked` counts them. */
async function nameServer(names: Readonly<Record<string, string>>) {
  const socket = createSocket('udp4')
  let asked = 0
  const encode = (name: string) =>
    Buffer.concat([
      ...name
        .split('.')
        .map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`)),
      Buffer.from([0]),
    ])
  socket.on('message', (question, from) => {
    asked++
    const labels: string[] = []
    let at = 12
    for (; question[at] !== 0; at += question[at]! + 1) {
      labels.push(question.toString('latin1', at + 1, at + 1 + question[at]!))
    }
    const target = names[labels.join('.').toLowerCase()]
    const head = Buffer.from(question.subarray(0, 12))
    head.writeUInt16BE(target === undefined ? 0x8183 : 0x8180, 2)
    head.writeUInt16BE(target === undefined ? 0 : 1, 6)
    head.writeUInt32BE(0, 8)
    const data = target === undefined ? Buffer.alloc(0) : encode(target)
    const answer = Buffer.from([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, data.length])
    const parts = [head, question.subarray(12, at + 5)]
    if (target !== undefined) parts.push(answer, data)
    socket.send(Buffer.concat(parts), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  return { port: (socket.address() as AddressInfo).port, asked: () => asked }
}

t.test('domains stand for accounts and containers', async (t) => {
  const dns = await nameServer({
    'www.customer.example': 'site.auth-test.store.example',
    'far.customer.example': 'www.customer.example',
    'stranger.example': 'elsewhere.example',
  })
  const storageDomains = ['store.example']
  const layers = {
    domainRemap: { storageDomains, defaultResellerPrefix: 'AUTH' },
    cnameLookup: { storageDomains, lookupDepth: 2, nameservers: [`127.0.0.1:${dns.port}`] },
  }
  // With S3, too: there a path that nobody has signed could begin with a bucket.
  const { owner, call, store } = await storeWith(layers, { s3: { credentials: testCredentials } })
  const site = { 'x-container-read': '.r:*,.rlistings', 'x-container-meta-web-index': 'index.html' }
  await owner('PUT', `${ACCOUNT}/site`, { headers: site })
  await owner('PUT', `${ACCOUNT}/site/index.html`, { body: 'home' })
  await owner('PUT', `${ACCOUNT}/site/info`, { body: 'an object' })
  await owner('PUT', `${ACCOUNT}/site/v1/a/b`, { body: 'not the API' })
  await owner('PUT', `${ACCOUNT}/site/sub/index.html`, { body: 'sub' })
  const at = (host: string, path: string, method = 'GET') =>
    call(method, path, { headers: { host } })
  const full = 'site.auth-test.store.example'
  for (const host of [
    full,
    'site.AUTH_test.store.example',
    `${full}:8080`,
    'site.test.store.example',
  ]) {
    t.equal((await at(host, '/')).body, 'home', host)
  }
  t.equal((await at(full, '/info')).body, 'an object', "all of its paths are the container's")
  t.equal((await at(full, '/v1/a/b')).body, 'not the API')
  t.equal((await at(full, '/sub')).headers.location, `http://${full}/sub/`)
  t.equal((await at('auth-test.store.example', '/site/index.html')).body, 'home')
  t.equal((await at('a.b.c.store.example', '/')).status, 400)
  t.equal((await at('store.example', '/')).status, 400)
  t.equal((await at(full, '/nothing')).status, 404)
  const hello = { headers: { host: full }, body: 'hello' }
  t.equal((await owner('PUT', '/new', hello)).status, 201)
  t.equal((await owner('GET', `${ACCOUNT}/site/new`)).body, 'hello')

  t.equal((await at('www.customer.example', '/')).body, 'home')
  t.equal((await at('far.customer.example', '/sub/')).body, 'sub', 'two CNAMEs')
  const before = dns.asked()
  await at('www.customer.example', '/')
  t.equal(dns.asked(), before, 'remembered')
  for (const host of ['stranger.example', 'nobody.example']) {
    const answer = await at(host, '/')
    t.equal(answer.status, 400, host)
    t.match(answer.body, /^CNAME lookup failed/)
  }
  t.equal((await at(`127.0.0.1:${store.port}`, `${ACCOUNT}/site/index.html`)).body, 'home')
  const told = JSON.parse((await call('GET', '/info')).body)
  t.match(told, {
    domain_remap: { default_reseller_prefix: 'AUTH' },
    cname_lookup: { lookup_depth: 2 },
  })
})

t.test('operators: /info, /crossdomain.xml, /endpoints, denied hosts, StatsD', async (t) => {
  const statsd = createSocket('udp4')
  const told: string[] = []
  statsd.on('message', (bytes) => told.push(...bytes.toString().split('\n')))
  statsd.bind(0, '127.0.0.1')
  await once(statsd, 'listening')
  t.teardown(() => statsd.close())
  const devices = [
    { ip: '10.0.0.1', port: 6200, device: 'd1' },
    { ip: '::1', port: 6200, device: 'd2' },
  ]
  const { call, owner, reseller } = await storeWith(
    {
      crossdomain: {},
      listEndpoints: {},
      denyHosts: { hosts: ['evil.example'] },
      api: { allowAccountManagement: false, corsAllowOrigins: ['https://app.example'] },
      info: { adminKey: 'admin key', disallowedSections: ['swift.version', 'swiftlet', 'no.such'] },
      statsd: { host: '127.0.0.1', port: (statsd.address() as AddressInfo).port, prefix: 'test' },
    },
    {
      locate: ({ object, policy = 0 }) => ({
        partition: object === undefined ? 3 : 5 + policy,
        devices: devices as never,
      }),
    },
  )

  await t.test('/info hides what is for administrators, and knows them by their key', async (t) => {
    const plain = JSON.parse((await call('GET', '/info')).body)
    t.equal(plain.swift.version, undefined)
    t.equal(plain.swiftlet, undefined)
    t.equal(plain.admin, undefined)
    const expires = Math.floor(Date.now() / 1000) + 60
    const sign = (method: string, key = 'admin key', when = expires) => {
      const line = `${method}\n${when}\n/info`
      return `swiftinfo_sig=${createHmac('sha1', key).update(line).digest('hex')}&swiftinfo_expires=${when}`
    }
    const admin = JSON.parse((await call('GET', `/info?${sign('GET')}`)).body)
    t.strictSame(admin.admin.disallowed_sections, ['swift.version', 'swiftlet', 'no.such'])
    t.equal((await call('HEAD', `/info?${sign('GET')}`)).status, 200)
    for (const bad of [
      sign('HEAD'),
      sign('GET', 'guess'),
      sign('GET', 'admin key', 1),
      'swiftinfo_sig=x',
    ]) {
      t.equal((await call('GET', `/info?${bad}`)).status, 401)
    }
  })

  await t.test('pages and refusals', async (t) => {
    const policy = await call('GET', '/crossdomain.xml')
    t.equal(policy.headers['content-type'], 'application/xml; charset=UTF-8')
    t.match(policy.body, '<allow-access-from domain="*" secure="false" />')
    t.equal((await call('POST', '/crossdomain.xml')).status, 405)
    t.match(await call('GET', '/info', { headers: { host: 'evil.example' } }), { status: 200 })
    const denied = await call('GET', ACCOUNT, { headers: { host: 'evil.example' } })
    t.match(denied, { status: 403, body: 'Invalid host header' })
    t.equal((await reseller('PUT', '/v1/AUTH_made')).status, 405, 'accounts are not managed')
    await owner('PUT', `${ACCOUNT}/cors`)
    const origin = { headers: { origin: 'https://app.example' } }
    const shared = await owner('HEAD', `${ACCOUNT}/cors`, origin)
    t.equal(shared.headers['access-control-allow-origin'], 'https://app.example')
  })

  await t.test('/endpoints say where things are', async (t) => {
    await owner('PUT', `${ACCOUNT}/c`, { headers: { 'x-storage-policy': 'silver' } })
    const get = async (path: string) => JSON.parse((await call('GET', `/endpoints/${path}`)).body)
    t.strictSame(await get('AUTH_test/c'), [
      'http://10.0.0.1:6200/d1/3/AUTH_test/c',
      'http://[::1]:6200/d2/3/AUTH_test/c',
    ])
    t.strictSame(await get('v2/AUTH_test/c/a%20b/%C3%A4'), {
      endpoints: [
        'http://10.0.0.1:6200/d1/6/AUTH_test/c/a%20b/%C3%A4',
        'http://[::1]:6200/d2/6/AUTH_test/c/a%20b/%C3%A4',
      ],
      headers: { 'X-Backend-Storage-Policy-Index': '1' },
    })
    t.equal((await call('GET', '/endpoints/v3/AUTH_test')).status, 400)
    t.equal((await call('GET', '/endpoints/v1/')).status, 400)
    t.equal((await call('POST', '/endpoints/AUTH_test')).status, 405)
  })

  await t.test('StatsD hears of every request', async (t) => {
    await owner('PUT', `${ACCOUNT}/c/o`, { body: 'four' })
    const wanted = 'test.proxy-server.object.PUT.201.xfer:4|c'
    for (let i = 0; i < 200 && !told.includes(wanted); i++) await call('GET', '/healthcheck')
    t.ok(told.includes(wanted))
    t.ok(
      told.some((line) => /^test\.proxy-server\.UNKNOWN\.GET\.200\.timing:[\d.]+\|ms$/.test(line)),
    )
  })

  await t.test('headers of the inside come from nowhere outside', async (t) => {
    const inside = {
      'x-container-sysmeta-a': '1',
      'x-backend-storage-policy-index': '1',
      'x-timestamp': '1.0',
    }
    t.equal((await owner('PUT', `${ACCOUNT}/inside`, { headers: inside })).status, 201)
    const { headers } = await owner('HEAD', `${ACCOUNT}/inside`)
    t.equal(headers['x-storage-policy'], 'gold')
    t.not(headers['x-timestamp'], '0000000001.00000')
    t.notOk(Object.keys(headers).some((name) => /sysmeta|backend/.test(name)))
  })
})
