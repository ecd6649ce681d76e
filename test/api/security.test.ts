/** What strangers, guests and hostile clients try: nothing leaks, nothing is taken, nothing is held for good. */
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { addUser } from '../../auth/user-edit.ts'
import { systemClock } from '../../common/clock.ts'
import { silentLog } from '../../common/log.ts'
import { systemRandom } from '../../common/random.ts'
import { encodeMessage, messageHead } from '../../common/wire/frames.ts'
import { operationPath, WIRE_VERSION } from '../../common/wire/operations.ts'
import { signRequest } from '../../common/wire/signature.ts'
import { openLocalNode } from '../../storage-node/local-node.ts'
import { serveStorageNode } from '../../storage-node/server/node-server.ts'
import { httpClient, rawExchange, statusesIn } from './http-client.ts'
import { openTestStore } from './swift-store.ts'

const CLIENT_TIMEOUT_MS = 800
const store = await openTestStore(t.testdir(), { clientTimeoutMs: CLIENT_TIMEOUT_MS })
const { port } = store
const client = httpClient(port)
t.teardown(async () => {
  client.close()
  await store.close()
})
const { call } = client

async function tokenOf(user: string, key: string): Promise<string> {
  const headers = { 'x-auth-user': user, 'x-auth-key': key }
  return (await call('GET', '/auth/v1.0', { headers })).headers['x-auth-token']!
}

const token = await tokenOf('test:tester', 'testing')
const owner = { 'x-auth-token': token }
/** Signed in, without any right of its own. */
const guest = { 'x-auth-token': await tokenOf('test:tester3', 'testing3') }
/** The administrator of another account. */
const other = { 'x-auth-token': await tokenOf('test2:tester2', 'testing2') }

await call('PUT', '/v1/AUTH_test/private', { headers: owner })
await call('PUT', '/v1/AUTH_test/private/secret', { headers: owner, body: 'secret' })
await call('PUT', '/v1/AUTH_test2/theirs', { headers: other })

/** A container whose XML listing is larger than what the kernel buffers for a client that does not read. */
const LISTING = '/v1/AUTH_test/public?format=xml'
const LISTING_ROWS = 60
const LISTING_BYTES_MIN = LISTING_ROWS * 5000
await call('PUT', '/v1/AUTH_test/public', {
  headers: { ...owner, 'x-container-read': '.r:*,.rlistings' },
})
for (let i = 0; i < LISTING_ROWS; i++) {
  const name = `${'%26'.repeat(1000)}${i}`
  await call('PUT', `/v1/AUTH_test/public/${name}`, { headers: owner, body: '' })
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const linesOf = (path: string) => store.lines.filter((line) => line.path === path)

async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`never came true: ${what}`)
    await pause(10)
  }
}

function silentClient(bytes: string): Socket {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  socket.pause()
  socket.write(Buffer.from(bytes, 'latin1'))
  return socket
}

/** How many bytes come, from now on, until the connection is over. */
function countTheRest(socket: Socket): Promise<number> {
  return new Promise((resolve) => {
    let bytes = 0
    socket.on('data', (chunk) => {
      bytes += chunk.length
    })
    socket.on('close', () => resolve(bytes))
    socket.resume()
  })
}

t.test('a stranger cannot tell what is there from what is not', async (t) => {
  const there = ['', '/private', '/private/secret', '/private?format=json']
  const absent = ['x', 'x/private', '/nothing', '/private/nothing', '/nothing?format=json']
  for (const method of ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'COPY']) {
    for (const who of [{}, other]) {
      const answers = new Set<string>()
      for (const path of [...there, ...absent]) {
        if (method === 'COPY' && !path.includes('secret') && !path.includes('/private/')) continue
        if ((path === '' || path === 'x') && !['GET', 'HEAD', 'POST'].includes(method)) continue
        const headers = { ...who, destination: 'theirs/copy' }
        const answer = await call(method, `/v1/AUTH_test${path}`, { headers })
        answers.add(`${answer.status} ${answer.body}`)
      }
      const [only] = answers
      t.equal(answers.size, 1, `${method}: ${[...answers].join(' / ')}`)
      t.match(only, who === other ? /^403/ : /^401/)
    }
  }
})

t.test('only the very token that was given is one', async (t) => {
  const last = token.at(-1) === 'A' ? 'B' : 'A'
  const forged = [
    `${token.slice(0, -1)}${last}`,
    `${token}=`,
    `${token}A`,
    `${token}, ${token}`,
    token.slice(0, -1),
    token.replace('AUTH_tk', 'AUTH_tkA'),
    'AUTH_tk',
    `AUTH_tk${'A'.repeat(60)}`,
    `AUTH_tk${'A'.repeat(4000)}`,
  ]
  for (const tried of forged) {
    const { status } = await call('GET', '/v1/AUTH_test', { headers: { 'x-auth-token': tried } })
    t.equal(status, 401, tried.slice(0, 100))
  }
  const lower = await call('GET', '/v1/AUTH_test', {
    headers: { 'x-auth-token': token.toLowerCase() },
  })
  t.equal(lower.status, 401)
})

t.test('names that only look like an account or a container lead nowhere', async (t) => {
  const paths = [
    '/v1/auth_test/private/secret',
    '/v1/AUTH_test%20/private/secret',
    '/v1/AUTH_/private/secret',
    '/v1/AUTH_.test/private/secret',
    '/v1/AUTH_test2/../AUTH_test/private/secret',
    '/v1/AUTH_test2%2F../private/secret',
    '/v1/SERVICE_test/private/secret',
    '/v1/AUTH_test/%C0%AE%C0%AE/secret',
    '/v1/AUTH_test%00/private/secret',
    '/v1/AUTH_test/private%00/secret',
    '/v1//AUTH_test/private/secret',
    '/v1/AUTH_test//private/secret',
    '//v1/AUTH_test/private/secret',
    '/v2/AUTH_test/private/secret',
  ]
  for (const path of paths) {
    for (const who of [{}, guest, other, owner]) {
      const { status, body } = await call('GET', path, { headers: who })
      t.ok([400, 401, 403, 404, 412].includes(status), `${path}: ${status}`)
      t.notMatch(body, 'secret')
    }
  }
})

t.test('a copy needs the right to read its source', async (t) => {
  const tries: [string, string, Record<string, string>][] = [
    ['PUT', '/v1/AUTH_test2/theirs/a', { 'x-copy-from': 'private/secret' }],
    ['PUT', '/v1/AUTH_test2/theirs/a', { 'x-copy-from': '/private/../private/secret' }],
    ['COPY', '/v1/AUTH_test/private/secret', { destination: 'theirs/a' }],
  ]
  for (const [method, path, headers] of tries) {
    const copying = { ...other, 'x-copy-from-account': 'AUTH_test' }
    const whole = { ...copying, 'destination-account': 'AUTH_test2', ...headers }
    t.equal((await call(method, path, { headers: whole })).status, 403, method)
  }
  t.equal((await call('GET', '/v1/AUTH_test2/theirs/a', { headers: other })).status, 404)
  for (const account of ['AUTH_test%00', 'AUTH_test%2Fprivate', '', '%ff']) {
    const headers = { ...owner, 'x-copy-from': 'private/secret', 'x-copy-from-account': account }
    const { status } = await call('PUT', '/v1/AUTH_test/private/b', { headers })
    t.equal(status, 412, account)
  }
})

t.test('referrers are let in by their host alone', async (t) => {
  await call('PUT', '/v1/AUTH_test/site', {
    headers: { ...owner, 'x-container-read': '.r:.example.com' },
  })
  await call('PUT', '/v1/AUTH_test/site/o', { headers: owner, body: 'o' })
  const shutOut = [
    'http://evilexample.com/',
    'http://example.com@evil.org/',
    'http://evil.org/.example.com',
    'http://evil.org?.example.com',
    'http://evil.org#www.example.com',
    'http://www.example.com.evil.org/',
    'www.example.com',
  ]
  for (const referer of shutOut) {
    const { status } = await call('GET', '/v1/AUTH_test/site/o', { headers: { referer } })
    t.equal(status, 401, referer)
  }
  const headers = { referer: 'http://www.example.com/' }
  t.equal((await call('GET', '/v1/AUTH_test/site/o', { headers })).status, 200)
  t.equal((await call('GET', '/v1/AUTH_test/site', { headers })).status, 401, 'no .rlistings')
  t.equal((await call('PUT', '/v1/AUTH_test/site/n', { headers, body: 'n' })).status, 401)
})

t.test('system metadata can be neither set nor seen', async (t) => {
  const acl = JSON.stringify({ admin: ['test2'] })
  const sent = {
    ...owner,
    'x-account-sysmeta-core-access-control': acl,
    'x-container-sysmeta-storage-policy-index': '1',
    'x-object-sysmeta-a': 'b',
    'x-object-transient-sysmeta-a': 'b',
    'x-backend-storage-policy-index': '1',
    'x-backend-timestamp': '1',
    'x-timestamp': '1',
  }
  for (const path of ['', '/private', '/private/secret']) {
    await call('POST', `/v1/AUTH_test${path}`, { headers: sent })
    const { status, headers } = await call('HEAD', `/v1/AUTH_test${path}`, { headers: owner })
    t.ok(status < 300)
    t.notOk(Object.keys(headers).some((name) => /sysmeta|backend/.test(name)))
    t.not(headers['x-timestamp'], '1')
  }
  t.equal((await call('GET', '/v1/AUTH_test', { headers: other })).status, 403)
})

t.test('what clients send stays in its place in the answer', async (t) => {
  const extra = await call('GET', '/info', { headers: { 'x-trans-id-extra': 'a%0d%0aX: "\'<' } })
  t.match(extra.headers['x-trans-id'], /-a%250d%250aX%3A%20%22%27%3C$/)
  const realm = await call('GET', '/v1/AUTH_%22%0D%0AX-Evil:%201')
  t.match(realm.headers['www-authenticate'], /^Swift realm="AUTH_%22%0D%0AX-Evil%3A%201"$/)
  t.equal(realm.headers['x-evil'], undefined)
  const name = '</name><evil%20a=%22b%22>&'
  await call('PUT', `/v1/AUTH_test/private/${name}`, {
    headers: { ...owner, 'content-type': 'a/b;c="</content_type><evil>"' },
    body: '',
  })
  const { body } = await call('GET', '/v1/AUTH_test/private?format=xml', { headers: owner })
  t.notMatch(body, '<evil')
  // A byte that no header may hold, stored once, would break every later answer.
  for (const byte of ['\x00', '\x01', '\x0b', '\x7f']) {
    const text = `PUT /v1/AUTH_test/private/h HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${token}\r\nX-Object-Meta-A: a${byte}b\r\nContent-Length: 0\r\n\r\n`
    t.same(statusesIn(await rawExchange(port, text, { halfClose: true })), [400])
  }
})

t.test('a target that cannot be taken apart is the client’s mistake', async (t) => {
  const before = store.lines.filter((line) => line.level === 'error').length
  const text = await rawExchange(port, 'GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n', {
    halfClose: true,
  })
  t.same(statusesIn(text), [400])
  t.equal(store.lines.filter((line) => line.level === 'error').length, before)
})

t.test('requests sent ahead are answered one after the other', async (t) => {
  const head = `HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${token}\r\n`
  const path = '/v1/AUTH_test/private/ordered'
  const text = await rawExchange(
    port,
    [
      `PUT ${path} ${head}Content-Length: 3\r\n\r\nabc`,
      `GET ${path} ${head}\r\n`,
      `PUT ${path} ${head}Transfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n`,
      `GET ${path} ${head}\r\n`,
      `DELETE ${path} ${head}\r\n`,
      `GET ${path} ${head}Connection: close\r\n\r\n`,
    ].join(''),
  )
  t.same(statusesIn(text), [201, 200, 201, 200, 204, 404])
  t.match(text, /\r\n\r\nabcHTTP[\s\S]*\r\n\r\ndefHTTP/)

  const cut = await rawExchange(
    port,
    `PUT ${path} ${head}Content-Length: 3\r\n\r\nabcGET ${path} ${head}\r\nrubbish\r\n\r\n`,
  )
  t.same(statusesIn(cut), [201, 200, 400], 'what came before rubbish is answered')
})

t.test('a packet full of requests does not fill the memory with answers', async (t) => {
  const before = linesOf('/v1/AUTH_test/public').length
  const request = `GET ${LISTING} HTTP/1.1\r\nHost: x\r\n\r\n`
  const socket = silentClient(request.repeat(200))
  await pause(CLIENT_TIMEOUT_MS / 2)
  // What the kernel takes for a client that does not read is some megabytes.
  const answered = linesOf('/v1/AUTH_test/public').length - before
  t.ok(answered > 0 && answered < 60, `${answered} of 200 were begun`)
  await pause(3 * CLIENT_TIMEOUT_MS)
  const bytes = await countTheRest(socket)
  t.ok(bytes < 60 * LISTING_BYTES_MIN, 'a client that does not take its answer is cut off')

  const tooMany = silentClient('GET /info HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1000))
  const started = performance.now()
  await countTheRest(tooMany)
  t.ok(performance.now() - started < CLIENT_TIMEOUT_MS, 'who sends too far ahead is cut off')
})

t.test('a body that only trickles is ended', async (t) => {
  const lengths = ['Content-Length: 50000', 'Content-Length: 5000000']
  const texts = await Promise.all(lengths.map(trickle))
  for (const text of texts) t.same(statusesIn(text), [408])
  t.equal((await call('GET', '/v1/AUTH_test/private/slow', { headers: owner })).status, 404)
})

/** An upload of a byte now and then, never silent for the client's time: what came back in the end. */
function trickle(length: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  const head = `PUT /v1/AUTH_test/private/slow HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${token}\r\n`
  socket.write(`${head}${length}\r\n\r\n`)
  const dripping = setInterval(() => socket.write('x'), CLIENT_TIMEOUT_MS / 4)
  return new Promise((resolve) => {
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.on('close', () => {
      clearInterval(dripping)
      resolve(text)
    })
  })
}

t.test('a listing of many lookups ends with its client', async (t) => {
  await call('PUT', '/v1/AUTH_test/folders', { headers: owner })
  for (let i = 0; i < 300; i++) {
    await call('PUT', `/v1/AUTH_test/folders/${i}/x`, { headers: owner, body: '' })
  }
  const socket = silentClient(
    `GET /v1/AUTH_test/folders?path=&limit=1 HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${token}\r\n\r\n`,
  )
  // The question itself is in flight, too.
  const inFlight = async () => JSON.parse((await call('GET', '/recon/requests')).body).inFlight
  const deadline = performance.now() + 5000
  while ((await inFlight()) < 2 && performance.now() < deadline);
  socket.destroy()
  await until(
    () => linesOf('/v1/AUTH_test/folders').some((line) => line.query !== undefined),
    'end',
  )
  const [line] = linesOf('/v1/AUTH_test/folders').filter(({ query }) => query !== undefined)
  t.equal(line?.status, 499)
})

t.test('guesses that come at once count like others', async (t) => {
  const guess = (user: string, key: string) =>
    call('GET', '/auth/v1.0', { headers: { 'x-auth-user': user, 'x-auth-key': key } })
  const guesses = await Promise.all(
    Array.from({ length: 60 }, (_, i) => guess('test5:tester5', `wrong${i}`)),
  )
  const wrong = guesses.filter(({ status }) => status === 401).length
  t.ok(wrong >= 20 && wrong <= 24, `${wrong} keys were looked at`)
  t.equal(guesses.filter(({ status }) => status === 429).length, 60 - wrong)
  // Names that nobody can have are not remembered: megabytes of them could be sent.
  const long = `${'a'.repeat(8000)}:b`
  for (let i = 0; i < 25; i++) t.equal((await guess(long, 'key')).status, 401)
})

t.test('an account’s name gives its users no rights', async (t) => {
  const names = [
    '.reseller_admin:a',
    '.admin:a',
    'AUTH_test:a',
    'SERVICE_test:a',
    'service:a',
    '.r:a',
  ]
  for (const name of names) {
    await t.rejects(addUser(new Map(), { name, key: 'key', groups: [] }, systemRandom), {
      code: 'BadUserName',
      status: 400,
    })
  }
})

t.test('a storage node answers nobody without the cluster’s key', async (t) => {
  const context = { clock: systemClock, random: systemRandom, log: silentLog }
  const node = await openLocalNode({ ...context, devices: [{ name: 'd1', path: t.testdir() }] })
  const clusterKey = 'k'.repeat(32)
  const server = await serveStorageNode(node, { host: '127.0.0.1', port: 0, clusterKey })
  t.teardown(async () => {
    await server.close()
    await node.close()
  })
  const path = operationPath('status')
  const message = encodeMessage({})
  const headBytes = messageHead(message)
  const ask = (authorization: string, body = message) =>
    rawExchange(
      server.port,
      Buffer.concat([
        Buffer.from(
          `POST ${path} HTTP/1.1\r\nHost: x\r\nx-swiftlet-wire: ${WIRE_VERSION}\r\n${authorization}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n`,
        ),
        body,
      ]),
    )
  const signed = (signedPath: string, key: string, offMs: number) =>
    `Authorization: ${signRequest({ path: signedPath, headBytes }, key, Date.now() + offMs)}\r\n`
  t.same(statusesIn(await ask(signed(path, clusterKey, 0))), [200])
  const refused = [
    ['another key', signed(path, 'x'.repeat(32), 0)],
    ['another operation', signed(operationPath('read'), clusterKey, 0)],
    ['long ago', signed(path, clusterKey, -600_000)],
    ['in the future', signed(path, clusterKey, 600_000)],
    ['no signature', ''],
  ] as const
  for (const [name, authorization] of refused) {
    t.same(statusesIn(await ask(authorization)), [401], name)
  }
  t.same(statusesIn(await ask(signed(path, clusterKey, 0), encodeMessage({ a: 1 }))), [401])
  // Refused before its body is there, so that the bodies of strangers are not kept.
  const early = `POST ${path} HTTP/1.1\r\nHost: x\r\nx-swiftlet-wire: ${WIRE_VERSION}\r\nContent-Length: 1000000\r\n\r\n`
  t.same(statusesIn(await rawExchange(server.port, early)), [401])
})
