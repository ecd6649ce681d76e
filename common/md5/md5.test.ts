/** MD5s side by side are those of OpenSSL, whatever comes together with what. */
import { createHash, hash, randomBytes, randomInt } from 'node:crypto'
import t from 'tap'
import { Md5Queue } from './md5-queue.ts'

/** Runs what was put off when the test says so. */
function turns() {
  const planned: (() => void)[] = []
  const queue = new Md5Queue((run) => planned.push(run))
  const turn = () => {
    for (const run of planned.splice(0)) run()
  }
  return {
    queue,
    planned,
    turn,
    /** Until nothing is put off any more. */
    async settle() {
      while (planned.length > 0) {
        turn()
        // What was told goes on before the next turn.
        await new Promise<void>((resolve) => setImmediate(resolve))
      }
    },
  }
}

const LENGTHS = [
  0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 4096, 32_767, 32_768, 32_769, 100_001,
]

t.test('bodies of all lengths around the bounds of blocks and slices', async (t) => {
  const { queue, settle } = turns()
  for (const count of [1, 2, 3, 4, 5, 8, 9, 20]) {
    const bodies = Array.from({ length: count }, (_, i) =>
      randomBytes(LENGTHS[i % LENGTHS.length]!),
    )
    const digests = bodies.map((body) => queue.digest(body))
    await settle()
    t.same(
      await Promise.all(digests),
      bodies.map((body) => hash('md5', body, 'hex')),
      `${count} together`,
    )
  }
  for (const length of LENGTHS) {
    const bodies = [randomBytes(length), randomBytes(length)]
    const digests = bodies.map((body) => queue.digest(body))
    await settle()
    t.same(
      await Promise.all(digests),
      bodies.map((body) => hash('md5', body, 'hex')),
      `${length} bytes`,
    )
  }
})

t.test('streams in pieces of any length, while others come and go', async (t) => {
  const { queue, settle } = turns()
  const seed = randomInt(2 ** 31)
  t.comment(`seed ${seed}`)
  let state = seed
  const below = (max: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return state % max
  }
  const one = async () => {
    const stream = queue.open()
    const wanted = createHash('md5')
    for (let piece = below(8); piece >= 0; piece--) {
      const bytes = randomBytes(below(3) === 0 ? below(100_000) : below(200))
      wanted.update(bytes)
      await stream.update(bytes)
      // Taken is taken: its memory may be used for other things.
      bytes.fill(0)
    }
    return { made: await stream.digest(), wanted: wanted.digest('hex') }
  }
  const streams = Array.from({ length: 60 }, one)
  const bodies = Array.from({ length: 40 }, () => randomBytes(below(10_000)))
  const digests = bodies.map((body) => queue.digest(body))
  await settle()
  for (const { made, wanted } of await Promise.all(streams)) t.equal(made, wanted)
  t.same(
    await Promise.all(digests),
    bodies.map((body) => hash('md5', body, 'hex')),
  )
})

t.test('a length that takes more than 32 bits of bits', async (t) => {
  const { queue, settle } = turns()
  const first = queue.open()
  const stream = queue.open()
  const wanted = createHash('md5')
  const piece = randomBytes(8 * 2 ** 20)
  for (let i = 0; i < 65; i++) {
    const updating = stream.update(piece)
    wanted.update(piece)
    await settle()
    await updating
  }
  const digest = stream.digest()
  await settle()
  t.equal(await digest, wanted.digest('hex'), '520 MiB')
  first.close()
})

t.test(
  'who is alone does not use the lanes, and streams that were let go of count no more',
  async (t) => {
    const { queue, planned, settle } = turns()
    const stream = queue.open()
    t.equal(stream.update(randomBytes(100)), undefined, 'at once')
    const other = queue.open()
    const pending = other.update(randomBytes(100))
    t.type(pending, Promise)
    await settle()
    await pending
    stream.close()
    stream.close()
    other.close()
    const again = queue.open()
    t.equal(again.update(Buffer.from('a')), undefined, 'nobody else is there any more')
    t.equal(again.digest(), '0cc175b9c0f1b6a831c399e269772661')
    t.equal(planned.length, 0)
  },
)

t.test('others have their turn between parts of what is long', async (t) => {
  const { queue, planned, turn } = turns()
  const long = [randomBytes(1 << 20), randomBytes(1 << 20)]
  const digests = long.map((bytes) => queue.digest(bytes))
  let rounds = 0
  while (planned.length > 0) {
    turn()
    rounds++
  }
  t.ok(rounds >= 4, `${rounds} turns for 2 MiB`)
  t.same(
    await Promise.all(digests),
    long.map((bytes) => hash('md5', bytes, 'hex')),
  )
})
