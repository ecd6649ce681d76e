import fc from 'fast-check'
import t from 'tap'
import { type ChannelMessage, PacketOpener, PacketSealer } from './packets.ts'

const KEY = Buffer.alloc(32, 1)
const LIMIT = { packetBytesMax: 4 * 1024 * 1024 }

const messages = fc.array(
  fc.record({
    call: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    kind: fc.integer({ min: 0, max: 255 }),
    payload: fc.uint8Array({ maxLength: 300 }),
  }),
  { minLength: 1, maxLength: 20 },
)

/** In pieces of the given lengths, over and over. */
function* cut(bytes: Buffer, lengths: readonly number[]): Generator<Buffer> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length]!
    yield bytes.subarray(at, at + length)
    at += length
  }
}

const plain = ({ call, kind, payload }: ChannelMessage) => ({ call, kind, payload: [...payload] })

t.test('messages come out as they went in, however they are cut', async (t) => {
  const lengths = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(fc.array(messages, { minLength: 1, maxLength: 4 }), lengths, (batches, pieces) => {
      const sealer = new PacketSealer(KEY)
      const opener = new PacketOpener(KEY, LIMIT)
      const bytes = Buffer.concat(batches.flatMap((batch) => sealer.seal(batch)))
      const found = [...cut(bytes, pieces)].flatMap((piece) => opener.push(piece).map(plain))
      return JSON.stringify(found) === JSON.stringify(batches.flat().map(plain))
    }),
    { numRuns: 200 },
  )
  t.pass('200 conversations')
})

t.test('a flipped bit anywhere is noticed', async (t) => {
  const sealed = Buffer.concat(
    new PacketSealer(KEY).seal([{ call: 7, kind: 1, payload: Buffer.from('hello') }]),
  )
  const rest = Buffer.alloc(LIMIT.packetBytesMax)
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const flipped = Buffer.from(sealed)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    let outcome = 'nothing'
    try {
      // One that became longer waits for the rest, which does not help it.
      const opener = new PacketOpener(KEY, LIMIT)
      outcome = opener.push(flipped).length === 0 ? 'waits' : 'taken'
      if (outcome === 'waits') opener.push(rest)
    } catch (error) {
      outcome = (error as { readonly code: string }).code
    }
    if (outcome !== 'BadPacket') t.fail(`bit ${bit}: ${outcome}`)
  }
  t.pass(`${sealed.length * 8} bits`)
})

t.test('packets that are repeated, left out or of another key are refused', async (t) => {
  const sealer = new PacketSealer(KEY)
  const [one, two] = [1, 2].map((call) =>
    Buffer.concat(sealer.seal([{ call, kind: 0, payload: Buffer.from('x') }])),
  )
  const bad = { code: 'BadPacket', status: 400 }
  const repeated = new PacketOpener(KEY, LIMIT)
  repeated.push(one!)
  t.throws(() => repeated.push(one!), bad)
  t.throws(() => new PacketOpener(KEY, LIMIT).push(two!), bad)
  t.throws(() => new PacketOpener(Buffer.alloc(32, 2), LIMIT).push(one!), bad)
})

t.test('what is too long is refused at its head, and long batches are split', async (t) => {
  const long = Buffer.alloc(24)
  long.writeUInt32LE(LIMIT.packetBytesMax + 1)
  t.throws(() => new PacketOpener(KEY, LIMIT).push(long), { code: 'BadPacket' })
  const payload = Buffer.alloc(600 * 1024)
  const batch = Array.from({ length: 20 }, (_, call) => ({ call, kind: 0, payload }))
  const opener = new PacketOpener(KEY, LIMIT)
  let found = 0
  for (const piece of new PacketSealer(KEY).seal(batch))
    found += opener.push(Buffer.from(piece)).length
  t.equal(found, 20)
})
