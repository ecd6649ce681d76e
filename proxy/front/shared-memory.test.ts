/**
 * Many clients at a time against what plain connections share: the buffer that all of a thread read into, the slabs that
 * bodies are cut from, fields and names that are known from the request before. Each client has its names to itself, so
 * that every answer and every byte stored is known beforehand, however the requests of different clients meet; bodies are
 * requests that a smuggler would hide, and the store is slow now and then. SWIFTLET_SEED repeats what the clients send.
 */
import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { httpClient } from '../../test/api/http-client.ts'
import { openS3Store } from '../../test/api/s3-store.ts'
import { LONG, probeSeed, shortOrLong } from '../../test/probe/support/scale.ts'
import { type SeededRandom, seededRandom } from '../../test/support/seeded-random.ts'

const CLIENTS = shortOrLong(20, 48)
const ROUNDS = shortOrLong(20, 400)
const REQUESTS_AHEAD_MAX = 6
const NAMES = 6
const BODY_BYTES_MAX = 64 * 1024
/** Of the longest bodies: some 6 MiB, more than a socket's two sides take. */
const HOARDED = 100
/** Beside the bounds of a slab's share, of a plain body, of what is read at once. */
const BODY_BYTES = [0, 1, 2, 4096, 16383, 16384, 16385, 32768, 65535, 65536, 65537]
/** A head that is plain has no more than so many bytes before its end. */
const HEAD_BYTES = 16 * 1024

const seed = probeSeed()
t.comment(`SWIFTLET_SEED=${seed}`)
const store = await openS3Store(t.testdir())
const { port } = store
const http = httpClient(port)
t.teardown(async () => {
  http.close()
  await store.close()
})

interface Account {
  readonly path: string
  readonly token: string
}

const accounts: readonly Account[] = await Promise.all(
  [
    ['AUTH_test', 'test:tester', 'testing'],
    ['AUTH_test2', 'test2:tester2', 'testing2'],
  ].map(async ([account, user, key]) => {
    const headers = { 'x-auth-user': user!, 'x-auth-key': key! }
    const token = (await http.call('GET', '/auth/v1.0', { headers })).headers['x-auth-token']!
    const path = `/v1/${account}`
    for (const container of ['c', 'evil']) {
      await http.call('PUT', `${path}/${container}`, { headers: { 'x-auth-token': token } })
    }
    return { path, token }
  }),
)

/** Bodies wait in the store, as on a slow disk, while others are read. */
const slow = seededRandom(seed ^ 0x51ab)
const { backend } = store.context
const { putObject } = backend
let puts = 0
backend.putObject = async (path, put) => {
  puts++
  // Now and then until slabs have been filled by others, if these are still there.
  const last = slow.chance(0.03) ? puts + 80 : 0
  const turns = last > 0 ? 1_000 : slow.below(8)
  for (let i = 0; i < turns && (last === 0 || puts < last); i++) await turn()
  return putObject(path, put)
}

/** What a name holds. */
interface Held {
  readonly body: Buffer
  readonly tag: string
}

interface Wanted {
  readonly status: number
  /** Of a GET; of a HEAD it does not come. */
  readonly held?: Held
  /** Of a PUT. */
  readonly etag?: string
}

interface Request {
  readonly method: string
  readonly bytes: Buffer
  readonly wanted: Wanted
}

/** One that has names and a connection to itself, and knows what it must be answered. */
class Client {
  readonly #random: SeededRandom
  readonly #index: number
  readonly #own: Account
  readonly #other: Account
  readonly held = new Map<string, Held>()
  #connection: Connection | null = null
  #tag = 'tag-00000000'
  #query = ''

  constructor(index: number) {
    this.#random = seededRandom(seed + index)
    this.#index = index
    this.#own = accounts[index % accounts.length]!
    this.#other = accounts[(index + 1) % accounts.length]!
  }

  async run(): Promise<void> {
    for (let round = 0; round < ROUNDS; round++) {
      const isNew = this.#connection === null
      this.#connection ??= await Connection.open()
      if (isNew && this.#random.chance(0.1)) await this.#askAgain(this.#connection)
      else if (this.#random.chance(0.06)) await this.#breakOff(this.#connection)
      else if (this.#random.chance(0.015)) await this.#hoard(this.#connection)
      else await this.#ask(this.#connection)
      // One that node:http has got it keeps.
      if (this.#random.chance(0.3)) this.#leave()
    }
    this.#leave()
    await this.#readAll()
  }

  #leave(): void {
    this.#connection?.close()
    this.#connection = null
  }

  /** Some requests in a row, cut into pieces anywhere. */
  async #ask(connection: Connection): Promise<void> {
    const count = 1 + this.#random.below(REQUESTS_AHEAD_MAX)
    const requests = Array.from({ length: count }, () => this.#request())
    const sending = connection.send(Buffer.concat(requests.map(({ bytes }) => bytes)), this.#random)
    for (const request of requests) {
      checkAnswer(request, await connection.answer(request.method), `client ${this.#index}`)
    }
    await sending
  }

  /** A target that llhttp takes at a second reading only: where it is certain that a packet begins with it. */
  async #askAgain(connection: Connection): Promise<void> {
    this.#query = '?\xc3\xa9'
    const request = this.#request()
    this.#query = ''
    connection.write(request.bytes)
    checkAnswer(request, await connection.answer(request.method), `client ${this.#index}, again`)
  }

  /** Asks for more than sockets hold, and takes nothing until it could be there: the rest waits in the store. */
  async #hoard(connection: Connection): Promise<void> {
    const name = this.#name()
    const held = { body: this.#body(BODY_BYTES_MAX), tag: this.#tag }
    this.held.set(name, held)
    const fields = [...this.#fields(), `X-Object-Meta-Tag: ${held.tag}`]
    connection.write(this.#put(name, held.body, fields))
    await connection.answer('PUT')
    const bytes = this.#head('GET', this.#path(name), this.#fields())
    const request = { method: 'GET', bytes, wanted: { status: 200, held } }
    connection.pause()
    connection.write(Buffer.concat(Array.from({ length: HOARDED }, () => bytes)))
    for (let i = 0; i < 100; i++) await turn()
    connection.resume()
    for (let i = 0; i < HOARDED; i++) {
      checkAnswer(request, await connection.answer('GET'), `client ${this.#index}, hoarding`)
    }
  }

  /** A PUT whose body does not come: nothing of it may be stored, whatever else is read meanwhile. */
  async #breakOff(connection: Connection): Promise<void> {
    const random = this.#random
    const body = this.#body(1 + random.below(BODY_BYTES_MAX))
    const bytes = this.#put(this.#name(), body, this.#fields())
    const cut = bytes.subarray(0, bytes.length - 1 - random.below(body.length))
    await connection.send(cut, random)
    const how = random.below(3)
    if (how === 0) connection.reset()
    else if (how === 1) connection.close()
    else await connection.half()
    this.#connection = null
  }

  #request(): Request {
    const random = this.#random
    const name = this.#name()
    const kind = random.below(20)
    if (kind < 8) return this.#write(name)
    if (kind < 9) return this.#remove(name)
    if (kind < 11) return this.#intruding(name)
    const method = random.chance(0.7) ? 'GET' : 'HEAD'
    const held = this.held.get(name)
    const bytes = this.#head(method, this.#path(name), this.#fields())
    return { method, bytes, wanted: held === undefined ? { status: 404 } : { status: 200, held } }
  }

  #write(name: string): Request {
    const random = this.#random
    const length = random.chance(0.5) ? 4096 : random.pick(BODY_BYTES)!
    const body = this.#body(random.chance(0.2) ? random.below(70_000) : length)
    // The same fields as before, or in one byte other ones.
    if (random.chance(0.3)) this.#tag = `tag-${String(random.below(1e8)).padStart(8, '0')}`
    const etag = createHash('md5').update(body).digest('hex')
    const isWrong = random.chance(0.05)
    const fields = [...this.#fields(), `X-Object-Meta-Tag: ${this.#tag}`]
    if (isWrong) fields.push(`ETag: ${'0'.repeat(32)}`)
    const bytes = this.#put(name, body, fields)
    if (isWrong) return { method: 'PUT', bytes, wanted: { status: 422 } }
    this.held.set(name, { body, tag: this.#tag })
    return { method: 'PUT', bytes, wanted: { status: 201, etag } }
  }

  #remove(name: string): Request {
    const status = this.held.delete(name) ? 204 : 404
    const bytes = this.#head('DELETE', this.#path(name), this.#fields())
    return { method: 'DELETE', bytes, wanted: { status } }
  }

  /** Rights that are not one's own: none, nearly the right ones, or somebody else's. */
  #intruding(name: string): Request {
    const random = this.#random
    const { token } = this.#own
    const [line, status] = [
      [`X-Auth-Token: ${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`, 401] as const,
      ['X-Auth-Tokem: '.padEnd(14) + token, 401] as const,
      [`X-Auth-Token: ${this.#other.token}`, 403] as const,
    ][random.below(3)]!
    const isPut = random.chance(0.5)
    const bytes = isPut
      ? this.#put(name, this.#body(random.below(20_000)), ['Host: x', line])
      : this.#head('GET', this.#path(name), ['Host: x', line])
    return { method: isPut ? 'PUT' : 'GET', bytes, wanted: { status } }
  }

  #name(): string {
    return `${this.#index}-${this.#random.below(NAMES)}`
  }

  #path(name: string): string {
    return `${this.#own.path}/c/${name}${this.#query}`
  }

  /** Mostly the same lines; sometimes in another order, more of them, or what only node:http takes. */
  #fields(): string[] {
    const random = this.#random
    const host = random.chance(0.1) ? 'HOST: x' : 'Host: x'
    const fields = [host, `X-Auth-Token: ${this.#own.token}`]
    if (random.chance(0.1)) fields.reverse()
    if (random.chance(0.1)) fields.push(`X-More: ${random.below(100)}`)
    if (random.chance(0.02)) fields.push('TE: trailers')
    return fields
  }

  #put(name: string, body: Buffer, fields: readonly string[]): Buffer {
    const head = this.#head('PUT', this.#path(name), [...fields, `Content-Length: ${body.length}`])
    return Buffer.concat([head, body])
  }

  /** Sometimes of just the length that is still plain, or one more, or less. */
  #head(method: string, path: string, fields: readonly string[]): Buffer {
    const text = `${method} ${path} HTTP/1.1\r\n${fields.join('\r\n')}\r\n`
    if (!this.#random.chance(0.03)) return Buffer.from(`${text}\r\n`, 'latin1')
    const pad = 'p'.repeat(7_000)
    const padded = `${text}X-Pad: ${pad}\r\nX-Pad-2: ${pad}\r\nX-Pad-3: `
    const room = HEAD_BYTES + this.#random.below(5) - 2 - padded.length
    return Buffer.from(`${padded}${'p'.repeat(room)}\r\n\r\n`, 'latin1')
  }

  /** Of a smuggler: a body that is one request after the other, told apart by what they would store. */
  #body(bytes: number): Buffer {
    const id = `${this.#index}-${this.#random.below(1e9)}`
    const { path, token } = this.#random.chance(0.5) ? this.#own : this.#other
    const hidden = `\r\n\r\nPUT ${path}/evil/${id} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${token}\r\nContent-Length: 0\r\n\r\n`
    return Buffer.alloc(bytes, hidden)
  }

  /** By a connection of its own. */
  async #readAll(): Promise<void> {
    const connection = await Connection.open()
    for (let i = 0; i < NAMES; i++) {
      const name = `${this.#index}-${i}`
      const held = this.held.get(name)
      const fields = ['Host: x', `X-Auth-Token: ${this.#own.token}`]
      const bytes = this.#head('GET', this.#path(name), fields)
      const wanted = held === undefined ? { status: 404 } : { status: 200, held }
      const answered = connection.answer('GET')
      await connection.send(bytes, this.#random)
      checkAnswer({ method: 'GET', bytes, wanted }, await answered, `at the end, ${name}`)
    }
    connection.close()
  }
}

interface Answer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

function checkAnswer({ method, bytes, wanted }: Request, answer: Answer, who: string): void {
  const asked = `${who}: ${bytes.toString('latin1', 0, 300)}`
  const { status, held, etag } = wanted
  if (answer.status !== status) throw new Error(`${answer.status} for ${status}: ${asked}`)
  if (etag !== undefined && answer.headers.get('etag') !== etag) throw new Error(`etag: ${asked}`)
  if (held === undefined) return
  if (answer.headers.get('x-object-meta-tag') !== held.tag) throw new Error(`tag: ${asked}`)
  const isBody = method === 'HEAD' || answer.body.equals(held.body)
  if (!isBody) throw new Error(`another body: ${asked}`)
}

/** A socket of which answers are read one by one; they say how long they are. */
class Connection {
  static readonly #open = new Set<Connection>()
  readonly #socket: Socket
  #bytes: Buffer = Buffer.alloc(0)
  #wake = () => {}

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (piece) => {
      this.#bytes = Buffer.concat([this.#bytes, piece])
      this.#wake()
    })
    socket
      .on('error', () => {})
      .on('close', () => {
        Connection.#open.delete(this)
        this.#wake()
      })
    Connection.#open.add(this)
  }

  /** Nobody is to wait for what others have spoilt. */
  static closeAll(): void {
    for (const connection of Connection.#open) connection.close()
  }

  static async open(): Promise<Connection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await new Promise((resolve) => socket.once('connect', resolve))
    return new Connection(socket)
  }

  /** In one piece, or in pieces of any length with turns of the event loop between them; answers may have to wait. */
  async send(bytes: Buffer, random: SeededRandom): Promise<void> {
    if (random.chance(0.5)) {
      this.#socket.write(bytes)
      return
    }
    const most = random.chance(0.5) ? 100_000 : 2_000
    if (random.chance(0.1)) this.#socket.pause()
    for (let start = 0; start < bytes.length; ) {
      const end = start + 1 + random.below(most)
      this.#socket.write(bytes.subarray(start, end))
      start = end
      for (let turns = random.below(3); turns > 0; turns--) await turn()
    }
    this.#socket.resume()
  }

  async answer(method: string): Promise<Answer> {
    for (;;) {
      const answer = this.#take(method)
      if (answer !== null) return answer
      if (this.#socket.destroyed) throw new Error(`closed: ${this.#bytes.toString('latin1')}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #take(method: string): Answer | null {
    const end = this.#bytes.indexOf('\r\n\r\n')
    if (end < 0) return null
    const [line, ...fields] = this.#bytes.toString('latin1', 0, end).split('\r\n')
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(line!)?.[1]
    if (status === undefined) throw new Error(`no answer: ${line}`)
    const headers = new Map(
      fields.map((field) => {
        const colon = field.indexOf(': ')
        return [field.slice(0, colon).toLowerCase(), field.slice(colon + 2)]
      }),
    )
    const length = method === 'HEAD' ? 0 : Number(headers.get('content-length') ?? 0)
    const start = end + 4
    if (this.#bytes.length < start + length) return null
    const body = this.#bytes.subarray(start, start + length)
    this.#bytes = this.#bytes.subarray(start + length)
    return { status: Number(status), headers, body }
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  close(): void {
    this.#socket.destroy()
  }

  reset(): void {
    this.#socket.resetAndDestroy()
  }

  /** Sends no more, and waits until the other side has ended, too. */
  async half(): Promise<void> {
    this.#socket.end()
    if (!this.#socket.destroyed) await new Promise((resolve) => this.#socket.once('close', resolve))
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

t.test(
  `${CLIENTS} clients at a time get what is theirs, and nobody else's`,
  { timeout: LONG ? 3_600_000 : 300_000 },
  async (t) => {
    const clients = Array.from({ length: CLIENTS }, (_, index) => new Client(index))
    let first: unknown
    const fail = (error: unknown) => {
      first ??= error
      Connection.closeAll()
    }
    await Promise.all(clients.map((client) => client.run().catch(fail)))
    t.equal(first, undefined)
    for (const { path, token } of accounts) {
      const headers = { 'x-auth-token': token }
      const { status, body } = await http.call('GET', `${path}/evil`, { headers })
      t.match({ status, body }, { status: 204, body: '' }, 'no request of a body was answered')
    }
    const bad = store.lines.filter(({ event }) => /failed|refused|cut off/.test(String(event)))
    t.strictSame(bad.slice(0, 3), [])
  },
)
