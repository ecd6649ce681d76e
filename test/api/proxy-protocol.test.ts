/** Connections that begin with a PROXY protocol header, as load balancers make them, and those that do not. */
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { Registry } from 'prom-client'
import t from 'tap'
import { BLOCK_BYTES_MAX, LINE_BYTES_MAX, readProxyHeader } from '../../proxy/front/proxy-header.ts'
import type { ClusterStatus } from '../../proxy/status/cluster-status.ts'
import { makeCertificate } from '../support/certificate.ts'
import { httpClient, rawExchange, statusesIn } from './http-client.ts'
import { openS3Store, presign, sendSigned } from './s3-store.ts'

const store = await openS3Store(t.testdir(), {
  readStatus: async () => ({}) as ClusterStatus,
})
const client = httpClient(store.port)
const signedIn = await client.call('GET', '/auth/v1.0', {
  headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' },
})
const token = signedIn.headers['x-auth-token']!
const KEY = { 'x-auth-token': token, 'x-account-meta-temp-url-key': 'secret' }
await client.call('POST', '/v1/AUTH_test', { headers: KEY })
await client.call('PUT', '/v1/AUTH_test/c', { headers: KEY })
await client.call('PUT', '/v1/AUTH_test/c/o', { headers: KEY, body: 'hello' })

const POLICY = {
  Version: '2012-10-17',
  Statement: [
    {
      Effect: 'Deny',
      Principal: '*',
      Action: 's3:GetObject',
      Resource: 'arn:aws:s3:::places/*',
      Condition: { IpAddress: { 'aws:SourceIp': ['203.0.113.0/24'] } },
    },
  ],
}
for (const [path, body] of [
  ['/places', ''],
  ['/places/o', 'hello'],
  ['/places?policy', JSON.stringify(POLICY)],
] as const) {
  await sendSigned(store.port, { method: 'PUT', path, body })
}

const BALANCERS = { proxyProtocol: { trusted: ['10.0.0.0/8', '127.0.0.0/8'] } }
const made = makeCertificate(t.testdir())
const tls = made && { cert: readFileSync(made.cert), key: readFileSync(made.key) }
const metrics = new Registry()
const plain = (await store.openBeside({ layers: BALANCERS, metrics })).port
const secure =
  tls && (await store.openBeside({ layers: BALANCERS, tls, metrics: new Registry() })).port
const DOORS = [{ name: 'http', port: plain, isTls: false }].concat(
  secure === null ? [] : [{ name: 'https', port: secure, isTls: true }],
)

const line = (text: string) => Buffer.from(`PROXY ${text}\r\n`, 'latin1')
const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
/** `fixed` is version and command, then family and transport. */
function binary(fixed: string, block: Buffer, length = block.length): Buffer {
  const size = Buffer.alloc(2)
  size.writeUInt16BE(length)
  return Buffer.concat([SIGNATURE, Buffer.from(fixed, 'hex'), size, block])
}
const FOUR = Buffer.from('cb007107c63364010fa001bb', 'hex')
const SIX = Buffer.from(`20010db8${'0'.repeat(23)}7${'20010db8'.padEnd(32, '0')}0fa001bb`, 'hex')
const TLVS = Buffer.from('030004a1b2c3d4ee0003616263', 'hex')
const V4 = '203.0.113.7'
const V6 = '2001:db8::7'

/** Headers, and whose connection each says it is; null: the balancer's own. */
const HEADERS: readonly (readonly [name: string, header: Buffer, address: string | null])[] = [
  ['version 1, IPv4', line(`TCP4 ${V4} 198.51.100.1 4000 443`), V4],
  ['version 1, IPv6', line('TCP6 2001:DB8:0:0:0:0:0:7 2001:db8:: 4000 443'), V6],
  ['version 1, unknown', line('UNKNOWN'), null],
  ['version 1, unknown with a rest', line('UNKNOWN ffff::1 ffff::2 what ever'), null],
  ['version 1, the longest', line(`UNKNOWN ${'x'.repeat(LINE_BYTES_MAX - 16)}`), null],
  ['version 2, IPv4', binary('2111', FOUR), V4],
  ['version 2, IPv6', binary('2121', SIX), V6],
  ['version 2, with TLVs', binary('2111', Buffer.concat([FOUR, TLVS])), V4],
  ['version 2, the longest', binary('2121', Buffer.concat([SIX], BLOCK_BYTES_MAX)), V6],
  ['version 2, local', binary('2000', Buffer.alloc(0)), null],
  ['version 2, local with addresses', binary('2011', FOUR), null],
  ['version 2, local of what nobody knows', binary('20ff', TLVS), null],
  ['version 2, unspecified', binary('2100', TLVS), null],
]

const NO_HEADERS: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['a request', Buffer.from('GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['a TLS client', Buffer.from('16030100c8010000c40303', 'hex')],
  ['a line in small letters', Buffer.from('proxy UNKNOWN\r\n')],
  ['something before it', Buffer.concat([Buffer.from('\r\n'), line('UNKNOWN')])],
  ['no carriage return', Buffer.from(`PROXY TCP4 ${V4} ${V4} 1 2\n`)],
  ['a carriage return within', line('UNKNOWN a\rb')],
  ['a line that is too long', line(`UNKNOWN ${'x'.repeat(LINE_BYTES_MAX - 15)}`)],
  ['a line that does not end', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(LINE_BYTES_MAX)}`)],
  ['UNKNOWN and more letters', line('UNKNOWNS')],
  ['a family of nobody', line(`TCP5 ${V4} ${V4} 1 2`)],
  ['UDP', line(`UDP4 ${V4} ${V4} 1 2`)],
  ['two spaces', line(`TCP4 ${V4}  ${V4} 1 2`)],
  ['a port too few', line(`TCP4 ${V4} ${V4} 1`)],
  ['a port too many', line(`TCP4 ${V4} ${V4} 1 2 3`)],
  ['a port too large', line(`TCP4 ${V4} ${V4} 65536 2`)],
  ['a port with a zero before it', line(`TCP4 ${V4} ${V4} 1 02`)],
  ['a negative port', line(`TCP4 ${V4} ${V4} -1 2`)],
  ['IPv6 as IPv4', line(`TCP4 ${V6} ${V6} 1 2`)],
  ['IPv4 as IPv6', line(`TCP6 ${V4} ${V4} 1 2`)],
  ['a name', line('TCP4 localhost localhost 1 2')],
  ['octal numbers', line(`TCP4 0127.0.0.1 ${V4} 1 2`)],
  ['an address with a zone', line('TCP6 fe80::1%lo fe80::2 1 2')],
  ['bytes beyond ASCII', line(`TCP4 ${V4}\u00a0 ${V4} 1 2`)],
  ['version 1 of the binary form', binary('1111', FOUR)],
  ['version 3 of it', binary('3111', FOUR)],
  ['a command of nobody', binary('2211', FOUR)],
  ['datagrams', binary('2112', FOUR)],
  ['a socket of a file system', binary('2131', Buffer.alloc(216))],
  ['a family of nobody, binary', binary('2141', FOUR)],
  ['addresses cut off', binary('2111', FOUR.subarray(0, 11))],
  ['IPv6 addresses cut off', binary('2121', SIX.subarray(0, 35))],
  ['a block that is too long', binary('2111', FOUR, BLOCK_BYTES_MAX + 1)],
  ['a local block that is too long', binary('2000', FOUR, 0xffff)],
  [
    'a signature with one bit turned',
    Buffer.concat([SIGNATURE.subarray(0, 11), Buffer.from('\x0b')]),
  ],
]

t.test('a header is read when it is whole, and no byte more', async (t) => {
  for (const [name, header, address] of HEADERS) {
    const headerBytes = header.length
    const found = readProxyHeader(Buffer.concat([header, line('TCP4 1.1.1.1 1.1.1.1 1 1')]))
    t.match(found, { headerBytes, client: address === null ? null : { address, port: 4000 } }, name)
    t.match(readProxyHeader(header), { headerBytes })
    const early = Array.from({ length: headerBytes }, (_, bytes) => header.subarray(0, bytes))
    t.ok(
      early.every((part) => readProxyHeader(part) === undefined),
      `${name}, in parts`,
    )
  }
  for (const [name, bytes] of NO_HEADERS) t.equal(readProxyHeader(bytes), null, name)
})

/** A balancer's way to the store: its header goes before the client's first bytes, in one piece with them. */
class Balancer extends Duplex {
  readonly #below: Socket
  #header: Buffer | null

  constructor(port: number, header: Buffer) {
    super({ allowHalfOpen: true })
    this.#header = header
    this.#below = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#below.on('data', (piece) => this.push(piece)).on('end', () => this.push(null))
    this.#below.on('error', () => {}).on('close', () => this.destroy())
  }

  override _read(): void {}

  override _write(piece: Buffer, _encoding: unknown, done: () => void): void {
    const header = this.#header
    this.#header = null
    this.#below.write(header === null ? piece : Buffer.concat([header, piece]), () => done())
  }
}

/** Whether it ended well or by a reset is not promised. */
const closeOf = (socket: Duplex) => new Promise((resolve) => socket.once('close', resolve))

/** Everything that comes back for it, until the store closes. */
async function ask(
  { port, isTls }: { readonly port: number; readonly isTls: boolean },
  header: Buffer,
  text: string,
): Promise<string> {
  const below = new Balancer(port, header)
  const socket = isTls ? connectTls({ socket: below, ca: tls!.cert, host: 'localhost' }) : below
  let answer = ''
  socket.on('data', (piece: Buffer) => (answer += piece.toString('latin1'))).on('error', () => {})
  const closed = closeOf(socket)
  socket.on('end', () => socket.end())
  socket.write(text)
  await closed
  return answer
}

const get = (path: string, fields = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}`
const LAST = 'Connection: close\r\n\r\n'
const AUTH = `X-Auth-Token: ${token}\r\n`
const clientOf = (path: string) => store.lines.find((entry) => entry.path === path)?.client

let asked = 0
for (const door of DOORS) {
  t.test(`${door.name}: the log has the address that the header tells`, async (t) => {
    for (const [name, header, address] of HEADERS) {
      // The first is answered by node:http, the others without it where there is no TLS.
      const path = `/v1/AUTH_test/c/${++asked}`
      const text = `${get('/healthcheck')}\r\n${get(`${path}a`, AUTH)}\r\n`
      const answers = await ask(door, header, text + get(path, AUTH + LAST))
      t.same(statusesIn(answers), [200, 404, 404], name)
      t.equal(clientOf(path), address ?? '127.0.0.1', `${name}: its address`)
      t.match(await ask(door, header, get(`${path}b`, AUTH + LAST)), /^HTTP\/1.1 404 /)
      t.equal(clientOf(`${path}b`), address ?? '127.0.0.1', `${name}: at once`)
    }
  })

  t.test(
    `${door.name}: what is sent ahead is answered in turn, and a second header is no header`,
    async (t) => {
      const [, header] = HEADERS[0]!
      const path = `/v1/AUTH_test/c/ahead-${door.name}`
      const put = `PUT ${path} HTTP/1.1\r\nHost: x\r\n${AUTH}Content-Length: 3\r\n\r\nabc`
      const reads = `${get(path, AUTH)}\r\n${get(path, `${AUTH}TE: trailers\r\n`)}\r\n${get(path, AUTH)}`
      const answers = await ask(door, header, put + reads + LAST)
      t.same(statusesIn(answers), [201, 200, 200, 200])
      t.equal(answers.match(/\r\n\r\nabc/g)?.length, 3)
      const twice = await ask(
        door,
        header,
        `${line('TCP4 1.1.1.1 1.1.1.1 1 1')}${get(path, AUTH + LAST)}`,
      )
      t.same(statusesIn(twice), [400])
    },
  )

  t.test(`${door.name}: a temporary URL of a range is for whom the header names`, async (t) => {
    const path = '/v1/AUTH_test/c/o'
    const signed = (range: string) => {
      const text = `ip=${range}\nGET\n4000000000\n${path}`
      const sig = createHmac('sha256', 'secret').update(text).digest('hex')
      return `${path}?temp_url_sig=${sig}&temp_url_expires=4000000000&temp_url_ip_range=${range}`
    }
    for (const [, header, address] of HEADERS) {
      const own = [V4, V6].map((range) => (range === address ? 200 : 401))
      for (const [at, range] of [V4, V6].entries()) {
        t.same(statusesIn(await ask(door, header, get(signed(range), LAST))), [own[at]])
      }
    }
  })

  t.test(
    `${door.name}: nobody is on this machine by what a header says, or does not`,
    async (t) => {
      const request = `GET /status.json HTTP/1.1\r\nHost: localhost\r\n${LAST}`
      for (const text of ['TCP4 127.0.0.1 127.0.0.1 1 2', 'UNKNOWN']) {
        t.same(statusesIn(await ask(door, line(text), request)), [401])
      }
      t.same(statusesIn(await rawExchange(store.port, request)), [200], 'but who connects from it')
    },
  )
}

for (const door of DOORS) {
  t.test(`${door.name}: aws:SourceIp is the address that the header tells`, async (t) => {
    for (const [name, header, address] of HEADERS) {
      const status = address === V4 ? 403 : 200
      const asked = [get('/v1/AUTH_test/places/o', AUTH), get(presign('GET', '/places/o', 'x'))]
      const answers = await ask(door, header, `${asked[0]}\r\n${asked[1]}${LAST}`)
      t.same(statusesIn(answers), [status, status], name)
    }
  })
}

t.test('a header may come byte by byte', async (t) => {
  for (const [at, [name, header, address]] of HEADERS.entries()) {
    if (header.length > LINE_BYTES_MAX) continue
    const path = `/v1/AUTH_test/c/slowly-${at}`
    const socket = connect({ port: plain, host: '127.0.0.1', noDelay: true })
    const text = get(path, AUTH + LAST)
    let answer = ''
    socket.on('data', (piece) => (answer += piece))
    for (const byte of Buffer.concat([header, Buffer.from(text)])) {
      await new Promise((resolve) => socket.write(Buffer.of(byte), resolve))
    }
    await closeOf(socket)
    t.same(statusesIn(answer), [404], name)
    t.equal(clientOf(path), address ?? '127.0.0.1')
  }
})

const countOf = async (registry: Registry, reason: string) => {
  const text = await registry.getSingleMetricAsString('swiftlet_proxy_header_refusals_total')
  return Number(text.match(new RegExp(`reason="${reason}"} (\\d+)`))?.[1])
}

t.test('what begins with anything else is closed without an answer, and counted', async (t) => {
  for (const [name, bytes] of NO_HEADERS) {
    t.equal(await rawExchange(plain, Buffer.concat([bytes, line('UNKNOWN')])), '', name)
    if (secure !== null) t.equal(await rawExchange(secure, bytes), '', `${name}, before TLS`)
  }
  t.equal(await rawExchange(plain, 'PROXY TCP4', { halfClose: true }), '')
  t.equal(await countOf(metrics, 'malformed'), NO_HEADERS.length)
  t.equal(await countOf(metrics, 'ended'), 1)
  t.equal((await countOf(metrics, 'late')) + (await countOf(metrics, 'untrusted')), 0)
})

t.test(
  'a header that does not come in time ends the connection, however it trickles',
  async (t) => {
    const slow = new Registry()
    const { port } = await store.openBeside({
      layers: { proxyProtocol: {} },
      clientTimeoutMs: 300,
      metrics: slow,
    })
    const start = binary('2111', FOUR, BLOCK_BYTES_MAX)
    t.equal(await rawExchange(port, ''), '', 'nothing')
    t.equal(await rawExchange(port, start), '', 'a part')
    const socket = connect({ port, host: '127.0.0.1' }).on('error', () => {})
    socket.write(start)
    const trickle = setInterval(() => socket.write('x'), 20)
    socket.resume()
    await closeOf(socket)
    clearInterval(trickle)
    t.equal(await countOf(slow, 'late'), 3)
  },
)

t.test(
  'without balancers that are trusted everybody is one; who is none gets nowhere',
  async (t) => {
    const strange = new Registry()
    const other = { proxyProtocol: { trusted: ['10.0.0.0/8', '2001:db8::/32'] } }
    const stranger = await store.openBeside({ layers: other, metrics: strange })
    const request = `${line(`TCP4 10.0.0.1 10.0.0.1 1 2`)}${get('/healthcheck', LAST)}`
    t.equal(await rawExchange(stranger.port, request), '')
    t.equal(await countOf(strange, 'untrusted'), 1)
    const anybody = await store.openBeside({
      layers: { proxyProtocol: {} },
      metrics: new Registry(),
    })
    t.same(statusesIn(await rawExchange(anybody.port, request)), [200])
    t.same(statusesIn(await rawExchange(store.port, request)), [400], 'as long as it is not set')
  },
)

t.test('the store does not wait for headers when it closes', async (t) => {
  client.close()
  const socket = connect({ port: plain, host: '127.0.0.1' }).on('error', () => {})
  const closed = closeOf(socket.resume())
  socket.write('PROXY')
  // Connections are taken in turn: when the second is answered the first has been taken.
  await rawExchange(plain, `${line('UNKNOWN')}${get('/healthcheck', LAST)}`)
  await store.close()
  await closed
  t.equal(await countOf(metrics, 'late'), 0)
  t.equal(await countOf(metrics, 'ended'), 2)
})
