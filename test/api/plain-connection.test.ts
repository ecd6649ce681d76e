/**
 * Requests that are answered without node:http (proxy/front) and with it: the same answers, and no seam between the two
 * on one connection.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { httpClient, rawExchange, statusesIn } from './http-client.ts'
import {
  openS3Store,
  presign,
  type RawAnswer,
  type SignedRequest,
  send,
  sendSigned,
} from './s3-store.ts'

const CLIENT_TIMEOUT_MS = 1000
const store = await openS3Store(t.testdir(), {
  clientTimeoutMs: CLIENT_TIMEOUT_MS,
  keepAliveTimeoutMs: 1500,
})
const { port } = store
const client = httpClient(port)
t.teardown(async () => {
  client.close()
  await store.close()
})
const signedIn = await client.call('GET', '/auth/v1.0', {
  headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' },
})
const token = signedIn.headers['x-auth-token']!
const headers = { 'x-auth-token': token }
const AUTH = `Host: x\r\nX-Auth-Token: ${token}\r\n`
const LARGE_BYTES = 3 * 2 ** 20
const large = randomBytes(LARGE_BYTES)
await client.call('PUT', '/v1/AUTH_test/c', { headers })
await client.call('PUT', '/v1/AUTH_test/c/small', { headers, body: 'hello' })
await client.call('PUT', '/v1/AUTH_test/c/empty', { headers, body: '' })
await client.call('PUT', '/v1/AUTH_test/c/large', { headers, body: large })

/** A header that only node:http's parser takes, and that means nothing here. */
const FULL = 'TE: trailers\r\n'
const LAST = 'Connection: close\r\n'

interface Case {
  readonly name: string
  readonly line: string
  readonly fields?: string
  readonly body?: string
}

const CASES: readonly Case[] = [
  { name: 'GET', line: 'GET /v1/AUTH_test/c/small' },
  { name: 'GET with a query', line: 'GET /v1/AUTH_test/c/small?a=b' },
  { name: 'GET of an empty object', line: 'GET /v1/AUTH_test/c/empty' },
  { name: 'GET of a large object', line: 'GET /v1/AUTH_test/c/large' },
  { name: 'HEAD', line: 'HEAD /v1/AUTH_test/c/small' },
  { name: 'GET of a range', line: 'GET /v1/AUTH_test/c/small', fields: 'Range: bytes=1-2\r\n' },
  {
    name: 'GET of several ranges',
    line: 'GET /v1/AUTH_test/c/small',
    fields: 'Range: bytes=0-1,3-4\r\n',
  },
  { name: 'GET beyond the end', line: 'GET /v1/AUTH_test/c/small', fields: 'Range: bytes=9-\r\n' },
  {
    name: 'GET of what is not newer',
    line: 'GET /v1/AUTH_test/c/small',
    fields: 'If-None-Match: 5d41402abc4b2a76b9719d911017c592\r\n',
  },
  { name: 'GET of nothing', line: 'GET /v1/AUTH_test/c/none' },
  { name: 'HEAD of nothing', line: 'HEAD /v1/AUTH_test/c/none' },
  { name: "GET of somebody else's", line: 'GET /v1/AUTH_test2/c/none' },
  { name: 'GET with an origin', line: 'GET /v1/AUTH_test/c/small', fields: 'Origin: http://y\r\n' },
  { name: 'GET of an escaped name', line: 'GET /v1/AUTH_test/c/%ff' },
  { name: 'PUT', line: 'PUT /v1/AUTH_test/c/put', fields: 'Content-Length: 3\r\n', body: 'abc' },
  { name: 'PUT of nothing', line: 'PUT /v1/AUTH_test/c/put0', fields: 'Content-Length: 0\r\n' },
  {
    name: 'PUT with another MD5',
    line: 'PUT /v1/AUTH_test/c/put',
    fields: 'ETag: 00000000000000000000000000000000\r\nContent-Length: 3\r\n',
    body: 'abc',
  },
  {
    name: 'PUT without a container',
    line: 'PUT /v1/AUTH_test/none/put',
    fields: 'Content-Length: 3\r\n',
    body: 'abc',
  },
  {
    name: 'PUT of what must not be there',
    line: 'PUT /v1/AUTH_test/c/small',
    fields: 'If-None-Match: *\r\nContent-Length: 3\r\n',
    body: 'abc',
  },
  { name: 'DELETE', line: 'DELETE /v1/AUTH_test/c/put0' },
  { name: 'DELETE of nothing', line: 'DELETE /v1/AUTH_test/c/none' },
]

t.test('the same answers with node:http and without', async (t) => {
  for (const { name, line, fields = '', body = '' } of CASES) {
    const plain = await rawExchange(port, `${line} HTTP/1.1\r\n${AUTH}${LAST}${fields}\r\n${body}`)
    // What the first one changed is put back: a DELETE finds something both times.
    if (name === 'DELETE') await client.call('PUT', '/v1/AUTH_test/c/put0', { headers, body: '' })
    const full = await rawExchange(
      port,
      `${line} HTTP/1.1\r\n${AUTH}${LAST}${FULL}${fields}\r\n${body}`,
    )
    t.strictSame(comparable(plain), comparable(full), name)
  }
})

const S3_CASES: readonly (SignedRequest & { readonly name: string })[] = [
  { name: 'list of buckets', path: '/' },
  { name: 'PUT of a bucket that is there', method: 'PUT', path: '/c' },
  { name: 'list', path: '/c?list-type=2&max-keys=1' },
  { name: 'PUT', method: 'PUT', path: '/c/s3', body: 'abc' },
  {
    name: 'PUT with metadata',
    method: 'PUT',
    path: '/c/s3',
    body: 'abc',
    headers: { 'x-amz-meta-a': 'b' },
  },
  {
    name: 'PUT of another body',
    method: 'PUT',
    path: '/c/s3',
    body: 'abc',
    payloadHash: '0'.repeat(64),
  },
  {
    name: 'PUT of tags',
    method: 'PUT',
    path: '/c/s3?tagging',
    body: '<Tagging><TagSet/></Tagging>',
  },
  { name: 'copy', method: 'PUT', path: '/c/copy', headers: { 'x-amz-copy-source': '/c/s3' } },
  { name: 'GET', path: '/c/s3' },
  { name: 'GET of a range', path: '/c/s3', headers: { range: 'bytes=1-' } },
  { name: 'GET of a large object', path: '/c/large' },
  { name: 'HEAD', method: 'HEAD', path: '/c/s3' },
  { name: 'GET of nothing', path: '/c/none' },
  { name: 'HEAD of nothing', method: 'HEAD', path: '/c/none' },
  { name: 'GET of no bucket', path: '/none/none' },
  { name: 'GET long ago', path: '/c/s3', at: new Date(0) },
  { name: 'anonymous GET', path: '/c/s3', key: null },
  { name: 'an action that is not built', method: 'PUT', path: '/c?website', body: '' },
  { name: 'DELETE of nothing', method: 'DELETE', path: '/c/none' },
]

t.test('the same answers of S3', async (t) => {
  const presigned = presign('GET', '/c/small', 'x')
  const sendPresigned = (more: Readonly<Record<string, string>>) =>
    send(port, { method: 'GET', path: presigned, headers: { host: 'x', ...more } })
  const cases = [
    ...S3_CASES.map(({ name, ...asked }) => ({
      name,
      ask: (unsigned: Readonly<Record<string, string>>) => sendSigned(port, { ...asked, unsigned }),
    })),
    { name: 'a presigned URL', ask: sendPresigned },
  ]
  for (const { name, ask } of cases) {
    const [plain, full] = [await ask({}), await ask({ te: 'trailers' })]
    t.strictSame(comparableS3(plain), comparableS3(full), name)
  }
})

function comparableS3({ status, headers, body }: RawAnswer) {
  const kept = Object.entries(headers).filter(
    ([name]) => !/^(date|last-modified|keep-alive|x-.*id|x-amz-id-2)$/.test(name),
  )
  const text = body.replace(/<(\w*(?:Id|Time|LastModified|Date))>[^<]*/g, '<$1>…')
  return { status, headers: Object.fromEntries(kept), body: text }
}

/** The answer without what is another each time; header fields in alphabetical order. */
function comparable(text: string): { readonly head: readonly string[]; readonly body: string } {
  const end = text.indexOf('\r\n\r\n')
  const [status, ...fields] = text.slice(0, end).split('\r\n')
  const kept = fields
    .map((field) => field.replace(/^(Content-Type: multipart.*boundary=).*/, '$1…'))
    .filter((field) => !/^(date|last-modified|x-timestamp|x-.*id):/i.test(field))
  const body = text.slice(end + 4).replace(/--[0-9a-f]{32}/g, '--…')
  return { head: [status!, ...kept.sort()], body: createHash('md5').update(body).digest('hex') }
}

t.test('a connection is kept as the client wishes', async (t) => {
  const get = (fields: string) => `GET /v1/AUTH_test/c/small HTTP/1.1\r\n${AUTH}${fields}\r\n`
  const silent = await rawExchange(port, get('') + get(LAST))
  t.same(statusesIn(silent), [200, 200])
  t.notMatch(silent.slice(0, silent.indexOf('hello')), /^connection:/im)
  const said = await rawExchange(port, get('Connection: keep-alive\r\n') + get(LAST))
  t.match(said, /Connection: keep-alive\r\nKeep-Alive: timeout=1\r\n/)
  t.match(said, /Connection: close\r\n/)
  const after = await rawExchange(port, get(LAST) + get(''))
  t.same(statusesIn(after), [200], 'nothing is answered behind a close')
})

t.test('requests of both kinds in one packet are answered in their order', async (t) => {
  const put = (name: string, body: string, fields = '') =>
    `PUT /v1/AUTH_test/c/${name} HTTP/1.1\r\n${AUTH}${fields}Content-Length: ${body.length}\r\n\r\n${body}`
  const get = (path: string, fields = '') =>
    `GET /v1/AUTH_test/c${path} HTTP/1.1\r\n${AUTH}${fields}\r\n`
  const text = await rawExchange(
    port,
    put('m1', 'one') +
      get('/m1') +
      put('m2', 'two') +
      get('?prefix=m') +
      get('/m2') +
      put('m3', 'three', FULL) +
      get('/m3', LAST),
  )
  t.same(statusesIn(text), [201, 200, 201, 200, 200, 201, 200])
  t.match(text, /\r\n\r\none[\s\S]*\r\n\r\nm1\nm2\n[\s\S]*\r\n\r\ntwo[\s\S]*\r\n\r\nthree$/)
})

t.test('head and body may come in any pieces', async (t) => {
  const text = `PUT /v1/AUTH_test/c/pieces HTTP/1.1\r\n${AUTH}Content-Length: 10\r\n\r\n0123456789GET /v1/AUTH_test/c/pieces HTTP/1.1\r\n${AUTH}${LAST}\r\n`
  const headEnd = text.indexOf('\r\n\r\n') + 4
  for (const cuts of [
    [headEnd],
    [headEnd + 4],
    [20],
    [headEnd - 2],
    [headEnd, headEnd + 10],
    [5, headEnd + 1, headEnd + 9],
  ]) {
    const answer = await sendInPieces(text, cuts)
    t.same(statusesIn(answer), [201, 200], `cut at ${cuts}`)
    t.match(answer, /0123456789$/)
  }
})

/** Each piece is sent when the one before is on its way. */
async function sendInPieces(text: string, cuts: readonly number[]): Promise<string> {
  const socket = connect(port, '127.0.0.1').setNoDelay(true)
  let answer = ''
  socket.setEncoding('latin1').on('data', (piece: string) => {
    answer += piece
  })
  const closed = new Promise((resolve) => socket.on('close', resolve))
  const bounds = [0, ...cuts, text.length]
  for (let i = 1; i < bounds.length; i++) {
    await new Promise<void>((resolve) =>
      socket.write(text.slice(bounds[i - 1], bounds[i]), 'latin1', () => resolve()),
    )
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve))
  }
  await closed
  return answer
}

t.test('a client that sends no more gets the answer that it waits for', async (t) => {
  const request = `PUT /v1/AUTH_test/c/half HTTP/1.1\r\n${AUTH}Content-Length: 3\r\n\r\nabc`
  t.same(statusesIn(await rawExchange(port, request, { halfClose: true })), [201])
})

t.test(
  'a refusal does not wait for the body, and the next request is found behind it',
  async (t) => {
    const socket = connect(port, '127.0.0.1')
    const answer = reading(socket)
    const length = 1000
    socket.write(`PUT /v1/AUTH_test2/c/o HTTP/1.1\r\n${AUTH}Content-Length: ${length}\r\n\r\nabc`)
    await answer.until(/HTTP\/1\.1 403 /)
    socket.write(
      `${'x'.repeat(length - 3)}GET /v1/AUTH_test/c/small HTTP/1.1\r\n${AUTH}${LAST}\r\n`,
    )
    await answer.until(/hello$/)
    t.same(statusesIn(answer.text()), [403, 200])
  },
)

t.test('a silent client is not waited for', async (t) => {
  const body = await rawExchange(
    port,
    `PUT /v1/AUTH_test/c/o HTTP/1.1\r\n${AUTH}Content-Length: 10\r\n\r\nabc`,
  )
  t.same(statusesIn(body), [408], 'in the middle of a body')
  t.equal(await rawExchange(port, ''), '', 'before the first request')
  const idle = await rawExchange(port, `GET /v1/AUTH_test/c/small HTTP/1.1\r\n${AUTH}\r\n`)
  t.same(statusesIn(idle), [200], 'behind an answer')
})

t.test('a slow reader gets a large object whole, many times on one connection', async (t) => {
  const socket = connect(port, '127.0.0.1')
  const times = 15
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  let bytes = 0
  for (let i = 0; i < times; i++) {
    const fields = i === times - 1 ? LAST : ''
    socket.write(`GET /v1/AUTH_test/c/large HTTP/1.1\r\n${AUTH}${fields}\r\n`)
  }
  for await (const piece of socket) {
    bytes += (piece as Buffer).length
    await new Promise((resolve) => setImmediate(resolve))
  }
  process.off('warning', onWarning)
  t.ok(bytes > times * LARGE_BYTES && bytes < times * (LARGE_BYTES + 1000), `${bytes} bytes`)
  t.strictSame(warnings, [], 'and leaves no listeners behind')
})

t.test('closing ends idle connections at once and lets the others finish', async (t) => {
  const own = await openS3Store(t.testdir())
  const signIn = `GET /auth/v1.0 HTTP/1.1\r\nHost: x\r\nX-Auth-User: test:tester\r\nX-Auth-Key: testing\r\n${LAST}\r\n`
  const tokenLine = /X-Auth-Token: \S+\r\n/.exec(await rawExchange(own.port, signIn))![0]
  const lines = `Host: x\r\n${tokenLine}`
  await rawExchange(
    own.port,
    `PUT /v1/AUTH_test/c HTTP/1.1\r\n${lines}${LAST}Content-Length: 0\r\n\r\n`,
  )
  const idle = connect(own.port, '127.0.0.1')
  const busy = connect(own.port, '127.0.0.1')
  const idleAnswer = reading(idle)
  const busyAnswer = reading(busy)
  idle.write(`GET /v1/AUTH_test/c/none HTTP/1.1\r\n${lines}\r\n`)
  await idleAnswer.until(/ 404 /)
  const idleClosed = new Promise((resolve) => idle.on('close', resolve))
  busy.write(`PUT /v1/AUTH_test/c/o HTTP/1.1\r\n${lines}Content-Length: 3\r\n\r\na`)
  // Answered behind the head of the other: that one is being read by now.
  await rawExchange(own.port, `GET /v1/AUTH_test/c/none HTTP/1.1\r\n${lines}${LAST}\r\n`)
  const closed = own.close()
  await idleClosed
  busy.write('bc')
  await busyAnswer.until(/ 201 [\s\S]*Connection: close/)
  await closed
  t.same(statusesIn(busyAnswer.text()), [201])
})

function reading(socket: Socket): { text(): string; until(pattern: RegExp): Promise<void> } {
  let text = ''
  let wake = () => {}
  socket.on('data', (piece) => {
    text += piece.toString('latin1')
    wake()
  })
  socket.on('close', () => wake())
  return {
    text: () => text,
    async until(pattern) {
      while (!pattern.test(text)) {
        if (socket.destroyed) throw new Error(`closed before ${pattern}: ${text}`)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
  }
}

t.test('names may come as raw UTF-8, on a new connection and on a kept one', async (t) => {
  const raw = '\xc3\xa9t\xc3\xa9'
  const put = (path: string, fields = '') =>
    `PUT /v1/AUTH_test/${path} HTTP/1.1\r\n${AUTH}${fields}Content-Length: 0\r\n\r\n`
  const get = (path: string, fields = '') =>
    `GET /v1/AUTH_test/${path} HTTP/1.1\r\n${AUTH}${fields}\r\n`
  const cases: readonly [string, string, number][] = [
    ['a container', put(raw, LAST), 201],
    ['an object', put(`${raw}/${raw}`, LAST), 201],
    ['an object, to be read', get(`${raw}/${raw}`, LAST), 200],
    ['a query', get(`${raw}?prefix=${raw}`, LAST), 200],
    ['no UTF-8', put('\xff', LAST), 412],
    ['a blank', get('a b', LAST), 400],
    ['raw bytes and a blank', get(`${raw} b`, LAST), 400],
    ['an unknown method', get(raw, LAST).replace('GET', 'BREW'), 405],
  ]
  for (const [name, request, status] of cases) {
    t.same(statusesIn(await rawExchange(port, request)), [status], name)
  }
  const listing = await client.call('GET', '/v1/AUTH_test/%C3%A9t%C3%A9', { headers })
  t.equal(listing.body.toString(), '\u00e9t\u00e9\n')

  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  let seen = ''
  for (const [i, request] of [
    get('?limit=1'),
    get(raw),
    get('c/small'),
    put(`${raw}/kept`),
    get(`${raw}/kept`, LAST),
  ].entries()) {
    socket.write(request, 'latin1')
    while (statusesIn(seen).length <= i) {
      const [piece] = (await once(socket, 'data')) as [string]
      seen += piece
    }
  }
  socket.destroy()
  t.same(statusesIn(seen), [200, 200, 200, 201, 200])

  // What a request hides in its body is no request, whatever comes with it in one packet.
  const hidden = `PUT /v1/AUTH_test/${raw}/evil HTTP/1.1\r\n${AUTH}Content-Length: 0\r\n\r\n`
  const carrier = `PUT /v1/AUTH_test/c/carrier HTTP/1.1\r\n${AUTH}Content-Length: ${hidden.length}\r\n\r\n`
  await rawExchange(port, `${carrier}${hidden}${get(raw, LAST)}`)
  const evil = await client.call('GET', '/v1/AUTH_test/%C3%A9t%C3%A9/evil', { headers })
  t.equal(evil.status, 404)
})
