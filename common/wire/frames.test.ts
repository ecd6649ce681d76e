import t from 'tap'
import {
  decodeMessage,
  encodeFrame,
  encodeJsonFrame,
  encodeMessage,
  FRAME_KINDS,
  FrameDecoder,
  messageHead,
} from './frames.ts'
import { parseRequest } from './operations.ts'
import { refusalOf, signRequest } from './signature.ts'

t.test('a message is decoded as it was encoded', async (t) => {
  const head = { name: 'größe \u{1f600}', hash: '\u0000\u00ff'.repeat(8), list: [1, null] }
  for (const data of [null, Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(70_000, 7)]) {
    const message = encodeMessage(head, data)
    const decoded = decodeMessage(message)
    t.strictSame(decoded.head, head)
    t.equal(decoded.data === null, data === null)
    t.ok(data === null || data.equals(decoded.data!))
    t.strictSame(messageHead(message), decoded.headBytes)
  }
})

t.test('what is no message is refused', async (t) => {
  const message = encodeMessage({ a: 1 }, Buffer.from('data'))
  for (let length = 0; length < message.length; length++) {
    // Cut behind the head it is a message without data.
    if (length === encodeMessage({ a: 1 }).length) continue
    t.throws(() => decodeMessage(message.subarray(0, length)), { code: 'BadFrame' }, `${length}`)
  }
  const bad = [
    Buffer.concat([message, Buffer.from('x')]),
    Buffer.concat([message, message]),
    encodeFrame(FRAME_KINDS.data, Buffer.from('x')),
    encodeFrame(FRAME_KINDS.head, Buffer.from('{')),
    encodeFrame(9 as never, Buffer.from('{}')),
  ]
  for (const bytes of bad) t.throws(() => decodeMessage(bytes), { code: 'BadFrame' })
})

t.test('a stream of frames comes out the same however it is cut', async (t) => {
  const stream = Buffer.concat([
    encodeMessage({ head: true }),
    encodeFrame(FRAME_KINDS.data, Buffer.from('hello ')),
    encodeFrame(FRAME_KINDS.data, Buffer.alloc(0)),
    encodeFrame(FRAME_KINDS.data, Buffer.from('world')),
    encodeJsonFrame(FRAME_KINDS.tail, { tail: true }),
  ])
  const read = (sizes: () => number) => {
    const decoder = new FrameDecoder()
    let out = ''
    for (let at = 0; at < stream.length; ) {
      const size = sizes()
      for (const event of decoder.push(stream.subarray(at, at + size))) {
        out += event.kind === 'data' ? event.bytes : `<${JSON.stringify(event.json)}>`
      }
      at += size
    }
    t.ok(decoder.isBetweenFrames)
    return out
  }
  const expected = '<{"head":true}>hello world<{"tail":true}>'
  for (let size = 1; size <= stream.length; size++)
    t.equal(
      read(() => size),
      expected,
    )
  let state = 1
  for (let round = 0; round < 200; round++) {
    const sizes = () => {
      state = (state * 48_271) % 2_147_483_647
      return 1 + (state % 20)
    }
    t.equal(read(sizes), expected)
  }
})

t.test('frames that are too long or unknown are refused before they are collected', async (t) => {
  const header = (kind: number, bytes: number) => {
    const frame = Buffer.alloc(5)
    frame[0] = kind
    frame.writeUInt32LE(bytes, 1)
    return frame
  }
  for (const [kind, bytes] of [
    [1, 2 ** 31],
    [2, 2 ** 31],
    [3, 2 ** 31],
    [0, 1],
    [4, 1],
  ] as const) {
    t.throws(() => new FrameDecoder().push(header(kind, bytes)), { code: 'BadFrame' })
  }
  const unfinished = new FrameDecoder()
  unfinished.push(header(2, 10))
  t.notOk(unfinished.isBetweenFrames)
})

t.test('signatures', async (t) => {
  const request = { path: '/v1/read', headBytes: Buffer.from('{"a":1}') }
  const clusterKey = 'a cluster key for tests'
  const signed = signRequest(request, clusterKey, 1_000_000)
  const refusal = (change: Partial<typeof request>, key = clusterKey, nowMs = 1_000_000) =>
    refusalOf({ ...request, ...change }, signed, { clusterKey: key, nowMs })
  t.equal(refusal({}), null)
  t.equal(refusal({}, clusterKey, 1_299_000), null)
  t.match(refusal({}, clusterKey, 1_301_000), /too old/)
  t.match(refusal({}, 'another key'), /does not match/)
  t.match(refusal({ path: '/v1/write' }), /does not match/)
  t.match(refusal({ headBytes: Buffer.from('{"a":2}') }), /does not match/)
  t.match(refusalOf(request, undefined, { clusterKey, nowMs: 0 }), /not signed/)
  t.match(refusalOf(request, signed.slice(0, -1), { clusterKey, nowMs: 0 }), /not signed/)
})

t.test('heads are looked at before they reach the node', async (t) => {
  const item = { kind: 'object', name: '/a/c/o', hash: 'x'.repeat(16), placement: 1, policy: 0 }
  const good = { device: 'd', item, head: false }
  t.equal(parseRequest('read', good) as unknown, good)
  for (const bad of [
    null,
    [],
    'text',
    {},
    { ...good, device: 1 },
    { ...good, head: 'no' },
    { ...good, item: { ...item, kind: 'bucket' } },
    { ...good, item: { ...item, hash: 'short' } },
    { ...good, item: { ...item, placement: -1 } },
  ]) {
    t.throws(() => parseRequest('read', bad), { code: 'BadRequest', status: 400 })
  }
})
