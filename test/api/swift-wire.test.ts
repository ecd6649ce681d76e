/** HTTP as it should not be: what ambiguous, slow, vanishing and lying clients get, and that nothing is left of them. */
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { makeCertificate } from '../support/certificate.ts'
import { httpClient, rawExchange, statusesIn } from './http-client.ts'
import { openTestStore } from './swift-store.ts'

const CLIENT_TIMEOUT_MS = 1500
const store = await openTestStore(t.testdir(), { clientTimeoutMs: CLIENT_TIMEOUT_MS })
const { port } = store
const client = httpClient(port)
t.teardown(async () => {
  client.close()
  await store.close()
})
const { call } = client
const signedIn = await call('GET', '/auth/v1.0', {
  headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' },
})
const token = signedIn.headers['x-auth-token']!
const headers = { 'x-auth-token': token }
const AUTH = `X-Auth-Token: ${token}\r\n`
await call('PUT', '/v1/AUTH_test/c', { headers })

const statusOf = async (path: string) => (await call('GET', path, { headers })).status
const put = (name: string, rest: string) =>
  `PUT /v1/AUTH_test/c/${name} HTTP/1.1\r\nHost: x\r\n${AUTH}${rest}`

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`never came true: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const logged = (path: string) => store.lines.filter((line) => line.path === path)

t.test('a connection that is closed behind a refusal says so', async (t) => {
  const wait = 'Expect: 100-continue\r\nContent-Length: 5\r\n\r\n'
  for (const [name, line] of [
    ['Swift', `PUT /v1/AUTH_test/none/o HTTP/1.1\r\nHost: x\r\n${AUTH}`],
    [
      'S3',
      'PUT /none/o HTTP/1.1\r\nHost: x\r\nAuthorization: AWS nobody:x\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n',
    ],
  ] as const) {
    // The client neither sends the body nor closes: the store does.
    const text = await rawExchange(port, line + wait)
    t.match(text, /^HTTP\/1.1 4/, name)
    t.match(text, /\r\nConnection: close\r\n/, name)
  }
})

t.test('who sends without waiting for 100 Continue still gets the refusal', async (t) => {
  const made = makeCertificate(t.testdir())
  const tls = made && { cert: readFileSync(made.cert), key: readFileSync(made.key) }
  const doors = tls === null ? [] : [{ port: (await store.openBeside({ tls })).port, ca: tls.cert }]
  const head = `PUT /v1/AUTH_test/none/o HTTP/1.1\r\nHost: x\r\n${AUTH}Expect: 100-continue\r\n`
  for (const door of [{ port, ca: undefined }, ...doors]) {
    const { ca } = door
    const to = { port: door.port, allowHalfOpen: true }
    const socket = ca === undefined ? connect(to) : connectTls({ ...to, ca })
    let text = ''
    const failures: unknown[] = []
    socket.on('data', (piece) => (text += piece)).on('error', (error) => failures.push(error))
    socket.write(`${head}Content-Length: ${8 * 1024 * 1024}\r\n\r\n`)
    await until(() => text.includes('\r\n\r\n'), 'the refusal')
    for (let sent = 0; sent < 8; sent++) {
      await new Promise((resolve) => socket.write(Buffer.alloc(1024 * 1024), resolve))
    }
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.end()
    await closed
    t.match(text, /^HTTP\/1.1 404 /)
    t.same(failures, [], ca === undefined ? 'HTTP' : 'HTTPS')
  }
})

t.test('requests that two readers could read differently are refused', async (t) => {
  const cases: [string, string][] = [
    [
      'length and chunks',
      put('o', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
    ],
    ['two lengths', put('o', 'Content-Length: 1\r\nContent-Length: 2\r\n\r\nab')],
    ['a list of lengths', put('o', 'Content-Length: 1, 1\r\n\r\na')],
    ['a length that is no number', put('o', 'Content-Length: +1\r\n\r\na')],
    ['two hosts', put('o', 'Host: y\r\nContent-Length: 1\r\n\r\na')],
    ['no host', 'GET /v1/AUTH_test HTTP/1.1\r\n\r\n'],
    ['a space before the colon', put('o', 'Content-Length : 1\r\n\r\na')],
    ['a folded header', put('o', 'X-Object-Meta-A: b\r\n c\r\nContent-Length: 1\r\n\r\na')],
    ['a bare line feed', put('o', 'X-Object-Meta-A: b\nContent-Length: 1\r\n\r\na')],
    ['a bad chunk size', put('o', 'Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n')],
    ['a name beyond ASCII', put('o', 'X-Object-Meta-\xe9: b\r\nContent-Length: 1\r\n\r\na')],
  ]
  for (const [name, bytes] of cases) {
    const text = await rawExchange(port, bytes, { halfClose: true })
    t.same(statusesIn(text), [400], name)
  }
  t.equal(await statusOf('/v1/AUTH_test/c/o'), 404, 'nothing was stored')
})

t.test('other refusals of the parser in the words of HTTP', async (t) => {
  const cases: [string, string, number][] = [
    ['a verb nobody knows', 'LICK /v1/AUTH_test HTTP/1.1\r\nHost: x\r\n\r\n', 405],
    ['headers without end', put('o', `X-Object-Meta-A: ${'a'.repeat(70_000)}\r\n\r\n`), 431],
    ['unescaped UTF-8', `GET /v1/AUTH_test/\xc3\xa9 HTTP/1.1\r\nHost: x\r\n${AUTH}\r\n`, 404],
    ['bytes that are no UTF-8', `GET /v1/AUTH_test/\xff HTTP/1.1\r\nHost: x\r\n${AUTH}\r\n`, 412],
    [
      'an encoding that is not chunked',
      put('o', 'Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'),
      501,
    ],
    ['an expectation nobody knows', put('o', 'Expect: tea\r\nContent-Length: 1\r\n\r\n'), 417],
    ['rubbish', 'rubbish\r\n\r\n', 400],
  ]
  for (const [name, bytes, status] of cases) {
    const text = await rawExchange(port, bytes, { halfClose: true })
    t.same(statusesIn(text), [status], name)
  }
})

t.test('no length: 411, and what follows is not taken for a request', async (t) => {
  t.same(statusesIn(await rawExchange(port, put('o', '\r\ntesting'))), [411])
})

t.test('a body longer than declared is cut off there, and the rest refused', async (t) => {
  const text = await rawExchange(port, put('long', 'Content-Length: 2\r\n\r\nabcdef'))
  t.same(statusesIn(text), [201, 400])
  t.equal((await call('GET', '/v1/AUTH_test/c/long', { headers })).body, 'ab')
})

t.test('a body that ends early is a 499 and leaves nothing', async (t) => {
  for (const [name, length, sent] of [
    ['short', 10, 5],
    ['shortblob', 5_000_000, 2_500_000],
  ] as const) {
    const head = Buffer.from(put(name, `Content-Length: ${length}\r\n\r\n`))
    const text = await rawExchange(port, Buffer.concat([head, randomBytes(sent)]), {
      halfClose: true,
    })
    t.same(statusesIn(text), [499], name)
    t.equal(await statusOf(`/v1/AUTH_test/c/${name}`), 404)
    t.match(logged(`/v1/AUTH_test/c/${name}`)[0], { status: 499, bytesIn: sent })
  }
  const chunked = await rawExchange(
    port,
    put('shortchunk', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhel'),
    {
      halfClose: true,
    },
  )
  t.same(statusesIn(chunked), [499])
})

t.test('100 Continue comes after the checks, or not at all', async (t) => {
  const expecting = (auth: string, name: string, length: number) =>
    `PUT /v1/AUTH_test/${name} HTTP/1.1\r\nHost: x\r\n${auth}Expect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`
  t.same(statusesIn(await rawExchange(port, expecting('', 'c/o', 5))), [401])
  t.same(statusesIn(await rawExchange(port, expecting(AUTH, 'none/o', 5))), [404])
  t.same(statusesIn(await rawExchange(port, expecting(AUTH, 'c/o', 6e9))), [413])
  for (const length of [5, 100_000]) {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.write(expecting(AUTH, 'c/expected', length))
    await until(() => text.includes('100 Continue\r\n\r\n'), 'a 100 Continue')
    socket.write(Buffer.alloc(length, 'a'))
    await until(() => text.includes(' 201 Created'), 'a 201')
    socket.destroy()
  }
})

t.test('an early refusal leaves the connection usable, whatever body was sent', async (t) => {
  const body = 'x'.repeat(300_000)
  const refused = `PUT /v1/AUTH_test/none/o HTTP/1.1\r\nHost: x\r\n${AUTH}Content-Length: ${body.length}\r\n\r\n${body}`
  const next = `GET /healthcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
  t.same(statusesIn(await rawExchange(port, refused + next)), [404, 200])
})

t.test('a refused body without end is not read for ever', async (t) => {
  const socket = connect(port, '127.0.0.1')
  let sentBytes = 0
  let gone = false
  socket.on('close', () => {
    gone = true
  })
  socket.on('error', () => {})
  socket.write(
    `PUT /v1/AUTH_test/none/o HTTP/1.1\r\nHost: x\r\n${AUTH}Content-Length: 5000000000\r\n\r\n`,
  )
  const piece = Buffer.alloc(1 << 20)
  while (!gone && sentBytes < 200 << 20) {
    if (!socket.write(piece)) await new Promise((resolve) => setImmediate(resolve))
    if (socket.writableLength > 8 << 20) {
      await until(() => gone || socket.writableLength < 4 << 20, 'the server reads or closes')
    }
    sentBytes += piece.length
  }
  await until(() => gone, 'the connection is closed')
  // What is read and discarded, and what lies in buffers on the way.
  t.ok(sentBytes < 160 << 20, `${sentBytes} bytes`)
})

t.test(
  'clients that fall silent: 408 in a body, closed before the head ends or while reading',
  async (t) => {
    const small = await rawExchange(port, put('silent', 'Content-Length: 10\r\n\r\nhello'))
    t.same(statusesIn(small), [408])
    const big = await rawExchange(
      port,
      put('silent', `Content-Length: 5000000\r\n\r\n${'x'.repeat(200_000)}`),
    )
    t.same(statusesIn(big), [408])
    t.same(statusesIn(await rawExchange(port, 'GET /v1/AUTH')), [])
    t.equal(await statusOf('/v1/AUTH_test/c/silent'), 404)
  },
)

t.test('more requests than the proxy bears at once are told to come again', async (t) => {
  const store = await openTestStore(t.testdir(), { requestsMax: 2 })
  t.teardown(() => store.close())
  const token = await fetch(`${store.url}/auth/v1.0`, {
    headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' },
  })
  const headers = { 'x-auth-token': token.headers.get('x-auth-token')! }
  const url = `${store.url}/v1/AUTH_test/c`
  t.equal((await fetch(url, { method: 'PUT', headers })).status, 201)
  // Two uploads that wait for their client's next bytes.
  const slow = [1, 2].map(() => {
    const socket = connect(store.port, '127.0.0.1')
    socket.on('error', () => {})
    const token = `X-Auth-Token: ${headers['x-auth-token']}\r\n`
    socket.write(
      `PUT /v1/AUTH_test/c/slow HTTP/1.1\r\nHost: x\r\n${token}Content-Length: 100000\r\n\r\nx`,
    )
    return socket
  })
  const health = () => fetch(`${store.url}/recon/requests`).then((answer) => answer.json())
  await until(async () => ((await health()) as { inFlight: number }).inFlight >= 3, 'both began')
  const refused = await fetch(`${url}/o`, { method: 'PUT', headers, body: 'x' })
  t.equal(refused.status, 503)
  t.equal(refused.headers.get('retry-after'), '1')
  for (const socket of slow) socket.destroy()
  await until(async () => ((await health()) as { inFlight: number }).inFlight === 1, 'both ended')
  t.equal((await fetch(`${url}/o`, { method: 'PUT', headers, body: 'x' })).status, 201)
})

t.test('a slow but steady client is not cut off', async (t) => {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.write(put('steady', 'Content-Length: 8\r\n\r\n'))
  // Eight letters take longer than the timeout, each of them a fifth of it.
  for (const letter of 'steadily') {
    await new Promise((resolve) => setTimeout(resolve, CLIENT_TIMEOUT_MS / 5))
    socket.write(letter)
  }
  await until(() => text.includes(' 201 '), 'a 201')
  socket.destroy()
  t.equal((await call('GET', '/v1/AUTH_test/c/steady', { headers })).body, 'steadily')
})

const BIG_BYTES = 40 << 20
const big = randomBytes(BIG_BYTES)

t.test('a large object goes in and comes out', async (t) => {
  const answer = await call('PUT', '/v1/AUTH_test/c/big', { headers, body: big })
  t.equal(answer.headers.etag, createHash('md5').update(big).digest('hex'))
  t.ok((await call('GET', '/v1/AUTH_test/c/big', { headers })).bytes.equals(big))
})

t.test('readers that stop or vanish hold neither memory nor files', async (t) => {
  const openFiles = () => readdirSync('/proc/self/fd').length
  const filesBefore = openFiles()
  const rssBefore = process.memoryUsage.rss()
  const sockets: Socket[] = []
  for (let i = 0; i < 20; i++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(`GET /v1/AUTH_test/c/big HTTP/1.1\r\nHost: x\r\n${AUTH}\r\n`)
    socket.once('data', () => socket.pause())
    sockets.push(socket)
  }
  const reads = () => logged('/v1/AUTH_test/c/big').filter((line) => line.method === 'GET')
  const cutOff = () => reads().filter((line) => Number(line.bytesOut) < BIG_BYTES)
  await until(() => cutOff().length === 20, 'all are cut off for reading nothing')
  const grownBytes = process.memoryUsage.rss() - rssBefore
  t.ok(grownBytes < 300 << 20, `20 stuck readers of 40 MiB cost ${grownBytes >> 20} MiB`)
  for (const socket of sockets) socket.destroy()
  await until(
    () => openFiles() <= filesBefore,
    `files are closed: ${openFiles()} of ${filesBefore}`,
  )
})

t.test('uploads that vanish hold nothing either', async (t) => {
  const openFiles = () => readdirSync('/proc/self/fd').length
  const filesBefore = openFiles()
  for (let i = 0; i < 20; i++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(put(`gone${i}`, 'Content-Length: 30000000\r\n\r\n'))
    socket.write(big.subarray(0, 3 << 20), () => socket.resetAndDestroy())
  }
  const ended = () => store.lines.filter((line) => String(line.path).includes('/c/gone')).length
  await until(() => ended() === 20, 'all uploads end')
  await until(() => openFiles() <= filesBefore, 'their files are closed')
  t.equal((await call('GET', '/v1/AUTH_test/c?prefix=gone', { headers })).status, 204)
})

t.test('close lets what is in flight end, and answers nothing after', async (t) => {
  const own = await openTestStore(t.testdir())
  const ownClient = httpClient(own.port)
  const answer = await ownClient.call('GET', '/auth/v1.0', {
    headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' },
  })
  const auth = { 'x-auth-token': answer.headers['x-auth-token']! }
  await ownClient.call('PUT', '/v1/AUTH_test/c', { headers: auth })
  const socket = connect(own.port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.write(
    `PUT /v1/AUTH_test/c/last HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${auth['x-auth-token']}\r\nExpect: 100-continue\r\nContent-Length: 200000\r\n\r\n`,
  )
  await until(() => text.includes(' 100 Continue'), 'the upload is under way')
  const closing = own.close()
  socket.write(Buffer.alloc(200_000))
  await until(() => text.includes('\r\n\r\n', 30), 'an answer')
  t.same(statusesIn(text), [100, 201])
  t.match(text, /Connection: close/)
  await closing
  ownClient.close()
  await t.rejects(ownClient.call('GET', '/healthcheck'), { code: 'ECONNREFUSED' })
})
