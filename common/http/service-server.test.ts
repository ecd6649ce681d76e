import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { systemClock as clock } from '../clock.ts'
import type { ServiceError } from '../errors.ts'
import { createLog } from '../log.ts'
import { systemRandom as random } from '../random.ts'
import { ok, type Route } from './route.ts'
import { createServiceApp } from './service-app.ts'
import { closeServer, createServiceServer, listenAt, type ServerBounds } from './service-server.ts'

const HOST = 'Host: a.example\r\n'
const CLOSE = 'Connection: close\r\n'
const post = (headers: string, body = '') => `POST /items HTTP/1.1\r\n${HOST}${headers}\r\n${body}`
const get = (path: string, headers = `${HOST}${CLOSE}`) => `GET ${path} HTTP/1.1\r\n${headers}\r\n`

/** A service that echoes; `/wait` answers when `release` is called. */
async function serve(t: Test, bounds: ServerBounds = {}, requestsMax = 64) {
  let lines = ''
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  const log = createLog({ write: (text) => (lines += text), nowMs: () => 0, component: 'test' })
  const routes: Route<null>[] = [
    { method: 'GET', path: '/items/:id', handle: ({ params, baseUrl }) => ok({ params, baseUrl }) },
    { method: 'POST', path: '/items', handle: ({ body }) => ok({ body }) },
    { method: 'GET', path: '/wait', handle: () => gate.then(() => ok({ waited: true })) },
    { method: 'GET', path: '/broken', handle: () => Promise.reject(new Error('secret detail')) },
  ]
  const app = createServiceApp({
    routes,
    prepare: () => null,
    errorAnswer: ({ status, message }: ServiceError) => ({ status, body: { message } }),
    bodyBytesMax: 1000,
    requestsMax,
    clock,
    random,
    log,
  })
  const server = createServiceServer(app, bounds)
  const port = await listenAt(server, { host: '127.0.0.1', port: 0 })
  const close = () => closeServer(server, (ms, action) => clock.after(ms, action), 200)
  t.teardown(() => {
    release()
    return close()
  })
  return {
    server,
    release,
    close,
    logged: () => {
      log.flush()
      return lines
    },
    open: () => openSocket(t, port),
    /** Everything that comes back until the server closes. */
    async exchange(text: string): Promise<string> {
      const socket = openSocket(t, port)
      socket.write(text, 'latin1')
      return received(socket)
    },
  }
}

function openSocket(t: Test, port: number): Socket {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  return socket
}

async function received(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (piece) => {
    text += piece
  })
  await new Promise((resolve) => socket.once('close', resolve))
  return text
}

/** Resolves when such a text has come. */
function until(socket: Socket, wanted: string): Promise<void> {
  let text = ''
  return new Promise((resolve) => {
    socket.on('data', (piece) => {
      text += piece
      if (text.includes(wanted)) resolve()
    })
  })
}

t.test('rubbish is refused, and nothing of it is logged as a fault of ours', async (t) => {
  const service = await serve(t)
  const long = 'x'.repeat(1001)
  const cases: readonly (readonly [string, RegExp])[] = [
    [post('Transfer-Encoding: chunked\r\n', 'zz\r\nabc\r\n'), /^HTTP\/1.1 400 /],
    [post('Transfer-Encoding: chunked\r\n', `3e9\r\n${long}\r\n0\r\n\r\n`), /^HTTP\/1.1 413 /],
    [post('Content-Length: 3\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), /^HTTP\/1.1 400 /],
    [post('Content-Length: 3\r\nContent-Length: 4\r\n', 'abcd'), /^HTTP\/1.1 400 /],
    [post(`Content-Length: 1001\r\n`, long), /^HTTP\/1.1 413 .*at most 1000 bytes/s],
    [post(`${CLOSE}Content-Length: 4\r\n`, '{"a"'), /^HTTP\/1.1 400 .*not valid JSON/s],
    [post(`${CLOSE}Content-Length: 4\r\n`, '"\xff\xfe"'), /^HTTP\/1.1 400 .*not valid JSON/s],
    [post(`${CLOSE}Content-Length: 2\r\n`, '[]'), /^HTTP\/1.1 400 .*must be a JSON object/s],
    [post(`${CLOSE}Content-Length: 8\r\n`, `{"a":"\\u0000"}`.slice(0, 8)), /^HTTP\/1.1 400 /],
    [get('/items/1', 'Host: a"b\r\nConnection: close\r\n'), /^HTTP\/1.1 400 .*names no host/s],
    [get('/items/1', CLOSE), /^HTTP\/1.1 400 /],
    [get('/items/1', `${HOST}X-Long: ${'x'.repeat(40_000)}\r\n`), /^HTTP\/1.1 431 /],
    [get('/items/1', `${HOST}X-Auth-Token: a\x01b\r\n`), /^HTTP\/1.1 400 /],
    [get('/nothing'), /^HTTP\/1.1 404 /],
    [`TRACE /items HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, /^HTTP\/1.1 405 /],
    [`PUT /items HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, /^HTTP\/1.1 405 /],
    [`OPTIONS /items HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, /^HTTP\/1.1 200 .*Allow: POST\r\n/s],
    [`OPTIONS /nothing HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, /^HTTP\/1.1 404 /],
    ['CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', /^$/],
    ['rubbish\r\n\r\n', /^HTTP\/1.1 400 /],
  ]
  for (const [text, wanted] of cases)
    t.match(await service.exchange(text), wanted, text.slice(0, 60))
  t.match(await service.exchange('GET /items/1 HTTP/1.0\r\n\r\n'), /"http:\/\/127.0.0.1:\d+"/)
  t.match(await service.exchange(get('/items/1')), /^Content-Type: application\/json\r$/m)
  t.match(await service.exchange(get('/items/%zz')), /^HTTP\/1.1 200 .*"id":"%zz"/s)
  t.equal(service.logged(), '')
  const broken = await service.exchange(get('/broken'))
  t.match(broken, /^HTTP\/1.1 500 /)
  t.notMatch(broken, /secret detail/)
  t.match(service.logged(), /secret detail/)
})

t.test('who goes away in the middle of a body leaves nothing behind', async (t) => {
  const service = await serve(t)
  const socket = service.open()
  socket.write(post('Content-Length: 500\r\n', '{'))
  await new Promise<void>((resolve) => service.server.once('request', () => resolve()))
  socket.destroy()
  t.match(await service.exchange(get('/items/1')), /^HTTP\/1.1 200 /)
  t.equal(service.logged(), '')
})

t.test('slow heads and slow bodies are cut off, and hold up nobody until then', async (t) => {
  const service = await serve(t, { headersTimeoutMs: 300, requestTimeoutMs: 600 }, 1)
  const head = service.open()
  head.write('GET /items/1 HTTP/1.1\r\nHo')
  const body = service.open()
  body.write(post('Content-Length: 500\r\n', '{'))
  const ends = Promise.all([received(head), received(body)])
  t.match(await service.exchange(get('/items/1')), /^HTTP\/1.1 200 /, 'meanwhile, the one at once')
  t.match(await ends, [/^HTTP\/1.1 408 /, /^HTTP\/1.1 408 /])
  t.equal(service.logged(), '')
})

t.test('more requests than may be served at once are 503, without a line for each', async (t) => {
  const service = await serve(t, {}, 1)
  const first = service.open()
  first.write(get('/wait'))
  await new Promise<void>((resolve) => service.server.once('request', () => resolve()))
  t.match(await service.exchange(get('/items/1')), /^HTTP\/1.1 503 /)
  const answer = received(first)
  service.release()
  t.match(await answer, /"waited":true/)
  t.match(await service.exchange(get('/items/1')), /^HTTP\/1.1 200 /)
  t.equal(service.logged(), '')
})

t.test('a connection that sends and sends without an answer is closed', async (t) => {
  const service = await serve(t, { pipelinedMax: 4 })
  t.equal(await service.exchange(get('/wait', HOST).repeat(5)), '')
  const four = await service.exchange(get('/items/1', HOST).repeat(3) + get('/items/1'))
  t.equal(four.split('HTTP/1.1 200 ').length - 1, 4)
})

t.test('idle connections make room for new ones', async (t) => {
  const service = await serve(t, { connectionsMax: 3 })
  const idle = [service.open(), service.open(), service.open()]
  for (const socket of idle) {
    const answered = until(socket, '"id":"1"')
    socket.write(get('/items/1', HOST))
    await answered
  }
  const closed = Promise.all(idle.map((socket) => new Promise((end) => socket.once('close', end))))
  t.equal(await service.exchange(get('/items/1')), '', 'refused, but the next one')
  await closed
  t.match(await service.exchange(get('/items/1')), /^HTTP\/1.1 200 /)
})

t.test('closing waits for answers, but not for those that never come', async (t) => {
  const service = await serve(t)
  const stuck = service.open()
  stuck.write(get('/wait'))
  const idle = service.open()
  await new Promise<void>((resolve) => service.server.once('request', () => resolve()))
  const ends = Promise.all([received(stuck), received(idle)])
  await service.close()
  t.strictSame(await ends, ['', ''])
})
