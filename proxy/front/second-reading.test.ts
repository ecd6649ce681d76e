/**
 * Raw bytes in targets: what is taken, what is refused, and that a second reading never finds other requests than a
 * single one would (RFC 9112 chapter 11). The measure is node:http itself, reading the same bytes with a letter in the
 * place of each raw one.
 */
import { once } from 'node:events'
import { createServer, METHODS, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { type SeededRandom, seededRandom } from '../../test/support/seeded-random.ts'
import type { ParserError } from '../parser-refusal.ts'
import { HttpSockets } from './http-sockets.ts'
import { beginsWithRawTarget, escapeTarget, REQUEST_LINE_BYTES_MAX } from './raw-target.ts'
import { SecondReading } from './second-reading.ts'

const bytes = (text: string) => Buffer.from(text, 'latin1')
const begins = (text: string) => beginsWithRawTarget(bytes(text), text.search(/[\x80-\xff]/))
const escapedText = (text: string) => escapeTarget(bytes(text))?.toString('latin1')

t.test('a packet that begins with a request of a raw target is known as one', async (t) => {
  for (const text of ['GET /\xc3\xa9', 'PUT /v1/a/c\xff HTTP/1.1\r\n', 'COPY /a?b=c&d=\x80']) {
    t.ok(begins(text), text)
  }
  const others: Readonly<Record<string, string>> = {
    'the end of something else in front': '67890GET /\xc3',
    'an empty line in front': '\r\nGET /\xc3',
    'a request in front': 'GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /\xc3',
    'the rest of a method': 'T /\xc3',
    'an unknown method': 'BREW /\xc3',
    'a method in small letters': 'get /\xc3',
    'two blanks': 'GET  /\xc3',
    'a blank in the target': 'GET /a b\xc3',
    'a tab in the target': 'GET /a\tb\xc3',
    'a line feed in the target': 'GET /a\nb\xc3',
    'a zero byte in the target': 'GET /a\0b\xc3',
    'a fragment': 'GET /a#b\xc3',
    'a whole URL': 'GET http://x/\xc3',
    'no slash': 'GET \xc3',
    'another protocol': 'GET_PARAMETER /\xc3',
  }
  for (const [name, text] of Object.entries(others)) t.notOk(begins(text), name)
  t.notOk(beginsWithRawTarget(bytes('GET /a'), 5), 'refused for another byte')
  t.notOk(beginsWithRawTarget(bytes('GET /a'), 6), 'refused behind the packet')
  // In front of the packet there may be a part of a method.
  const taken = METHODS.filter((method) => begins(`${method} /\xc3`))
  const ends = METHODS.flatMap((method) =>
    taken.filter((end) => method !== end && method.endsWith(end)),
  )
  t.ok(taken.length > 5)
  t.strictSame(ends, [], 'no method ends with one that is taken')
  const tails = taken.flatMap((method) =>
    METHODS.filter((end) => method !== end && method.endsWith(end)),
  )
  t.strictSame(tails, [], 'and none of these with any other')
})

t.test('the target is escaped, and nothing else', async (t) => {
  t.equal(
    escapedText('GET /v1/\xc3\xa9/%20?a=\xff HTTP/1.1\r\nX: \xe9\r\n\r\n\xe9'),
    'GET /v1/%C3%A9/%20?a=%FF HTTP/1.1\r\nX: \xe9\r\n\r\n\xe9',
  )
  t.equal(escapedText('GET /\xc3 HTTP/1.0\r\n'), 'GET /%C3 HTTP/1.0\r\n')
  t.equal(escapeTarget(bytes('GET /\xc3 HTTP/1.1\r')), undefined, 'the line is not complete')
  t.equal(escapeTarget(bytes(`GET /\xc3${'a'.repeat(REQUEST_LINE_BYTES_MAX)}`)), null, 'too long')
  for (const line of [
    'GET /\xc3',
    'GET /\xc3 b HTTP/1.1',
    'GET /\xc3  HTTP/1.1',
    'GET /\xc3\tb HTTP/1.1',
    'GET /\xc3\nb HTTP/1.1',
    'GET /\xc3#b HTTP/1.1',
    'GET /\xc3 HTTP/2.0',
    'GET /\xc3 HTTP/1.1 ',
    'BREW /\xc3 HTTP/1.1',
  ]) {
    t.equal(escapeTarget(bytes(`${line}\r\n\r\n`)), null, JSON.stringify(line))
  }
})

const STREAMS = 400
const PARALLEL = 40

interface Seen {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly body: string
}

interface Rig {
  readonly port: number
  /** What came over each connection, by the client's port. */
  readonly seen: Map<number | undefined, Seen[]>
  /** How many connections had a second reading. */
  readonly again: () => number
}

/** node:http, with a second reading or without. */
async function openServer(t: Test, withSecond: boolean): Promise<Rig> {
  const seen = new Map<number | undefined, Seen[]>()
  const busy = new Set<Socket>()
  let again = 0
  const server = createServer((req, res) => {
    let body = ''
    busy.add(req.socket)
    req.setEncoding('latin1').on('data', (piece: string) => {
      body += piece
    })
    req.on('end', () => {
      const before = seen.get(req.socket.remotePort) ?? []
      seen.set(req.socket.remotePort, [...before, { method: req.method, url: req.url, body }])
      res.end('.', () => busy.delete(req.socket))
    })
  })
  if (withSecond) {
    openSecond(server, busy, () => {
      again++
    })
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, seen, again: () => again }
}

function openSecond(server: Server, busy: ReadonlySet<Socket>, onAgain: () => void): void {
  const accept = (socket: Socket) => sockets.give(socket)
  const sockets = new HttpSockets(server, 'connection', accept)
  const second = new SecondReading({
    sockets,
    lineTimeoutMs: 60_000,
    accept,
    refuse: (_error, socket) => socket.destroy(),
  })
  server.on('clientError', (error: ParserError, socket) => {
    if (busy.has(socket as Socket) || !second.begin(error, socket as Socket)) socket.destroy()
    else onAgain()
  })
}

/** Sends the pieces, each when the one before has gone, or when so many requests were answered; returns what was seen. */
async function send({ port, seen }: Rig, pieces: readonly Piece[]): Promise<readonly Seen[]> {
  const socket = connect(port, '127.0.0.1').setNoDelay(true)
  await once(socket, 'connect')
  const { localPort } = socket
  let answers = 0
  let notify = () => {}
  let isOpen = true
  socket.setEncoding('latin1').on('data', (text: string) => {
    answers += text.split('HTTP/1.1 200').length - 1
    notify()
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    isOpen = false
    notify()
  })
  for (const { text, answersBefore } of pieces) {
    while (isOpen && answers < answersBefore) {
      await new Promise<void>((resolve) => {
        notify = resolve
      })
    }
    if (!isOpen) break
    await new Promise<void>((resolve) => socket.write(bytes(text), () => setImmediate(resolve)))
  }
  // Whoever still waits for more gets the end; what was answered before it comes in its order.
  socket.end()
  while (isOpen) {
    await new Promise<void>((resolve) => {
      notify = resolve
    })
  }
  return seen.get(localPort) ?? []
}

interface Piece {
  readonly text: string
  readonly answersBefore: number
}

t.test('a kept connection takes raw targets again and again', async (t) => {
  const rig = await openServer(t, true)
  const targets = ['/\xc3\xa9', '/plain', '/a?b=\xff', '/\xf0\x9f\x8c\x8a', '/plain', '/\x80']
  const requests = targets.map((target, i) =>
    i % 2 === 0
      ? `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`
      : `PUT ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc`,
  )
  // One more comes in two pieces, the line being cut within its target.
  const pieces = requests.map((text, i) => ({ text, answersBefore: i }))
  const last = 'GET /\xc3\xa9nd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  pieces.push({ text: last.slice(0, 6), answersBefore: 6 })
  pieces.push({ text: last.slice(6), answersBefore: 6 })
  const seen = await send(rig, pieces)
  t.strictSame(
    seen.map(({ url }) => url),
    ['/%C3%A9', '/plain', '/a?b=%FF', '/%F0%9F%8C%8A', '/plain', '/%80', '/%C3%A9nd'],
  )
  t.equal(rig.again(), 5)
})

t.test('a second reading finds no other requests than one reading would', async (t) => {
  const seed = Number(process.env.SWIFTLET_SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`SWIFTLET_SEED=${seed}`)
  const random = seededRandom(seed)
  const raw = await openServer(t, true)
  const plain = await openServer(t, false)
  let [full, found] = [0, 0]
  const compare = async (pieces: readonly Piece[]) => {
    const [one, other] = await Promise.all([
      send(raw, pieces),
      send(plain, pieces.map(withLetters)),
    ])
    const letters = one.map((seen) => ({
      ...seen,
      url: seen.url?.replace(/%[89A-F][0-9A-F]/g, 'Z'),
      body: seen.body.replace(/[\x80-\xff]/g, 'Z'),
    }))
    found += one.length
    if (one.length === other.length) full++
    // Where it is not certain the connection ends: fewer, but never others.
    const wanted = other.slice(0, one.length)
    const isSame = JSON.stringify(letters) === JSON.stringify(wanted)
    if (!isSame) t.strictSame(letters, wanted, JSON.stringify(pieces))
  }
  // No two connections of a round have the same port.
  for (let round = 0; round < STREAMS / PARALLEL; round++) {
    const streams = Array.from({ length: PARALLEL }, (_, i) => examplePieces(random, i % 2 === 1))
    await Promise.all(streams.map(compare))
    raw.seen.clear()
    plain.seen.clear()
  }
  t.comment(
    `${found} requests, ${raw.again()} second readings, ${full} of ${STREAMS} streams whole`,
  )
  t.ok(raw.again() > 100, 'and there were second readings')
  t.ok(full > 100)
})

const withLetters = ({ text, answersBefore }: Piece): Piece => ({
  text: text.replace(/[\x80-\xff]/g, 'Z'),
  answersBefore,
})

/** Some requests, many with raw targets; each waits for its turn, or is sent ahead, or cut in two. */
function examplePieces(random: SeededRandom, isDamaged: boolean): Piece[] {
  const pieces: Piece[] = []
  for (let i = 1 + random.below(4), answersBefore = 0; i > 0; i--) {
    const whole = exampleRequest(random)
    const text = isDamaged ? damaged(whole, random) : whole
    const isAhead = random.below(4) === 0
    const at = random.below(3) === 0 ? random.below(text.length) : 0
    // What is damaged may never be answered: nobody waits for it.
    const before = isAhead || isDamaged ? 0 : answersBefore
    if (at > 0) pieces.push({ text: text.slice(0, at), answersBefore: before })
    pieces.push({ text: text.slice(at), answersBefore: before })
    answersBefore++
  }
  return pieces
}

const RAW = ['\xc3\xa9', '\xff', '\xf0\x9f\x8c\x8a', '\x80']

function exampleRequest(random: SeededRandom): string {
  const raw = random.below(3) === 0 ? '' : RAW[random.below(RAW.length)]!
  const target = `/v1/a${raw}/c${random.below(2) === 0 ? `?x=${raw}` : ''}`
  const hidden = `GET /hidden${raw} HTTP/1.1\r\nHost: x\r\n\r\n`
  switch (random.below(4)) {
    case 0:
      return `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`
    case 1:
      return `PUT ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`
    case 2:
      return `PUT ${target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`
    default:
      return `DELETE ${target} HTTP/1.1\r\nX-Meta: ${raw}\r\nHost: x\r\n\r\n`
  }
}

const DAMAGE = [' ', '\t', '\r', '\n', '\r\n', '\r\n\r\n', ':', '\0', '#', '?', '0', '9', 'GET /']

function damaged(text: string, random: SeededRandom): string {
  let out = text
  for (let left = random.below(3); left > 0; left--) {
    const at = random.below(out.length)
    const put = random.below(3) === 0 ? '' : DAMAGE[random.below(DAMAGE.length)]!
    out = out.slice(0, at) + put + out.slice(at + random.below(2))
  }
  return out
}
