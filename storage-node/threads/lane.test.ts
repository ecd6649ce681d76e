import { once } from 'node:events'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { type Clock, systemClock as clock } from '../../common/clock.ts'
import { nodeDisk } from '../../common/node-disk.ts'
import { INLINE_BYTES_MAX, type ItemWrite } from '../../common/storage-node.ts'
import { seededRandom } from '../../test/support/seeded-random.ts'
import { SegmentFiles } from '../engine/segment-files.ts'
import { SegmentLog } from '../engine/segment-log.ts'
import { LaneReader, LaneWriter, laneMemory } from './lane.ts'
import type { ThreadMessage } from './messages.ts'
import { ThreadLine } from './thread-line.ts'

const KIND = 9
const SMALL_LANE = 1024
const SOON = { canWait: false }
const seed = Number(process.env.SWIFTLET_SEED ?? Math.floor(Math.random() * 2 ** 31))

type Draw = (below: number) => number

function drawer(more: number): Draw {
  const random = seededRandom(seed + more)
  return (below) => random.below(below)
}

/** A frame of so many bytes, all of them `value`; false if there is no room. */
function put(lane: LaneWriter, bytes: number, value: number): boolean {
  const at = lane.reserve(bytes)
  if (at < 0) return false
  lane.bytes.fill(value, at, at + bytes)
  lane.publish(KIND, bytes)
  return true
}

t.test('a lane gives every frame whole and in order, round and round', (t) => {
  t.comment(`SWIFTLET_SEED=${seed}`)
  for (const start of [0, -SMALL_LANE * 3, 2 ** 31 - SMALL_LANE * 2]) {
    const draw = drawer(start)
    const memory = laneMemory(SMALL_LANE)
    // What was read and written: near the ends of 32 bits, too.
    new Int32Array(memory).fill(start, 0, 2)
    const [writer, reader] = [new LaneWriter(memory), new LaneReader(memory)]
    const sent: number[] = []
    let [refused, read] = [0, 0]
    for (let step = 0; step < 20_000; step++) {
      const [bytes, value] = [1 + draw(SMALL_LANE / 8), draw(256)]
      if (draw(3) < 2 && put(writer, bytes, value)) sent.push(bytes, value)
      else if (draw(4) === 0) {
        reader.drain((kind, at) => {
          const [bytesWanted, wanted] = [sent.shift()!, sent.shift()!]
          const found = reader.bytes.subarray(at, at + bytesWanted)
          if (kind !== KIND || !found.every((byte) => byte === wanted)) t.fail(`frame ${read}`)
          read++
        })
        if (sent.length > 0 || !writer.isEmpty) t.fail('something was left behind')
      } else refused++
    }
    t.ok(read > 1_000 && refused > 1_000, `${read} frames were read, ${refused} were refused`)
  }
  t.end()
})

t.test('a full lane takes nothing before it was read, and says so', (t) => {
  const memory = laneMemory(SMALL_LANE)
  const [writer, reader] = [new LaneWriter(memory), new LaneReader(memory)]
  let frames = 0
  while (put(writer, 100, frames)) frames++
  t.equal(frames, 9, 'frames of 112 bytes')
  t.equal(writer.reserve(0), SMALL_LANE - 16 + 8, 'what is smaller still has room')
  writer.publish(KIND, 0)
  writer.reserve(0)
  writer.publish(KIND, 0)
  t.equal(writer.reserve(0), -1, 'to the last byte')
  let read = 0
  reader.drain(() => read++)
  t.equal(read, frames + 2)
  t.ok(put(writer, 100, 0))
  t.end()
})

t.test('who sleeps is woken once for what comes, and does not go to sleep over it', (t) => {
  const memory = laneMemory(SMALL_LANE)
  const [writer, reader] = [new LaneWriter(memory), new LaneReader(memory)]
  put(writer, 1, 1)
  t.notOk(writer.takeSleeper(SOON), 'it has not slept yet')
  t.notOk(reader.sleep({ isBusy: false }), 'there is something')
  t.notOk(writer.takeSleeper(SOON))
  reader.drain(() => {})
  t.ok(reader.sleep({ isBusy: false }))
  t.ok(writer.takeSleeper(SOON))
  t.notOk(writer.takeSleeper(SOON), 'once')
  t.ok(reader.sleep({ isBusy: false }))
  reader.stayAwake()
  t.notOk(writer.takeSleeper(SOON))
  t.end()
})

t.test('who is busy is woken only for what cannot wait', (t) => {
  const memory = laneMemory(SMALL_LANE)
  const [writer, reader] = [new LaneWriter(memory), new LaneReader(memory)]
  reader.beBusy()
  t.notOk(writer.takeSleeper(SOON), 'it was awake, and stays so')
  t.ok(reader.sleep({ isBusy: false }))
  reader.beBusy()
  t.notOk(writer.takeSleeper({ canWait: true }))
  t.ok(writer.takeSleeper(SOON))
  t.ok(reader.sleep({ isBusy: true }))
  t.notOk(writer.takeSleeper({ canWait: true }))
  t.ok(reader.sleep({ isBusy: false }))
  t.ok(writer.takeSleeper({ canWait: true }))
  t.end()
})

/** A line with both of its ends in this thread. */
function lineBetween(t: Test, take: (message: ThreadMessage) => void, time: Clock = clock) {
  const { port1, port2 } = new MessageChannel()
  const end = (port: MessagePort, takes: (message: ThreadMessage) => void) =>
    new ThreadLine({ port, clock: time, take: takes, onClose: () => {} })
  const [here, there] = [end(port1, () => {}), end(port2, take)]
  t.teardown(() => {
    here.close()
    there.close()
  })
  return { here, there }
}

const TEXTS = [
  '',
  'a',
  'ümläut',
  'naïve/ÿ',
  '名前',
  '🙂 and more',
  'x'.repeat(300),
  '\ud800 alone',
  '\0',
]
const NUMBERS = [0, 1, 255, 2 ** 31, 2 ** 32 - 1]
const TICKS = [0, 1, 2 ** 32, 179_581_949_012_345, 2 ** 53 - 1]

function oneOf<T>(draw: Draw, all: readonly T[]): T {
  return all[draw(all.length)]!
}

function anItem(draw: Draw, kinds: readonly ('account' | 'container' | 'object')[]) {
  return {
    kind: oneOf(draw, kinds),
    name: oneOf(draw, TEXTS),
    hash: String.fromCharCode(...Array.from({ length: 16 }, () => draw(256))),
    placement: oneOf(draw, NUMBERS),
    policy: draw(3),
    ...(draw(2) === 0 && { epoch: oneOf(draw, TICKS) }),
  }
}

const aStamp = (draw: Draw) => ({ ticks: oneOf(draw, TICKS), proposer: oneOf(draw, NUMBERS) })

function aWrite(draw: Draw): ItemWrite {
  const more = [
    {},
    {},
    {},
    { condition: { ifNoneMatch: ['*'] } },
    { openExpired: true as const },
    { copy: true as const },
    { record: { metaStamp: aStamp(draw), deleted: false, bytes: 1, dependent: true } },
  ]
  return {
    item: anItem(draw, ['object', 'object', 'object', 'container']),
    action: oneOf(draw, ['put', 'put', 'put', 'delete', 'post']),
    stamp: aStamp(draw),
    ballot: aStamp(draw),
    writeId: oneOf(draw, ['0123456789abcdef', '']),
    meta: {
      ...(draw(2) === 0 && { etag: oneOf(draw, TEXTS) }),
      ...(draw(2) === 0 && { contentType: oneOf(draw, TEXTS) }),
      headers: oneOf(draw, [
        {},
        { 'x-object-meta-a': 'ü', b: '\ud800' },
        { big: 'y'.repeat(90_000) },
      ]),
    },
    ...oneOf(draw, more),
  }
}

function aBody(draw: Draw) {
  if (draw(4) === 0) return { kind: 'none' }
  if (draw(6) === 0) return { kind: 'blob', blobId: 'b', bytes: 7 }
  const bytes = oneOf(draw, [0, 1, 4096, 10_000, INLINE_BYTES_MAX])
  // A view of something larger, as bodies come from sockets.
  return { kind: 'inline', data: Buffer.alloc(bytes + 10, draw(256)).subarray(5, 5 + bytes) }
}

function aRow(draw: Draw) {
  return {
    name: oneOf(draw, TEXTS),
    stamp: aStamp(draw),
    metaStamp: aStamp(draw),
    ballot: aStamp(draw),
    deleted: draw(2) === 0,
    bytes: oneOf(draw, TICKS),
    count: draw(3),
    etag: oneOf(draw, TEXTS),
    contentType: oneOf(draw, TEXTS),
    policy: draw(3),
    confirmed: draw(2) === 0,
  }
}

function aMessage(draw: Draw, id: number): ThreadMessage {
  const to = { device: oneOf(draw, ['disk0', 'ö']), shard: draw(16) }
  const list = () => anItem(draw, ['container', 'container', 'account'])
  const makers: (() => ThreadMessage)[] = [
    () => ({ kind: 'call', id, ...to, method: 'write', args: [aWrite(draw), aBody(draw)] }),
    () => {
      const args = [list(), aRow(draw), draw(2) === 0 ? aStamp(draw) : undefined]
      return { kind: 'call', id, ...to, method: 'putRow', args }
    },
    () => ({ kind: 'call', id, ...to, method: 'read', args: [list(), { body: true }] }),
    () => ({
      kind: 'note',
      ...to,
      method: 'confirmItem',
      args: [anItem(draw, ['object']), aStamp(draw)],
    }),
    () => {
      const args = [list(), oneOf(draw, TEXTS), aStamp(draw)]
      return { kind: 'note', ...to, method: 'confirmRow', args }
    },
    () => ({ kind: 'status', id }),
    () => ({ kind: 'result', id, value: { status: 'superseded', ballot: aStamp(draw) } }),
    () => ({ kind: 'written', id: id + 2 ** 40, existed: draw(2) === 0 }),
    () => {
      const all = ['done', 'superseded', 'not-found', 'stale-settings'] as const
      return { kind: 'rowed', id, status: oneOf(draw, all) }
    },
    () => ({ kind: 'error', id, error: { code: 'Busy', status: 503, message: 'ü' } }),
  ]
  return oneOf(draw, makers)()
}

/** Memory arrives as it likes: what counts is the bytes. */
function comparable(message: ThreadMessage): string {
  return JSON.stringify(message, (_key, value: unknown) => {
    if (ArrayBuffer.isView(value)) return hexOf(value as Uint8Array)
    const isBuffer = (value as { readonly type?: unknown } | null)?.type === 'Buffer'
    return isBuffer ? hexOf((value as { readonly data: Uint8Array }).data) : value
  })
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

t.test('whatever is said arrives as it was said, in its order', async (t) => {
  t.comment(`SWIFTLET_SEED=${seed}`)
  const draw = drawer(1)
  const sent = Array.from({ length: 3_000 }, (_, id) => aMessage(draw, id))
  const heard: ThreadMessage[] = []
  let done = (): void => {}
  const all = new Promise<void>((resolve) => (done = resolve))
  const { here } = lineBetween(t, (message) => {
    heard.push(message)
    if (heard.length === sent.length) done()
  })
  for (const [i, message] of sent.entries()) {
    if (message.kind === 'note') here.sendLater(message)
    else here.send(message)
    // Now many in one turn, more than a lane holds, now few.
    if (draw(200) === 0) await new Promise(setImmediate)
    if (i % 1_000 === 0) await new Promise((resolve) => clock.after(1, () => resolve(null)))
  }
  await all
  const wrong = sent.findIndex((message, i) => comparable(message) !== comparable(heard[i]!))
  t.equal(wrong, -1)
  if (wrong >= 0) t.same(heard[wrong], sent[wrong])
})

t.test('what can wait arrives without another word', async (t) => {
  const heard: ThreadMessage[] = []
  const done = new Promise<void>((resolve) => {
    const { here } = lineBetween(t, (message) => {
      heard.push(message)
      resolve()
    })
    const item = { kind: 'object', name: '/a/c/o', hash: 'h'.repeat(16), placement: 1, policy: 0 }
    const args = [item, { ticks: 1, proposer: 2 }]
    here.sendLater({ kind: 'note', device: 'd', shard: 1, method: 'confirmItem', args })
  })
  await done
  t.match(heard, [{ kind: 'note', shard: 1 }])
})

t.test(
  'who is writing is not woken for further writes, but takes them when that has ended',
  async (t) => {
    const heard: ThreadMessage[] = []
    let onHeard = (): void => {}
    const timers: (() => void)[] = []
    const after = (_ms: number, action: () => void) => {
      timers.push(action)
      return () => {}
    }
    const take = (message: ThreadMessage) => {
      heard.push(message)
      onHeard()
    }
    const { here, there } = lineBetween(t, take, { ...clock, after })
    const hearing = (count: number) =>
      new Promise<void>((resolve) => {
        onHeard = () => heard.length === count && resolve()
        onHeard()
      })
    const turns = async () => {
      for (let i = 0; i < 5; i++) await new Promise(setImmediate)
    }
    // A plain one goes through the lane: the port would wake.
    const write = (id: number): ThreadMessage => {
      const item = { kind: 'object', name: '/a/c/o', hash: 'h'.repeat(16), placement: 1, policy: 0 }
      const stamps = { stamp: { ticks: 1, proposer: 2 }, ballot: { ticks: 1, proposer: 2 } }
      const put = { item, action: 'put', ...stamps, writeId: '0'.repeat(16), meta: { headers: {} } }
      return {
        kind: 'call',
        id,
        device: 'd',
        shard: 1,
        method: 'write',
        args: [put, { kind: 'none' }],
      }
    }
    here.send({ kind: 'status', id: 1 })
    await hearing(1)
    await turns()
    there.beBusy()
    here.send(write(2))
    await turns()
    t.equal(heard.length, 1, 'it is not woken')
    there.look()
    t.equal(heard.length, 2, 'it looks')
    there.beBusy()
    here.send(write(3))
    await turns()
    here.send({ kind: 'written', id: 4, existed: false })
    await hearing(4)
    t.match(heard, [{ id: 1 }, { id: 2 }, { id: 3 }, { id: 4 }], 'an answer wakes it')
    await turns()
    here.send(write(5))
    await turns()
    t.equal(heard.length, 4, 'it is still busy')
    for (const fire of timers.splice(0)) fire()
    await hearing(5)
    t.pass('but not for ever')
  },
)

t.test('what comes when a batch has ended goes with the next one, at once', async (t) => {
  const directory = t.testdir()
  const [disk, shard] = [nodeDisk, 0]
  const events: string[] = []
  let second = Promise.resolve()
  const log = new SegmentLog({
    ...{ disk, clock, directory, shard, nextSegmentId: 1, cuts: [], segmentBytesMax: 2 ** 20 },
    files: new SegmentFiles({ disk, directory, shard }),
    deviceUuid: '0'.repeat(32),
    onCut: () => {},
    commits: {
      began: () => events.push('began'),
      ended: () => {
        events.push('ended')
        if (events.length === 2) second = log.mark()
      },
    },
  })
  await log.mark()
  await log.drain()
  await second
  t.same(events, ['began', 'ended', 'began', 'ended'])
  await log.close()
})

/** Writes frames until it is ended: each holds its number and as many bytes as that says. */
const WRITER = `
  const { parentPort, workerData } = require('node:worker_threads')
  import(workerData.loader).then(async ({ register }) => {
    register()
    const { LaneWriter } = await import(workerData.file)
    const lane = new LaneWriter(workerData.memory)
    parentPort.postMessage('ready')
    for (let n = 0; ; ) {
      const bytes = 8 + (n * 37) % 500
      const at = lane.reserve(bytes)
      if (at < 0) continue
      lane.bytes.fill(n & 255, at, at + bytes)
      lane.doubles[at >> 3] = n
      lane.publish(${KIND}, bytes)
      n++
    }
  })`

t.test('of a thread that is ended in the middle no half frame is seen', async (t) => {
  for (let round = 0; round < 5; round++) {
    const memory = laneMemory(16 * SMALL_LANE)
    const data = {
      memory,
      file: new URL('./lane.ts', import.meta.url).href,
      loader: import.meta.resolve('tsx/esm/api'),
    }
    const worker = new Worker(WRITER, { eval: true, execArgv: [], workerData: data })
    await once(worker, 'message')
    const reader = new LaneReader(memory)
    let next = 0
    const drain = () =>
      reader.drain((_kind, at) => {
        const end = at + 8 + ((next * 37) % 500)
        const isWhole = reader.bytes.subarray(at + 8, end).every((byte) => byte === (next & 255))
        if (reader.doubles[at >> 3] !== next || !isWhole) t.fail(`frame ${next} is torn`)
        next++
      })
    while (next < 2_000 * (round + 1)) drain()
    await worker.terminate()
    drain()
    t.ok(next > 0, `${next} frames were whole`)
  }
})
