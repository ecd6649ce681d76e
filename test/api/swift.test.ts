/** The Swift API over a real socket, on the real engine. */
import { createHash, randomBytes } from 'node:crypto'
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
const colleague = await signIn(call, 'test:tester3', 'testing3')
const reseller = await signIn(call, 'admin:admin', 'admin')
const ACCOUNT = '/v1/AUTH_test'
const md5 = (data: string | Buffer) => createHash('md5').update(data).digest('hex')
let made = 0

async function freshContainer(headers: Record<string, string> = {}): Promise<string> {
  const path = `${ACCOUNT}/c${++made}`
  t.equal((await owner('PUT', path, { headers })).status, 201)
  return path
}

t.test('sign-in', async (t) => {
  const good = await call('GET', '/auth/v1.0', {
    headers: { 'x-storage-user': 'test:tester', 'x-storage-pass': 'testing' },
  })
  t.equal(good.status, 200)
  t.equal(good.headers['x-storage-url'], `${store.url}${ACCOUNT}`)
  t.equal(good.headers['x-storage-token'], good.headers['x-auth-token'])
  t.ok(Number(good.headers['x-auth-token-expires']) > 80_000)
  const other = await call('GET', '/auth/v1/test/auth', {
    headers: { 'x-storage-user': 'tester', 'x-auth-key': 'testing' },
  })
  t.equal(other.status, 200)
  for (const headers of [
    { 'x-auth-user': 'test:tester', 'x-auth-key': 'wrong' },
    { 'x-auth-user': 'test:nobody', 'x-auth-key': 'testing' },
    { 'x-auth-user': 'tester', 'x-auth-key': 'testing' },
    { 'x-auth-user': 'test:tester' },
    {},
  ] as Record<string, string>[]) {
    const answer = await call('GET', '/auth/v1.0', { headers })
    t.equal(answer.status, 401, JSON.stringify(headers))
    t.match(answer.headers['www-authenticate'], /^Swift realm="(test|unknown)"$/)
  }
  t.equal((await call('POST', '/auth/v1.0')).status, 405)
  const logged = JSON.stringify(store.lines)
  t.notMatch(logged, 'testing"', 'keys are not logged')
  t.notMatch(logged, good.headers['x-auth-token']!, 'tokens are not logged')
})

t.test('settings changed through one proxy hold for the next write through another', async (t) => {
  const { port } = await store.openBeside()
  const other = httpClient(port)
  t.teardown(() => other.close())
  const token = async (user: string, key: string) => {
    const headers = { 'x-auth-user': user, 'x-auth-key': key }
    return (await call('GET', '/auth/v1.0', { headers })).headers['x-auth-token']!
  }
  const colleagues = { 'x-auth-token': await token('test:tester3', 'testing3') }
  const owners = { 'x-auth-token': await token('test:tester', 'testing') }
  const elsewhere = (method: string, path: string, headers: Record<string, string>, body = '') =>
    other.call(method, path, { headers, body })

  const path = await freshContainer({ 'x-container-write': 'test:tester3' })
  t.equal((await elsewhere('PUT', `${path}/o`, colleagues, 'first')).status, 201)
  await owner('POST', path, { headers: { 'x-remove-container-write': 'x' } })
  for (const method of ['PUT', 'POST', 'DELETE']) {
    t.equal((await elsewhere(method, `${path}/o`, colleagues, '')).status, 403, method)
  }
  t.equal((await owner('GET', `${path}/o`)).body, 'first', 'and nothing was written')
  await owner('POST', path, { headers: { 'x-container-write': 'test:tester3' } })
  t.equal((await elsewhere('PUT', `${path}/o`, colleagues, 'second')).status, 201)

  // The other proxy knows the container with policy gold.
  const remade = await freshContainer({ 'x-storage-policy': 'gold' })
  t.equal((await elsewhere('PUT', `${remade}/old`, owners, 'x')).status, 201)
  t.equal((await elsewhere('DELETE', `${remade}/old`, owners)).status, 204)
  const remake = async (policy: string) => {
    t.equal((await owner('DELETE', remade)).status, 204)
    const made = await owner('PUT', remade, { headers: { 'x-storage-policy': policy } })
    t.equal(made.status, 201)
  }
  await remake('silver')
  t.equal((await elsewhere('PUT', `${remade}/o`, owners, 'in silver')).status, 201)
  t.equal((await owner('GET', `${remade}/o`)).body, 'in silver', 'found where the container is now')
  t.equal((await owner('GET', remade)).body, 'o\n')
  t.equal((await owner('DELETE', `${remade}/o`)).status, 204)
  await remake('gold')
  t.equal((await owner('PUT', `${remade}/p`, { body: 'in gold' })).status, 201)
  t.equal((await elsewhere('GET', `${remade}/p`, owners)).body, 'in gold', 'reads see it as well')
  t.equal(
    (await elsewhere('POST', `${remade}/p`, { ...owners, 'x-object-meta-a': '1' })).status,
    202,
  )
  t.equal((await owner('HEAD', `${remade}/p`)).headers['x-object-meta-a'], '1')
  await owner('DELETE', `${remade}/p`)
  await remake('silver')
  await owner('PUT', `${remade}/q`, { body: 'q' })
  t.equal((await elsewhere('DELETE', `${remade}/q`, owners)).status, 204)
  t.equal((await owner('GET', remade)).body, '')
})

t.test('who is let in: 401 for nobody, 403 for somebody else', async (t) => {
  const path = await freshContainer()
  for (const [caller, status] of [
    [call, 401],
    [stranger, 403],
    [colleague, 403],
    [owner, 200],
    [reseller, 200],
  ] as const) {
    t.equal((await caller('GET', `${path}?format=json`)).status, status)
  }
  const anonymous = await call('GET', `${path}/o`)
  t.equal(anonymous.headers['www-authenticate'], 'Swift realm="AUTH_test"')
  const expired = await call('GET', path, { headers: { 'x-auth-token': 'AUTH_tkbogus' } })
  t.equal(expired.status, 401)
  t.equal((await owner('GET', '/v1/AUTH_test2')).status, 403)
  t.equal((await owner('PUT', '/v1/OTHER/c')).status, 403)
})

t.test('every answer names its transaction', async (t) => {
  for (const path of ['/healthcheck', '/nowhere', `${ACCOUNT}/x/y`, ACCOUNT]) {
    const answer = await owner('GET', path, { headers: { 'x-trans-id-extra': 'mine<>' } })
    t.match(answer.headers['x-trans-id'], /^tx[0-9a-f]{21}-[0-9a-f]{10}-mine%3C%3E$/, path)
    t.equal(answer.headers['x-openstack-request-id'], answer.headers['x-trans-id'])
  }
})

t.test('info, health, metrics, recon', async (t) => {
  const info = JSON.parse((await call('GET', '/info')).body)
  t.equal(info.swift.max_file_size, 5_368_709_122)
  t.same(info.swift.policies, [
    { name: 'gold', aliases: 'gold, yellow', default: true },
    { name: 'silver', aliases: 'silver' },
  ])
  t.equal((await call('HEAD', '/info')).status, 200)
  t.equal((await call('GET', '/healthcheck')).body, 'OK')
  t.equal((await call('POST', '/healthcheck')).status, 405)
  const text = (await call('GET', '/metrics')).body
  t.match(text, /swiftlet_proxy_requests_total\{method="GET",type="other",status="200"\} \d+/)
  t.match(text, /swiftlet_proxy_request_seconds_bucket\{.*le="\+Inf"\} \d+/)
  t.equal((await call('GET', '/recon/mem')).status, 200)
  t.equal((await call('GET', '/recon/constructor')).status, 404)
})

t.test('an account that nobody wrote to is empty, and made by its first container', async (t) => {
  const other = '/v1/AUTH_test2'
  const before = await stranger('HEAD', other)
  t.equal(before.status, 204)
  t.equal(before.headers['x-account-container-count'], '0')
  t.equal((await stranger('GET', other)).status, 204)
  t.equal((await stranger('GET', `${other}?format=json`)).body, '[]')
  t.equal((await stranger('PUT', `${other}/first`)).status, 201)
  t.equal((await stranger('GET', other)).body, 'first\n')
  t.equal((await stranger('PUT', other)).status, 403, 'accounts are made by reseller admins')
  t.equal((await reseller('PUT', '/v1/AUTH_new')).status, 201)
  t.equal((await reseller('PUT', '/v1/AUTH_new')).status, 202)
  t.equal((await reseller('DELETE', '/v1/AUTH_new?x=1')).status, 400)
  t.equal((await reseller('DELETE', '/v1/AUTH_new')).status, 204)
})

t.test('a deleted account is gone at once, and emptied', async (t) => {
  const path = '/v1/AUTH_doomed'
  t.equal((await reseller('DELETE', path)).status, 404)
  t.equal((await reseller('PUT', path)).status, 201)
  for (const container of ['c', 'd']) {
    t.equal((await reseller('PUT', `${path}/${container}`)).status, 201)
    for (const object of ['1', '2', '3']) {
      const put = await reseller('PUT', `${path}/${container}/${object}`, { body: object })
      t.equal(put.status, 201)
    }
  }
  t.equal((await owner('DELETE', path)).status, 403)
  const listed = async () => {
    const answer = await reseller('GET', '/swiftlet/accounts?prefix=AUTH_doomed')
    return JSON.parse(answer.body).accounts[0]
  }
  t.match(await listed(), { name: 'AUTH_doomed', containers: 2, deletedAt: undefined })
  t.equal((await reseller('DELETE', path)).status, 204)
  for (const [method, status] of [
    ['HEAD', 410],
    ['GET', 410],
    ['POST', 404],
    ['PUT', 403],
    ['DELETE', 404],
  ] as const) {
    const answer = await reseller(method, path)
    t.equal(answer.status, status, method)
    t.equal(answer.headers['x-account-status'], 'Deleted', method)
  }
  t.equal((await reseller('PUT', path)).body, 'Recently deleted')
  t.equal((await reseller('PUT', `${path}/new`)).status, 404)
  await store.runDaemons()
  t.equal((await reseller('GET', `${path}/c`)).status, 404)
  t.equal((await reseller('GET', `${path}/d/1`)).status, 404)
  t.match(await listed(), { containers: 0, objects: 0, deletedAt: /^20/ })
  t.equal((await reseller('HEAD', path)).status, 410, 'its name is not free yet')

  t.equal((await call('GET', '/swiftlet/accounts')).status, 401)
  t.equal((await owner('GET', '/swiftlet/accounts')).status, 403)
  t.equal((await reseller('GET', '/swiftlet/accounts?limit=0')).status, 400)
  const names: string[] = []
  for (let next: string | null = ''; next !== null; ) {
    const page = await reseller('GET', `/swiftlet/accounts?limit=1&marker=${next}`)
    const { accounts, next: after } = JSON.parse(page.body)
    names.push(...accounts.map(({ name }: { readonly name: string }) => name))
    next = after
  }
  for (const name of ['AUTH_doomed', 'AUTH_new', 'AUTH_test', 'AUTH_test2'])
    t.ok(names.includes(name))
  t.strictSame(names, [...new Set(names)].sort())
})

t.test('account metadata, limits and totals', async (t) => {
  const post = (headers: Record<string, string>) => owner('POST', ACCOUNT, { headers })
  t.equal((await post({ 'x-account-meta-color': 'bl\u00c3\u00bc' })).status, 204)
  t.equal((await owner('HEAD', ACCOUNT)).headers['x-account-meta-color'], 'bl\u00c3\u00bc')
  t.equal((await post({ 'x-remove-account-meta-color': 'x' })).status, 204)
  t.equal((await owner('HEAD', ACCOUNT)).headers['x-account-meta-color'], undefined)
  t.equal((await post({ 'x-account-meta-with_under_scores': 'v' })).status, 204)
  t.equal((await owner('HEAD', ACCOUNT)).headers['x-account-meta-with-under-scores'], 'v')
  t.equal((await post({ 'x-remove-account-meta-with_under_scores': 'x' })).status, 204)
  t.equal((await owner('HEAD', ACCOUNT)).headers['x-account-meta-with-under-scores'], undefined)
  t.equal((await post({ 'x-account-meta-bad': '\xff' })).status, 400)
  t.equal((await post({ 'x-account-meta-long': 'v'.repeat(257) })).status, 400)
  const many = (from: number, count: number) =>
    Object.fromEntries([...Array(count).keys()].map((i) => [`x-account-meta-n${from + i}`, 'v']))
  t.equal((await post(many(0, 90))).status, 204)
  const tooMany = await post(many(90, 1))
  t.equal(tooMany.status, 400)
  t.equal(tooMany.body, 'Too many metadata items; max 90')
  const path = await freshContainer({ 'x-storage-policy': 'silver' })
  await owner('PUT', `${path}/o`, { body: 'four' })
  await store.runDaemons()
  const { headers } = await owner('HEAD', ACCOUNT)
  t.ok(Number(headers['x-account-container-count']) > 1)
  t.equal(headers['x-account-storage-policy-silver-bytes-used'], '4')
  t.equal(headers['x-account-storage-policy-silver-object-count'], '1')
  const listed = JSON.parse(
    (await owner('GET', `${ACCOUNT}?format=json&prefix=${path.slice(14)}`)).body,
  )
  t.match(listed[0], { count: 1, bytes: 4, storage_policy: 'silver' })
})

t.test('account ACLs', async (t) => {
  const path = await freshContainer()
  const set = (acl: string) =>
    owner('POST', ACCOUNT, { headers: { 'x-account-access-control': acl } })
  t.equal((await set('{"admins":[]}')).status, 400)
  t.equal((await set('{"read-only":["test2:tester2"]}')).status, 204)
  t.equal((await stranger('GET', path)).status, 204)
  t.equal((await stranger('PUT', `${path}/o`, { body: 'x' })).status, 403)
  t.equal((await stranger('HEAD', ACCOUNT)).headers['x-account-access-control'], undefined)
  t.equal((await set('{"read-write":["test2:tester2"]}')).status, 204)
  t.equal((await stranger('PUT', `${path}/o`, { body: 'x' })).status, 201)
  t.equal((await stranger('POST', ACCOUNT)).status, 403)
  t.equal((await set('{"admin":["test2:tester2"]}')).status, 204)
  const seen = await stranger('HEAD', ACCOUNT)
  t.equal(seen.headers['x-account-access-control'], '{"admin":["test2:tester2"]}')
  t.equal((await set('')).status, 204)
  t.equal((await stranger('GET', path)).status, 403)
})

t.test('containers: made, changed, deleted', async (t) => {
  const path = `${ACCOUNT}/box`
  const made = await owner('PUT', path, {
    headers: { 'x-container-meta-a': '1', 'x-container-meta-b': '2' },
  })
  t.equal(made.status, 201)
  t.equal((await owner('PUT', path, { headers: { 'x-container-meta-a': '3' } })).status, 202)
  t.equal(
    (await owner('POST', path, { headers: { 'x-remove-container-meta-b': '-' } })).status,
    204,
  )
  const head = await owner('HEAD', path)
  t.equal(head.status, 204)
  t.match(head.headers, {
    'x-container-meta-a': '3',
    'x-container-object-count': '0',
    'x-container-bytes-used': '0',
    'x-storage-policy': 'gold',
    'x-timestamp': /^\d{10}\.\d{5}$/,
    'last-modified': / GMT$/,
  })
  t.equal(head.headers['x-container-meta-b'], undefined)
  t.equal((await owner('PUT', path, { headers: { 'x-storage-policy': 'silver' } })).status, 409)
  for (const policy of ['nope', 'old']) {
    const answer = await owner('PUT', `${ACCOUNT}/other`, {
      headers: { 'x-storage-policy': policy },
    })
    t.equal(answer.status, 400, policy)
  }
  await owner('PUT', `${path}/o`, { body: 'x' })
  t.equal((await owner('DELETE', path)).status, 409)
  await owner('DELETE', `${path}/o`)
  t.equal((await owner('DELETE', path)).status, 204)
  t.equal((await owner('DELETE', path)).status, 404)
  t.equal((await owner('POST', path)).status, 404)
  t.equal((await owner('GET', path)).status, 404)
  t.equal((await owner('PUT', `${path}/o`, { body: 'x' })).status, 404)
  t.equal((await owner('PUT', `${ACCOUNT}/${'n'.repeat(257)}`)).status, 400)
  t.equal((await owner('GET', `${ACCOUNT}/${'n'.repeat(257)}`)).status, 404)
  t.equal((await owner('PUT', `${ACCOUNT}/%ff`)).status, 412)
  t.equal((await owner('PUT', `${ACCOUNT}/a%00b`)).status, 412)
})

t.test('container ACLs', async (t) => {
  const path = await freshContainer()
  await owner('PUT', `${path}/o`, { body: 'hello' })
  const set = (headers: Record<string, string>) => owner('POST', path, { headers })
  t.equal((await set({ 'x-container-read': '.r:-' })).status, 400)
  t.equal((await set({ 'x-container-write': '.r:*' })).status, 400)
  t.equal((await set({ 'x-container-read': '.referrer: *.example.com' })).status, 204)
  t.equal((await call('GET', `${path}/o`)).status, 401)
  const referred = (referer: string) => call('GET', `${path}/o`, { headers: { referer } })
  t.equal((await referred('http://www.example.com/x')).status, 200)
  t.equal((await referred('http://example.org/x')).status, 401)
  t.equal((await set({ 'x-container-read': '.r:*' })).status, 204)
  t.equal((await call('GET', `${path}/o`)).body, 'hello')
  t.equal((await call('GET', path)).status, 401)
  t.equal((await set({ 'x-container-read': '.r:*,.rlistings' })).status, 204)
  const listing = await call('GET', path)
  t.equal(listing.body, 'o\n')
  t.equal(listing.headers['x-container-read'], undefined, 'only owners see ACLs')
  t.equal((await owner('HEAD', path)).headers['x-container-read'], '.r:*,.rlistings')
  t.equal((await call('PUT', `${path}/p`, { body: 'x' })).status, 401)
  t.equal((await set({ 'x-container-write': 'test:tester3', 'x-container-read': '' })).status, 204)
  t.equal((await colleague('PUT', `${path}/p`, { body: 'x' })).status, 201)
  t.equal((await colleague('GET', `${path}/p`)).status, 403)
  t.equal((await colleague('DELETE', `${path}/p`)).status, 204)
  t.equal((await colleague('DELETE', path)).status, 403)
  t.equal((await set({ 'x-container-read': '*:tester2' })).status, 204)
  t.equal((await stranger('GET', `${path}/o`)).status, 200)
})

t.test('listings', async (t) => {
  const path = await freshContainer()
  const names = ['a', 'b/1', 'b/2', 'b/2/x', 'c--1', 'c--2', 'd/', 'é', '\u{1f600}']
  for (const name of names) {
    const answer = await owner('PUT', `${path}/${encodeURIComponent(name)}`, { body: name })
    t.equal(answer.status, 201)
  }
  const list = async (query: string) =>
    (await owner('GET', `${path}?${query}`)).body.split('\n').slice(0, -1)
  const cases: [string, string[]][] = [
    ['', names],
    ['limit=2', ['a', 'b/1']],
    ['limit=0', []],
    ['limit=x&marker=d/', ['é', '\u{1f600}']],
    ['marker=b/2&end_marker=d', ['b/2/x', 'c--1', 'c--2']],
    ['prefix=b/', ['b/1', 'b/2', 'b/2/x']],
    ['delimiter=/', ['a', 'b/', 'c--1', 'c--2', 'd/', 'é', '\u{1f600}']],
    ['delimiter=--', ['a', 'b/1', 'b/2', 'b/2/x', 'c--', 'd/', 'é', '\u{1f600}']],
    ['prefix=b/&delimiter=/', ['b/1', 'b/2', 'b/2/']],
    ['delimiter=/&marker=b/&limit=1', ['c--1']],
    ['reverse=on&limit=3', ['\u{1f600}', 'é', 'd/']],
    ['reverse=1&marker=c--1&end_marker=a', ['b/2/x', 'b/2', 'b/1']],
    ['reverse=1&delimiter=/&prefix=b', ['b/']],
    ['path=', ['a', 'c--1', 'c--2', 'd/', 'é', '\u{1f600}']],
    ['path=b', ['b/1', 'b/2']],
    ['prefix=%C3%A9', ['é']],
    ['prefix=zzz', []],
  ]
  for (const [query, expected] of cases) t.same(await list(query), expected, query)
  t.equal((await owner('GET', `${path}?limit=10001`)).status, 412)
  t.equal((await owner('GET', `${path}?prefix=%ff`)).status, 400)
  t.equal((await owner('GET', `${path}?prefix=zzz`)).status, 204)
  const json = await owner('GET', `${path}?format=json&limit=1`)
  t.match(JSON.parse(json.body), [
    { name: 'a', bytes: 1, hash: md5('a'), content_type: 'application/octet-stream' },
  ])
  t.match(JSON.parse(json.body)[0].last_modified, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
  t.equal(json.headers['content-type'], 'application/json; charset=utf-8')
  const xml = await owner('GET', path, {
    headers: { accept: 'application/xml;q=1, text/plain;q=0.5' },
  })
  t.match(
    xml.body,
    /^<\?xml version="1.0" encoding="UTF-8"\?>\n<container name="c\d+"><object><name>a</,
  )
  t.equal(xml.headers.vary, 'Accept')
  t.equal((await owner('GET', path, { headers: { accept: 'image/png' } })).status, 406)
  const total = names.reduce((sum, name) => sum + Buffer.byteLength(name), 0)
  t.match((await owner('HEAD', path)).headers, {
    'x-container-object-count': String(names.length),
    'x-container-bytes-used': String(total),
  })
})

t.test('objects: written, read, described, deleted', async (t) => {
  const path = `${await freshContainer()}/d\u00c3\u00ad/../r%20%25 x.html`
    .replaceAll('\u00c3\u00ad', '%C3%AD')
    .replace(' x', '%20x')
  const put = await owner('PUT', path, {
    body: 'hello world',
    headers: {
      'x-object-meta-color': 'r\u00c3\u00b6t',
      'x-object-meta-raw': '\xff',
      'content-disposition': 'inline',
      'x-object-sysmeta-a': 'no',
      'x-backend-a': 'no',
      'x-timestamp': '1.00000',
      etag: `"${md5('hello world').toUpperCase()}"`,
    },
  })
  t.equal(put.status, 201)
  t.equal(put.headers.etag, md5('hello world'))
  t.equal(put.headers['content-length'], '0')
  const get = await owner('GET', path)
  t.equal(get.body, 'hello world')
  t.match(get.headers, {
    'content-type': 'text/html',
    'content-length': '11',
    etag: md5('hello world'),
    'accept-ranges': 'bytes',
    'x-object-meta-color': 'r\u00c3\u00b6t',
    'x-object-meta-raw': '\xff',
    'content-disposition': 'inline',
    'x-timestamp': /^\d{10}\.\d{5}$/,
    'last-modified': put.headers['last-modified'],
  })
  t.ok(Number(get.headers['x-timestamp']) > 1e9, 'X-Timestamp is not the client\u2019s')
  t.equal(get.headers['x-object-sysmeta-a'], undefined)
  t.equal(get.headers['x-backend-a'], undefined)
  const head = await owner('HEAD', path)
  t.equal(head.status, 200)
  t.equal(head.headers['content-length'], '11')
  t.equal(head.body, '')
  const post = await owner('POST', path, { headers: { 'x-object-meta-size': 'L' } })
  t.equal(post.status, 202)
  const posted = await owner('HEAD', path)
  t.equal(posted.headers['x-object-meta-size'], 'L')
  t.equal(posted.headers['x-object-meta-color'], undefined, 'a POST replaces the metadata')
  t.equal(posted.headers['content-disposition'], undefined)
  t.equal(posted.headers['content-type'], 'text/html')
  await owner('POST', path, { headers: { 'content-type': 'text/x-new' } })
  t.equal((await owner('HEAD', path)).headers['content-type'], 'text/x-new')
  t.equal((await owner('DELETE', path)).status, 204)
  for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) {
    t.equal((await owner(method, path)).status, 404, method)
  }
})

t.test('objects: what is refused', async (t) => {
  const path = await freshContainer()
  const put = (name: string, headers: Record<string, string>, body = 'x') =>
    owner('PUT', `${path}/${name}`, { headers, body })
  t.equal((await put('o', { etag: md5('y') })).status, 422)
  t.equal((await put('o', { etag: md5('x') })).status, 201)
  t.equal((await put('n'.repeat(1024), {})).status, 201)
  t.equal((await put('n'.repeat(1025), {})).status, 400)
  t.equal((await put('%C3%A9'.repeat(513), {})).status, 400)
  t.equal((await put('o', { 'x-object-meta-': 'x' })).status, 400)
  t.equal((await put('o', { 'content-type': 'a/b; swift_bytes=1' })).status, 400)
  t.equal((await put('o', { 'content-type': 'a/\xff' })).status, 400)
  t.equal((await put('o', { 'if-none-match': '"abc"' })).status, 400)
  t.equal((await put('o', { 'x-delete-at': 'soon' })).status, 400)
  t.equal((await put('o', { 'x-delete-at': '1' })).status, 400)
  t.equal((await put('o', { 'x-delete-after': '-1' })).status, 400)
  t.equal((await put('o%00', {})).status, 412)
  const unannounced = await owner('PUT', `${path}/o`, {
    headers: { 'content-length': String(5 * 1024 ** 3 + 3), expect: '100-continue' },
    body: (async function* () {})(),
  })
  t.equal(unannounced.status, 413)
  const unknown = await owner('PATCH', `${path}/o`)
  t.equal(unknown.status, 405)
  t.equal(unknown.headers.allow, 'GET, HEAD, PUT, POST, DELETE, COPY, OPTIONS')
})

t.test('signatures are not logged', async (t) => {
  const path = await freshContainer()
  const signed = await call('GET', `${path}/o?temp_url_sig=SECRET&temp_url_expires=1`)
  t.equal(signed.status, 401)
  t.notMatch(JSON.stringify(store.lines), 'SECRET')
})

t.test('bodies of every size come back as they went', async (t) => {
  const path = await freshContainer()
  const sizes = [0, 1, 4096, 65_535, 65_536, 65_537, 1_048_576, 1_048_577, 3_000_000]
  for (const size of sizes) {
    const data = randomBytes(size)
    const chunks = async function* () {
      for (let at = 0; at < size; at += 10_000) yield data.subarray(at, at + 10_000)
    }
    for (const [how, body] of [
      ['whole', data],
      ['chunked', chunks()],
    ] as const) {
      const put = await owner('PUT', `${path}/${how}${size}`, { body })
      t.equal(put.status, 201, `${how} ${size}`)
      t.equal(put.headers.etag, md5(data))
      const get = await owner('GET', `${path}/${how}${size}`)
      t.ok(get.bytes.equals(data), `${how} ${size} is what was sent`)
      t.equal(get.headers.etag, md5(data))
    }
    if (size < 10) continue
    const part = await owner('GET', `${path}/whole${size}`, { headers: { range: 'bytes=5-9' } })
    t.equal(part.status, 206)
    t.ok(part.bytes.equals(data.subarray(5, 10)))
    t.equal(part.headers['content-range'], `bytes 5-9/${size}`)
    const parts = await owner('GET', `${path}/whole${size}`, { headers: { range: 'bytes=0-1,-3' } })
    t.equal(parts.status, 206)
    const boundary = parts.headers['content-type']!.split('boundary=')[1]
    const expected = Buffer.concat([
      Buffer.from(
        `--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 0-1/${size}\r\n\r\n`,
      ),
      data.subarray(0, 2),
      Buffer.from(
        `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${size - 3}-${size - 1}/${size}\r\n\r\n`,
      ),
      data.subarray(size - 3),
      Buffer.from(`\r\n--${boundary}--`),
    ])
    t.ok(parts.bytes.equals(expected))
  }
  const beyond = await owner('GET', `${path}/whole4096`, { headers: { range: 'bytes=4096-' } })
  t.equal(beyond.status, 416)
  t.equal(beyond.headers['content-range'], 'bytes */4096')
  const wrong = await owner('PUT', `${path}/wrong`, {
    body: randomBytes(200_000),
    headers: { etag: md5('x') },
  })
  t.equal(wrong.status, 422)
  t.equal((await owner('GET', `${path}/wrong`)).status, 404)
})

t.test('bodies that come together have ETags of their own', async (t) => {
  const path = await freshContainer()
  const sizes = [1, 600, 4096, 4097, 65_536, 65_537, 200_000, 1_048_577, 2_500_000]
  const one = async (number: number) => {
    const data = randomBytes(sizes[number % sizes.length]!)
    const isWrong = number % 10 === 9
    const headers = { etag: md5(isWrong ? 'x' : data) }
    const put = await owner('PUT', `${path}/${number}`, { body: data, headers })
    const get = await owner('GET', `${path}/${number}`)
    if (isWrong) return put.status === 422 && get.status === 404
    return (
      put.headers.etag === md5(data) && get.headers.etag === md5(data) && get.bytes.equals(data)
    )
  }
  const outcomes = await Promise.all(Array.from({ length: 60 }, (_, number) => one(number)))
  t.equal(outcomes.filter((isGood) => isGood).length, 60)
})

t.test('conditions', async (t) => {
  const path = `${await freshContainer()}/o`
  const etag = md5('one')
  const put = await owner('PUT', path, { body: 'one' })
  const modified = put.headers['last-modified']!
  const early = 'Mon, 01 Jan 2001 00:00:00 GMT'
  const late = 'Fri, 01 Jan 2100 00:00:00 GMT'
  const cases: [Record<string, string>, number][] = [
    [{ 'if-match': `"${etag}"` }, 200],
    [{ 'if-match': '*' }, 200],
    [{ 'if-match': 'other' }, 412],
    [{ 'if-none-match': etag }, 304],
    [{ 'if-none-match': 'other' }, 200],
    [{ 'if-modified-since': modified }, 304],
    [{ 'if-modified-since': early }, 200],
    [{ 'if-unmodified-since': early }, 412],
    [{ 'if-unmodified-since': late }, 200],
    [{ 'if-unmodified-since': 'rubbish' }, 200],
    [{ range: 'bytes=0-0', 'if-range': etag }, 206],
    [{ range: 'bytes=0-0', 'if-range': 'other' }, 200],
    [{ range: 'bytes=0-0', 'if-range': modified }, 206],
    [{ range: 'bytes=0-0', 'if-range': early }, 200],
  ]
  for (const [headers, status] of cases) {
    t.equal((await owner('GET', path, { headers })).status, status, JSON.stringify(headers))
  }
  t.equal((await owner('GET', `${path}x`, { headers: { 'if-match': '*' } })).status, 412)
  t.equal(
    (await owner('PUT', path, { body: 'two', headers: { 'if-none-match': '*' } })).status,
    412,
  )
  t.equal((await owner('PUT', path, { body: 'two', headers: { 'if-match': 'other' } })).status, 412)
  t.equal((await owner('PUT', path, { body: 'two', headers: { 'if-match': etag } })).status, 201)
  const big = randomBytes(100_000)
  t.equal((await owner('PUT', path, { body: big, headers: { 'if-none-match': '*' } })).status, 412)
  t.equal(
    (await owner('PUT', `${path}2`, { body: big, headers: { 'if-none-match': '*' } })).status,
    201,
  )
  t.equal((await owner('POST', path, { headers: { 'if-match': etag } })).status, 412)
  t.equal((await owner('DELETE', path, { headers: { 'if-match': etag } })).status, 412)
  t.equal((await owner('DELETE', path, { headers: { 'if-match': md5('two') } })).status, 204)
})

t.test('expired objects are gone at once', async (t) => {
  const path = `${await freshContainer()}/o`
  const put = await owner('PUT', path, { body: 'x', headers: { 'x-delete-after': '1' } })
  t.equal(put.status, 201)
  const deleteAt = Number((await owner('HEAD', path)).headers['x-delete-at'])
  t.ok(Math.abs(deleteAt - Date.now() / 1000) < 3)
  while (Date.now() < deleteAt * 1000) await new Promise((resolve) => setImmediate(resolve))
  for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) {
    t.equal((await owner(method, path)).status, 404, method)
  }
  await owner('PUT', path, { body: 'x', headers: { 'x-delete-after': '1' } })
  const again = Number((await owner('HEAD', path)).headers['x-delete-at'])
  while (Date.now() < again * 1000) await new Promise((resolve) => setImmediate(resolve))
  const fresh = await owner('PUT', path, { body: 'new', headers: { 'if-none-match': '*' } })
  t.equal(fresh.status, 201, 'an expired object does not stand in the way')
  t.equal((await owner('GET', path)).body, 'new')
  t.equal((await owner('DELETE', path, { headers: { 'x-if-delete-at': 'bad' } })).status, 400)
  t.equal((await owner('DELETE', path, { headers: { 'x-if-delete-at': '5' } })).status, 412)
})

t.test('copies', async (t) => {
  const from = await freshContainer()
  const to = await freshContainer()
  const [fromName, toName] = [from.slice(ACCOUNT.length + 1), to.slice(ACCOUNT.length + 1)]
  const big = randomBytes(2_500_000)
  await owner('PUT', `${from}/%C3%A9%20big`, { body: big, headers: { 'content-type': 'a/b' } })
  await owner('PUT', `${from}/small`, {
    body: 'hello',
    headers: { 'x-object-meta-a': '1', 'content-encoding': 'gzip', 'content-type': 'c/d' },
  })
  const put = await owner('PUT', `${to}/x`, {
    headers: { 'x-copy-from': `/${fromName}/%C3%A9%20big` },
  })
  t.equal(put.status, 201)
  t.equal(put.headers['x-copied-from'], `${fromName}/%C3%A9%20big`)
  t.equal(put.headers['x-copied-from-account'], 'AUTH_test')
  t.ok((await owner('GET', `${to}/x`)).bytes.equals(big))
  const copy = await owner('COPY', `${from}/small`, {
    headers: { destination: `${toName}/y`, 'x-object-meta-b': '2' },
  })
  t.equal(copy.status, 201)
  t.match((await owner('GET', `${to}/y`)).headers, {
    'x-object-meta-a': '1',
    'x-object-meta-b': '2',
    'content-encoding': 'gzip',
    'content-type': 'c/d',
    etag: md5('hello'),
  })
  await owner('COPY', `${from}/small`, {
    headers: {
      destination: `/${toName}/z`,
      'x-fresh-metadata': 'true',
      'x-object-meta-b': '2',
      'content-type': 'e/f',
      range: 'bytes=1-2',
    },
  })
  const part = await owner('GET', `${to}/z`)
  t.equal(part.body, 'el')
  t.match(part.headers, { 'x-object-meta-b': '2', 'content-type': 'e/f' })
  t.equal(part.headers['x-object-meta-a'], undefined)
  t.equal(part.headers['content-encoding'], undefined)
  const cases: [string, string, Record<string, string>, number][] = [
    ['COPY', `${from}/small`, {}, 412],
    ['COPY', `${from}/small`, { destination: 'only' }, 412],
    ['COPY', `${from}/none`, { destination: `${toName}/q` }, 404],
    ['COPY', `${from}/small`, { destination: 'none/q' }, 404],
    ['COPY', `${from}/small`, { destination: `${toName}/${'n'.repeat(1025)}` }, 400],
    ['COPY', `${from}/small`, { destination: `${toName}/q`, 'if-match': 'no' }, 412],
    ['COPY', `${from}/small`, { destination: `${toName}/q`, range: 'bytes=9-' }, 416],
    ['COPY', `${from}/small`, { destination: `${toName}/y`, 'if-none-match': '*' }, 412],
    [
      'COPY',
      `${from}/small`,
      { destination: `${toName}/q`, 'destination-account': 'AUTH_test2' },
      403,
    ],
    ['PUT', `${to}/q`, { 'x-copy-from': 'bad' }, 412],
    ['PUT', `${to}/q`, { 'x-copy-from': `${fromName}/small`, 'x-copy-from-account': 'a/b' }, 412],
    ['PUT', `${to}/q`, { 'x-copy-from': 'first/o', 'x-copy-from-account': 'AUTH_test2' }, 403],
  ]
  for (const [method, url, headers, status] of cases) {
    t.equal((await owner(method, url, { headers })).status, status, JSON.stringify(headers))
  }
  const body = await owner('PUT', `${to}/q`, {
    body: 'x',
    headers: { 'x-copy-from': `${fromName}/small` },
  })
  t.equal(body.status, 400)
  t.equal(
    (await stranger('COPY', `${from}/small`, { headers: { destination: 'first/o' } })).status,
    403,
  )
})

t.test('CORS', async (t) => {
  const path = await freshContainer({
    'x-container-meta-access-control-allow-origin': 'http://a.com http://b.com',
    'x-container-meta-access-control-expose-headers': 'X-Thing',
    'x-container-meta-access-control-max-age': '60',
  })
  await owner('PUT', `${path}/o`, { body: 'x', headers: { 'x-object-meta-a': '1' } })
  const preflight = (origin: string, method: string, url = `${path}/o`) =>
    call('OPTIONS', url, {
      headers: {
        origin,
        'access-control-request-method': method,
        'access-control-request-headers': 'x-auth-token, x-b',
      },
    })
  const good = await preflight('http://a.com', 'PUT')
  t.equal(good.status, 200)
  t.match(good.headers, {
    'access-control-allow-origin': 'http://a.com',
    'access-control-max-age': '60',
    'access-control-allow-methods': /PUT/,
    'access-control-allow-headers': 'x-auth-token, x-b',
    vary: 'Origin, Access-Control-Request-Headers',
  })
  t.equal((await preflight('http://evil.com', 'PUT')).status, 401)
  t.equal((await preflight('http://a.com', 'LICK')).status, 401)
  t.equal((await call('OPTIONS', path)).headers.allow, 'GET, HEAD, PUT, POST, DELETE, OPTIONS')
  const actual = await owner('GET', `${path}/o`, { headers: { origin: 'http://b.com' } })
  t.equal(actual.headers['access-control-allow-origin'], 'http://b.com')
  t.match(actual.headers['access-control-expose-headers'], /x-object-meta-a.*x-thing/)
  const evil = await owner('GET', `${path}/o`, { headers: { origin: 'http://evil.com' } })
  t.equal(evil.status, 200)
  t.equal(evil.headers['access-control-allow-origin'], undefined)
  await owner('POST', path, { headers: { 'x-container-meta-access-control-allow-origin': '*' } })
  t.equal((await preflight('http://c.com', 'GET')).headers['access-control-allow-origin'], '*')
})

t.test('paths that are none', async (t) => {
  for (const [path, status] of [
    ['/', 404],
    ['/v1', 412],
    ['/v1/', 412],
    ['/v2/AUTH_test/c', 400],
    ['/v1/AUTH_test//o', 404],
    ['/v1//c/o', 404],
    [`/v1/AUTH_test/c/o?${'x'.repeat(9000)}`, 414],
  ] as const) {
    t.equal((await owner('GET', path)).status, status, path.slice(0, 30))
  }
})
