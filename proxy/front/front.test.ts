/**
 * The plain head against node:http's parser: whatever the short reader takes, the long one has to read in the same way,
 * byte for byte. What two readers could read differently (RFC 9112 chapter 11) it has to leave alone. And reads past a
 * socket's stream: every byte once, in order, whichever way it comes.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { type AddressInfo, connect, createServer as createNetServer, Socket } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { type SeededRandom, seededRandom } from '../../test/support/seeded-random.ts'
import { Exchange } from '../exchange.ts'
import { isObjectUrl } from '../hot-path.ts'
import { readByStream, readDirectly } from './direct-reads.ts'
import { PlainReply } from './plain-reply.ts'
import {
  PLAIN_HEAD_BYTES_MAX,
  type PlainFields,
  type PlainRules,
  readPlainHead,
} from './request-head.ts'

const BODY_MAX = 64 * 1024
const readFor =
  (takes: PlainRules['takes']) =>
  (text: string, known: PlainFields | null = null) =>
    readPlainHead(Buffer.from(text, 'latin1'), { bodyBytesMax: BODY_MAX, takes }, known)
/** As for a store that does not speak S3. */
const read = readFor(({ url }) => isObjectUrl(url))
const readAny = readFor(() => true)
const head = (line: string, ...fields: readonly string[]) =>
  `${[line, 'Host: x', ...fields].join('\r\n')}\r\n\r\n`
const put = (...fields: readonly string[]) => head('PUT /v1/a/c/o HTTP/1.1', ...fields)
const get = (...fields: readonly string[]) => head('GET /v1/a/c/o HTTP/1.1', ...fields)

t.test('a plain head is read', async (t) => {
  const found = read(`${put('Content-Length: 3', 'X-Object-Meta-A:\t b c \t', 'ETag:')}abcrest`)
  t.match(found, { method: 'PUT', url: '/v1/a/c/o', bodyBytes: 3, fields: { keepAlive: null } })
  t.strictSame(
    { ...found?.fields.headers },
    { host: 'x', 'content-length': '3', 'x-object-meta-a': 'b c', etag: '' },
  )
  t.equal(found?.headBytes, put('Content-Length: 3', 'X-Object-Meta-A:\t b c \t', 'ETag:').length)
  t.match(read(get()), { method: 'GET', bodyBytes: 0 })
  t.match(read(head('HEAD /v1/a/c/o?x=%2F HTTP/1.1')), { method: 'HEAD', url: '/v1/a/c/o?x=%2F' })
  t.match(read(head('DELETE /v1/a/c/o/p HTTP/1.1', 'Content-Length: 0')), { method: 'DELETE' })
  t.match(read(get('Connection: keep-alive')), { fields: { keepAlive: true } })
  t.match(read(get('connection: Close')), { fields: { keepAlive: false } })
  t.match(read(get('X-A: \xe9\xff')), { fields: { headers: { 'x-a': '\xe9\xff' } } })
  t.match(readAny(head('GET /?list-type=2 HTTP/1.1')), { url: '/?list-type=2' })
})

t.test('what is not plain is left to node:http', async (t) => {
  const others: Readonly<Record<string, string>> = {
    'an unfinished head': 'GET /v1/a/c/o HTTP/1.1\r\nHost: x\r\n',
    nothing: '',
    'another method': head('POST /v1/a/c/o HTTP/1.1'),
    'a method in small letters': head('get /v1/a/c/o HTTP/1.1'),
    'HTTP/1.0': head('GET /v1/a/c/o HTTP/1.0'),
    'two spaces': head('GET  /v1/a/c/o HTTP/1.1'),
    'a space in the target': head('GET /v1/a/c/o p HTTP/1.1'),
    'a tab in the target': head('GET /v1/a/c/o\tp HTTP/1.1'),
    'bytes beyond ASCII in the target': head('GET /v1/a/c/\xe9 HTTP/1.1'),
    'a fragment': head('GET /v1/a/c/o#p HTTP/1.1'),
    'a whole URL': head('GET http://x/v1/a/c/o HTTP/1.1'),
    'a container': head('GET /v1/a/c HTTP/1.1'),
    'another path': head('GET /info HTTP/1.1'),
    'no Host': 'GET /v1/a/c/o HTTP/1.1\r\nX-A: b\r\n\r\n',
    'an empty Host': 'GET /v1/a/c/o HTTP/1.1\r\nHost:\r\n\r\n',
    'two Hosts': get('Host: y'),
    'a header twice': get('X-A: b', 'x-a: c'),
    'no field at all': 'GET /v1/a/c/o HTTP/1.1\r\n\r\n',
    'a blank before the colon': put('Content-Length : 1'),
    'a folded line': put('X-A: b\r\n c', 'Content-Length: 1'),
    'a bare line feed': put('X-A: b\nContent-Length: 1'),
    'a bare carriage return': put('X-A: b\rContent-Length: 1'),
    'a zero byte': put('X-A: b\0', 'Content-Length: 1'),
    'a delete character': put('X-A: b\x7f', 'Content-Length: 1'),
    'a name beyond ASCII': put('X-\xe9: b', 'Content-Length: 1'),
    'a line without a colon': put('X-A', 'Content-Length: 1'),
    'an empty name': put(': b', 'Content-Length: 1'),
    'a PUT without a length': put(),
    'a length with a sign': put('Content-Length: +1'),
    'a length with a blank behind': put('Content-Length: 1\t'),
    'a length with a zero in front': put('Content-Length: 01'),
    'a list of lengths': put('Content-Length: 1, 1'),
    'a hexadecimal length': put('Content-Length: 0x1'),
    'two lengths': put('Content-Length: 1', 'Content-Length: 1'),
    'a long body': put(`Content-Length: ${BODY_MAX + 1}`),
    'a GET with a body': get('Content-Length: 1'),
    'a coding': put('Transfer-Encoding: chunked'),
    'a length and a coding': put('Content-Length: 1', 'Transfer-Encoding: chunked'),
    'an expectation': put('Content-Length: 1', 'Expect: 100-continue'),
    'an upgrade': get('Upgrade: h2c'),
    'another connection option': get('Connection: keep-alive, Upgrade'),
    'a copy': put('Content-Length: 0', 'X-Copy-From: /c/o'),
    'a very long head': get(`X-A: ${'a'.repeat(PLAIN_HEAD_BYTES_MAX)}`),
  }
  for (const [name, text] of Object.entries(others)) t.equal(read(text), null, name)
})

t.test('fields that were read before are the same only to the byte', async (t) => {
  const text = put('Content-Length: 3', 'X-Object-Meta-A: b')
  const known = read(text)?.fields ?? null
  const again = read(`${text.replace('/o', '/other')}abc`, known)
  t.match(again, { method: 'PUT', url: '/v1/a/c/other', bodyBytes: 3 })
  t.equal(again?.fields, known)
  t.equal(again?.headBytes, text.length + 'ther'.length)
  t.ok(Object.isFrozen(known?.headers), 'what one request drops stays with the others')
  const exchange: Exchange = Object.create(Exchange.prototype, {
    headers: { value: known!.headers, writable: true },
  })
  exchange.dropHeader('x-object-meta-a')
  t.strictSame({ ...exchange.headers }, { host: 'x', 'content-length': '3' })
  for (const other of [
    text.replace('Length: 3', 'Length: 4'),
    text.replace('Host', 'HOST'),
    text.replace('\r\n\r\n', '\r\nX-More: c\r\n\r\n'),
    text.replace('X-Object-Meta-A: b\r\n', ''),
  ]) {
    const found = read(other, known)
    t.not(found?.fields, known)
    t.strictSame(found, read(other))
  }
  const ends = (cut: number) => read(text.slice(0, text.length - cut), known)
  for (let cut = 1; cut < 40; cut++) t.equal(ends(cut), null, `${cut} bytes less`)
  t.equal(read(text.replace('PUT', 'GET'), known), null, 'a GET with the length of a PUT')
  t.equal(read(`${'/'.repeat(PLAIN_HEAD_BYTES_MAX)}${text}`, known), null)
  const long = text.replace('/o', `/${'o'.repeat(PLAIN_HEAD_BYTES_MAX)}`)
  t.equal(read(long, known), null, 'a long target')
})

interface Seen {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

t.test('node:http reads every plain head in the same way', async (t) => {
  const seed = Number(process.env.SWIFTLET_SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`SWIFTLET_SEED=${seed}`)
  const random = seededRandom(seed)
  const seen: Seen[] = []
  const server = createServer((req, res) => {
    let body = ''
    req.setEncoding('latin1').on('data', (piece: string) => {
      body += piece
    })
    req.on('end', () => {
      seen.push({ method: req.method, url: req.url, headers: req.headers, body })
      res.end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const plain: Seen[] = []
  const requests: string[] = []
  for (let i = 0; i < 20_000; i++) {
    const example = exampleHead(random)
    const text = mutated(example, random)
    const found = readAny(text)
    // Beside fields that are known and nearly the same.
    const foundAgain = readAny(text, readAny(example)!.fields)
    if (!isDeepStrictEqual(foundAgain, found)) t.fail('not the same beside known fields', { text })
    if (found === null) continue
    const { method, url, fields, bodyBytes, headBytes } = found
    // What a mutation made of the end of the head is no part of it.
    const body = 'b'.repeat(bodyBytes)
    requests.push(text.slice(0, headBytes) + body)
    plain.push({ method, url, headers: { ...fields.headers }, body })
  }
  t.ok(plain.length > 1_000, `${plain.length} of 20,000 heads were plain`)
  // All in a row, on one connection: a single byte that both count differently would spoil all that follow.
  await new Promise<void>((resolve) => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.on('error', () => {}).on('close', () => resolve())
    const isLast = () => seen.length === plain.length
    // The answers come in order: with the last one all has been read, or the parser gave up before.
    socket.on('data', () => isLast() && socket.destroy())
    socket.write(Buffer.from(requests.join(''), 'latin1'))
  })
  t.equal(seen.length, plain.length, 'every one was a request')
  t.comment(requests[seen.length] ?? 'nothing is left')
  const wrong = plain.flatMap((one, i) => {
    const other = seen[i]
    const same = JSON.stringify(sorted(one)) === JSON.stringify(other && sorted(other))
    return same ? [] : [{ plain: one, full: other, request: requests[i] }]
  })
  t.strictSame(wrong.slice(0, 3), [])
})

function sorted({ headers, ...rest }: Seen): unknown {
  return { ...rest, headers: Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1)) }
}

t.test('no field of an answer leaves its line', async (t) => {
  const socket = new Socket()
  const reply = () =>
    new PlainReply({ socket, keepAliveSeconds: 1, nowMs: () => 0, onEnd() {} }, null)
  // The second time the name is known.
  for (let times = 0; times < 2; times++) {
    reply().writeHead(200, 'OK', ['X-A', 'b\tc \xff', 'Content-Length', '0'])
    for (const value of ['b\r\nX-B: c', 'b\n', '\r', '\0', '\x7f', '\u0100'])
      t.throws(() => reply().writeHead(200, 'OK', ['X-A', value]), { message: /X-A/ })
    for (const name of ['', 'X A', 'X:', 'X-B: c\r\nX-A', 'X\r\n', '\xe9'])
      t.throws(() => reply().writeHead(200, 'OK', [name, 'b']), TypeError)
  }
})

t.test('accepted sockets are read directly, by their stream, and directly again', async (t) => {
  const sent = randomBytes(2 * 2 ** 20)
  const server = createNetServer({ allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const clients = [0, 1].map(() => connect((server.address() as AddressInfo).port, '127.0.0.1'))
  for (const client of clients) client.on('error', () => {}).end(sent)
  const memories = new Set<ArrayBufferLike>()
  const readAll = async (socket: Socket) => {
    const pieces: Buffer[] = []
    let bytes = 0
    const take = (piece: Buffer) => {
      pieces.push(Buffer.from(piece))
      bytes += piece.length
      if (pieces.length % 3 !== 0) return true
      socket.pause()
      setImmediate(() => socket.resume())
      return true
    }
    const direct = (piece: Buffer) => {
      memories.add(piece.buffer)
      if (bytes > sent.length / 4 && bytes < sent.length / 2) readByStream(socket)
      return take(piece)
    }
    socket.on('data', (piece: Buffer) => {
      if (bytes > sent.length / 2) readDirectly(socket, direct)
      take(piece)
    })
    t.ok(readDirectly(socket, direct), 'this node can do it')
    await once(socket, 'end')
    socket.end()
    return Buffer.concat(pieces)
  }
  const reads: Promise<Buffer>[] = []
  server.on('connection', (socket) => reads.push(readAll(socket)))
  await Promise.all(clients.map((client) => once(client.resume(), 'close')))
  for (const read of await Promise.all(reads)) t.ok(read.equals(sent), `${read.length} bytes`)
  t.equal(memories.size, 1, 'all in the same memory')
})

t.test('a socket that cannot be read directly stays as it is', async (t) => {
  const socket = new Socket()
  const before = Object.getOwnPropertySymbols(socket).map((place) => Reflect.get(socket, place))
  t.notOk(readDirectly(socket, () => true))
  readByStream(socket)
  const after = Object.getOwnPropertySymbols(socket).map((place) => Reflect.get(socket, place))
  t.strictSame(after, before)
})

const LINES = [
  'GET /v1/a/c/o',
  'PUT /v1/a/c/o',
  'HEAD /v1/a/c/o%20p',
  'DELETE /v1/a/c/o?x=y;z',
  'GET /',
  'PUT /bucket//k*y?tagging',
]
const FIELDS = [
  'Host: localhost:8080',
  'Accept: */*',
  'User-Agent: curl/7.88.1',
  'X-Auth-Token: AUTH_tk0123456789abcdef',
  'Content-Type: text/plain; charset="utf-8"',
  'X-Object-Meta-Name: \xc3\xa9t\xc3\xa9',
  'ETag:\t"d41d8cd98f00b204e9800998ecf8427e" ',
  'If-None-Match: *',
  'Connection: keep-alive',
  'X-Empty:',
  'Range: bytes=0-1,3-',
]

function exampleHead(random: SeededRandom): string {
  const line = LINES[random.below(LINES.length)]!
  const fields = FIELDS.filter((_, i) => i === 0 || random.below(2) === 0)
  if (line.startsWith('PUT')) fields.push(`Content-Length: ${random.below(20)}`)
  for (let i = fields.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    ;[fields[i], fields[j]] = [fields[j]!, fields[i]!]
  }
  return `${line} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`
}

/** Bytes that mean something in HTTP, put in, taken out, or in the place of others; often none. */
function mutated(text: string, random: SeededRandom): string {
  const bytes = [
    ' ',
    '\t',
    '\r',
    '\n',
    '\r\n',
    ':',
    ',',
    ';',
    '\0',
    '\x0b',
    '\x7f',
    '\xff',
    '"',
    '%',
    '#',
    '?',
    '0',
    'a',
  ]
  let out = text
  for (let left = random.below(4); left > 0; left--) {
    const at = random.below(out.length)
    const cut = random.below(2)
    const put = random.below(3) === 0 ? '' : bytes[random.below(bytes.length)]!
    out = out.slice(0, at) + put + out.slice(at + cut)
  }
  return out
}
