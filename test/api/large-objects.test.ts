/** Static and dynamic large objects over a real socket, on the real engine. */
import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { httpClient, rawExchange, signIn } from './http-client.ts'
import { openTestStore } from './swift-store.ts'

const store = await openTestStore(t.testdir())
const client = httpClient(store.port)
t.teardown(async () => {
  client.close()
  await store.close()
})
const { call } = client

const owner = await signIn(call, 'test:tester', 'testing')
const colleague = await signIn(call, 'test:tester3', 'testing3')
const ACCOUNT = '/v1/AUTH_test'
const md5 = (data: string | Buffer) => createHash('md5').update(data).digest('hex')
const DATA = randomBytes(300_000)
/** Both inline and in a blob. */
const SEGMENTS = [DATA.subarray(0, 1000), DATA.subarray(1000, 200_000), DATA.subarray(200_000)]

await owner('PUT', `${ACCOUNT}/large`)
await owner('PUT', `${ACCOUNT}/parts`)
for (const [index, body] of SEGMENTS.entries()) {
  await owner('PUT', `${ACCOUNT}/parts/seg-${index}`, { body })
}
const MANIFEST = SEGMENTS.map((body, index) => ({
  path: `/parts/seg-${index}`,
  etag: md5(body),
  size_bytes: body.length,
}))
const SLO_ETAG = md5(SEGMENTS.map((body) => md5(body)).join(''))

const put = (path: string, manifest: unknown, headers: Record<string, string> = {}, query = '') =>
  owner('PUT', `${ACCOUNT}/${path}?multipart-manifest=put${query}`, {
    body: JSON.stringify(manifest),
    headers,
  })

t.test('a static large object reads like one body, in whole and in ranges', async (t) => {
  const made = await put('large/o', MANIFEST, { 'x-object-meta-color': 'blue', etag: SLO_ETAG })
  t.equal(made.status, 201)
  t.equal(made.headers.etag, `"${SLO_ETAG}"`)
  const head = await owner('HEAD', `${ACCOUNT}/large/o`)
  t.equal(head.headers['content-length'], String(DATA.length))
  t.equal(head.headers['x-static-large-object'], 'True')
  t.equal(head.headers['x-object-meta-color'], 'blue')
  const whole = await owner('GET', `${ACCOUNT}/large/o`)
  t.equal(whole.headers.etag, `"${SLO_ETAG}"`)
  t.ok(whole.bytes.equals(DATA))
  for (const [range, start, end] of [
    ['0-0', 0, 1],
    ['990-1010', 990, 1011],
    ['500-250000', 500, 250_001],
    ['-100', 299_900, 300_000],
    ['1000-199999', 1000, 200_000],
  ] as const) {
    const part = await owner('GET', `${ACCOUNT}/large/o`, { headers: { range: `bytes=${range}` } })
    t.equal(part.status, 206)
    t.equal(part.headers['content-range'], `bytes ${start}-${end - 1}/300000`)
    t.ok(part.bytes.equals(DATA.subarray(start, end)), range)
  }
  const two = await owner('GET', `${ACCOUNT}/large/o`, {
    headers: { range: 'bytes=0-4,199998-200002' },
  })
  t.equal(two.status, 206)
  t.match(two.headers['content-type'], 'multipart/byteranges')
  t.ok(two.bytes.includes(DATA.subarray(199_998, 200_003)))
  const out = await owner('GET', `${ACCOUNT}/large/o`, { headers: { range: 'bytes=300000-' } })
  t.equal(out.status, 416)
  for (const [headers, status] of [
    [{ 'if-match': `"${SLO_ETAG}"` }, 200],
    [{ 'if-match': '"other"' }, 412],
    [{ 'if-none-match': SLO_ETAG }, 304],
  ] as [Record<string, string>, number][]) {
    t.equal((await owner('GET', `${ACCOUNT}/large/o`, { headers })).status, status)
  }
})

t.test('listings show the length of the whole, totals that of the manifest', async (t) => {
  const rows = JSON.parse((await owner('GET', `${ACCOUNT}/large?format=json&prefix=o`)).body)
  t.match(rows[0], { name: 'o', bytes: DATA.length, slo_etag: `"${SLO_ETAG}"` })
  t.match(rows[0].hash, /^[0-9a-f]{32}$/)
  t.equal(rows[0].content_type, 'application/octet-stream')
  t.match(
    (await owner('GET', `${ACCOUNT}/large?format=xml&prefix=o`)).body,
    '<bytes>300000</bytes>',
  )
  const used = (await owner('HEAD', `${ACCOUNT}/large`)).headers['x-container-bytes-used']
  t.ok(Number(used) < 2000, `${used} bytes`)
})

t.test(
  'the manifest can be read, sent again and changed by POST only in its metadata',
  async (t) => {
    const manifest = await owner('GET', `${ACCOUNT}/large/o?multipart-manifest=get`)
    t.match(manifest.headers['content-type'], 'application/json')
    t.match(JSON.parse(manifest.body)[0], {
      name: '/parts/seg-0',
      bytes: 1000,
      hash: md5(SEGMENTS[0]!),
    })
    t.equal(manifest.headers.etag, md5(manifest.body))
    const raw = await owner('GET', `${ACCOUNT}/large/o?multipart-manifest=get&format=raw`)
    t.equal((await put('large/again', JSON.parse(raw.body))).headers.etag, `"${SLO_ETAG}"`)
    await owner('POST', `${ACCOUNT}/large/again`, {
      headers: { 'content-type': 'text/plain', 'x-object-meta-a': '1' },
    })
    const again = await owner('GET', `${ACCOUNT}/large/again`)
    t.ok(again.bytes.equals(DATA), 'still a large object')
    const [row] = JSON.parse((await owner('GET', `${ACCOUNT}/large?format=json&prefix=again`)).body)
    t.match(row, { bytes: DATA.length, content_type: 'text/plain' })
  },
)

t.test('parts by number', async (t) => {
  for (const [index, body] of SEGMENTS.entries()) {
    const part = await owner('GET', `${ACCOUNT}/large/o?part-number=${index + 1}`)
    t.equal(part.status, 206)
    t.equal(part.headers['x-parts-count'], '3')
    t.ok(part.bytes.equals(body))
    const head = await owner('HEAD', `${ACCOUNT}/large/o?part-number=${index + 1}`)
    t.equal(head.headers['content-length'], String(body.length))
  }
  t.equal((await owner('GET', `${ACCOUNT}/large/o?part-number=4`)).status, 416)
  t.equal((await owner('GET', `${ACCOUNT}/large/o?part-number=0`)).status, 400)
  const both = { headers: { range: 'bytes=0-1' } }
  t.equal((await owner('GET', `${ACCOUNT}/large/o?part-number=1`, both)).status, 400)
  t.equal(
    (await owner('GET', `${ACCOUNT}/parts/seg-0?part-number=9`)).status,
    200,
    'of a plain one',
  )
})

t.test('ranges of segments, inline data and large objects within large ones', async (t) => {
  const manifest = [
    { data: Buffer.from('head:').toString('base64') },
    { path: '/parts/seg-1', range: '10-19' },
    { path: '/large/o', range: '995-1004' },
    { path: '/large/o' },
  ]
  t.equal((await put('large/nested', manifest)).status, 201)
  const wanted = Buffer.concat([
    Buffer.from('head:'),
    DATA.subarray(1010, 1020),
    DATA.subarray(995, 1005),
    DATA,
  ])
  t.ok((await owner('GET', `${ACCOUNT}/large/nested`)).bytes.equals(wanted))
  const part = await owner('GET', `${ACCOUNT}/large/nested`, { headers: { range: 'bytes=3-1100' } })
  t.ok(part.bytes.equals(wanted.subarray(3, 1101)))
  let last = 'large/o'
  for (let depth = 0; depth < 9; depth++) {
    const next = `large/deeper-${depth}`
    t.equal((await put(next, [{ path: `/${last}` }])).status, 201)
    last = next
  }
  t.ok((await owner('GET', `${ACCOUNT}/${last}`)).bytes.equals(DATA))
  await put('large/too-deep', [{ path: `/${last}` }])
  t.equal((await owner('GET', `${ACCOUNT}/large/too-deep`)).status, 409)
})

t.test('a manifest that is wrong is refused with everything that is wrong with it', async (t) => {
  const bad = [
    { path: '/parts/nothing' },
    { ...MANIFEST[0], etag: 'x' },
    { ...MANIFEST[1], size_bytes: 3 },
  ]
  const text = await put('large/bad', bad)
  t.equal(text.status, 400)
  t.equal(
    text.body,
    'Errors:\n/parts/nothing, 404 Not Found\n/parts/seg-0, Etag Mismatch\n/parts/seg-1, Size Mismatch\n',
  )
  const json = await put('large/bad', bad, { accept: 'application/json' })
  t.same(JSON.parse(json.body).Errors[0], ['/parts/nothing', '404 Not Found'])
  const xml = await put('large/bad', bad, { accept: 'application/xml' })
  t.match(xml.body, '<name>/parts/nothing</name><status>404 Not Found</status>')
  t.equal((await owner('HEAD', `${ACCOUNT}/large/bad`)).status, 404)
  t.equal((await put('large/bad', MANIFEST, { etag: md5('other') })).status, 422)
  t.equal((await put('large/bad', 'text')).status, 400)
  const many = Array.from({ length: 1001 }, () => ({ path: '/parts/seg-0' }))
  t.equal((await put('large/bad', many)).status, 413)
  const huge = [{ data: Buffer.alloc(6.5 * 1024 ** 2).toString('base64') }]
  t.equal((await put('large/bad', huge)).status, 413)
  for (const method of ['PUT', 'POST']) {
    const marked = await owner(method, `${ACCOUNT}/parts/seg-0`, {
      headers: { 'x-static-large-object': 'true' },
    })
    t.equal(marked.status, 400, 'the mark is not for clients')
  }
  const marked = await owner('PUT', `${ACCOUNT}/large/marked?multipart-manifest=put`, {
    headers: { 'x-static-large-object': 'true' },
    body: JSON.stringify([{ path: '/parts/seg-0' }]),
  })
  t.equal(marked.status, 201, 'beside a manifest it says nothing new')
  t.equal((await colleague('PUT', `${ACCOUNT}/large/x?multipart-manifest=put`)).status, 403)
})

t.test('1,000 segments, as many as a manifest may have', async (t) => {
  const many = Array.from({ length: 1000 }, (_, i) => ({
    path: '/parts/seg-1',
    range: `${i}-${i}`,
  }))
  t.equal((await put('large/many', many)).status, 201)
  const read = await owner('GET', `${ACCOUNT}/large/many`)
  t.ok(read.bytes.equals(SEGMENTS[1]!.subarray(0, 1000)))
})

t.test('a segment that was replaced or removed is never served in its place', async (t) => {
  await owner('PUT', `${ACCOUNT}/parts/moving`, { body: 'first' })
  await put('large/moving', [{ path: '/parts/moving' }, { path: '/parts/seg-0' }])
  await put('large/moving-last', [{ path: '/parts/seg-0' }, { path: '/parts/moving' }])
  await owner('PUT', `${ACCOUNT}/parts/moving`, { body: 'other' })
  t.equal((await owner('GET', `${ACCOUNT}/large/moving`)).status, 409)
  const token = (
    await call('GET', '/auth/v1.0', {
      headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' },
    })
  ).headers['x-auth-token']!
  const cut = await rawExchange(
    store.port,
    `GET ${ACCOUNT}/large/moving-last HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${token}\r\n\r\n`,
  )
  t.match(cut, 'Content-Length: 1005')
  t.notMatch(cut, /other$/, 'cut off before the wrong bytes')
})

t.test('reading takes access to the segments as well', async (t) => {
  await owner('POST', `${ACCOUNT}/large`, { headers: { 'x-container-read': 'test:tester3' } })
  t.equal((await colleague('HEAD', `${ACCOUNT}/large/o`)).status, 200)
  t.equal((await colleague('GET', `${ACCOUNT}/large/o`)).status, 409)
  await owner('POST', `${ACCOUNT}/parts`, { headers: { 'x-container-read': 'test:tester3' } })
  t.ok((await colleague('GET', `${ACCOUNT}/large/o`)).bytes.equals(DATA))
})

t.test('with heartbeats the outcome is in the body', async (t) => {
  const good = await put('large/beat', MANIFEST, { accept: 'application/json' }, '&heartbeat=on')
  t.equal(good.status, 202)
  t.match(good.body, /^ \r\n\r\n/)
  t.match(JSON.parse(good.body), { 'Response Status': '201 Created', Etag: `"${SLO_ETAG}"` })
  const bad = await put('large/beat', [{ path: '/parts/no' }], {}, '&heartbeat=on')
  t.equal(bad.status, 202)
  t.match(bad.body, 'Response Status: 400 Bad Request')
  t.match(bad.body, '/parts/no, 404 Not Found')
})

t.test('deleted with its segments, at once or later', async (t) => {
  await owner('PUT', `${ACCOUNT}/doomed`)
  const make = async (name: string) => {
    for (const part of ['a', 'b'])
      await owner('PUT', `${ACCOUNT}/doomed/${name}-${part}`, { body: 'x' })
    const parts = [{ path: `/doomed/${name}-a` }, { path: `/doomed/${name}-b` }]
    t.equal((await put(`doomed/${name}`, parts)).status, 201)
  }
  await make('one')
  await make('two')
  await put('doomed/both', [{ path: '/doomed/one' }, { path: '/doomed/two' }])
  const deletion = '?multipart-manifest=delete'
  const plain = await owner('DELETE', `${ACCOUNT}/parts/seg-0${deletion}`)
  t.match(plain.body, 'Response Status: 400 Bad Request')
  t.equal((await owner('HEAD', `${ACCOUNT}/parts/seg-0`)).status, 200)
  const json = { headers: { accept: 'application/json' } }
  const nested = await owner('DELETE', `${ACCOUNT}/doomed/both${deletion}`, json)
  t.match(JSON.parse(nested.body), { 'Number Deleted': 7, 'Response Status': '200 OK', Errors: [] })
  t.equal((await owner('GET', `${ACCOUNT}/doomed`)).body, '')
  await make('three')
  const later = await owner('DELETE', `${ACCOUNT}/doomed/three${deletion}&async=on`)
  t.equal(later.status, 204)
  t.equal((await owner('GET', `${ACCOUNT}/doomed/three-a`)).status, 404)
  await store.runDaemons()
  t.equal((await owner('GET', `${ACCOUNT}/doomed`)).body, '')
})

t.test('a dynamic large object is what its container holds under the prefix', async (t) => {
  const made = await owner('PUT', `${ACCOUNT}/large/dlo`, {
    headers: { 'x-object-manifest': 'parts/seg-', 'content-type': 'text/plain' },
  })
  t.equal(made.status, 201)
  const whole = await owner('GET', `${ACCOUNT}/large/dlo`)
  t.ok(whole.bytes.equals(DATA))
  t.equal(whole.headers.etag, `"${SLO_ETAG}"`)
  t.equal(whole.headers['x-object-manifest'], 'parts/seg-')
  const part = await owner('GET', `${ACCOUNT}/large/dlo`, { headers: { range: 'bytes=999-1000' } })
  t.ok(part.bytes.equals(DATA.subarray(999, 1001)))
  const match = { headers: { 'if-none-match': `"${SLO_ETAG}"` } }
  t.equal((await owner('GET', `${ACCOUNT}/large/dlo`, match)).status, 304)
  const tail = randomBytes(10)
  await owner('PUT', `${ACCOUNT}/parts/seg-9`, { body: tail })
  t.ok((await owner('GET', `${ACCOUNT}/large/dlo`)).bytes.equals(Buffer.concat([DATA, tail])))
  await owner('DELETE', `${ACCOUNT}/parts/seg-9`)
  t.equal((await owner('GET', `${ACCOUNT}/large/dlo?multipart-manifest=get`)).body, '')
  for (const value of ['parts', 'parts/', '/parts/x', 'parts//x', 'parts/x?y', 'parts/x&y']) {
    const bad = await owner('PUT', `${ACCOUNT}/large/bad`, {
      headers: { 'x-object-manifest': value },
    })
    t.equal(bad.status, 400, value)
  }
  await owner('PUT', `${ACCOUNT}/large/lost`, { headers: { 'x-object-manifest': 'nowhere/x' } })
  t.equal((await owner('GET', `${ACCOUNT}/large/lost`)).status, 404)
})

t.test('copies are of the whole, or of the manifest', async (t) => {
  for (const name of ['o', 'dlo']) {
    const copy = (query: string, to: string, headers = {}) =>
      owner('COPY', `${ACCOUNT}/large/${name}${query}`, {
        headers: { destination: `/large/${to}`, ...headers },
      })
    t.equal((await copy('', 'copy')).status, 201)
    const whole = await owner('GET', `${ACCOUNT}/large/copy`)
    t.ok(whole.bytes.equals(DATA))
    t.equal(whole.headers.etag, md5(DATA))
    t.notOk(whole.headers['x-static-large-object'])
    t.notOk(whole.headers['x-object-manifest'])
    const rows = await owner('GET', `${ACCOUNT}/large?format=json&prefix=copy`)
    t.match(JSON.parse(rows.body)[0], { hash: md5(DATA), bytes: DATA.length })
    t.equal((await copy('', 'part', { range: 'bytes=900-1099' })).status, 201)
    t.ok((await owner('GET', `${ACCOUNT}/large/part`)).bytes.equals(DATA.subarray(900, 1100)))
    t.equal((await copy('?multipart-manifest=get', 'manifest')).status, 201)
    const manifest = await owner('GET', `${ACCOUNT}/large/manifest`)
    t.ok(manifest.bytes.equals(DATA))
    t.equal(manifest.headers.etag, `"${SLO_ETAG}"`)
    const beat = await copy('?heartbeat=on', 'beat')
    t.equal(beat.status, 202)
    t.match(beat.body, 'Response Status: 201 Created')
  }
  const info = JSON.parse((await call('GET', '/info')).body)
  t.match(info.slo, { max_manifest_segments: 1000, allow_async_delete: true })
})
